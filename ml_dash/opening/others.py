"""What other machines record of an experiment while a session of this machine is open: it shows when something is read.

1. Nothing is asked unless something is read, and no call that records asks anything (promise P8).
2. Before state is read (parameters, words, files) the server is asked whether the others have gone on, at most every
   `STATE_INTERVAL_S` and for at most `STATE_SHARE_MAX` of the time; before points, lines and entries are read, the
   others' journals are brought to the cache, and read as one with that of this machine.
3. Nobody waits longer than `STATE_PATIENCE_S` or `POINTS_PATIENCE_S`.  Where the server does not answer by then, what
   is known shows: of the others up to the last answer.  One warning says so, and it is left alone for `RETRY_PAUSE_S`.
4. Without a server the others are the journals that `ml-dash pull` has put here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from ..alarm import Alarm
from ..clock import monotonic_s
from ..errors import MlDashError, NetworkError

if TYPE_CHECKING:
    from ..journal.folder import JournalFolder
    from ..reading.replay import Start

STATE_INTERVAL_S = 1.0
STATE_SHARE_MAX = 0.05
STATE_PATIENCE_S = 2.0
POINTS_INTERVAL_S = 0.4
POINTS_PATIENCE_S = 30.0
RETRY_PAUSE_S = 30.0
_Answer = TypeVar("_Answer")


class OthersHere:
    """Rule 4: journals of other machines that stand with that of this one."""

    def __init__(self, folder: JournalFolder, start: Start | None) -> None:
        self._folder = folder
        self._start = start

    def start(self) -> Start | None:
        """What the journal of this machine is folded on top of."""
        return self._start

    def whole(self) -> JournalFolder | None:
        """All of them as one; None where there is no other."""
        if self._start is None:
            return None
        from ..reading.origins import whole

        found = whole(self._folder)
        return found if found != self._folder else None


class OthersOnServer:
    """Those that the server at `url` has, besides the journal in `folder`; `start` is what was known at the opening."""

    def __init__(self, url: str, folder: JournalFolder, start: Start | None) -> None:
        self._url = url
        self._folder = folder
        self._alarm = Alarm()
        self._start = start
        self._heads: object = None
        self._state = _Question(self._ask_state, STATE_INTERVAL_S, STATE_SHARE_MAX, self._fails)
        self._journals = _Question(self._ask_journals, POINTS_INTERVAL_S, 1.0, self._fails)

    def start(self) -> Start | None:
        """What the journal of this machine is folded on top of, as of now."""
        return self._state.put(STATE_PATIENCE_S) or self._start

    def whole(self) -> JournalFolder | None:
        """All journals as one, as of now; None where there is no other, or none is known yet."""
        found = self._journals.put(POINTS_PATIENCE_S)
        if found is None:
            return OthersHere(self._folder, self._start).whole()
        from ..reading.origins import with_others

        cache, others = found
        try:
            return with_others(self._folder, cache, others)
        except (OSError, MlDashError) as error:
            self._fails(error)
            return None

    # -- in a thread of its own ----------------------------------------------------------------------------------

    def _ask_state(self) -> Start | None:
        from ..remote.mirror import journal_in
        from ..remote.server import Server
        from .joining import start_on

        own = journal_in(self._folder)
        server = Server.at(self._url)
        try:
            prefix = self._folder.prefix
            there = (each for each in server.journals(prefix) if each.journal != own)
            heads = sorted((each.journal, each.hash, each.redactions) for each in there)
            if heads != self._heads:
                self._start = start_on(server, prefix, own, POINTS_PATIENCE_S) if heads else self._start
                self._heads = heads
        finally:
            server.close()
        return self._start

    def _ask_journals(self) -> tuple[JournalFolder, list[JournalFolder]] | None:
        from ..reading.sources import server_root, source_of
        from ..remote.mirror import journal_in

        source = source_of(server_root(self._url))
        own = journal_in(self._folder)
        if source is None or own is None:
            return None
        cache, others = source.others(self._folder.prefix, own)
        return (cache, others) if others else None

    def _fails(self, error: BaseException) -> None:
        why = str(error) if isinstance(error, MlDashError) else repr(error)
        self._alarm.sound(
            "others",
            f"{why}. So what is read of {self._folder.prefix} does not show what other machines have recorded since. "
            f"The server is asked again every {RETRY_PAUSE_S:g} s",
        )


class _Question(Generic[_Answer]):
    """Put by one thread at a time; who has waited long enough goes on with the last answer."""

    def __init__(
        self,
        ask: Callable[[], _Answer | None],
        interval_s: float,
        share_max: float,
        fails: Callable[[BaseException], None],
    ) -> None:
        self._ask, self._interval_s, self._share_max, self._fails = ask, interval_s, share_max, fails
        self._answer: _Answer | None = None
        self._thread: Thread | None = None
        self._due_s = 0.0
        self._process = os.getpid()
        self._putting = Lock()

    def put(self, patience_s: float) -> _Answer | None:
        """The answer as of now, or the last one there was."""
        if os.getpid() != self._process:
            # A forked child has neither the thread nor, perhaps, the lock.
            return self._answer
        with self._putting:
            if self._thread is None:
                if monotonic_s() < self._due_s:
                    return self._answer
                thread = self._thread = Thread(target=self._work, name="ml-dash others", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    # The interpreter ends.
                    self._thread = None
                    return self._answer
            else:
                thread = self._thread
        thread.join(patience_s)
        if thread.is_alive():
            self._fails(NetworkError(f"the server does not answer within {patience_s:g} s"))
        return self._answer

    def _work(self) -> None:
        began_s = monotonic_s()
        try:
            self._answer = self._ask()
            took_s = monotonic_s() - began_s
            pause_s = max(self._interval_s, took_s / self._share_max - took_s)
        except Exception as error:
            self._fails(error)
            pause_s = RETRY_PAUSE_S
        self._due_s = monotonic_s() + pause_s
        self._thread = None
