"""Facts ↔ the `events` of a commit.

A commit's events stand as a JSON array of blocks.  A block is one event,

    {"type": …, "t": …, "data": …}                       and "tags" where values.py needs them

or a run of events of one shape, as columns:

    {"type": …, "name": …, "n": …, "at": …, "t": …, "columns": {…}}    and "tags" for what JSON cannot say

 1. `t` is microseconds relative to the commit's time; in columns, a column (`columns.py`) of them.
 2. `at` gives the positions of the run's `n` events in the commit, from 0, ascending: an integer when they follow each
    other, else a column.  Single events take the positions that are left, in the order of their blocks.  Every position
    below the commit's count is taken once.
 3. Event i has the fields `{key: columns[key][i]}`.  With the member `name` (a string or null) its payload is
    `{"name": name, "fields": fields}`, without it the payload is the fields.
 4. Tags of a run have paths `[key, i, …]`, those of one event begin at its payload.
 5. Events of the same type and name stand in order, also across blocks; a type that is not columnar is a barrier: no
    block holds events from both sides of it.  So blocks may be folded one after the other.
 6. Blocks stand in the order of their first events.
 7. A commit holds at least one event and at most EVENTS_MAX.

Members may stand in any order; further ones are ignored.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from operator import itemgetter, lt
from typing import Any

import orjson

from .blocks import Block, CodecError, integer_column
from .columns import encode_column, encode_integers
from .events import COLUMNAR_TYPES, STREAM_TYPES, Event
from .rows import NON_FINITE, Row, Shape, tags_of, time_of
from .values import Tag, from_plain, to_plain

__all__ = ["EVENTS_MAX", "Block", "CodecError", "decode_events", "encode_events", "encode_parts", "events_of"]

EVENTS_MAX = 1 << 20
"""A count is believed up to here: what cannot be a commit of ours must not make a reader reserve memory."""


# -- encoding ----------------------------------------------------------------------------------------------------


class _Run:
    """Events of one shape, as columns that grow; `rows`, all of kind 2, are not in them yet."""

    __slots__ = ("columns", "positions", "rows", "shape", "times_us")

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.positions: list[int] = []
        self.rows: list[Row] = []
        self.times_us: list[int] = []
        self.columns: list[list[Any]] = [[] for _ in shape.keys]

    def settle(self) -> None:
        """Transposing in C is what makes the committer cheap."""
        if not self.rows:
            return
        times_ns, _, *columns = zip(*self.rows, strict=True)
        self.rows = []
        self.times_us += [time_ns // 1000 for time_ns in times_ns]
        for column, values in zip(self.columns, columns, strict=True):
            column += values


class _Encoder:
    """Sorts rows into runs and single events, and keeps rule 5."""

    def __init__(self, shapes: dict[int, Shape], base_us: int) -> None:
        self._shapes = shapes
        self._base_us = base_us
        self._runs: dict[int, _Run] = {}
        self._numbers: dict[tuple[str, str | None], int] = {}
        self._blocks: list[tuple[int, dict[str, Any]]] = []

    def blocks(self, parts: Iterable[list[Row]]) -> list[dict[str, Any]]:
        first = 0
        for part in parts:
            self._add_part(first, part)
            first += len(part)
        if not 0 < first <= EVENTS_MAX:
            raise ValueError(f"a commit holds between 1 and {EVENTS_MAX} events, not {first}")
        self._close_all()
        self._blocks.sort(key=itemgetter(0))
        return [block for _, block in self._blocks]

    def _add_part(self, first: int, part: list[Row]) -> None:
        runs = self._runs
        kinds = {row[1] for row in part}
        if len(kinds) == 1 and type(kind := kinds.pop()) is int and kind >= 0:
            # What a tight loop writes: one stream, nothing odd.
            run = runs.get(kind) or self._begin(kind)
            run.positions += range(first, first + len(part))
            run.rows = part
            run.settle()
            return
        for position, row in enumerate(part, first):
            found = runs.get(row[1])
            if found is None:
                self._add(position, row)
            else:
                found.positions.append(position)
                found.rows.append(row)
        for run in runs.values():
            run.settle()

    def _begin(self, kind: int) -> _Run:
        shape = self._shapes[kind]
        self._close(shape.type, shape.name)
        self._numbers[shape.type, shape.name] = kind
        run = self._runs[kind] = _Run(shape)
        return run

    def _add(self, position: int, row: Row) -> None:
        kind = row[1]
        if isinstance(kind, str):
            self._add_event(position, row)
            return
        if kind < 0:
            kind, row = -1 - kind, _with_non_finite(row)
        run = self._runs.get(kind) or self._begin(kind)
        run.positions.append(position)
        run.rows.append(row)

    def _add_event(self, position: int, row: Row) -> None:
        event_type, data, tags = row[1], row[2], tags_of(row)
        if event_type in STREAM_TYPES:
            self._close(event_type, data["name"])
        elif event_type in COLUMNAR_TYPES:
            self._close(event_type, None)
        else:
            self._close_all()
        event = {"type": event_type, "t": time_of(row) - self._base_us, "data": data}
        if tags:
            event["tags"] = tags
        self._blocks.append((position, event))

    def _close(self, event_type: str, name: str | None) -> None:
        number = self._numbers.pop((event_type, name), None)
        if number is None:
            return
        run = self._runs.pop(number)
        run.settle()
        block = _encode_run(run.shape, run.positions, run.times_us, run.columns, self._base_us)
        self._blocks.append((run.positions[0], block))

    def _close_all(self) -> None:
        for event_type, name in list(self._numbers):
            self._close(event_type, name)


def _with_non_finite(row: Row) -> Row:
    """The row of kind 2 that a row of kind 3 stands for."""
    values = row[3:]
    for index, name in row[2].items():
        values[int(index)] = NON_FINITE[name]
    return [row[0], -1 - row[1], *values]


def _as_event(row: Row, shapes: dict[int, Shape]) -> Row:
    """The row of kind 4 that says the same, no deeper than values.py allows."""
    if isinstance(row[1], str):
        return row
    time_ns, number, *values = row if row[1] >= 0 else _with_non_finite(row)
    shape = shapes[number]
    return [time_ns, shape.type, *to_plain(shape.payload(values))]


def _encode_run(
    shape: Shape,
    positions: Sequence[int],
    times: Sequence[int],
    columns: Sequence[Sequence[Any]],
    base_us: int,
) -> dict[str, Any]:
    """The block of a run of events of one shape; a single event becomes a single event."""
    tags: list[Tag] = []
    encoded: dict[str, Any] = {}
    for key, values in zip(shape.keys, columns, strict=True):
        column = encode_column(values)
        if isinstance(column, list):
            for index, value in enumerate(column):
                if type(value) is float and not isfinite(value):
                    tags.append([[key, index], repr(value)])
                    column[index] = None
        encoded[key] = column
    if len(positions) == 1:
        data = shape.payload([column[0] for column in encoded.values()])
        event: dict[str, Any] = {"type": shape.type, "t": times[0] - base_us, "data": data}
        if tags:
            event["tags"] = [[shape.path(path[0]), kind] for path, kind in tags]
        return event
    block: dict[str, Any] = {"type": shape.type}
    if shape.named:
        block["name"] = shape.name
    block["n"] = len(positions)
    contiguous = positions[-1] - positions[0] + 1 == len(positions)
    block["at"] = positions[0] if contiguous else encode_integers(positions)
    block["t"] = encode_integers(times, base_us)
    block["columns"] = encoded
    if tags:
        block["tags"] = tags
    return block


def encode_events(rows: list[Row], shapes: dict[int, Shape], base_us: int) -> bytes:
    """The JSON array of blocks for rows (definitions taken out), in order; times become relative to `base_us`."""
    return encode_parts((rows,), shapes, base_us)


def encode_parts(parts: Iterable[list[Row]], shapes: dict[int, Shape], base_us: int) -> bytes:
    """The same for rows in parts, which may be asked for twice; each is let go of before the next is asked for."""
    try:
        return orjson.dumps(_Encoder(shapes, base_us).blocks(parts))
    except TypeError:
        # A value that a row could just hold lies too deep for orjson inside a block.
        plain = ([_as_event(row, shapes) for row in part] for part in parts)
        return orjson.dumps(_Encoder(shapes, base_us).blocks(plain))


# -- decoding ----------------------------------------------------------------------------------------------------


def decode_events(data: bytes, count: int) -> list[Block]:
    """The blocks of a commit's `events`.  Raises CodecError when they are not `count` events, or not events."""
    try:
        if not 0 < count <= EVENTS_MAX:
            raise ValueError(f"a commit holds between 1 and {EVENTS_MAX} events")
        blocks = orjson.loads(data)
        if len(blocks) == 1:
            return [_decode_only(blocks[0], count)]
        runs = [_run_positions(block, count) for block in blocks]
        free = _free_positions(runs, count)
        decoded = [
            _decode_event(block, next(free)) if positions is None else _decode_run(block, positions)
            for block, positions in zip(blocks, runs, strict=True)
        ]
        firsts = [block.positions[0] for block in decoded]
        if firsts != sorted(firsts):
            raise ValueError("blocks do not stand in the order of their first events")
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CodecError(f"a commit of {count} events cannot be decoded: {error!r}") from error
    return decoded


def _decode_only(block: dict[str, Any], count: int) -> Block:
    """The one block of a commit: what most small commits hold."""
    positions = _run_positions(block, count)
    if (1 if positions is None else len(positions)) != count:
        raise ValueError(f"it holds {1 if positions is None else len(positions)}")
    return _decode_event(block, 0) if positions is None else _decode_run(block, positions)


def _run_positions(block: dict[str, Any], count: int) -> Sequence[int] | None:
    if "columns" not in block:
        return None
    at, own_count = block["at"], block["n"]
    if type(own_count) is not int or not 0 < own_count <= count:
        raise ValueError(f"a run of {own_count!r:.100} events in a commit of {count}")
    if type(at) is int:
        positions: Sequence[int] = range(at, at + own_count)
    else:
        positions = integer_column(at, own_count)
        ascends = positions.step > 0 if isinstance(positions, range) else all(map(lt, positions, positions[1:]))
        if not ascends:
            raise ValueError("the positions of a run do not ascend")
    if positions[0] < 0 or positions[-1] >= count:
        raise ValueError(f"position {positions[-1]} in a commit of {count} events")
    return positions


def _free_positions(runs: list[Sequence[int] | None], count: int) -> Iterator[int]:
    """The positions of the single events.  Raises ValueError unless each position is taken once."""
    in_runs = sum(len(positions) for positions in runs if positions is not None)
    if in_runs + runs.count(None) != count:
        raise ValueError(f"it holds {in_runs + runs.count(None)}")
    if in_runs == 0 or in_runs == count == len(runs[0] or ()):
        return iter(range(count))
    taken = bytearray(count)
    for positions in runs:
        if isinstance(positions, range):
            taken[positions.start : positions.stop : positions.step] = b"\1" * len(positions)
        else:
            for position in positions or ():
                taken[position] = 1
    if taken.count(1) != in_runs:
        raise ValueError("two runs hold the same position")
    return iter([position for position, is_taken in enumerate(taken) if not is_taken] if None in runs else ())


def _decode_event(block: dict[str, Any], position: int) -> Block:
    tags, data = block.get("tags"), block["data"]
    if tags:
        data = from_plain(data, tags)
    if type(block["type"]) is not str or type(data) is not dict or type(block["t"]) is not int:
        raise ValueError("an event is not of the form that events have")
    return Block(block["type"], (position,), data, False, None, [block["t"]], {}, [])


def _decode_run(block: dict[str, Any], positions: Sequence[int]) -> Block:
    tags, columns, name = block.get("tags") or [], block["columns"], block.get("name")
    if type(block["type"]) is not str or type(columns) is not dict or not (name is None or type(name) is str):
        raise ValueError("a run is not of the form that runs have")
    for (key, index, *_), *_ in tags:
        if key not in columns or type(index) is not int or not 0 <= index < len(positions):
            raise ValueError(f"no value stands where tag {key!r:.100}, {index!r:.100} is")
    return Block(block["type"], positions, None, "name" in block, name, block["t"], columns, tags)


def events_of(blocks: list[Block], first: int, time_us: int, writer: str, session: str) -> list[Event]:
    """The events of one commit, one by one, in order."""
    events = [
        Event(first + position, block.type, event_us, payload, writer, session)
        for block in blocks
        for position, event_us, payload in zip(block.positions, block.times_us(time_us), block.payloads(), strict=True)
    ]
    events.sort(key=lambda event: event.seq)
    return events
