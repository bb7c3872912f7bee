"""The one thing that params, logs, metrics, tracks and files know of their experiment: where to record and to read.

 1. Recording on an experiment that is not open raises ExperimentError, also through a builder that was kept: nothing is
    ever accepted and then lost.
 2. Builders outlive sessions: they ask for the writer at each call, so they go on when the experiment is opened again.
 3. Reading sees what this process has just recorded, and goes on after the experiment is closed.
 4. `ML_DASH_MODE=disabled` is a writer that keeps nothing and a disk on which nothing stands.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ExperimentError
from .journal.disk import Disk, FileStatus
from .journal.folder import JournalFolder
from .journal.spool import Stream
from .journal.writer import Writer

if TYPE_CHECKING:
    from .journal.chain import Position
    from .replay import Replay


def not_started() -> ExperimentError:
    """What every call raises that needs an open experiment."""
    return ExperimentError(
        "the experiment is not started, so nothing can be recorded. Open it with `with experiment.run:`, or call "
        "`experiment.run.start()` first and `experiment.run.complete()` at the end"
    )


class Recorder:
    """Belongs to one Experiment; it opens and closes it, components only use it.

    `console` says whether log lines are printed, `disabled` that nothing is recorded.
    """

    def __init__(self, *, console: bool = True, disabled: bool = False) -> None:
        self.console = console
        self.disabled = disabled
        self._folder: JournalFolder | None = None
        self._writer: Writer | None = None
        self._replay: Replay | None = None
        self._of_thread = threading.local()

    # -- what components use -------------------------------------------------------------------------------------

    def writer(self) -> Writer:
        """The open writer.  Raises ExperimentError before the start and after the end."""
        writer = self._writer
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
        folder = self.folder
        if self._writer is not None:
            self._writer.commit()
        if self._replay is None:
            from .replay import Replay

            self._replay = Replay(folder)
        return self._replay

    def last_timestamp(self) -> float | None:
        """The last `_ts` that this thread recorded in any metric or track of the experiment; what `_ts=-1` stands for."""
        return getattr(self._of_thread, "timestamp", None)

    def set_last_timestamp(self, value: float) -> None:
        self._of_thread.timestamp = value

    # -- what the experiment uses --------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        return self._writer is not None

    def point_to(self, folder: JournalFolder) -> None:
        """From now on reading is of this journal."""
        if folder != self._folder:
            self._folder, self._replay = folder, None

    def open(self, writer: Writer) -> None:
        self._writer = writer

    def close(self) -> None:
        self._writer = None


class NullWriter(Writer):
    """Rule 4: accepts everything, keeps nothing."""

    def __init__(self) -> None:
        self.id = self.session = "disabled"
        self._stream = Stream("", None, named=False)

    def stream(self, event_type: str, name: str | None, *, named: bool = True) -> Stream:
        return self._stream

    def record_stream(self, stream: Stream, fields: dict[str, Any]) -> None:
        return

    def record(self, event_type: str, data: dict[str, Any]) -> None:
        return

    def commit(self) -> None:
        return

    def flush(self) -> int:
        return 0

    @property
    def durable_seq(self) -> int:
        return 0

    @property
    def position(self) -> Position | None:
        return None

    @property
    def is_forked(self) -> bool:
        return False

    def close(self) -> None:
        return


class NullDisk(Disk):
    """Rule 4: a disk on which nothing stands and nothing can be put."""

    def list_names(self, path: str) -> list[str]:
        return []

    def exists(self, path: str) -> bool:
        return False

    def status(self, path: str) -> FileStatus | None:
        return None

    def make_folder(self, path: str) -> None:
        raise PermissionError(f"nothing is recorded while ML_DASH_MODE=disabled: {path}")

    def create(self, path: str) -> int:
        raise PermissionError(f"nothing is recorded while ML_DASH_MODE=disabled: {path}")

    def open_append(self, path: str) -> int:
        raise FileNotFoundError(path)

    def open_read(self, path: str) -> int:
        raise FileNotFoundError(path)


def null_folder(experiment: Path) -> JournalFolder:
    """The experiment as it looks while nothing is recorded: empty, whatever stands there."""
    return JournalFolder(experiment, NullDisk())
