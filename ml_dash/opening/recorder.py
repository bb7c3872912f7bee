"""The one thing that params, logs, metrics, tracks and files know of their experiment: where to record and to read.

1. Recording on an experiment that is not open raises ExperimentError, also through a builder that was kept: nothing is
   ever accepted and then lost.
2. Builders outlive sessions: they ask for the writer at each call, so they go on when the experiment is opened again.
3. Reading sees what this process has just recorded, also through another object of the same prefix, and goes on after
   the experiment is closed.
4. Who only reads calls `look` before he takes `replay`, or takes `whole`: then what other machines have recorded shows
   (`others.py`).  Who records does neither, and waits for no server.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from ..errors import ExperimentError

if TYPE_CHECKING:
    from ..journal.folder import JournalFolder
    from ..journal.writer import Writer
    from ..reading.replay import Replay, Start
    from .others import OthersHere, OthersOnServer


def not_started() -> ExperimentError:
    """What every call raises that needs an open experiment."""
    return ExperimentError(
        "the experiment is not started, so nothing can be recorded. Open it with `with experiment.run:`, or call "
        "`experiment.run.start()` first and `experiment.run.complete()` at the end"
    )


class Recorder:
    """Belongs to one Experiment; it opens and closes it, components only use it.

    `console` says whether log lines are printed, `disabled` that nothing is recorded.  Where a metric logs a point each
    call and each object counts: `open_writer` is what `writer()` gives, or None; of the main thread the last timestamp
    is `main_time`, because a thread's own place is a second one to look up.
    """

    def __init__(self, *, console: bool = True, disabled: bool = False) -> None:
        self.console = console
        self.disabled = disabled
        self._folder: JournalFolder | None = None
        self.open_writer: Writer | None = None
        self._replay: Replay | None = None
        self._replay_process = 0
        self._start: Start | None = None
        self._others: OthersHere | OthersOnServer | None = None
        self._whole: Replay | None = None
        self._whole_process = 0
        self.main_thread = threading.main_thread().ident or 0
        self.main_time: float | None = None
        self.of_thread = threading.local()

    # -- what components use -------------------------------------------------------------------------------------

    def writer(self) -> Writer:
        """The open writer.  Raises ExperimentError before the start and after the end."""
        writer = self.open_writer
        if writer is None:
            raise not_started()
        return writer

    @property
    def folder(self) -> JournalFolder:
        """The journal, from the first start on.  Raises ExperimentError before."""
        if self._folder is None:
            raise not_started()
        return self._folder

    def replay(self) -> Replay:
        """The replay of this journal; its `refresh()` then includes everything recorded so far by this process.

        Raises ExperimentError before the first start, StorageError or LockError where the journal cannot be written.
        """
        folder, writer = self.folder, self.open_writer
        if writer is not None:
            writer.commit()
        if not self.disabled:
            from ..journal.writer import commit_open

            commit_open(folder)
        process = os.getpid()
        if self._replay is None or self._replay_process != process:
            from ..reading.replay import Replay

            # A forked child must not go on with one that a thread of its parent may have been working on.
            self._replay = Replay(folder, start=self._start)
            self._replay_process = process
        return self._replay

    def look(self) -> None:
        """What other machines have recorded since is in the next `replay`, as far as a server answers in time."""
        if self._others is not None and self._start is not (start := self._others.start()):
            self._start, self._replay = start, None

    def whole(self) -> Replay:
        """The replay of what all machines have recorded, as one journal; `replay()` where no other one has.

        Raises what `replay` raises.
        """
        own = self.replay()
        folder = None if self._others is None else self._others.whole()
        if folder is None:
            return own
        found = self._whole
        if found is None or found.folder != folder or self._whole_process != os.getpid():
            from ..reading.replay import Replay

            found, self._whole_process = Replay(folder), os.getpid()
            self._whole = found
        return found

    def last_timestamp(self) -> float | None:
        """What `_ts=-1` stands for: the last `_ts` that this thread recorded in any metric or track of it."""
        is_main = threading.get_ident() == self.main_thread
        time: float | None = self.main_time if is_main else getattr(self.of_thread, "timestamp", None)
        # What came by the shortcut is in nanoseconds.
        return time / 1e9 if type(time) is int else time

    def set_last_timestamp(self, value: float) -> None:
        if threading.get_ident() == self.main_thread:
            self.main_time = value
        else:
            self.of_thread.timestamp = value

    # -- what the experiment uses --------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        return self.open_writer is not None

    def open(
        self, folder: JournalFolder, writer: Writer, start: Start | None = None, server: str | None = None
    ) -> None:
        """`start` is what the server at the url `server` knows of the experiment."""
        if folder != self._folder:
            self._folder, self._replay, self._start = folder, None, None
        if not self.disabled:
            from .joining import start_here
            from .others import OthersHere, OthersOnServer

            start = start_here(folder) if start is None else start
            self._others = OthersHere(folder, start) if server is None else OthersOnServer(server, folder, start)
        if start is not None:
            self._replay, self._start = None, start
        self.open_writer = writer

    def close(self) -> Writer:
        """Nothing is recorded from here on.  Gives the writer, which is the caller's to end."""
        writer, self.open_writer = self.writer(), None
        return writer

    @property
    def was_opened(self) -> bool:
        return self._folder is not None

    def forget(self) -> None:
        """The experiment, which is not open, has been given another prefix."""
        self._folder = self._replay = self._start = self._others = self._whole = None
