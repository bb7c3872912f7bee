"""Facts ↔ the `events` of a commit.

A commit's events stand as a JSON array of blocks.  A block is one event,

    {"type": …, "t": …, "data": …}                       and "tags" where values.py needs them

or a run of events of one shape, as columns:

    {"type": …, "name": …, "n": …, "at": …, "t": …, "columns": {…}}    and "tags" for what JSON cannot say

 1. `t` is microseconds relative to the commit's time; in columns, a column (`columns.py`) of them.
 2. `at` gives the positions of the run's events in the commit, from 0: an integer when they follow each other, else a column.
    Single events take the positions that are left, in order.  Positions are dense.
 3. With the member `name` (a string or null), event i has the payload `{"name": name, "fields": {key: columns[key][i]}}`;
    without it the payload is `{key: columns[key][i]}`.
 4. Tags of a run have paths `[key, i, …]`.
 5. Events of the same type and name stand in order, also across blocks; a type that is not columnar is a barrier: no
    block holds events from both sides of it.  So blocks may be folded one after the other.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import orjson

from .columns import Column, decode_column, encode_column, last_value
from .events import COLUMNAR_TYPES, STREAM_TYPES, Event
from .rows import NON_FINITE, Row, Shape, define, tags_of, time_of
from .values import Tag, from_plain


class CodecError(ValueError):
    """Bytes whose hash is right do not say what a commit says: a newer format, or a bug in the writer."""


@dataclass(frozen=True, slots=True)
class Block:
    """One or more events of one commit: a single event has `data`, a run has `columns`.

    `positions` are those in the commit, ascending.
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
        values = decode_column(self._columns[key], self.count)
        tags = [[tag[0][1:], *tag[1:]] for tag in self._tags if tag[0][0] == key]
        if tags:
            restored: list[Any] = from_plain(list(values), tags)  # type: ignore[assignment]
            return restored
        return values

    def times_us(self, commit_time_us: int) -> list[int]:
        """When each event happened, in microseconds since 1970."""
        return [commit_time_us + offset for offset in decode_column(self._times, self.count)]

    def last_time_us(self, commit_time_us: int) -> int:
        """When the last event happened."""
        offset: int = last_value(self._times, self.count)
        return commit_time_us + offset

    def payloads(self) -> Iterator[dict[str, Any]]:
        """The payload of each event, in order."""
        if self.data is not None:
            yield self.data
            return
        shape = Shape(self.type, self.named, self.name, self.keys)
        if not self._columns:
            yield from (shape.payload([]) for _ in self.positions)
        for values in zip(*map(self.column, self._columns), strict=True):
            yield shape.payload(list(values))

    def before(self, position: int) -> Block | None:
        """The part of this block that stands before a position of the commit; None if nothing does."""
        kept = sum(1 for own in self.positions if own < position)
        if kept == self.count:
            return self
        if kept == 0:
            return None
        return Block(
            self.type,
            self.positions[:kept],
            None,
            self.named,
            self.name,
            list(decode_column(self._times, self.count)[:kept]),
            {key: list(decode_column(column, self.count)[:kept]) for key, column in self._columns.items()},
            [tag for tag in self._tags if tag[0][1] < kept],
        )


class _Encoder:
    """Sorts rows into runs and single events, and keeps rule 5."""

    def __init__(self, shapes: dict[int, Shape], base_us: int) -> None:
        self._shapes = shapes
        self._base_us = base_us
        self._open: dict[tuple[str, str | None], tuple[Shape, list[int], list[Row]]] = {}
        self._blocks: list[dict[str, Any]] = []
        self._singles: list[tuple[int, dict[str, Any]]] = []
        self._position = 0

    def add(self, row: Row) -> None:
        kind = row[2]
        if isinstance(kind, str):
            self._add_event(row)
        elif kind < 0:
            values = row[4:]
            for index, name in row[3].items():
                values[int(index)] = NON_FINITE[name]
            self._add_stream(self._shapes[-1 - kind], time_of(row), values)
        else:
            self._add_stream(self._shapes[kind], time_of(row), row[3:])
        self._position += 1

    def _add_stream(self, shape: Shape, time_us: int, values: Row) -> None:
        stream = shape.type, shape.name
        run = self._open.get(stream)
        if run is None or run[0] is not shape:
            self._close(stream)
            run = self._open[stream] = (shape, [], [])
        run[1].append(self._position)
        run[2].append([time_us, *values])

    def _add_event(self, row: Row) -> None:
        event_type, data, tags = row[2], row[3], tags_of(row)
        if event_type in COLUMNAR_TYPES:
            self._close((event_type, data["name"] if event_type in STREAM_TYPES else None))
        else:
            self.close_all()
        event = {"type": event_type, "t": time_of(row) - self._base_us, "data": data}
        if tags:
            event["tags"] = tags
        self._blocks.append(event)

    def _close(self, stream: tuple[str, str | None]) -> None:
        run = self._open.pop(stream, None)
        if run is None:
            return
        shape, positions, rows = run
        times, *columns = zip(*rows, strict=True)
        self._blocks.append(encode_run(shape, positions, times, columns, self._base_us))

    def close_all(self) -> None:
        for stream in list(self._open):
            self._close(stream)

    def blocks(self) -> list[dict[str, Any]]:
        self.close_all()
        return self._blocks


def encode_run(
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
                    tags.append(
                        [
                            [key, index],
                            next(kind for kind, same in NON_FINITE.items() if repr(same) == repr(value)),
                        ]
                    )
                    column[index] = None
        encoded[key] = column
    if len(positions) == 1:
        fields = {key: column[0] for key, column in encoded.items()}
        data = {"name": shape.name, "fields": fields} if shape.named else fields
        event: dict[str, Any] = {"type": shape.type, "t": times[0] - base_us, "data": data}
        if tags:
            root = ["fields"] if shape.named else []
            event["tags"] = [[[*root, path[0]], kind] for path, kind in tags]
        return event
    block: dict[str, Any] = {"type": shape.type}
    if shape.named:
        block["name"] = shape.name
    block["n"] = len(positions)
    contiguous = positions[-1] - positions[0] + 1 == len(positions)
    block["at"] = positions[0] if contiguous else encode_column(positions)
    block["t"] = encode_column([time_us - base_us for time_us in times])
    block["columns"] = encoded
    if tags:
        block["tags"] = tags
    return block


def split_definitions(rows: list[Row], shapes: dict[int, Shape]) -> list[Row]:
    """The events among `rows`; definitions go into `shapes`."""
    events = []
    for row in rows:
        if row[1] is None:
            number, shape = define(row)
            shapes[number] = shape
        else:
            events.append(row)
    return events


def encode_events(rows: list[Row], shapes: dict[int, Shape], base_us: int) -> bytes:
    """The JSON array of blocks for rows (definitions taken out), in order; times become relative to `base_us`."""
    kinds = {row[2] for row in rows}
    if len(kinds) == 1 and type(kind := rows[0][2]) is int and kind >= 0:
        # What a tight loop writes: one stream, nothing odd.  Transposing it in C is what makes the committer cheap.
        _, times, _, *columns = zip(*rows, strict=True)
        return orjson.dumps([encode_run(shapes[kind], range(len(rows)), times, columns, base_us)])
    encoder = _Encoder(shapes, base_us)
    for row in rows:
        encoder.add(row)
    return orjson.dumps(encoder.blocks())


def decode_events(data: bytes, count: int) -> list[Block]:
    """The blocks of a commit's `events`.  Raises CodecError when they are not `count` events, or not events."""
    try:
        blocks = orjson.loads(data)
        runs = [_run_positions(block) for block in blocks]
        free = iter(range(count))
        if None in runs and len(runs) > 1:
            taken = {position for positions in runs if positions is not None for position in positions}
            free = iter([position for position in free if position not in taken])
        decoded = [_decode_block(block, positions, free) for block, positions in zip(blocks, runs, strict=True)]
    except (ValueError, KeyError, TypeError, IndexError, StopIteration) as error:
        raise CodecError(f"a commit of {count} events cannot be decoded: {error!r}") from error
    if sum(block.count for block in decoded) != count:
        raise CodecError(f"a commit of {count} events holds {sum(block.count for block in decoded)}")
    return decoded


def _run_positions(block: dict[str, Any]) -> Sequence[int] | None:
    if "columns" not in block:
        return None
    at, count = block["at"], block["n"]
    return range(at, at + count) if isinstance(at, int) else decode_column(at, count)


def _decode_block(block: dict[str, Any], positions: Sequence[int] | None, free: Iterator[int]) -> Block:
    tags = block.get("tags") or []
    if positions is None:
        data = block["data"]
        data = from_plain(data, tags) if tags else data
        return Block(block["type"], (next(free),), data, False, None, [block["t"]], {}, [])
    return Block(block["type"], positions, None, "name" in block, block.get("name"), block["t"], block["columns"], tags)


def events_of(blocks: list[Block], first: int, time_us: int, writer: str, session: str) -> list[Event]:
    """The events of one commit, one by one, in order."""
    events = [
        Event(first + position, block.type, event_us, payload, writer, session)
        for block in blocks
        for position, event_us, payload in zip(block.positions, block.times_us(time_us), block.payloads(), strict=True)
    ]
    events.sort(key=lambda event: event.seq)
    return events
