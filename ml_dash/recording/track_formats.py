"""Rows of a track as entries, JSON Lines, Parquet and motion capture frames.

1. An entry is the row's fields in the order in which they were appended, behind its time under `timestamp`, in seconds.
   A field that an entry does not have is absent, not null.
2. A column is asked for by its name, or by that of a dict whose parts it holds: `pose` means `pose.x` too.
3. The time never hides a field: a field called as the time is shows with `_` behind its name.
4. JSON Lines are what Python's `json` reads: NaN and infinities stand as `NaN` and `Infinity`.  What JSON cannot say
   stands in its plain form (`spec/values.md`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from io import BytesIO
from itertools import groupby, islice
from typing import Any

from ..facts.values import from_plain, to_plain
from ..reading.column_exports import to_arrow
from ..reading.typed_columns import Gap, Piece, TypedColumn
from .extras import optional

Row = tuple[float, dict[str, Any]]
Entry = dict[str, Any]

_SAID_BY_JSON = {"nan", "inf", "-inf", "int", "surrogates"}


def select(rows: Iterable[Row], columns: Iterable[str]) -> list[Row]:
    """Rule 2: the same rows, with nothing but these columns."""
    wanted = set(columns)
    parts = tuple(f"{column}." for column in wanted)
    return [
        (time, {key: fields[key] for key in fields if key in wanted or key.startswith(parts)}) for time, fields in rows
    ]


def entries_of(rows: Iterable[Row]) -> list[Entry]:
    """Rules 1 and 3."""
    return [_behind_time("timestamp", row) for row in rows]


def _behind_time(key: str, row: Row) -> Entry:
    time, fields = row
    if key not in fields:
        return {key: time, **fields}
    entry = {key: time}
    for name, value in fields.items():
        while name == key or (name.startswith(key) and name in entry):
            name += "_"
        entry[name] = value
    return entry


def to_jsonl(entries: Iterable[Entry]) -> bytes:
    """One entry a line, no newline at the end."""
    return "\n".join(map(_json, entries)).encode("ascii")


def _json(value: Any) -> str:
    plain, tags = to_plain(value)
    return json.dumps(from_plain(plain, [tag for tag in tags if tag[1] in _SAID_BY_JSON]) if tags else plain)


def to_parquet(entries: Sequence[Entry]) -> bytes:
    """An Arrow table in Parquet, Zstandard-compressed: one column a field, null where an entry has none.

    A column of mixed types, or with a dict in it, holds the JSON text of each value.  Raises MissingExtraError without
    pyarrow.
    """
    optional("pyarrow", "ml_dash[analysis]", "reading a track as Parquet")
    parquet = optional("pyarrow.parquet", "ml_dash[analysis]", "reading a track as Parquet")
    names = dict.fromkeys(name for entry in entries for name in entry) if entries else {"timestamp": None}
    file = BytesIO()
    parquet.write_table(to_arrow({name: _column(entries, name) for name in names}), file, compression="zstd")
    return file.getvalue()


def _column(entries: Sequence[Entry], name: str) -> TypedColumn:
    values = [entry[name] for entry in entries if name in entry]
    if any(map(_holds_dict, values)):
        # Parquet has no dict without keys, and Arrow gives every dict of a column the keys of all others.
        values = [None if value is None else _json(value) for value in values]
    left = iter(values)
    pieces: list[Piece] = []
    for is_there, group in groupby(name in entry for entry in entries):
        count = len(list(group))
        pieces.append(list(islice(left, count)) if is_there else Gap(count))
    return TypedColumn(pieces)


def _holds_dict(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_holds_dict, value)))


def to_mocap(topic: str, rows: Sequence[Row]) -> dict[str, Any]:
    """`version`, `metadata` (topic, frameCount; duration, startTime, endTime in seconds; fps as the mean rate), the
    sorted names of `channels`, and `frames` with their `time`."""
    first, last = (rows[0][0], rows[-1][0]) if rows else (0, 0)
    duration = last - first
    return {
        "version": "1.0",
        "metadata": {
            "topic": topic,
            "fps": (len(rows) - 1) / duration if duration > 0 else 0.0,
            "duration": duration,
            "frameCount": len(rows),
            "startTime": first,
            "endTime": last,
        },
        "channels": sorted({name for _, fields in rows for name in fields}),
        "frames": [_behind_time("time", row) for row in rows],
    }
