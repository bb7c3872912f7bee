"""State ↔ plain JSON, exactly: for the checkpoint.

Every value goes through the value policy of `values.py`, so NaN, infinities, integers of any size and whatever users
recorded come back as they were.  A mapping stands as the list of its entries, because a name may be null.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from ..facts.values import from_plain, to_plain
from .nouns import (
    Correction,
    FieldState,
    FileState,
    FrozenDict,
    MetricState,
    Redaction,
    Session,
    State,
    TrackState,
    WriterState,
)
from .status import Status

FOLD_VERSION = 1
"""Raised whenever the same events fold to another state, or a state reads otherwise: what was kept before is then of no
use."""
_MAPPINGS: dict[type[Any], dict[str, type[Any] | None]] = {
    State: {
        "sessions": Session,
        "params": None,
        "metrics": MetricState,
        "tracks": TrackState,
        "files": FileState,
        "log_counts": None,
        "output_counts": None,
        "writers": WriterState,
        "corrections": Correction,
        "redactions": Redaction,
        "unknown": None,
    },
    MetricState: {"fields": FieldState},
}
"""Members that are mappings, and the nouns that they lead to; None for numbers and for what users recorded."""
_TUPLES: dict[type[Any], tuple[str, ...]] = {
    State: ("tags", "bindrs"),
    Session: ("writers",),
    MetricState: ("tags",),
    TrackState: ("fields",),
    FileState: ("tags", "bindrs"),
}


def to_plain_state(state: State) -> dict[str, Any]:
    """What `from_plain_state` reads; orjson can write it."""
    plain, tags = to_plain(_members(state))
    return {"state": plain, "tags": tags}


def from_plain_state(plain: Mapping[str, Any]) -> State:
    """The state again.  Raises KeyError, TypeError, ValueError or AttributeError where it is not one."""
    return _build(State, from_plain(plain["state"], plain["tags"]))  # type: ignore[no-any-return]


def _members(noun: Any) -> dict[str, Any]:
    return {field.name: _member(getattr(noun, field.name)) for field in fields(noun)}


def _member(value: Any) -> Any:
    if isinstance(value, FrozenDict):
        return [[key, _members(entry) if is_dataclass(entry) else entry] for key, entry in value.items()]
    return value


def _build(noun: type[Any], members: dict[str, Any]) -> Any:
    built = dict(members)
    for name, entry in _MAPPINGS.get(noun, {}).items():
        built[name] = FrozenDict(
            {key: value if entry is None else _build(entry, value) for key, value in members[name]},
        )
    for name in _TUPLES.get(noun, ()):
        built[name] = tuple(members[name])
    if noun is Session:
        built["status"] = Status(members["status"])
    return noun(**built)
