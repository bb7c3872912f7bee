"""Values that were taken out of the bytes of a commit: what `event.redacted` says, and where a value stands in a line.

What is put in the place of a value is a text of as many bytes, so that nothing else moves: `[redacted]` and asterisks,
or asterisks alone where there is less room.

Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from ..facts.events import EVENT_REDACTED, Event
from .draft import text, text_or_none
from .nouns import Redaction

MARKER = "[redacted]"
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[\[\]{},:]')

Path = tuple[Any, ...]


def redaction_of(event: Event) -> Redaction:
    """What an `event.redacted` says.  Raises KeyError, TypeError or ValueError where its payload is malformed."""
    data = event.data
    redacted, patches = data["seq"], data["patches"]
    numbers = [redacted, data["segment"], data["offset"], data["bytes"]]
    if any(type(number) is not int or number < 0 for number in numbers) or not 0 < redacted < event.seq:
        raise ValueError("a redaction names an earlier event, and where the line with it stands")
    if not isinstance(patches, dict) or any(
        not at.isdecimal() or new != marker(len(new)) for at, new in patches.items()
    ):
        # Nothing else: who redacts can take values out of history, and never put any in.
        raise ValueError("patches are markers by the offset in the line")
    return Redaction(
        event.seq,
        redacted,
        text_or_none(data.get("field")),
        text_or_none(data.get("reason")),
        text_or_none(data.get("by")),
        event.time_us,
        data["segment"],
        data["offset"],
        data["bytes"],
        text(data["hash"]),
        text(data["now"]),
        patches,
    )


def declaration(redaction: Redaction) -> dict[str, Any]:
    """The payload of the `event.redacted` that a redaction comes from."""
    return {
        "seq": redaction.redacted,
        "field": redaction.field,
        "reason": redaction.reason,
        "by": redaction.by,
        "segment": redaction.segment,
        "offset": redaction.offset,
        "bytes": redaction.bytes,
        "hash": redaction.hash,
        "now": redaction.now,
        "patches": dict(redaction.patches),
    }


def redactions_in(events: Iterable[Event]) -> list[Redaction]:
    """The well-formed ones."""
    found = []
    for event in events:
        if event.type == EVENT_REDACTED:
            try:
                found.append(redaction_of(event))
            except (KeyError, TypeError, ValueError, AttributeError):
                continue
    return found


def marker(length: int) -> str:
    """What stands in the place of `length` bytes of JSON, as JSON; at least 2, which are the quotes."""
    inside = length - 2
    return f'"{MARKER.ljust(inside, "*") if inside >= len(MARKER) else "*" * inside}"'


def leaves_in(data: bytes) -> Iterator[tuple[Path, int, int]]:
    """Every text and number that is a value in a JSON document without white space: its path from the root, and where
    it begins and ends, quotes included."""
    path: list[Any] = []
    is_key = False
    for found in _TOKEN.finditer(data):
        token = found[0]
        first = token[:1]
        if first in b"{[":
            path.append(None if first == b"{" else 0)
            is_key = first == b"{"
        elif first in b"}]":
            path.pop()
            is_key = False
        elif first == b",":
            is_key = not isinstance(path[-1], int)
            if not is_key:
                path[-1] += 1
        elif first == b":":
            is_key = False
        elif first == b'"':
            if is_key:
                path[-1] = _unquoted(token)
            else:
                yield tuple(path), found.start(), found.end()
        elif first in b"-0123456789":
            yield tuple(path), found.start(), found.end()


def _unquoted(token: bytes) -> str:
    key: str = orjson.loads(token)
    return key
