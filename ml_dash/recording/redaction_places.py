"""Where in the line of a commit a value stands that is to be redacted, and what stands there instead.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from ..errors import ConfigurationError
from ..facts.codec import CodecError, decode_events
from ..facts.events import EVENT_REDACTED, Event
from ..journal.format import HASH_TAIL_BYTES, CommitLine
from ..state.corrections import CORRECTABLE
from ..state.redactions import Path, leaves_in, marker

KEPT = frozenset("session parent id seq level stream name checksum segment offset bytes hash now patches".split())
"""Members that other events refer to, or that say what an event is: no secret stands there."""


def patches_for(line: CommitLine, line_bytes: int, event: Event, field: str | None) -> dict[str, str]:
    """What is to stand where, by offset in the line of `line_bytes` without newline.

    Raises ConfigurationError.
    """
    index, inside = _block_of(line, event.seq)
    block = orjson.loads(line.events)[index]
    wanted = _wanted(event, field)
    if inside is None:
        places = [(index, "data", *path) for path in wanted]
    else:
        places = [place for path in wanted for place in _in_columns(block, index, inside, path, event)]
    tags = [
        (index, "data", *tag[0]) if inside is None else (index, "columns", *tag[0]) for tag in block.get("tags", ())
    ]
    start = line_bytes - HASH_TAIL_BYTES - len(line.events)
    patches: dict[str, str] = {}
    is_found = False
    for path, begin, end in leaves_in(line.events):
        place = next((place for place in places if path[: len(place)] == place), None)
        is_text = line.events[begin : begin + 1] == b'"'
        if place is None or end - begin < 3 - is_text or not (is_text or path == place):
            continue
        if inside is None and any(name in KEPT for name in path[2:3]):
            continue
        if any(path[: len(tag)] == tag or tag[: len(path)] == path for tag in tags):
            raise ConfigurationError(
                f"{path[-1]!r:.100} of event {event.seq} stands in a form (spec/values.md) without room for a marker"
            )
        is_found = True
        new, old = marker(end - begin), line.events[begin:end]
        if old != new.encode("ascii"):
            patches[str(start + begin)] = new
    if not is_found:
        raise ConfigurationError(f"event {event.seq} ({event.type}) has no text{_there(field)} that could be redacted")
    return patches


def _there(field: str | None) -> str:
    return "" if field is None else f" in {field!r:.100}, and no number of two digits or more there,"


def _block_of(line: CommitLine, seq: int) -> tuple[int, int | None]:
    """Which block of the commit holds the event, and at which place of its columns; None: by itself."""
    position = seq - line.first
    for index, block in enumerate(decode_events(line.events, line.count)):
        if position in block.positions:
            return index, None if block.data is not None else list(block.positions).index(position)
    raise CodecError(f"no block holds event {seq}")


def _wanted(event: Event, field: str | None) -> Iterator[Path]:
    """Paths in the payload.  Raises ConfigurationError."""
    data = event.data
    holder = CORRECTABLE.get(event.type)
    members: Any = data.get(holder) if holder is not None else data
    head: Path = (holder,) if holder is not None else ()
    if event.type == EVENT_REDACTED:
        raise ConfigurationError(f"event {event.seq} is what a redaction says of itself, and stays as it is")
    if field is None:
        if event.type not in CORRECTABLE and event.type != "experiment.described":
            raise ConfigurationError(
                f"event {event.seq} is of type {event.type}: say which of its members to redact, of {', '.join(data)}"
            )
        return iter([(*head, name) for name in members])
    tail = _resolve(members, field)
    if tail is None or (tail[0] in KEPT and holder is None):
        raise ConfigurationError(
            f"field {field!r:.100}: event {event.seq} ({event.type}) has {', '.join(map(repr, members))}"
            + (f"; {', '.join(sorted(KEPT & set(members)))} cannot be redacted" if KEPT & set(members) else "")
        )
    return iter([(*head, *tail)])


def _resolve(members: Any, field: str) -> Path | None:
    """`a.b` is a member of that name, or `b` in member `a`; items of lists go by their number."""
    if isinstance(members, dict):
        if field in members:
            return (field,)
        for name in members:
            if isinstance(name, str) and field.startswith(f"{name}."):
                rest = _resolve(members[name], field[len(name) + 1 :])
                if rest is not None:
                    return (name, *rest)
    if isinstance(members, list):
        first, _, rest_text = field.partition(".")
        if first.isdigit() and int(first) < len(members):
            if not rest_text:
                return (int(first),)
            rest = _resolve(members[int(first)], rest_text)
            return None if rest is None else (int(first), *rest)
    return None


def _in_columns(block: dict[str, Any], index: int, inside: int, path: Path, event: Event) -> list[Path]:
    """Where column `path` has the value of an event.  Raises ConfigurationError for numbers that stand packed."""
    key, *rest = path[1:] if "name" in block else path
    if "name" not in block and key in KEPT:
        return []
    column = block["columns"][key]
    if isinstance(column, list):
        return [(index, "columns", key, inside, *rest)]
    if isinstance(column.get("same"), str) and not rest:
        return [(index, "columns", key, "same")]
    if isinstance(event.data.get("fields", event.data).get(key), str):
        raise ConfigurationError(f"{key!r:.100} of event {event.seq} stands in a form that has no room for a marker")
    return []
