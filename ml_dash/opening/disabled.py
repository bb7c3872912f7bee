"""`ML_DASH_MODE=disabled`: a writer that accepts everything and keeps nothing, a disk on which nothing stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..clock import now_us
from ..journal.disk import Disk, FileStatus
from ..journal.folder import JournalFolder
from ..journal.spool import Stream
from ..journal.spool_shortcut import Caller, Shortcut, closed
from ..journal.writer import Writer

if TYPE_CHECKING:
    from ..journal.chain import Position


class NullWriter(Writer):
    """Takes the place of a writer; it never fails and never closes anything."""

    def __init__(self) -> None:
        self.id = self.session = "disabled"
        self._only_stream = Stream("", None, named=False)

    def stream(self, event_type: str, name: str | None, *, named: bool = True) -> Stream:
        return self._only_stream

    def record_stream(self, stream: Stream, fields: dict[str, Any]) -> None:
        return

    def shortcut(self, stream: Stream, caller: Caller) -> Shortcut:
        return closed

    def record(self, event_type: str, data: dict[str, Any]) -> int:
        return now_us()

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

    @contextmanager
    def expect(self, seq: int) -> Iterator[None]:
        yield

    def if_dropped(self, action: Callable[[], object]) -> None:
        return

    def refuse_if_held(self, what: str) -> None:
        return


class NullDisk(Disk):
    """Shows nothing, whatever stands there, and takes nothing."""

    def list_names(self, path: str) -> list[str]:
        return []

    def list_folders(self, path: str) -> list[str]:
        return []

    def exists(self, path: str) -> bool:
        return False

    def status(self, path: str) -> FileStatus | None:
        return None

    def make_folder(self, path: str) -> None:
        raise _nothing_is_stored(path)

    def create(self, path: str) -> int:
        raise _nothing_is_stored(path)

    def create_draft(self, path: str) -> int:
        raise _nothing_is_stored(path)

    def publish(self, temporary: str, final: str) -> None:
        raise _nothing_is_stored(final)

    def remove(self, path: str) -> None:
        return

    def sync_folder(self, path: str) -> None:
        return

    def overwrite(self, path: str, offset: int, data: bytes) -> None:
        raise _nothing_is_stored(path)

    def keeps_reserved_blocks(self, path: str) -> bool:
        return False

    def same_file(self, descriptor: int, path: str) -> bool:
        return False

    def rename(self, source: str, target: str) -> None:
        raise _nothing_is_stored(target)

    def remove_folder(self, path: str) -> bool:
        return False

    def remove_tree(self, path: str) -> None:
        return

    def create_private(self, path: str) -> int:
        return self.create(path)

    def open_append(self, path: str) -> int:
        raise FileNotFoundError(path)

    def open_read(self, path: str) -> int:
        raise FileNotFoundError(path)


def null_folder(experiment: Path) -> JournalFolder:
    """The experiment as it looks while nothing is recorded: empty."""
    return JournalFolder(experiment, NullDisk())


def _nothing_is_stored(path: str) -> PermissionError:
    return PermissionError(f"nothing is stored while ML_DASH_MODE=disabled: {path}")
