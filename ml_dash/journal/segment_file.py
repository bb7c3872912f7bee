"""A segment, open for reading, whether it stands as it was written or archived: the same bytes at the same offsets.

1. Where both are there, the plain one counts: an archived one is published before the plain one goes, and the other
   way round when it is unpacked.
2. What cannot be decoded of an archived segment reads as zeros, as many as there should be.  They continue no chain, so
   a reader meets them as it meets any damage, and goes on behind them.
3. A plain segment that is archived while it is open stays readable to whoever has it open.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from ..errors import MissingExtraError
from .disk import Disk, FileStatus
from .folder import JournalFolder
from .seekable import (
    FOOTER_BYTES,
    FRAME_HEADER_BYTES_MAX,
    Frame,
    content_size,
    find_frames,
    read_table,
    table_length,
)

WINDOW_BYTES_MAX = 2 * 1024 * 1024
"""Of memory that a damaged frame may ask the decoder for."""
SALVAGE_BYTES = 256
"""A damaged frame is given to the decoder in pieces of so many bytes: what it had decoded before the damage counts."""


def open_segment(folder: JournalFolder, number: int) -> SegmentFile:
    """Raises FileNotFoundError where there is none, MissingExtraError where an archived one cannot be decoded."""
    disk = folder.disk
    try:
        return SegmentFile(disk, disk.open_read(folder.segment_path(number)))
    except FileNotFoundError:
        pass
    try:
        descriptor = disk.open_read(folder.archived_path(number))
    except FileNotFoundError:
        # Unpacked between our two looks; or there is none.
        return SegmentFile(disk, disk.open_read(folder.segment_path(number)))
    try:
        return ArchivedSegment(disk, descriptor, folder.archived_path(number))
    except BaseException:
        disk.close(descriptor)
        raise


def file_status(folder: JournalFolder, number: int) -> FileStatus | None:
    """Of the file that counts, its own size; None where there is none."""
    disk = folder.disk
    return (
        disk.status(folder.segment_path(number))
        or disk.status(folder.archived_path(number))
        or disk.status(folder.segment_path(number))
    )


def is_archived(folder: JournalFolder, number: int) -> bool:
    """Whether the segment stands archived only."""
    return not folder.disk.exists(folder.segment_path(number)) and folder.disk.exists(folder.archived_path(number))


class SegmentFile:
    """A segment as it was written; a newest one grows while it is open."""

    def __init__(self, disk: Disk, descriptor: int) -> None:
        self._disk = disk
        self._descriptor = descriptor

    @property
    def size(self) -> int:
        """How many bytes the segment has."""
        return self._disk.size_of(self._descriptor)

    def read_at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes of the segment; fewer only at its end."""
        return self._disk.read_at(self._descriptor, offset, count)

    def troubles(self) -> list[tuple[int, int, str]]:
        """What was met that is not as it was written: offset and length in the segment, and what it is."""
        return []

    def has_lost_behind(self, offset: int) -> bool:
        """Whether anything behind a byte cannot be had any more."""
        return False

    def is_at(self, *paths: str) -> bool:
        """Whether this file is the one that stands under any of these paths."""
        return any(self._disk.same_file(self._descriptor, path) for path in paths)

    def sync(self) -> None:
        self._disk.sync_data(self._descriptor)

    def close(self) -> None:
        self._disk.close(self._descriptor)

    def __enter__(self) -> SegmentFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ArchivedSegment(SegmentFile):
    """A segment that was archived.  `damaged` are the frames that were asked for and are not what was written."""

    def __init__(self, disk: Disk, descriptor: int, path: str) -> None:
        super().__init__(disk, descriptor)
        self._zstandard = zstandard(f"The archived segment {path}")
        self._decoder = self._zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
        self.is_whole = True
        """Whether the seek table is what was written."""
        self.damaged: set[int] = set()
        self.frames = self._find_frames()
        self._starts = [frame.start for frame in self.frames]
        self._decoded: tuple[int, bytes] = (-1, b"")

    @property
    def size(self) -> int:
        return self.frames[-1].start + self.frames[-1].size if self.frames else 0

    def read_at(self, offset: int, count: int) -> bytes:
        parts = []
        end = min(offset + count, self.size)
        while offset < end:
            index = bisect_right(self._starts, offset) - 1
            begin = offset - self.frames[index].start
            part = self._content(index)[begin : begin + end - offset]
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def file_bytes(self) -> int:
        """How many bytes its file has."""
        return self._disk.size_of(self._descriptor)

    def has_lost_behind(self, offset: int) -> bool:
        behind = [index for index, frame in enumerate(self.frames) if frame.start + frame.size > offset]
        for index in behind:
            self._content(index)
        return not self.damaged.isdisjoint(behind)

    def troubles(self) -> list[tuple[int, int, str]]:
        found = [] if self.is_whole else [(0, self.size, "a seek table that is not valid")]
        frames = [self.frames[index] for index in sorted(self.damaged)]
        return found + [(frame.start, frame.size, "a frame that is not valid") for frame in frames]

    def _find_frames(self) -> list[Frame]:
        file_bytes = self._disk.size_of(self._descriptor)
        length = table_length(self._read(max(0, file_bytes - FOOTER_BYTES), FOOTER_BYTES))
        frames = None
        if length is not None and length <= file_bytes:
            frames = read_table(self._read(file_bytes - length, length), file_bytes)
        if frames is None or not self._ends_as_stated(frames):
            self.is_whole = False
            return find_frames(self._read(0, file_bytes))
        return frames

    def _ends_as_stated(self, frames: list[Frame]) -> bool:
        """What the last frame holds is the one number in a table that could be another one."""
        known = content_size(self._read(frames[-1].offset, FRAME_HEADER_BYTES_MAX)) if frames else None
        return known is None or known[1] == frames[-1].size

    def _read(self, offset: int, count: int) -> bytes:
        """Of the file."""
        return self._disk.read_at(self._descriptor, offset, count)

    def _content(self, index: int) -> bytes:
        """Rule 2: of one frame; the last one is kept, because reading goes on where it has ended."""
        if self._decoded[0] != index:
            frame = self.frames[index]
            data = self._read(frame.offset, frame.bytes)
            content = self._decode(data, frame.size)
            if content is None:
                self.damaged.add(index)
                content = self._salvage(data, frame.size)
            self._decoded = (index, content)
        return self._decoded[1]

    def _decode(self, data: bytes, size: int) -> bytes | None:
        known = content_size(data)
        if known is None or known[1] != size:
            return None
        try:
            content: bytes = self._decoder.decompress(data, max_output_size=size)
        except self._zstandard.ZstdError:
            return None
        return content if len(content) == size else None

    def _salvage(self, data: bytes, size: int) -> bytes:
        parts, decoding = [], self._decoder.decompressobj()
        try:
            for at in range(0, len(data), SALVAGE_BYTES):
                parts.append(decoding.decompress(data[at : at + SALVAGE_BYTES]))
        except self._zstandard.ZstdError:
            pass
        return b"".join(parts)[:size].ljust(size, b"\0")


def zstandard(what: str) -> Any:
    """The library.  Raises MissingExtraError, which says what needs it."""
    try:
        import zstandard as library
    except ImportError as error:
        raise MissingExtraError(
            f"{what} needs the library zstandard, which is not installed ({error}). Install it with "
            "`pip install 'ml_dash[archive]'`"
        ) from error
    return library
