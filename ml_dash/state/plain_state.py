"""State ↔ plain data, exactly: for the checkpoint, and for the event with which a fork begins.

A mapping whose keys are all text stands as an object, any other as the list of its entries: a name may be null.  Values
that users recorded stand as they are; in the checkpoint all of it goes through the value policy of `facts/values.py`,
so NaN, infinities and integers of any size come back as they were.

What a fork begins with is kept for ever (`spec/events.md` has the table): a member that this release does not know is
passed over, one that is not there has the default of its noun.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from ..facts.values import from_plain, to_plain
from .nouns import (
    Correction,
    FieldState,
    FileState,
    Fork,
    FrozenDict,
    MetricState,
    ReachState,
    Redaction,
    Rewind,
    Session,
    State,
    TrackState,
    WriterState,
)
from .status import Status

FOLD_VERSION = 2
"""Raised whenever the same events fold to another state, or a state reads otherwise: what was kept before is then of no
use."""
NOT_AT_A_GLANCE = ("params", "metrics", "tracks", "files", "log_counts", "output_counts", "unknown")
"""The mappings of a state that are empty at a glance."""
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
    MetricState: {"fields": FieldState, "reaches": ReachState},
    ReachState: {"steps": None},
    Rewind: {"steps": None},
}
"""Members that are mappings, and the nouns that they lead to; None for numbers and for what users recorded."""
_TUPLES: dict[type[Any], dict[str, type[Any] | None]] = {
    State: {"tags": None, "bindrs": None},
    Session: {"writers": None, "rewinds": Rewind},
    MetricState: {"tags": None},
    TrackState: {"fields": None},
    FileState: {"tags": None, "bindrs": None},
}
_NOUNS: dict[type[Any], dict[str, type[Any]]] = {State: {"fork": Fork}}
"""Members that are another noun, or None."""
_names_of: dict[type[Any], frozenset[str]] = {}
"""The members of a noun: asking for them takes longer than making one."""


def to_plain_state(state: State) -> dict[str, Any]:
    """What `from_plain_state` reads; orjson can write it."""
    plain, tags = to_plain(state_members(state))
    return {"state": plain, "tags": tags}


def from_plain_state(plain: Mapping[str, Any]) -> State:
    """The state again.  Raises KeyError, TypeError, ValueError or AttributeError where it is not one."""
    return from_state_members(from_plain(plain["state"], plain["tags"]))


def glance_of(state: State) -> State:
    """The state without what no list of experiments shows, and what can be as long as one likes: parameters, metrics,
    tracks, files, the counts of lines, metadata, the surroundings of sessions and how they failed."""
    without: dict[str, Any] = dict.fromkeys(NOT_AT_A_GLANCE, FrozenDict())
    sessions = {key: replace(each, environment=None, error=None) for key, each in state.sessions.items()}
    return replace(state, **without, metadata=None, sessions=FrozenDict(sessions))


def state_members(state: State) -> dict[str, Any]:
    """What `from_state_members` reads: dicts and lists, and values that users recorded."""
    return _members(state)


def from_state_members(members: Mapping[str, Any]) -> State:
    """The state again.  Raises KeyError, TypeError, ValueError or AttributeError where it is not one."""
    return _build(State, members)  # type: ignore[no-any-return]


def _members(noun: Any) -> dict[str, Any]:
    return {field.name: _member(getattr(noun, field.name)) for field in fields(noun)}


def _member(value: Any) -> Any:
    if isinstance(value, FrozenDict):
        entries = {key: _member(entry) for key, entry in value.items()}
        return entries if all(isinstance(key, str) for key in entries) else [list(entry) for entry in entries.items()]
    if isinstance(value, tuple):
        return [_member(entry) for entry in value]
    return _members(value) if is_dataclass(value) else value


def _build(noun: type[Any], members: Mapping[str, Any]) -> Any:
    known = _names(noun)
    built = dict(members)
    if not built.keys() <= known:
        built = {name: value for name, value in built.items() if name in known}
    for name, entry in _MAPPINGS.get(noun, {}).items():
        if name in built:
            entries = built[name].items() if isinstance(built[name], dict) else built[name]
            built[name] = FrozenDict({key: _entry(entry, value) for key, value in entries})
    for name, entry in _TUPLES.get(noun, {}).items():
        if name in built:
            built[name] = tuple(_entry(entry, value) for value in built[name])
    for name, entry in _NOUNS.get(noun, {}).items():
        if built.get(name) is not None:
            built[name] = _build(entry, built[name])
    if noun is Session and "status" in built:
        built["status"] = Status(built["status"])
    if noun is ReachState and "steps" in built:
        built["steps"] = FrozenDict({name: (low, high) for name, (low, high) in built["steps"].items()})
    return noun(**built)


def _names(noun: type[Any]) -> frozenset[str]:
    names = _names_of.get(noun)
    if names is None:
        names = _names_of[noun] = frozenset(field.name for field in fields(noun))
    return names


def _entry(noun: type[Any] | None, value: Any) -> Any:
    return value if noun is None else _build(noun, value)
