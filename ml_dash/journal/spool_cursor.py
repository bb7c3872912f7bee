"""How far the committer has taken the events of a spool.  Its thread alone uses this, while others add rows."""

from __future__ import annotations

from collections.abc import Iterable

from ..facts.rows import Row, length_of_events, parse_rows
from .spool_file import SpoolFile


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

    def take(self, bytes_max: int) -> tuple[int, list[Row]]:
        """The next events, about `bytes_max` bytes but at least one if there is any; and the counter of the first."""
        counter = self._counter
        rows: list[Row] = []
        while not rows and (data := self._next_data(bytes_max)):
            rows = [row for row in parse_rows(data) if row[0] is not None]
            counter = self._counter
            self._offset += len(data)
            self._counter += len(rows)
            self.file.mark = (self._offset, self._counter)
            self.taken_bytes += len(data)
        return counter, rows

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
