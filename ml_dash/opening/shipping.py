"""An experiment that goes to a server: what is asked before it begins, and what is waited for when it ends.

1. Before it begins the server is asked once who we are, for at most `GREETING_TIMEOUT_S`.  A token that is not
   accepted, or that may not write there, is an AuthenticationError before anything is recorded.  A server that does not
   answer is one warning; the experiment is recorded on this machine and shipped once it does.
2. What other machines have recorded of the experiment is asked for (`joining.py`): its parameters, words, files and
   summaries are there to be read.  A journal that has lost its end is given it back; one that goes on differently
   from its copy is a DivergedError before anything is recorded.
3. When it ends, what is left is waited for, at most `ship_timeout_s`, with a progress bar where somebody looks.  Ctrl-C
   ends the waiting at once, and only that.  What has not arrived is said, with the command that ships it.  A server
   that was not there at the start is tried `ABSENT_ATTEMPTS_MAX` times.
4. Nothing of this raises once the session has begun, and the end of a training stays what it was.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from ..alarm import warn
from ..errors import AuthenticationError, ConfigurationError, DivergedError, MlDashError, NetworkError
from ..prefix import Prefix
from . import environment_variables
from .interpreter_end import last_things

if TYPE_CHECKING:
    from ..journal.folder import JournalFolder
    from ..reading.replay import Start
    from ..remote.server import Server, User
    from ..remote.shipment import Step
    from ..remote.shipper import Finished, Shipper

GREETING_TIMEOUT_S = 5.0
SHIP_TIMEOUT_S = 60.0
ABSENT_ATTEMPTS_MAX = 3
"""So often a server is tried at the end that was not there at the start."""
NOTICE_S = 1.0
"""Who waits longer than this sees a progress bar."""
_NO_ANSWER = object()
_unreachable: set[str] = set()


class Shipping:
    """Of one session, from before it begins on.

    `root` is the folder that the journal is below; `removes` says that it is only kept until all of it has arrived, and
    is removed when the process ends.
    """

    def __init__(
        self, url: str, prefix: Prefix, folder: JournalFolder, root: Path, *, timeout_s: float, removes: bool
    ) -> None:
        self.url = url
        self._prefix = prefix
        self._folder = folder
        self._root = root
        self._timeout_s = timeout_s
        self._removes = removes
        self._shipper: Shipper | None = None

    def greet(self) -> Start | None:
        """Rules 1 and 2; what the session begins with.

        Raises AuthenticationError, ConfigurationError where the token would travel unencrypted, DivergedError where the
        journal and its copy go on differently.
        """
        found = _within(GREETING_TIMEOUT_S, self._ask)
        if found is _NO_ANSWER:
            found = NetworkError(f"{self.url} does not answer within {GREETING_TIMEOUT_S:g} s")
        if isinstance(found, (AuthenticationError, ConfigurationError, DivergedError)):
            raise found
        if isinstance(found, BaseException):
            if self.url not in _unreachable:
                _unreachable.add(self.url)
                what = str(found) if isinstance(found, MlDashError) else f"{self.url} cannot be asked: {found!r}"
                warn(f"{what}. Everything is recorded on this machine, and shipped as soon as that works")
            return None
        _unreachable.discard(self.url)
        start: Start | None = found
        return start

    def _ask(self) -> Start | None:
        from ..remote.mirror import journal_in
        from ..remote.server import Server
        from .joining import start_on

        server = Server.at(self.url, timeout_s=GREETING_TIMEOUT_S)
        try:
            user = server.user()
            if user.is_read_only:
                raise AuthenticationError(_takes_nothing(self.url, user))
            if not user.is_open and user.owner is not None and user.owner != self._prefix.owner:
                raise AuthenticationError(
                    f"{self.url} takes the token as {user.owner!r}, who may not write to {self._prefix.text!r}. Give a "
                    f"prefix that begins with {user.owner!r}, or run `ml-dash login --dash-url {self.url}` as "
                    f"{self._prefix.owner!r}"
                )
            own = None
            if self._folder.segment_numbers():
                self._mend(server)
                own = journal_in(self._folder)
            try:
                return start_on(server, self._prefix.text, own, GREETING_TIMEOUT_S)
            except NetworkError as error:
                warn(
                    f"{error}. So what other machines have recorded of {self._prefix.text} does not show in this "
                    "session; what it records itself is kept and shipped as ever"
                )
                return None
        finally:
            server.close()

    def _mend(self, server: Server) -> None:
        from ..remote.mending import give_back_end
        from ..remote.shipment import Shipment

        given = give_back_end(self._folder, self._prefix.text, server)
        if given:
            warn(
                f"{self._folder.path} had lost its end, {given:,} bytes that {self.url} has; they were brought back. "
                "Was a file cut, or an older copy put in its place?"
            )
        Shipment(self._folder, self._prefix.text, server).check()

    def begin(self) -> None:
        """A session has begun: from here on its events travel."""
        from ..alarm import Alarm
        from ..remote import cursor
        from ..remote.compression import best_encoding
        from ..remote.server import Server
        from ..remote.shipper import Shipper

        # Imports what the thread will need: a child that is forked amid an import waits for its lock for ever.
        best_encoding(self.url)
        if self.url not in cursor.marks(self._folder):
            # So that it is found and shipped, whatever becomes of this process.
            with suppress(OSError):
                cursor.save(self._folder, self.url, cursor.Mark())
        alarm = Alarm()
        if self.url in _unreachable:
            alarm.hush("network")
        self._shipper = Shipper(self._folder, self._prefix.text, self.url, lambda: Server.at(self.url), alarm)
        self._shipper.start()

    def opening(self) -> AbstractContextManager[None]:
        """Around the beginning of the session: nobody removes the journal meanwhile."""
        if not self._removes:
            return nullcontext()
        from ..remote.state_folder import opening

        return opening(self._root)

    def end(self) -> None:
        """Rule 3."""
        shipper, self._shipper = self._shipper, None
        if shipper is None:
            return
        if self._removes and self._remove not in last_things:
            last_things.append(self._remove)
        try:
            with progress_bar(self.url) as progress:
                # Of a server that was not there at the start either, nobody wants to wait a minute for the end.
                attempts_max = ABSENT_ATTEMPTS_MAX if self.url in _unreachable else None
                finished = shipper.finish(self._timeout_s, progress, attempts_max=attempts_max)
        except KeyboardInterrupt:
            warn(self._left("the waiting was interrupted"))
            return
        if finished.is_complete:
            # It has nothing left to do, and lets go of the lock that whoever removes the journal needs.
            shipper.join(GREETING_TIMEOUT_S)
        else:
            warn(self._left(self._why(finished)))

    def _why(self, finished: Finished) -> str:
        return finished.why or f"{self._timeout_s:g} seconds were not enough"

    def _left(self, why: str) -> str:
        from ..remote.shipper import how_to_ship

        return (
            f"not all of {self._prefix.text} has arrived at {self.url} ({why}). Nothing is lost: it is in "
            f"{self._folder.experiment}. Ship the rest with `{how_to_ship(self._folder, self.url)}`"
        )

    def _remove(self) -> None:
        from ..remote.state_folder import remove_if_shipped

        if self._shipper is None and self._folder.exists():
            remove_if_shipped(self._folder, self.url, self._root)


def _takes_nothing(url: str, user: User) -> str:
    if user.is_open:
        return f"{url} takes nothing: it shows experiments, and changes none"
    return f"{url} takes nothing from this token: it may only read"


def ship_timeout_s(given: float | None) -> float:
    """Seconds to wait at the end.  Raises ConfigurationError."""
    if given is None:
        return environment_variables.ship_timeout_s(SHIP_TIMEOUT_S)
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given >= 0:
        raise ConfigurationError(f"ship_timeout_s={given!r:.80}: expected seconds, 0 or more")
    return float(given)


def _within(timeout_s: float, ask: Callable[[], Any]) -> Any:
    """What `ask` gives or raises, or `_NO_ANSWER`: a server that answers byte by byte ends no read."""
    found: list[Any] = []

    def work() -> None:
        try:
            found.append(ask())
        except BaseException as error:
            found.append(error)

    thread = Thread(target=work, name="ml-dash greeting", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        return error
    thread.join(timeout_s + 0.5)
    return found[0] if found else _NO_ANSWER


@contextmanager
def progress_bar(url: str) -> Iterator[Callable[[Step], None] | None]:
    """On a terminal, once it takes longer than `NOTICE_S`."""
    if not _is_terminal():
        yield None
        return
    bar = _Bar(url)
    try:
        yield bar.show
    finally:
        bar.close()


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


class _Bar:
    def __init__(self, url: str) -> None:
        from ..clock import monotonic_s

        self._url = url
        self._began_s = monotonic_s()
        self._progress: Any = None
        self._total = 0
        self._task: Any = None

    def show(self, step: Step) -> None:
        from ..clock import monotonic_s

        if monotonic_s() - self._began_s < NOTICE_S:
            return
        if self._progress is None:
            self._open()
        left = step.left_bytes + step.left_file_bytes
        self._total = max(self._total, left)
        self._progress.update(self._task, total=self._total or None, completed=self._total - left)

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(f"shipping to {self._url}, Ctrl-C stops waiting", total=None)
        self._progress.start()

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
