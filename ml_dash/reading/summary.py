"""An experiment at a glance, as lists have it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..journal.damage import Damage, DamageKind
from ..prefix import parse_prefix
from ..state import Status
from .silence import silent_since


@dataclass(frozen=True, slots=True)
class Summary:
    """An experiment at a glance.

    `seq` is the number of its last event, `sessions` how often it was opened, `started` when it was opened last,
    `created` and `updated` when its first and its last event were recorded; times are UTC.  `forked_from` is
    `prefix@seq` of what it was forked from.  `damage` is what does not replay.  Where nothing can be read `error` says
    why, and `status` is None.  `silent_since` is when the last event was recorded of what is RUNNING and seems lost
    (`silence.py`).
    """

    prefix: str
    status: Status | None
    description: str | None = None
    tags: tuple[str, ...] = ()
    bindrs: tuple[str, ...] = ()
    seq: int = 0
    sessions: int = 0
    created: datetime | None = None
    started: datetime | None = None
    updated: datetime | None = None
    damage: tuple[Damage, ...] = ()
    error: str | None = None
    forked_from: str | None = None
    silent_since: datetime | None = None


def summary_of(members: dict[str, Any]) -> Summary:
    """What a server says of an experiment (`spec/shipping.md`).  Raises PrefixError, KeyError or ValueError."""
    known = {name: members.get(name) for name in Summary.__slots__ if name in members}
    # Whoever gets a name from a list goes on with it: to a folder, to a file.
    parse_prefix(members["prefix"])
    for name in ("seq", "sessions"):
        known[name] = int(members.get(name) or 0)
    for name in ("description", "error", "forked_from"):
        known[name] = None if members.get(name) is None else str(members[name])
    status = members.get("status")
    known["status"] = Status(status) if status in Status.__members__ else None
    for name in ("tags", "bindrs"):
        known[name] = tuple(map(str, members.get(name) or ()))
    for name in ("created", "started", "updated"):
        text = members.get(name)
        known[name] = datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
    known["silent_since"] = silent_since(known["status"], known.get("updated"))
    known["damage"] = tuple(
        Damage(**{**each, "kind": DamageKind(each["kind"])}) for each in members.get("damage") or ()
    )
    return Summary(**known)  # type: ignore[arg-type]
