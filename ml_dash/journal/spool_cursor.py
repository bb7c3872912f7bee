"""How far the committer has taken the events of a spool.  Its thread alone uses this, while others add rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..facts.rows import Row, count_events, length_of_events, parse_rows
from .spool_file import SpoolFile

PART_BYTES = 16 * 1024


class Taken:
    """Events that were taken together, still as bytes; as long as there are events.

    They are parsed in parts, and no part outlives its turn.  A parsed row is a list, and a few thousand lists that live
    at once make Python look for cycles in all objects of the process (the garbage collector's generation 2), which
    stops training for as long as that takes: 20 ms, or half a second beside a large library.
    """

    def __init__(self, data: bytes, count: int) -> None:
        self._data = data
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[Row]]:
        """The rows of the events, in parts."""
        data, start = self._data, 0
        while start < len(data):
            end = data.find(b"\n", start + PART_BYTES) + 1 or len(data)
            if part := [row for row in parse_rows(data[start:end]) if row[0] is not None]:
                yield part
            start = end


class SpoolCursor:
    """A place between two rows.  `taken_bytes` only ever grows."""

    def __init__(self, first: SpoolFile) -> None:
        self.file = first
        self._offset, self._counter = first.start, first.first
        self.taken_bytes = 0

    @property
    def backlog_bytes(self) -> int:
        """Bytes of rows that have not been taken."""
        waiting = self.file.end - self._offset
        file = self.file.following
        while file is not None:
            waiting += file.end - file.start
            file = file.following
        return waiting

    @property
    def taken_counter(self) -> int:
        """The counter of the last event taken."""
        return self._counter - 1

    def take(self, bytes_max: int) -> tuple[int, Taken]:
        """The next events, about `bytes_max` bytes but at least one if there is any; and the counter of the first."""
        while data := self._next_data(bytes_max):
            counter, count = self._counter, count_events(data)
            self._offset += len(data)
            self._counter += count
            self.file.mark = (self._offset, self._counter)
            self.taken_bytes += len(data)
            if count:
                return counter, Taken(data, count)
        return self._counter, Taken(b"", 0)

    def _next_data(self, bytes_max: int) -> bytes:
        """Whole rows from here on; none if there are none."""
        while True:
            file = self.file
            # Asked in this order: the end of a file that was shut before is final.
            is_final = file.is_shut
            end = file.end
            if self._offset < end:
                break
            following = file.following
            if not is_final or following is None:
                return b""
            self.file, self._offset, self._counter = following, following.start, following.first
        data = file.read(self._offset, min(end, self._offset + bytes_max))
        whole = data.rfind(b"\n") + 1
        if whole == 0 and data:
            data = file.read(self._offset, end)
            whole = data.find(b"\n") + 1
        return data[:whole]

    def seek(self, counter: int, files: Iterable[SpoolFile]) -> None:
        """The next `take` begins with event `counter`, which is in one of `files` or follows their last."""
        file = [file for file in files if file.first <= counter][-1]
        rows = file.read(file.start, file.end)
        self._offset = file.start + length_of_events(rows, counter - file.first)
        self.file, self._counter = file, counter
