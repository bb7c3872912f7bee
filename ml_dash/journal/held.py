"""What a thread records while it expects that nobody else writes: held back, then one commit or nothing.

Promises P3 and P5 for whoever reads, decides and writes:

 1. A call returns when its event is encoded, in memory: what is done to its values afterwards changes nothing, and
    `kill -9` before the end of the block loses all of it, as does an exception in the block.
 2. At the end everything that the process had recorded before is committed; then, under the journal's lock and after
    what dead writers left, the last event is compared with the expected one, and the commit appended if it is that.
 3. The commit has a writer of its own, whose events count from 1, so that the counters of spools stay dense.  It is one
    write: whoever is killed in it leaves a torn tail, which is nothing.
 4. It is durable when the block has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from os import getpid
from threading import RLock, local
from typing import Any

from ..clock import now_ns
from ..errors import ConflictError, ExperimentError, StorageError
from ..facts.codec import encode_events
from ..facts.rows import Shape, event_row, parse_rows, seal, stream_row, time_of
from ..ids import new_id
from .appender import Appender
from .batch import Batch
from .chain import Position
from .drain import drain
from .folder import JournalFolder
from .spool_shapes import SpoolShapes, Stream

HELD_BYTES_MAX = 16 * 1024 * 1024
"""A commit is read, decoded and shipped as a whole."""


class Held:
    """The events of one block, which is to stand behind event `expected`."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self._shapes = SpoolShapes()
        self._numbers: dict[Shape, int] = {}
        self._rows: list[bytes] = []
        self._bytes = 0
        self._if_dropped: list[Callable[[], object]] = []
        self._process = getpid()

    @property
    def is_of_this_process(self) -> bool:
        """False in a child that was forked inside of the block."""
        return self._process == getpid()

    @property
    def count(self) -> int:
        """How many events there are so far."""
        return len(self._rows)

    def add_stream(self, stream: Stream, fields: dict[str, Any]) -> None:
        """As `Spool.append_stream`.  Raises ExperimentError where the block has become too large."""
        shape = Shape(stream.type, stream.named, stream.name, tuple(fields))
        number = self._numbers.get(shape)
        if number is None and (defined := self._shapes.define(shape)) is not None:
            number = self._numbers[shape] = defined[0]
        if number is None:
            self._add(event_row(now_ns(), stream.type, shape.payload(list(fields.values()))))
        else:
            self._add(stream_row(now_ns(), number, shape, tuple(fields.values())))

    def add_event(self, event_type: str, data: dict[str, Any]) -> int:
        """As `Spool.append_event`.  Raises ExperimentError where the block has become too large."""
        time_ns = now_ns()
        self._add(event_row(time_ns, event_type, data))
        return time_ns // 1000

    def if_dropped(self, action: Callable[[], object]) -> None:
        """`action` is called if the block comes to nothing."""
        self._if_dropped.append(action)

    def drop(self) -> None:
        """Nothing of it is recorded."""
        self._rows.clear()
        while self._if_dropped:
            self._if_dropped.pop()()

    def batch(self, session: str) -> Batch | None:
        """The commit that they become; None where there are none."""
        if not self._rows:
            return None
        rows = parse_rows(b"".join(self._rows))
        time_us = time_of(rows[-1])
        return Batch(len(rows), time_us, new_id(), session, 1, encode_events(rows, self._shapes.by_number, time_us))

    def _add(self, body: bytes) -> None:
        if self._bytes + len(body) > HELD_BYTES_MAX:
            raise ExperimentError(
                f"a block of `experiment.expect` becomes one commit, and this one has more than {HELD_BYTES_MAX} bytes "
                "of events. Record points, entries and log lines outside of it, and inside what depends on history"
            )
        self._bytes += len(body)
        self._rows.append(seal(body))


class Holding:
    """Which threads of a writer are held back."""

    def __init__(self) -> None:
        self._of_thread = local()
        self._threads = 0
        self.changing = RLock()

    @property
    def is_any(self) -> bool:
        return self._threads > 0

    def mine(self) -> Held | None:
        """What this thread is in; None where it is not held back."""
        found: Held | None = getattr(self._of_thread, "held", None)
        return found

    def begin(self, expected: int) -> Held:
        """Raises ExperimentError where this thread is held back already."""
        if self.mine() is not None:
            raise ExperimentError(
                "`experiment.expect` is called inside of a block of it. A block is one commit: put all that belongs "
                "together into the outer one"
            )
        held = self._of_thread.held = Held(expected)
        self._threads += 1
        return held

    def end(self) -> None:
        self._of_thread.held = None
        self._threads -= 1

    def refuse(self, what: str) -> None:
        """Raises ExperimentError where this thread is held back: `what` would tell of what is not recorded yet."""
        if self.mine() is not None:
            raise ExperimentError(
                f"{what} is not possible inside of a block of `experiment.expect`: what was recorded in it becomes "
                "history, and durable, when the block has ended. Do it behind the block"
            )


def append_if_unchanged(
    folder: JournalFolder,
    batch: Batch | None,
    expected: int,
    start: Position | None,
    living: frozenset[str],
    on_sealed: Callable[[Position], None],
) -> None:
    """Rules 2 to 4.  Raises ConflictError; StorageError, LockError or JournalCorruptError as a writer does."""
    appender = Appender(folder, batch.writer if batch is not None else new_id(), start=start, on_sealed=on_sealed)
    is_appended = False
    try:
        with appender.at_end():
            drain(folder, appender, living)
            position = appender.position
            found = position.next_seq - 1 if position is not None else 0
            if found != expected:
                raise ConflictError(expected, found)
            if batch is not None:
                is_appended = True
                appender.append([batch])
        appender.sync()
    except OSError as error:
        what = (
            f"whether the block behind event {expected} was recorded is not known; if it was, that event has others "
            "behind it now"
            if is_appended
            else "nothing of the block was recorded"
        )
        raise StorageError(
            f"{folder.path} could not be written to, and {what}: {error}. Free space there or mend that, look at "
            "`experiment.seq`, and do it again where that has not changed"
        ) from error
    finally:
        appender.close()
