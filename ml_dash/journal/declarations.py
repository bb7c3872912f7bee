"""What is declared as redacted in a journal: by its own events, or told by the server that a copy of it comes from.

  _journal/redactions/<sha256>.json      the payload of an `event.redacted` (`spec/events.md`), named by its hash

A server takes a value out of a line as soon as that is declared to it, which is before it is sent the event that
declares it.  So a copy may hold such lines and not that event, and without more its reader would take them for damage.

1. Whoever brings bytes from a server asks it for its declarations after it has received the bytes, and has written
   these here, synced, before the bytes.  The server stores a declaration before it replaces a byte, and keeps it for
   ever: so whatever line stands here replaced, its declaration stands here too, at every moment.
2. A file appears whole and is never changed or removed, whoever else is bringing the same: as long as there are as
   many, they are the same.
3. A declaration is no event: the state has a redaction once its event has come.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from ..facts.codec import CodecError, decode_events, events_of
from ..facts.events import EVENT_REDACTED, Event
from .format import CommitLine
from .replacing import replace_file

if TYPE_CHECKING:
    from ..state.nouns import Redaction
    from .folder import JournalFolder

REDACTED_IN_BYTES = b'"type":"%b"' % EVENT_REDACTED.encode("ascii")
"""Stands in the bytes of every commit that may declare a redaction."""

Place = tuple[int, int]
"""A segment and an offset in it."""


def declared_in(line: CommitLine) -> list[Redaction]:
    """What the events of a commit declare."""
    if REDACTED_IN_BYTES not in line.events:
        return []
    # Most readers never come here, and need not wait for the fold to be loaded.
    from ..state.redactions import redactions_in

    try:
        blocks = decode_events(line.events, line.count)
        return redactions_in(events_of(blocks, line.first, line.time_us, line.writer, line.session))
    except CodecError:
        return []


def redaction_in(payload: object) -> Redaction | None:
    """A declaration that stands by itself; None where it is malformed."""
    from ..state.redactions import redactions_in

    if not isinstance(payload, dict) or type(payload.get("seq")) is not int or not 0 < payload["seq"] < 2**63:
        return None
    found = redactions_in([Event(payload["seq"] + 1, EVENT_REDACTED, 0, payload, "", "")])
    return found[0] if found else None


def add_to(known: dict[Place, Redaction], more: Iterable[Redaction]) -> None:
    """Of several declarations of one line, in whatever order, the one with most patches is the last: it repeats those
    of the ones before."""
    for each in more:
        before = known.get((each.segment, each.offset))
        if before is None or len(before.patches) <= len(each.patches):
            known[each.segment, each.offset] = each


def told(folder: JournalFolder) -> list[Redaction]:
    """What a server told.  Raises OSError."""
    return [each for each in (_read(folder, name) for name in _names(folder)) if each is not None]


def told_count(folder: JournalFolder) -> int:
    """Another number where more has been told since."""
    return len(_names(folder))


def tell(folder: JournalFolder, payloads: Iterable[dict[str, Any]]) -> None:
    """Rules 1 and 2: from here on every reader of this folder knows of these; what is malformed is left out.

    Raises OSError.
    """
    sound = (each for each in payloads if redaction_in(each) is not None)
    contents = [orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in sound]
    known = set(_names(folder)) if contents else set()
    missing = {name: data for data in contents if (name := f"{sha256(data).hexdigest()}.json") not in known}
    if not missing:
        return
    disk = folder.disk
    disk.make_folder(folder.redactions_folder)
    for name, data in missing.items():
        replace_file(disk, f"{folder.redactions_folder}/{name}", data, is_synced=True)
    disk.sync_folder(folder.redactions_folder)


def _names(folder: JournalFolder) -> list[str]:
    return sorted(name for name in folder.disk.list_names(folder.redactions_folder) if name.endswith(".json"))


def _read(folder: JournalFolder, name: str) -> Redaction | None:
    descriptor = folder.disk.open_read(f"{folder.redactions_folder}/{name}")
    try:
        data = folder.disk.read_at(descriptor, 0, folder.disk.size_of(descriptor))
    finally:
        folder.disk.close(descriptor)
    try:
        return redaction_in(orjson.loads(data))
    except ValueError:
        return None
