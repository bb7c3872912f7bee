"""What a writer has accepted and not yet made durable: the reason why nothing that returned is lost (promise P1).

A recording call ends with its row in a spool file, that is in the kernel's memory, where `kill -9` of the process does
not reach.  `rows.py` has the rows; the first line of a spool file is its header,

    {"format":"ml-dash-spool","version":1,"writer":…,"session":…,"first":…,"position":…}

`first` is the writer's counter of the first event in the file, `position` the end of the journal when the file was
made: every commit of the file's events stands behind it.

 1. The writer holds a lock on its first file while it lives, also when that file is empty; the file gets its name only
    after it is locked, so nobody ever sees it unlocked.
 2. Rows are removed only when their commit is durable: until then they are what a failed sync is repaired from.
 3. Files are never used twice.  What is behind the last row of one is zeros.
 4. A file is a shared memory map of reserved blocks.  Where the file system cannot reserve blocks rows are written with
    `write`; where that fails too (the disk is full) they wait in memory, which `kill -9` does reach, and a warning says so.
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from threading import Lock
from typing import Any
from zlib import crc32

import orjson

from ..clock import now_us
from ..errors import ExperimentError, StorageError
from ..rows import Row, Shape, definition_row, event_row, parse_rows, seal, stream_row
from .chain import Position
from .folder import JournalFolder
from .lock import hold_descriptor

SPOOL_NAME = "ml-dash-spool"
SPOOL_VERSION = 1
FIRST_FILE_BYTES = 1024 * 1024
FILE_BYTES = 4 * 1024 * 1024
SHAPES_MAX = 256
"""Rows of further shapes carry their field names themselves: a run that makes up names must not fill every file with them."""
MEMORY_BYTES_MAX = 1024 * 1024 * 1024


class Stream:
    """Rows of one type and name; remembers the number of each set of fields it has seen."""

    __slots__ = ("name", "named", "numbers", "type")

    def __init__(self, event_type: str, name: str | None, *, named: bool) -> None:
        self.type = event_type
        self.name = name
        self.named = named
        self.numbers: dict[tuple[str, ...], int] = {}


class SpoolFile:
    """One file, appended to by recording threads under the spool's mutex, read by the committer at the same time.

    `capacity` is 0 unless rows may be put into `map` directly; `position` is where the next row goes.
    """

    def __init__(self, number: int, first: int, descriptor: int, spool_map: mmap.mmap | None) -> None:
        self.number = number
        self.first = first
        self.descriptor = descriptor
        self.map = spool_map
        self.capacity = len(spool_map) if spool_map is not None else 0
        self.position = 0
        self.start = 0
        self.definitions = 0
        self.memory = bytearray()

    @property
    def is_memory(self) -> bool:
        return self.descriptor < 0

    def read(self, start: int, end: int, folder: JournalFolder) -> bytes:
        if self.map is not None:
            return self.map[start:end]
        if self.is_memory:
            return bytes(self.memory[start:end])
        return folder.disk.read_at(self.descriptor, start, end - start)

    def close(self, folder: JournalFolder) -> None:
        if self.map is not None:
            self.map.close()
            self.map = None
        if not self.is_memory:
            folder.disk.close(self.descriptor)
            self.descriptor = -1


class Spool:
    """A living writer's spool.  `append*` may be called by any thread; everything else by one thread at a time.

    `on_trouble(error)` is called when rows cannot be kept where `kill -9` does not reach them; `on_row` after a row
    that finds the committer asleep.
    """

    def __init__(
        self,
        folder: JournalFolder,
        writer: str,
        session: str,
        position: Position | None,
        *,
        on_trouble: Callable[[OSError], None],
        wake: Callable[[], None],
        mapped: bool = True,
    ) -> None:
        self._folder = folder
        self._writer = writer
        self._session = session
        self._mapped = mapped
        self._on_trouble = on_trouble
        self._wake = wake
        self._mutex = Lock()
        self._shapes: list[Shape] = []
        self._refusal: Callable[[], Exception] | None = None
        self.is_committer_asleep = False
        self.journal_end = position
        self._first_descriptor: int | None = None
        self._file = self._open_first()
        self._files: deque[SpoolFile] = deque([self._file])
        self._cursor_file = self._file
        self._cursor = self._file.start
        self._cursor_counter = 1
        self._cursor_shapes: dict[int, Shape] = {}

    # -- recording -----------------------------------------------------------------------------------------------

    def append_stream(self, stream: Stream, fields: dict[str, Any]) -> None:
        """One event of a stream.  Never raises for a value, whatever it is."""
        time_us = now_us()
        try:
            number = stream.numbers[tuple(fields)]
            body = orjson.dumps((time_us, number, *fields.values()), None, _PASSTHROUGH)
            # orjson says null for NaN and infinities without a word; None is rare enough to be looked at again.
            if b"null" in body:
                body = stream_row(time_us, number, self._shapes[number], tuple(fields.values()))
        except (KeyError, TypeError, ValueError, RecursionError):
            body = self._odd_row(time_us, stream, fields)
        self._append(body)

    def append_event(self, event_type: str, data: dict[str, Any]) -> int:
        """Any other event; its time in microseconds."""
        time_us = now_us()
        self._append(event_row(time_us, event_type, data))
        return time_us

    def _append(self, body: bytes) -> None:
        rest = body[1:]
        line = b"[%d,%b\n" % (crc32(rest), rest)
        with self._mutex:
            file = self._file
            end = file.position + len(line)
            if end <= file.capacity:
                file.map[file.position : end] = line  # type: ignore[index]
                file.position = end
            else:
                self._append_elsewhere(line)
        if self.is_committer_asleep:
            self._wake()

    def _odd_row(self, time_us: int, stream: Stream, fields: dict[str, Any]) -> bytes:
        """A row whose fields are new, or whose values are not plain JSON."""
        shape = Shape(stream.type, stream.named, stream.name, tuple(fields))
        number = stream.numbers.get(shape.keys)
        if number is None:
            number = self._define(stream, shape)
        if number is None:
            return event_row(time_us, stream.type, shape.payload(list(fields.values())))
        return stream_row(time_us, number, shape, tuple(fields.values()))

    def _define(self, stream: Stream, shape: Shape) -> int | None:
        """Gives the shape a number in this and all later files; None if it cannot have one."""
        with self._mutex:
            number = stream.numbers.get(shape.keys)
            if number is not None:
                return number
            if len(self._shapes) >= SHAPES_MAX:
                return None
            number = len(self._shapes)
            try:
                line = seal(definition_row(number, shape))
            except (TypeError, ValueError):
                return None
            self._append_elsewhere(line, is_definition=True)
            self._shapes.append(shape)
            stream.numbers[shape.keys] = number
            return number

    def _append_elsewhere(self, line: bytes, *, is_definition: bool = False) -> None:
        """The way of a row that the open map has no place for.  Under the mutex."""
        if self._refusal is not None:
            raise self._refusal()
        file = self._file
        if file.capacity and file.position + len(line) > file.capacity:
            file = self._next_file(len(line))
        if file.map is not None:
            file.map[file.position : file.position + len(line)] = line
        else:
            file = self._write_or_remember(file, line)
        file.position += len(line)
        file.definitions += is_definition

    def _write_or_remember(self, file: SpoolFile, line: bytes) -> SpoolFile:
        if not file.is_memory:
            try:
                self._folder.disk.write(file.descriptor, line)
                return file
            except OSError as error:
                # Part of the line may be in the file, so nothing may follow it there.
                self._on_trouble(error)
                file = self._succeed(self._remember(self._next_counter()))
        if len(file.memory) + len(line) > MEMORY_BYTES_MAX:
            raise StorageError(
                f"the disk has refused writes for so long that {MEMORY_BYTES_MAX} bytes of events wait in memory. Free "
                f"space on the file system of {self._folder.path}; what waits is written as soon as that works again"
            )
        file.memory += line
        return file

    def refuse(self, refusal: Callable[[], Exception] | None) -> None:
        """From now on every recording call raises what `refusal()` gives; None lifts it."""
        with self._mutex:
            self._refusal = refusal
            file = self._file
            file.capacity = len(file.map) if refusal is None and file.map is not None else 0

    # -- files ---------------------------------------------------------------------------------------------------

    def _open_first(self) -> SpoolFile:
        """Rule 1.  Raises OSError or LockError: without this file nothing can be promised."""
        disk, final = self._folder.disk, self._folder.spool_path(self._writer, 1)
        disk.make_folder(self._folder.spool_folder)
        unnamed = f"{self._folder.spool_folder}/.{self._writer}.new"
        descriptor = disk.create(unnamed)
        if not hold_descriptor(descriptor):
            raise ExperimentError(f"the new spool file {unnamed} is locked by another process")
        file = self._fill(SpoolFile(1, 1, descriptor, self._reserve(descriptor, FIRST_FILE_BYTES)))
        disk.rename(unnamed, final)
        return file

    def _next_file(self, line_bytes: int) -> SpoolFile:
        first = self._next_counter()
        number = self._file.number + 1
        size = max(FILE_BYTES, line_bytes + (64 + 512 * len(self._shapes)) * 2)
        try:
            descriptor = self._folder.disk.create(self._folder.spool_path(self._writer, number))
            file = self._fill(SpoolFile(number, first, descriptor, self._reserve(descriptor, size)))
        except OSError as error:
            self._on_trouble(error)
            file = self._remember(first)
        return self._succeed(file)

    def _succeed(self, file: SpoolFile) -> SpoolFile:
        self._file.capacity = 0
        self._files.append(file)
        self._file = file
        return file

    def _remember(self, first: int) -> SpoolFile:
        file = SpoolFile(self._file.number + 1, first, -1, None)
        return self._fill(file)

    def _reserve(self, descriptor: int, size: int) -> mmap.mmap | None:
        if not self._mapped:
            return None
        try:
            return self._folder.disk.reserve_map(descriptor, size)
        except (OSError, ValueError):
            # Rule 4: no room, or a file system that reserves nothing.  `write` finds out which.
            self._folder.disk.empty(descriptor)
            return None

    def _fill(self, file: SpoolFile) -> SpoolFile:
        """Writes the header and all definitions so far."""
        header = {
            "format": SPOOL_NAME,
            "version": SPOOL_VERSION,
            "writer": self._writer,
            "session": self._session,
            "first": file.first,
            "position": asdict(self.journal_end) if self.journal_end is not None else None,
        }
        lines = [orjson.dumps(header) + b"\n"]
        lines += [seal(definition_row(number, shape)) for number, shape in enumerate(self._shapes)]
        data = b"".join(lines)
        if file.map is not None:
            file.map[: len(data)] = data
        elif file.is_memory:
            file.memory += data
        else:
            self._folder.disk.write(file.descriptor, data)
        file.position = len(data)
        file.start = len(lines[0])
        file.definitions = len(self._shapes)
        return file

    def _next_counter(self) -> int:
        """The counter of the next event: those before it are counted, so that a recording call need not count."""
        file = self._file
        return file.first + file.read(file.start, file.position, self._folder).count(b"\n") - file.definitions

    # -- committing ----------------------------------------------------------------------------------------------

    @property
    def backlog_bytes(self) -> int:
        """Bytes of rows that have not been taken."""
        waiting = sum(file.position for file in self._files if file.number > self._cursor_file.number)
        return waiting + self._cursor_file.position - self._cursor

    @property
    def taken_counter(self) -> int:
        """The counter of the last event taken."""
        return self._cursor_counter - 1

    def take(self, bytes_max: int) -> tuple[int, list[Row], dict[int, Shape]]:
        """The next rows, at most about `bytes_max` bytes of them but at least one if there is one; the counter of the
        first; the shapes they refer to."""
        while True:
            file = self._cursor_file
            end = file.position
            if self._cursor < end:
                break
            following = next((each for each in self._files if each.number > file.number), None)
            if following is None:
                return self._cursor_counter, [], self._cursor_shapes
            # A file gets its successor only when it takes no further row, but perhaps after `end` was read.
            if self._cursor == file.position:
                self._cursor_file, self._cursor = following, following.start
        data = file.read(self._cursor, min(end, self._cursor + bytes_max), self._folder)
        if self._cursor + len(data) < end:
            cut = data.rfind(b"\n") + 1
            if cut == 0:
                data = file.read(self._cursor, end, self._folder)
                cut = data.find(b"\n") + 1
            data = data[:cut]
        self._cursor += len(data)
        rows = [row for row in parse_rows(data) if row[1] is not None or self._learn(row)]
        counter = self._cursor_counter
        self._cursor_counter += len(rows)
        return counter, rows, self._cursor_shapes

    def _learn(self, row: Row) -> bool:
        self._cursor_shapes[row[3]] = self._shapes[row[3]]
        return False

    def rewind(self, counter: int) -> None:
        """The next `take` begins with event `counter`: it was taken before, but is not in the journal."""
        self._cursor_file = max((file for file in self._files if file.first <= counter), key=lambda file: file.first)
        self._cursor = self._cursor_file.start
        self._cursor_counter = self._cursor_file.first
        while self._cursor_counter < counter and self.take(1)[1]:
            continue

    def forget(self, durable_counter: int) -> None:
        """Rule 2: gives back the files whose every event is durable."""
        while len(self._files) > 1 and self._files[1].first <= durable_counter + 1:
            file = self._files[0]
            if file is self._cursor_file:
                return
            self._files.popleft()
            self._discard(file)

    def _discard(self, file: SpoolFile) -> None:
        if file.map is not None:
            file.map.close()
            file.map = None
        if file.number == 1:
            # The descriptor stays: its lock is the sign of life.
            self._folder.disk.empty(file.descriptor)
            self._first_descriptor = file.descriptor
            return
        file.close(self._folder)
        if not file.is_memory:
            self._folder.disk.remove(self._folder.spool_path(self._writer, file.number))

    def remove(self) -> None:
        """Ends the spool of a writer whose every event is durable.  The name goes before the lock."""
        self.refuse(_closed)
        for file in reversed(self._files):
            if not file.is_memory:
                self._folder.disk.remove(self._folder.spool_path(self._writer, file.number))
        self._folder.disk.remove(self._folder.spool_path(self._writer, 1))
        self.abandon()

    def abandon(self) -> None:
        """Closes everything and leaves the files to whoever drains them; also what a forked child does first."""
        for file in self._files:
            file.close(self._folder)
        if self._first_descriptor is not None:
            self._folder.disk.close(self._first_descriptor)
            self._first_descriptor = None


_PASSTHROUGH = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def _closed() -> Exception:
    return ExperimentError("this experiment is not open any more")
