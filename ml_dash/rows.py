"""One accepted event as one line of a spool: what a recording call writes before it returns.

A spool is JSON Lines.  Every line after the header is an array whose first member is the CRC-32 of what stands between
the first comma and the newline, both excluded.  Four kinds of line, told apart by their second and third member:

 1. `[crc,null,"define",shape,type,named,name,[key,…]]`   gives a number to a type, a name and a list of fields
 2. `[crc,t,shape,value,…]`                             an event of that shape: its time in microseconds, its values
 3. `[crc,t,-1-shape,{"index":kind,…},value,…]`         the same, with values that are not finite floats, by index
 4. `[crc,t,type,data]` or `[crc,t,type,data,tags]`     any other event; tags as in `values.py`

Kinds 2, 3 and 4 are events and count; a definition does not.  A shape is defined before its first use in the same
file.  A row is valid if and only if it ends in a newline, its CRC agrees, and it is one of the four kinds; reading a
spool stops at the first row that is not valid, because what follows was never returned to the caller.

Numbers instead of field names make the line short, which is most of the cost of a recording call.

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan
from typing import Any
from zlib import crc32

import orjson

from .values import Tag, to_plain

DEFINE = "define"
NON_FINITE = {"nan": nan, "inf": inf, "-inf": -inf}

Row = list[Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the events of one stream have in common: type, name and fields.

    `named` tells `{"name": name, "fields": {…}}` payloads (metrics, tracks) from flat ones (log lines).
    """

    type: str
    named: bool
    name: str | None
    keys: tuple[str, ...]

    def payload(self, values: Row) -> dict[str, Any]:
        """The payload that an event of this shape with these values has."""
        fields = dict(zip(self.keys, values, strict=True))
        return {"name": self.name, "fields": fields} if self.named else fields


def seal(body: bytes) -> bytes:
    """A spool line from the JSON of a row without its CRC: `[t,…]` becomes `[crc,t,…]` and a newline."""
    rest = body[1:]
    return b"[%d,%b\n" % (crc32(rest), rest)


def definition_row(number: int, shape: Shape) -> bytes:
    """A row of kind 1."""
    return orjson.dumps([None, DEFINE, number, shape.type, shape.named, shape.name, shape.keys])


def stream_row(time_us: int, number: int, shape: Shape, values: tuple[Any, ...]) -> bytes:
    """A row of kind 2, 3 or 4, whichever can say these values.  Never raises, whatever the values are."""
    plain, tags = to_plain(list(values))
    if not tags:
        return orjson.dumps((time_us, number, *plain))  # type: ignore[misc]
    if all(len(tag[0]) == 1 and tag[1] in NON_FINITE for tag in tags):
        return orjson.dumps((time_us, -1 - number, {str(tag[0][0]): tag[1] for tag in tags}, *plain))  # type: ignore[misc]
    return event_row(time_us, shape.type, shape.payload(list(values)))


def event_row(time_us: int, event_type: str, data: dict[str, Any]) -> bytes:
    """A row of kind 4.  Never raises, whatever the payload holds."""
    plain, tags = to_plain(data)
    return orjson.dumps((time_us, event_type, plain, tags) if tags else (time_us, event_type, plain))


def parse_rows(lines: bytes) -> list[Row]:
    """The rows of whole lines that this process wrote itself; their CRC is not looked at."""
    rows: list[Row] = orjson.loads(b"[" + lines[:-1].replace(b"\n", b",") + b"]")
    return rows


def valid_length(data: bytes) -> int:
    """How many bytes of `data`, which another process may have left torn, are valid rows."""
    length = 0
    while (end := data.find(b"\n", length)) >= 0:
        comma = data.find(b",", length, end)
        if comma < 0 or data[length:comma] != b"[%d" % crc32(data[comma + 1 : end]):
            break
        length = end + 1
    return length


def define(row: Row) -> tuple[int, Shape]:
    """The number and the shape that a row of kind 1 gives."""
    _, _, _, number, event_type, named, name, keys = row
    return number, Shape(event_type, named, name, tuple(keys))


def time_of(row: Row) -> int:
    """Microseconds since 1970."""
    time_us: int = row[1]
    return time_us


def tags_of(row: Row) -> list[Tag]:
    """The tags of a row of kind 4."""
    return row[4] if len(row) > 4 else []
