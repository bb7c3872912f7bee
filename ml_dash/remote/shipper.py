"""The thread that ships an experiment while it is recorded: promise P8 for the network.

1. No recording call ever meets it: it reads what stands on disk, takes no lock that a writer waits for, and works in
   short bursts.
2. Of all processes of this machine that could ship a journal one does, the one that holds `_journal/ship.lock`.  When
   it ends or dies another takes over, and asks the server where to go on.
3. What goes wrong is said once, and tried again with growing pauses, whatever it is.  Only two continuations of one
   journal end it, because trying again could not mend that.
4. A token that is not accepted any more is looked for anew at each attempt: `ml-dash login` in another terminal helps.
5. Waiting for it (`finish`) is bounded, can be interrupted, and loses nothing: the journal stays.
6. A forked child has no such thread.  What it records stands in the same journal, so its parent ships it; a child that
   finishes ships by itself if nobody else does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from os import getpid
from shlex import quote
from threading import Thread

from ..alarm import Alarm
from ..clock import monotonic_s
from ..errors import AuthenticationError, DivergedError, LockError, MlDashError, NetworkError, RefusedError
from ..ids import chance
from ..journal.bell import Bell
from ..journal.disk import Disk
from ..journal.folder import JournalFolder
from ..journal.lock import hold_alone, release
from . import cursor
from .arrival import Goal, goal_of
from .backoff import pause_s
from .server import Server
from .shipment import Shipment, Step, root_of

LOOK_INTERVAL_S = 0.5
"""Between two looks at a journal of which everything has been shipped."""
ELECTION_INTERVAL_S = 1.0
AUTHENTICATION_INTERVAL_S = 30.0
PROGRESS_INTERVAL_S = 0.1
FINISHING_PAUSE_S_MAX = 2.0
"""While somebody waits."""
ELSEWHERE_STALLED_S_MAX = 90.0
"""Longer than a pause between two attempts of the process that ships; whoever has called a command waits no longer."""
FAILURES_BEFORE_ALARM = 2
"""One lost answer is no news: the next attempt comes within a second."""
NOTHING_LEFT = Step(0, 0, 0, 0, True)


@dataclass(frozen=True, slots=True)
class Finished:
    """How waiting has ended.  `why` says what stands in the way where not everything has arrived."""

    is_complete: bool
    left_bytes: int
    left_files: int
    why: str | None


class Shipper:
    """Ships the experiment `prefix` in `folder`.  `connect` gives the server, with the token of this moment."""

    def __init__(
        self, folder: JournalFolder, prefix: str, url: str, connect: Callable[[], Server], alarm: Alarm | None = None
    ) -> None:
        self._folder = folder
        self._prefix = prefix
        self._url = url
        self._connect = connect
        self._alarm = alarm or Alarm()
        self._reset()

    def _reset(self) -> None:
        self._process = getpid()
        self._bell, self._told = Bell(), Bell()
        self._thread: Thread | None = None
        self._is_over = False
        self._is_finishing = False
        self._lock = -1
        self._failures = 0
        self._failure: str | None = None
        self._attempted: str | None = None
        self._last = Step(0, 0, 0, 0, False)
        self._asked = 0
        self._answered = 0
        self._refused = 0
        self._is_elsewhere = False
        self._goal: tuple[int, Goal] | None = None
        self._answered_s: float | None = None
        self._began_s = monotonic_s()
        self._seen: tuple[cursor.Mark | None, float] = None, monotonic_s()
        self._has_token = True
        self._is_given_up = False

    def start(self) -> None:
        """Begins to ship.  A process that can have no further thread records all the same, and is told so."""
        self._reset()
        self._thread = Thread(target=self._run, name=f"ml-dash shipper {self._prefix}", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            self._alarm.sound(
                "thread", f"nothing is shipped to {self._url} now, because no thread can be started: {error}"
            )

    def finish(
        self,
        timeout_s: float,
        progress: Callable[[Step], None] | None = None,
        *,
        attempts_max: int | None = None,
        silent_s_max: float = inf,
    ) -> Finished:
        """Waits until everything recorded so far has arrived, at most `timeout_s` seconds, and ends the thread.

        `attempts_max` ends the waiting after so many failures in a row, or where another process ships and comes no
        further for `ELSEWHERE_STALLED_S_MAX`; `silent_s_max` where an attempt has failed and the last answer is longer
        ago than that.  `progress` is called several times a second.
        A KeyboardInterrupt ends the waiting and is raised; the thread then ends as well.
        """
        is_child = self._process != getpid()
        if is_child:
            self.start()
        deadline_s = monotonic_s() + timeout_s
        try:
            return self._wait(deadline_s, progress, attempts_max, silent_s_max, is_child=is_child)
        finally:
            self.stop()

    def _wait(
        self,
        deadline_s: float,
        progress: Callable[[Step], None] | None,
        attempts_max: int | None,
        silent_s_max: float,
        *,
        is_child: bool,
    ) -> Finished:
        self._asked += 1
        failures_before = self._failures
        self._is_finishing = True
        self._bell.ring()
        while self._thread is not None and self._thread.is_alive() and not sys.is_finalizing():
            if self._answered >= self._asked or self._is_given_up or self._refused >= self._asked:
                break
            failures = self._failures - failures_before
            if attempts_max is not None and (failures >= attempts_max or self._is_stalled_elsewhere()):
                break
            if failures > 0 and self.silent_s > silent_s_max:
                break
            if is_child and self._is_elsewhere:
                # Rule 6: whoever it is, it ships all that stands in the journal.
                return Finished(True, 0, 0, None)
            left_s = deadline_s - monotonic_s()
            if left_s <= 0:
                break
            self._told.wait(min(PROGRESS_INTERVAL_S, left_s))
            if progress is not None:
                progress(self._last)
        last = self._last
        why = self._failure or self._attempted or (last.problems[0] if last.problems else None)
        is_complete = self._answered >= self._asked and why is None
        return Finished(is_complete, last.left_bytes, last.left_files, why)

    @property
    def silent_s(self) -> float:
        """How long the server has not answered: seconds since its last answer, or since this began."""
        return monotonic_s() - (self._began_s if self._answered_s is None else self._answered_s)

    @property
    def was_answered(self) -> bool:
        return self._answered_s is not None

    def stop(self) -> None:
        """The thread ends after what it is doing; whatever is left waits in the journal."""
        self._is_over = True
        self._bell.ring()

    def join(self, timeout_s: float) -> bool:
        """After `stop`: whether the thread has ended within that time."""
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout_s)
            return not self._thread.is_alive()
        return True

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        shipment: Shipment | None = None
        try:
            while not self._is_over and not self._is_given_up:
                wait_s = self._elected_elsewhere() if not self._elect() else 0.0
                if self._lock >= 0:
                    shipment, wait_s = self._attempt(shipment)
                if wait_s > 0 and not self._is_over:
                    self._bell.wait(wait_s)
        finally:
            if shipment is not None:
                with suppress(Exception):
                    shipment.close()
            if self._lock >= 0:
                held, self._lock = self._lock, -1
                with suppress(OSError):
                    release(held, self._folder.disk)
            self._told.ring()

    def _attempt(self, shipment: Shipment | None) -> tuple[Shipment | None, float]:
        """One step; how long to wait then."""
        asked = self._asked
        try:
            if shipment is None:
                shipment = Shipment(self._folder, self._prefix, self._connect())
            elif not self._has_token:
                shipment.server = self._connect()
            self._has_token = True
            step = shipment.step()
        except DivergedError as error:
            self._is_given_up = True
            self._failed("diverged", str(error), ". Recording goes on, shipping does not")
            return shipment, 0.0
        except AuthenticationError as error:
            self._failed(
                "token", str(error), ". Everything is recorded on this machine and shipped once that is mended"
            )
            self._has_token, self._refused = False, asked
            return shipment, AUTHENTICATION_INTERVAL_S
        except Exception as error:
            # Whatever it is: a thread that ended with it would ship nothing more.
            self._failures += 1
            is_network = isinstance(error, NetworkError)
            what = self._attempted = str(error) if isinstance(error, MlDashError) else repr(error)
            if self._failures >= FAILURES_BEFORE_ALARM or not is_network:
                self._failed(
                    "network", what, ". Everything is recorded on this machine and shipped once that works again"
                )
            asked_s = error.retry_after_s if isinstance(error, RefusedError) else None
            pause = pause_s(self._failures, chance(), asked_s)
            return shipment, min(pause, FINISHING_PAUSE_S_MAX) if self._is_finishing and asked_s is None else pause
        self._failures, self._failure, self._last = 0, None, step
        self._answered_s, self._attempted = monotonic_s(), None
        for problem in step.problems:
            self._alarm.sound(problem, problem)
        if step.is_idle:
            self._answered = asked
        self._told.ring()
        return shipment, self._pause_after(step)

    def _pause_after(self, step: Step) -> float:
        if step.is_idle:
            return LOOK_INTERVAL_S
        # What little there is may gather; whoever waits, and whatever is much, does not.
        is_little = not self._is_finishing and step.left_bytes == 0 and not step.left_files
        return LOOK_INTERVAL_S if is_little else 0.0

    def _failed(self, subject: str, what: str, comfort: str = "") -> None:
        self._failure = what
        self._alarm.sound(subject, what + comfort)
        self._told.ring()

    # -- election ------------------------------------------------------------------------------------------------

    def _elect(self) -> bool:
        """Rule 2: whether this process ships."""
        if self._lock >= 0:
            return True
        disk, path = self._folder.disk, self._folder.ship_lock_path
        try:
            descriptor = _open(disk, path)
        except OSError:
            return False
        try:
            if hold_alone(descriptor, path):
                if disk.same_file(descriptor, path):
                    self._lock = descriptor
                    return True
                release(descriptor, disk)
                return False
        except (OSError, LockError) as error:
            self._alarm.sound("lock", f"{error}. Nothing is shipped from here")
        disk.close(descriptor)
        return False

    def _elected_elsewhere(self) -> float:
        """Another process ships: by its hint we see how far it is.

        What was there when it was asked for is waited for, and not what others have recorded since: they may go on for
        days.
        """
        asked, self._is_elsewhere = self._asked, True
        if self._is_finishing:
            with suppress(OSError, MlDashError):
                if self._goal is None or self._goal[0] != asked:
                    self._goal = asked, goal_of(self._folder, self._prefix)
                mark = cursor.marks(self._folder).get(self._url)
                if mark != self._seen[0]:
                    self._seen, self._failure = (mark, monotonic_s()), None
                if mark is not None and self._goal[1].is_reached(mark):
                    self._answered, self._last = asked, NOTHING_LEFT
                    self._told.ring()
        return LOOK_INTERVAL_S if self._is_finishing else ELECTION_INTERVAL_S

    def _is_stalled_elsewhere(self) -> bool:
        if self._lock >= 0 or not self._is_elsewhere or monotonic_s() - self._seen[1] < ELSEWHERE_STALLED_S_MAX:
            return False
        self._failure = "another process of this machine ships it, and comes no further: is its server there?"
        return True


def _open(disk: Disk, path: str) -> int:
    try:
        return disk.open_append(path)
    except FileNotFoundError:
        return disk.create(path)


def how_to_ship(folder: JournalFolder, url: str) -> str:
    """The command that ships what is left."""
    return f"ml-dash ship {quote(folder.prefix)} --dash-root {quote(root_of(folder))} --dash-url {quote(url)}"
