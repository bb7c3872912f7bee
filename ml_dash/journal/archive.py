"""Sealed segments, compressed, and plain again.  No byte of them changes, and none is ever in one place only.

The order that survives a kill and a power failure at any moment, for each segment:

 1. One at a time, and never while a line is redacted: the lock `rewriting` is held.  No appender is disturbed, because
    only the newest segment is appended to.
 2. The other form is written under a name that nobody reads, and synced.
 3. It is read back from there and compared with the one there is, byte for byte.
 4. It gets its name, and the folder is synced.  Both are there now, and the plain one counts.
 5. Only then the first one is removed, and the folder synced again.

Killed anywhere, the next one who comes removes what was left under the name that nobody reads, and does it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import StorageError
from ..ids import new_id
from .folder import JournalFolder
from .lock import JournalLock
from .seekable import FRAME_BYTES, Frame, frames_in_order, seek_table
from .segment_file import ArchivedSegment, SegmentFile, zstandard

LEVEL = 3
"""Of compression.  On journals, 9 measured one percent less at a fifth of the speed."""

OnBytes = Callable[[int], object]
"""Told how many bytes of a segment have been gone through, twice: when they are written and when they are compared."""


@contextmanager
def rewriting(folder: JournalFolder) -> Iterator[None]:
    """Order 1.  Raises LockError where another process archives or redacts in this journal."""
    advice = (
        "It archives or redacts in this experiment: wait until it has ended, or look whether it is stopped (Ctrl-Z)"
    )
    with JournalLock(folder.rewriting_path, advice=advice):
        for abandoned in folder.rewritten_paths():
            folder.disk.remove(abandoned)
        yield


def pack(folder: JournalFolder, number: int, on_bytes: OnBytes = lambda _: None) -> tuple[int, int]:
    """Archives a sealed segment that stands plain: its size before and after.  Only inside of `rewriting`.

    Raises StorageError where it would not be the same, OSError as it comes from the disk.
    """
    disk, final = folder.disk, folder.archived_path(number)
    plain = SegmentFile(disk, disk.open_read(folder.segment_path(number)))
    with plain, _new_file(folder, number) as (path, target):
        size = plain.size
        lengths = []
        compressor = zstandard("Archiving").ZstdCompressor(level=LEVEL, write_checksum=True)
        for start in range(0, size, FRAME_BYTES):
            content = plain.read_at(start, min(FRAME_BYTES, size - start))
            data = compressor.compress(content)
            disk.write(target, data)
            lengths.append((len(data), len(content)))
            on_bytes(len(content))
        frames: list[Frame] = frames_in_order(lengths)
        disk.write(target, seek_table(frames))
        disk.sync_file(target)
        archived = ArchivedSegment(disk, disk.open_read(path), path)
        with archived:
            _compare(folder, number, plain, archived, on_bytes)
            if archived.frames != frames or archived.troubles():
                raise _not_the_same(folder, number)
        # What stands there already is left from a kill: the plain one counted.
        disk.rename(path, final)
        disk.sync_folder(folder.path)
        if not plain.is_at(folder.segment_path(number)) or plain.size != size:
            raise _not_the_same(folder, number)
        disk.remove(folder.segment_path(number))
        disk.sync_folder(folder.path)
        return size, disk.size_of(target)


def unpack(folder: JournalFolder, number: int, on_bytes: OnBytes = lambda _: None) -> tuple[int, int]:
    """Makes an archived segment plain again: its size before and after.  Only inside of `rewriting`.

    The caller has made sure that what can be read of it is what was written.  Raises OSError.
    """
    disk, final = folder.disk, folder.segment_path(number)
    archived = ArchivedSegment(disk, disk.open_read(folder.archived_path(number)), folder.archived_path(number))
    with archived:
        before = archived.file_bytes
        if not disk.exists(final):
            with _new_file(folder, number) as (path, target):
                for start in range(0, archived.size, FRAME_BYTES):
                    content = archived.read_at(start, FRAME_BYTES)
                    disk.write(target, content)
                    on_bytes(len(content))
                disk.sync_file(target)
                with SegmentFile(disk, disk.open_read(path)) as written:
                    _compare(folder, number, archived, written, on_bytes)
                disk.publish(path, final)
                disk.sync_folder(folder.path)
        size = archived.size
    disk.remove(folder.archived_path(number))
    disk.sync_folder(folder.path)
    return before, size


def make_plain(folder: JournalFolder, number: int) -> None:
    """A segment whose bytes are to be replaced stands plain, and nowhere else.  Only inside of `rewriting`."""
    if folder.disk.exists(folder.archived_path(number)):
        unpack(folder, number)


@contextmanager
def _new_file(folder: JournalFolder, number: int) -> Iterator[tuple[str, int]]:
    """Order 2: the name that nobody reads, and the descriptor; nothing is left there afterwards."""
    disk, path = folder.disk, folder.rewritten_path(number, new_id())
    descriptor = disk.create(path)
    try:
        yield path, descriptor
    finally:
        disk.close(descriptor)
        disk.remove(path)


def _compare(folder: JournalFolder, number: int, one: SegmentFile, other: SegmentFile, on_bytes: OnBytes) -> None:
    """Order 3."""
    size = one.size
    if other.size != size:
        raise _not_the_same(folder, number)
    for start in range(0, size, FRAME_BYTES):
        content = one.read_at(start, FRAME_BYTES)
        if other.read_at(start, FRAME_BYTES) != content:
            raise _not_the_same(folder, number)
        on_bytes(len(content))


def _not_the_same(folder: JournalFolder, number: int) -> StorageError:
    return StorageError(
        f"segment {number:08d} of {folder.path} was read differently twice, so it stays as it is. Look after the disk "
        "and memory of this machine, see what `ml-dash verify` says, and try again"
    )
