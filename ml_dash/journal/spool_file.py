"""One file of a spool: any thread adds rows to it, even a signal handler in the midst of adding another one.

 1. A row is added by a single call into the interpreter, `mmap.write`, which neither a thread nor a signal handler
    interrupts: it stands in the map whole or not at all, and behind all rows added before.  No lock is taken, so
    nobody who is interrupted, killed or forked can hold one.
 2. A shut file takes no further row: the position of its map stands at its end, where no row fits.  That too is one
    call; the last row's end is looked up afterwards, because rows hold no zero byte and zeros follow the last one.
 3. A file is one of three:  *mapped*, a shared map of reserved blocks, which is the rule;  *written*, where the file
    system reserves no blocks: each row is written to the file, then put into a private map;  *memory*, a private
    map alone, where the disk takes nothing: the one kind that `kill -9` reaches.

Rule 1 stands on the global interpreter lock, which orjson needs as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..facts.rows import count_events
from .disk import Disk, Map

FAULT_BYTES = 64 * 1024
COUNT_BYTES = 64 * 1024


class SpoolFile:
    """`first` is the counter of its first event, `start` where its rows begin; `mark` is a place between two rows and
    the counter of the event there, from which the events behind it can be counted."""

    def __init__(self, disk: Disk, number: int, path: str, spool_map: Map, written: int | None = None) -> None:
        self.number = number
        self.path = path
        self.size = len(spool_map)
        self.first = self.start = 0
        self.mark = (0, 0)
        self._disk = disk
        self._map: Map | None = spool_map
        self._written = written
        self._end: int | None = None
        self._faulted = 0
        self._link: dict[str, SpoolFile | None] = {}
        self.fast_add: Callable[[bytes], Any] | None = spool_map.write if written is None else None
        """Adds a row, or raises ValueError where it has no place; None where `add` alone knows how."""

    @property
    def is_memory(self) -> bool:
        return not self.path

    @property
    def is_shut(self) -> bool:
        return self._end is not None

    @property
    def end(self) -> int:
        """Where the last row ends.  While another thread shuts the file it may lie too high, with zeros before it."""
        if self._end is not None:
            return self._end
        assert self._map is not None
        return self._map.tell()

    @property
    def is_linked(self) -> bool:
        """Whether it is decided what comes behind this file."""
        return bool(self._link)

    @property
    def following(self) -> SpoolFile | None:
        return self._link.get("next")

    def link(self, following: SpoolFile | None) -> SpoolFile | None:
        """Decides what comes behind this file, None for nothing ever; gives what is decided, by whomever."""
        return self._link.setdefault("next", following)

    def begin(self, first: int, header: bytes, definitions: bytes) -> None:
        """Puts in what stands before the first event.  Raises OSError."""
        if self._written is not None:
            self._disk.write(self._written, header + definitions)
        assert self._map is not None
        self.first = first
        self.start = len(header)
        self.mark = (self.start + len(definitions), first)
        self._map.write(header + definitions)

    def add(self, row: bytes) -> bool:
        """False where the row has no place here.  Raises OSError; then part of the row may be in the file, and nothing
        may follow it there."""
        spool_map, written = self._map, self._written
        try:
            if spool_map is None or spool_map.tell() + len(row) > self.size:
                return False
            if written is not None:
                self._disk.write(written, row)
            spool_map.write(row)
        except ValueError:
            return False
        return True

    def shut(self) -> None:
        """Rule 2.  Any number of times."""
        spool_map = self._map
        if self._end is not None or spool_map is None:
            return
        try:
            reached = spool_map.tell()
            if reached == self.size:
                # Perhaps somebody else is shutting it, and only the rows before the mark are sure.
                reached = self.mark[0]
            spool_map.seek(0, 2)
            end = spool_map.find(b"\0", reached)
        except ValueError:
            return  # somebody else has shut it, and it was given back since
        self._end = end if end >= 0 else self.size

    def read(self, start: int, end: int) -> bytes:
        spool_map = self._map
        if spool_map is not None:
            try:
                return spool_map[start:end].rstrip(b"\0")
            except ValueError:
                pass  # given back by the committer just now
        descriptor = self._disk.open_read(self.path)
        try:
            return self._disk.read_at(descriptor, start, end - start)
        finally:
            self._disk.close(descriptor)

    def counter_behind(self) -> int:
        """The counter of the event that will follow the last one of this shut file."""
        (start, counter), end = self.mark, self.end
        # In small pieces: a recording call does this, and a copy of the whole file would be 500 new pages to it.
        while rows := self.read(start, min(end, start + COUNT_BYTES)):
            rows = rows[: rows.rfind(b"\n") + 1] or self.read(start, end)
            counter += count_events(rows)
            start += len(rows)
        return counter

    def fault_in(self, end: int) -> None:
        """Makes the pages up to `end` ready to be written to; one that is not costs the training thread 2 to 20 µs."""
        if self.is_memory or self._written is not None or self._map is None:
            return
        while self._faulted < min(end, self.size):
            length = min(FAULT_BYTES, self.size - self._faulted)
            self._disk.fault_in(self._map, self._faulted, length)
            self._faulted += length

    def give_back(self) -> None:
        """Frees what the file occupies in this process, if it takes no further row and its rows are on the disk."""
        if self.is_linked and not self.is_memory:
            self.close()

    def close(self) -> None:
        spool_map, self._map = self._map, None
        written, self._written = self._written, None
        if spool_map is not None:
            spool_map.close()
        if written is not None:
            self._disk.close(written)
