"""One accepted event as one line of a spool: what a recording call writes before it returns.

After its header a spool file holds rows.  A row is a line `sum,[…]`: the Adler-32 of the array's text in decimal, a
comma, a JSON array.  Four kinds of array, told apart by their first two members:

 1. `[null,"define",shape,type,named,name,[key,…]]`   gives a number to a type, a name and a list of fields
 2. `[t,shape,value,…]`                               an event of that shape: its time in nanoseconds, its values
 3. `[t,-1-shape,{"index":kind,…},value,…]`           the same, with values that are not finite floats, by index
 4. `[t,type,data]` or `[t,type,data,tags]`           any other event; tags as in `values.py`

Kinds 2, 3 and 4 are events and count; a definition does not.  A shape is defined before its first use in the same
file.  A row is valid if and only if it ends in a newline and begins with the sum of what it holds, in decimal digits
without leading zeros; so is the header.  What is behind the last valid row was never returned to the caller.

Numbers instead of field names make a row short.  The sum stands before the array, not in it, and the time is what the
clock says, because taking a row apart is the committer's work and putting it together is the training thread's.  What a
kill or a power failure leaves is a row with zeros in it or without its end, and any sum tells that; Adler-32 also tells
every one and two changed bits of such short rows, and costs half of a CRC.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import Any
from zlib import adler32

import orjson

from .values import Tag, to_plain

DEFINE = "define"
NON_FINITE = {"nan": nan, "inf": inf, "-inf": -inf}

_QUOTATION_MARK = ord('"')
# A value of an event may read like the mark; only in a definition does it follow the sum.
_DEFINITION_MARK = b',[null,"%b",' % DEFINE.encode()

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

    def payload(self, values: Sequence[Any]) -> dict[str, Any]:
        """The payload that an event of this shape with these values has."""
        fields = dict(zip(self.keys, values, strict=True))
        return {"name": self.name, "fields": fields} if self.named else fields

    def path(self, key: str) -> list[str]:
        """Where the payload has the value of a field."""
        return ["fields", key] if self.named else [key]


def seal(body: bytes) -> bytes:
    """The row of an array's text."""
    return b"%d,%b\n" % (adler32(body), body)


def unseal(line: bytes) -> bytes | None:
    """What a row holds, given without its newline; None where it is not valid."""
    total, comma, body = line.partition(b",")
    return body if comma and total == b"%d" % adler32(body) else None


def definition_row(number: int, shape: Shape) -> bytes:
    """A row of kind 1.  Raises TypeError for names that JSON cannot say: events of such a shape are of kind 4."""
    for name in shape.keys if shape.name is None else (shape.name, *shape.keys):
        if type(name) is not str:
            raise TypeError(f"a name is {name!r:.100}, expected a string")
    return orjson.dumps([None, DEFINE, number, shape.type, shape.named, shape.name, shape.keys])


def stream_row(time_ns: int, number: int, shape: Shape, values: tuple[Any, ...]) -> bytes:
    """A row of kind 2, 3 or 4, whichever can say these values.  Never raises, whatever the values are."""
    plain, tags = to_plain(list(values))
    if not tags:
        return orjson.dumps((time_ns, number, *plain))
    if all(len(tag[0]) == 1 and tag[1] in NON_FINITE for tag in tags):
        return orjson.dumps((time_ns, -1 - number, {str(tag[0][0]): tag[1] for tag in tags}, *plain))
    for tag in tags:
        index, *inside = tag[0]
        tag[0] = [*shape.path(shape.keys[index]), *inside]
    return orjson.dumps((time_ns, shape.type, shape.payload(plain), tags))


def event_row(time_ns: int, event_type: str, data: dict[str, Any]) -> bytes:
    """A row of kind 4.  Never raises, whatever the payload holds; the names of its own members are strings."""
    plain, tags = to_plain(data)
    return orjson.dumps((time_ns, event_type, plain, tags) if tags else (time_ns, event_type, plain))


def parse_rows(lines: bytes) -> list[Row]:
    """The rows of whole lines that this process wrote itself; their sums are not looked at."""
    rows: list[Row] = orjson.loads(b"[" + lines[:-1].replace(b"\n", b",") + b"]")[1::2]
    return rows


def valid_length(data: bytes) -> int:
    """How many bytes of `data`, which another process may have left torn, are valid rows."""
    length = 0
    while (end := data.find(b"\n", length)) >= 0:
        comma = data.find(b",", length, end)
        if comma < 0 or data[length:comma] != b"%d" % adler32(data[comma + 1 : end]):
            break
        length = end + 1
    return length


def count_events(lines: bytes) -> int:
    """How many of these whole rows are events."""
    count = lines.count(b"\n")
    # Looking for the quotation mark first is twenty times as fast, and rows of numbers have none.
    at = lines.find(_DEFINITION_MARK) if _QUOTATION_MARK in lines else -1
    while at >= 0:
        count -= lines[lines.rfind(b"\n", 0, at) + 1 : at].isdigit()
        at = lines.find(_DEFINITION_MARK, at + 1)
    return count


def length_of_events(lines: bytes, count: int) -> int:
    """How many bytes of these whole rows the first `count` events take, and the definitions between them."""
    length = 0
    while count > 0:
        count -= not lines.startswith(_DEFINITION_MARK, lines.index(b",", length))
        length = lines.index(b"\n", length) + 1
    return length


def define(row: Row) -> tuple[int, Shape]:
    """The number and the shape that a row of kind 1 gives."""
    _, _, number, event_type, named, name, keys = row
    return number, Shape(event_type, named, name, tuple(keys))


def time_of(row: Row) -> int:
    """Microseconds since 1970."""
    time_us: int = row[0] // 1000
    return time_us


def tags_of(row: Row) -> list[Tag]:
    """The tags of a row of kind 4."""
    return row[3] if len(row) > 3 else []
