"""What a writer has accepted and not yet made durable: the reason why nothing that returned is lost (promise P1).

A recording call ends with its row in a spool file, that is in the kernel's memory, where `kill -9` of the process does
not reach.  `facts/rows.py` has the rows, `spool_file.py` how one gets into a file, `spool_files.py` where files come
from.

 1. The writer holds a lock on its first file while it lives, also when that file is empty; the file gets its name only
    after it is locked, so nobody ever sees it unlocked.
 2. Rows are removed only when their commit is durable: until then they are what a failed sync is repaired from.
 3. Files are never used twice.  Behind the last row of one are zeros, or the part of a row that the disk refused.
 4. Files follow each other by their `first`.  One is shut before the next one's `first` is counted, so no two events
    have the same counter; what comes next is decided once, by one `dict.setdefault`, whoever asks and however often.
 5. Each file defines a shape before it uses it (`spool_shapes.py`).
 6. Where the disk takes no rows they wait in memory, which `kill -9` does reach, and a warning says so; where that is
    full too, they are dropped and counted.  A strict spool raises instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from os import getpid
from threading import RLock, get_ident
from typing import Any
from zlib import adler32

import orjson

from ..alarm import Alarm
from ..clock import now_ns
from ..errors import ExperimentError, LockError, StorageError
from ..facts.rows import Shape, event_row, seal, stream_row
from .chain import Position
from .folder import JournalFolder
from .spool_cursor import SpoolCursor
from .spool_file import SpoolFile
from .spool_files import SpoolFiles, SpoolOver
from .spool_shapes import SpoolShapes
from .spool_shapes import Stream as Stream

MEMORY_BYTES_MAX = 1024 * 1024 * 1024
FILLED_MAX = 8
"""So many files that take no further row may wait for the committer to give them back."""

PASSTHROUGH = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
_dumps = orjson.dumps
_join = b"".join
LETTER_U = ord("u")


class SpoolLeft(Exception):
    """This spool belongs to the parent of this process: nothing may be added to it here."""


class Spool:
    """A living writer's spool.  `append*` may be called by any thread, from a signal handler or a finalizer; everything
    below "committing" by the committer's thread alone.

    `wake()` is called after a row that finds the committer asleep.  In a forked child, to whom this spool does not
    belong, `own()` gives the one that does, and rows go there.  `is_direct` says whether no thread's events are held
    back, so that a recording call may come by the shortcut (`spool_shortcut.py`).  With `must_persist` the constructor
    raises OSError or LockError where there can be no file; else the spool begins in memory, as rule 6 says.
    """

    def __init__(
        self,
        folder: JournalFolder,
        writer: str,
        session: str,
        position: Position | None,
        *,
        alarm: Alarm,
        wake: Callable[[], None],
        own: Callable[[], Spool],
        is_strict: bool = False,
        must_persist: bool = True,
        memory_bytes_max: int = MEMORY_BYTES_MAX,
    ) -> None:
        self._folder = folder
        self._alarm = alarm
        self.wake = wake
        self._own = own
        self._is_strict = is_strict
        self._memory_bytes_max = memory_bytes_max
        self._pid = getpid()
        self._forking_threads: set[int] = set()
        # Only keeps threads from making a file each: a signal handler passes it, and then rule 4 decides.
        self._switching = RLock()
        self._shapes = SpoolShapes()
        self._refusal: Callable[[], Exception] | None = None
        self._troubles: list[tuple[str, str]] = []
        self.is_ended = False
        self._files = SpoolFiles(folder, writer, session, position)
        self.dropped = 0
        self.is_left = False
        self.is_committer_asleep = False
        self.is_direct = True
        try:
            self._file = self._files.open_first()
        except (OSError, LockError) as error:
            if must_persist:
                raise
            self._trouble(error)
            self._alarm.sound(*self._troubles.pop())
            self._file = self._files.open_in_memory(1, 0, b"")
        self._filled: deque[SpoolFile] = deque()
        self._oldest = self._file
        self.fast_add: Callable[[bytes], Any] = self._file.fast_add or _no_place
        self.cursor = SpoolCursor(self._file)

    # -- recording -----------------------------------------------------------------------------------------------

    def append_stream(self, stream: Stream, fields: dict[str, Any]) -> None:
        """One event of a stream; nobody may change `fields` meanwhile.  Never raises for a value, whatever it is."""
        time_ns = now_ns()
        try:
            try:
                body = _dumps([time_ns, stream.numbers[tuple(fields)], *fields.values()], None, PASSTHROUGH)
                # orjson says null for NaN and infinities without a word; None is rare enough to be looked at again.
                # Looking for the letter first is six times as fast.
                if LETTER_U in body and b"null" in body:
                    body = self._odd_row(time_ns, stream, fields)
            except (KeyError, TypeError, ValueError, RecursionError):
                body = self._odd_row(time_ns, stream, fields)
            # As `seal` and `_append`, written out because two calls are a tenth of what recording costs; without `%`,
            # because a training that logs now and then finds the code for that in no cache: 2 of 7 µs.
            row = _join((_dumps(adler32(body)), b",", body, b"\n"))
            try:
                self.fast_add(row)
            except ValueError:
                self._add(row)
        except SpoolLeft:
            self._own().append_stream(stream, fields)
            return
        if self.is_committer_asleep:
            self.wake()

    def append_event(self, event_type: str, data: dict[str, Any]) -> int:
        """Any other event; its time, in microseconds since 1970.  Never raises for a value."""
        time_ns = now_ns()
        try:
            self._append(seal(event_row(time_ns, event_type, data)))
        except SpoolLeft:
            return self._own().append_event(event_type, data)
        if self.is_committer_asleep:
            self.wake()
        return time_ns // 1000

    def _append(self, row: bytes) -> None:
        try:
            self.fast_add(row)
        except ValueError:
            self._add(row)

    def _odd_row(self, time_ns: int, stream: Stream, fields: dict[str, Any]) -> bytes:
        """A row whose fields are new, or whose values are not plain JSON."""
        shape = Shape(stream.type, stream.named, stream.name, tuple(fields))
        number = stream.numbers.get(shape.keys)
        if number is None:
            number = self._define(stream, shape)
        if number is None:
            return event_row(time_ns, stream.type, shape.payload(list(fields.values())))
        return stream_row(time_ns, number, shape, tuple(fields.values()))

    def _define(self, stream: Stream, shape: Shape) -> int | None:
        """The number of a new shape; None if it cannot have one.  Rule 5."""
        defined = self._shapes.define(shape)
        if defined is None:
            return None
        number, row = defined
        self._append(row)
        stream.numbers[shape.keys] = number
        return number

    def _add(self, row: bytes) -> None:
        """The way of a row that the fast way had no place for."""
        if self.is_left or self._pid != getpid():
            raise SpoolLeft
        try:
            with self._switching:
                self._add_somewhere(row)
        finally:
            # Not while others wait for the mutex: where standard error is a pipe into this very spool, they empty it.
            while self._troubles:
                self._alarm.sound(*self._troubles.pop())

    def _add_somewhere(self, row: bytes) -> None:
        if self._refusal is not None:
            raise self._refusal()
        while not self._is_added(file := self._file, row):
            following = self._follow(file, len(row))
            if following is None:
                return
            self._file = following
            # Giving a file back takes a system call, and who makes one waits for the interpreter's lock behind it.  So
            # the committer does it; but it may be waiting for a disk while a tight loop fills file after file.
            self._filled.append(file)
            if len(self._filled) > FILLED_MAX:
                self._filled.popleft().give_back()
            # It makes the next file before this loop needs one.
            self.wake()
        self._open_fast_way()

    def _is_added(self, file: SpoolFile, row: bytes) -> bool:
        try:
            return file.add(row)
        except OSError as error:
            self._trouble(error)
            return False

    def _open_fast_way(self) -> None:
        if self._refusal is None and not self._forking_threads:
            self.fast_add = self._file.fast_add or _no_place

    # -- from file to file ---------------------------------------------------------------------------------------

    def _follow(self, file: SpoolFile, row_bytes: int) -> SpoolFile | None:
        """Rule 4: the file behind this one, which takes no further row; None if there can be none."""
        file.shut()
        if not file.is_linked:
            try:
                new = self._open_next(file.counter_behind(), row_bytes)
            except OSError:
                # A signal handler came in between, and the committer is done with the file since.
                if not file.is_linked:
                    raise
            else:
                if new is None:
                    return None
                if file.link(new) is not new:
                    self._files.discard(new)
        if file.following is None:
            raise _not_open()
        return file.following

    def _open_next(self, first: int, row_bytes: int) -> SpoolFile | None:
        definitions = self._shapes.definitions()
        try:
            return self._files.open_next(first, row_bytes, definitions)
        except SpoolOver as error:
            # A signal handler came in between, which closed the experiment or forked.
            raise (SpoolLeft() if self.is_left else _not_open()) from error
        except (OSError, LockError) as error:
            self._trouble(error)
            if self._is_strict:
                raise StorageError(
                    f"an event cannot be recorded: {error}. Free space on the file system of {self._folder.path}, or "
                    "mend it"
                ) from error
        waiting_bytes = sum(file.size for file in self._chain() if file.is_memory)
        if waiting_bytes + row_bytes > self._memory_bytes_max:
            self.dropped += 1
            text = (
                f"{waiting_bytes} bytes of events wait in memory because the disk takes none, and no more can be kept: "
                f"events are lost from now on, until the file system of {self._folder.path} takes them again"
            )
            self._troubles.append(("memory", text))
            return None
        return self._files.open_in_memory(first, row_bytes, definitions)

    def _chain(self) -> Iterator[SpoolFile]:
        file: SpoolFile | None = self._oldest
        while file is not None:
            yield file
            file = file.following

    def _trouble(self, error: Exception) -> None:
        text = (
            f"events cannot be written to {self._folder.path} right now ({error}). Training goes on; events wait in "
            "memory and are written as soon as that works again, but `kill -9` would lose them until then"
        )
        self._troubles.append(("disk", text))

    # -- ending --------------------------------------------------------------------------------------------------

    def refuse(self, refusal: Callable[[], Exception] | None) -> None:
        """From now on recording calls raise what `refusal()` gives; None lifts it.  An ended spool has its own."""
        if self.is_ended:
            return
        self._refusal = refusal
        self.fast_add = _no_place
        self._open_fast_way()

    def end(self) -> None:
        """Whatever is in the spool now is all there will be: any further recording call raises ExperimentError."""
        self.refuse(_not_open)
        self.is_ended = True
        file: SpoolFile | None = self._file
        while file is not None:
            file.shut()
            file = file.link(None)

    def before_fork(self) -> None:
        """Until `after_fork` every row goes the slow way, which knows a child from its parent: the child's first
        instructions run before anybody can tell it to leave, and what it adds to the shared map would destroy ours."""
        self._forking_threads.add(get_ident())
        self.fast_add = _no_place

    def after_fork(self) -> None:
        self._forking_threads.discard(get_ident())
        self._open_fast_way()

    def leave(self) -> None:
        """In a forked child: gives up what is the parent's, without a trace and without taking a lock."""
        self.is_left = True
        self.fast_add = _no_place
        for file in self._chain():
            file.close()
        self._files.leave()

    def remove(self) -> None:
        """Ends the spool of a writer whose every event is durable."""
        for file in self._chain():
            file.close()
        self._files.remove_all()

    def abandon(self) -> None:
        """Closes everything and leaves the files to whoever drains them."""
        for file in self._chain():
            file.close()
        self._files.abandon()

    # -- committing ----------------------------------------------------------------------------------------------

    @property
    def shapes(self) -> dict[int, Shape]:
        """What the numbers in rows stand for."""
        return self._shapes.by_number

    @property
    def journal_position(self) -> Position | None:
        """A durable place in the journal, for the headers of files to come."""
        return self._files.position

    @journal_position.setter
    def journal_position(self, position: Position) -> None:
        self._files.position = position

    @property
    def is_in_memory(self) -> bool:
        """Whether rows wait where `kill -9` reaches them."""
        return any(file.is_memory for file in self._chain())

    def seek(self, counter: int) -> None:
        """The next `cursor.take` begins with event `counter`: others were taken, but are not in the journal, or the
        reverse."""
        self.cursor.seek(counter, self._chain())

    def forget(self, durable_counter: int) -> None:
        """Rule 2: removes the files whose every event is durable."""
        while self._oldest is not self.cursor.file:
            following = self._oldest.following
            if following is None or following.first > durable_counter + 1:
                break
            done, self._oldest = self._oldest, following
            self._files.discard(done)

    def give_back(self) -> None:
        """Frees what the files that take no further row occupy in this process."""
        for file in self._chain():
            file.give_back()

    def prepare(self, bytes_ahead: int) -> None:
        """Makes ready what the next `bytes_ahead` bytes of rows need; and leaves memory, if the disk works again."""
        file = self._file
        if file.is_linked:
            return
        try:
            if not file.is_memory:
                self._files.prepare(file, bytes_ahead)
                return
            with self._switching:
                self._files.make_spare()
                following = self._follow(file, 0)
        except ExperimentError:
            return  # it has just been closed
        except (OSError, LockError):
            return  # a recording call will meet it again if it lasts, and say so
        if following is not None:
            self._file = following
            self._open_fast_way()


def _no_place(row: bytes) -> None:
    """A fast way that is closed."""
    raise ValueError


def _not_open() -> Exception:
    return ExperimentError(
        "this experiment is not open, so nothing can be recorded. Start it with `with experiment.run:` or with "
        "`experiment.run.start()`"
    )
