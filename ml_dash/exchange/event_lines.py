"""One event as one line of JSON, losslessly: what `export --format jsonl` writes and `import` reads.

    {"seq": …, "type": …, "time": …, "data": …, "writer": …, "session": …}      and "tags" for what JSON cannot say

These are the members of `ml-dash events --json`.  `data` is the plain form of the value policy (`spec/values.md`), with
one change for the eyes: NaN and infinities, which their tags say, stand as "NaN", "Infinity" and "-Infinity".

Pure: no I/O.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from ..clock import from_datetime, to_datetime
from ..facts.events import Event
from ..facts.values import Tag, from_plain, to_plain

NON_FINITE_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def to_line(event: Event) -> bytes:
    """The line, its newline included."""
    plain, tags = _plain(event.data)
    line = {
        "seq": event.seq,
        "type": event.type,
        "time": to_datetime(event.time_us).isoformat().replace("+00:00", "Z"),
        "data": with_words(plain, tags),
        "writer": event.writer,
        "session": event.session,
    }
    if tags:
        line["tags"] = tags
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _plain(data: dict[str, Any]) -> tuple[Any, list[Tag]]:
    """As `to_plain`, and five times as fast for a point: its fields are all that may need more than a look."""
    if data.keys() == {"name", "fields"} and type(data["fields"]) is dict:
        name = data["name"]
        if name is None or (type(name) is str and name.isascii()):
            fields, tags = to_plain(data["fields"])
            return {"name": name, "fields": fields}, [[["fields", *path], *rest] for path, *rest in tags]
    return to_plain(data)


def from_line(line: bytes) -> Event:
    """The event again.  Raises ValueError where the line is none."""
    try:
        members = orjson.loads(line)
        seq, kind, data = members["seq"], members["type"], members["data"]
        writer, session, time = members["writer"], members["session"], members["time"]
        value = from_plain(data, members.get("tags") or [])
        if type(seq) is not int or type(value) is not dict:
            raise ValueError("seq is not a number or data is not an object")
        if not all(type(text) is str for text in (kind, writer, session)):
            raise ValueError("type, writer or session is not text")
        if not (writer.isalnum() and session.isalnum() and writer.isascii() and session.isascii()):
            raise ValueError("writer or session is not an id")
        moment = datetime.fromisoformat(time.replace("Z", "+00:00"))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event: {error!r}") from error
    return Event(seq, kind, from_datetime(moment), value, writer, session)


def with_words(plain: Any, tags: list[Tag]) -> Any:
    """The plain form, changed: NaN and infinities as words."""
    for path, kind, *_ in tags:
        word = NON_FINITE_WORDS.get(kind)
        if word is None or not path:
            continue
        holder = plain
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = word
    return plain
