"""A block of a commit as it is read: one event, or a run of events of one shape, decoded when it is asked for.

`codec.py` has the rules.

Pure: no I/O.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .columns import Column, check_column, decode_column, last_value, never_falls
from .rows import Shape
from .values import Tag, from_plain


class CodecError(ValueError):
    """Bytes whose hash is right do not say what a commit says: a newer format, or a bug in the writer."""


@dataclass(slots=True)
class Block:
    """One or more events of one commit: a single event has `data`, a run has `columns`.

    `positions` are those in the commit, ascending.  Columns are decoded when they are asked for: CodecError is raised
    then where they are not what they should be.

    Nobody changes one.  It is not frozen because making a frozen one costs as much as summing up 250 numbers.
    """

    type: str
    positions: Sequence[int]
    data: dict[str, Any] | None
    named: bool
    name: str | None
    _times: Any
    _columns: dict[str, Any]
    _tags: list[Tag]

    @property
    def count(self) -> int:
        return len(self.positions)

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields of a run."""
        return tuple(self._columns)

    def column(self, key: str) -> Column:
        """One field of a run, `count` values, with everything back that JSON cannot say."""
        column = self._columns[key]
        try:
            values = decode_column(column, len(self.positions))
            if not self._tags:
                return values
            tags = [[tag[0][1:], *tag[1:]] for tag in self._tags if tag[0][0] == key]
            return from_plain(list(values), tags) if tags else values
        except ValueError as error:
            raise CodecError(f"column {key!r:.100} of {self.count} events cannot be decoded: {error}") from error

    def check(self) -> None:
        """Raises CodecError unless the times and every column can be decoded; quicker than decoding them."""
        if self.data is not None:
            return
        count = len(self.positions)
        tagged = {tag[0][0] for tag in self._tags} if self._tags else ()
        if not isinstance(self._times, dict) or "packed" in self._times or "same" in self._times:
            self.times_us(0)
        try:
            check_column(self._times, count)
            for key, column in self._columns.items():
                if key in tagged:
                    self.column(key)
                else:
                    check_column(column, count)
        except ValueError as error:
            raise CodecError(f"a run of {count} events cannot be decoded: {error}") from error

    def times_us(self, commit_time_us: int) -> list[int]:
        """When each event happened, in microseconds since 1970."""
        try:
            return [commit_time_us + offset for offset in integer_column(self._times, self.count)]
        except ValueError as error:
            raise CodecError(f"the times of {self.count} events cannot be decoded: {error}") from error

    def last_time_us(self, commit_time_us: int) -> int:
        """When the last event happened."""
        try:
            [offset] = integer_column([last_value(self._times, self.count)], 1)
        except ValueError as error:
            raise CodecError(f"the times of {self.count} events cannot be decoded: {error}") from error
        return commit_time_us + offset

    def last_by(self, offset_us: int) -> int:
        """The position of the last event that happened at most so long after the commit's time; -1 where none did."""
        count, times = len(self.positions), self._times
        try:
            if never_falls(times) and times["first"] > offset_us:
                return -1
            if integer_column([last_value(times, count)], 1)[0] <= offset_us:
                return self.positions[-1]
            offsets = integer_column(times, count)
        except ValueError as error:
            raise CodecError(f"the times of {count} events cannot be decoded: {error}") from error
        index = next((index for index in reversed(range(count)) if offsets[index] <= offset_us), None)
        return -1 if index is None else self.positions[index]

    def payloads(self) -> Iterator[dict[str, Any]]:
        """The payload of each event, in order."""
        if self.data is not None:
            yield self.data
            return
        shape = Shape(self.type, self.named, self.name, self.keys)
        if not self._columns:
            yield from (shape.payload(()) for _ in self.positions)
        for values in zip(*map(self.column, self._columns), strict=True):
            yield shape.payload(values)

    def before(self, position: int) -> Block | None:
        """The part of this block that stands before a position of the commit; None if nothing does."""
        kept = bisect_left(self.positions, position)
        if kept == self.count:
            return self
        if kept == 0:
            return None
        try:
            times = list(integer_column(self._times, self.count)[:kept])
            columns = {key: list(decode_column(column, self.count)[:kept]) for key, column in self._columns.items()}
        except ValueError as error:
            raise CodecError(f"a run of {self.count} events cannot be decoded: {error}") from error
        tags = [tag for tag in self._tags if tag[0][1] < kept]
        return Block(self.type, self.positions[:kept], None, self.named, self.name, times, columns, tags)


def integer_column(column: Any, count: int) -> Sequence[int]:
    """A column that may hold integers only."""
    values = decode_column(column, count)
    if isinstance(values, list):
        if set(map(type, values)) != {int}:
            raise ValueError("a column of integers holds something else")
    elif not isinstance(values, range) and values.typecode in "fd":  # type: ignore[attr-defined]
        raise ValueError("a column of integers holds floats")
    return values
