"""The difference of two states: of two experiments, or of two moments of one.

 1. What is compared is a `View`: how things stand, not how they came to be.  Numbers of events, times, sessions and log
    lines are no part of it.
 2. Values are the same if they are of the same type and nothing tells them apart: NaN is NaN, `1` is not `1.0`, `0.0`
    is not `-0.0`.  The order of names does not count.
 3. The difference of a state from itself is empty, and that of a and b applied to the view of a gives the view of b.
 4. A metric is its summary over all attempts: points, and the last, least, greatest and sum of each field.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

from .nouns import FieldState, FrozenDict, MetricState, State, TrackState
from .standing import standing_files
from .status import Status


class Absent(Enum):
    """What stands for a value that is not there; None is a value that users record."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """What of a metric is compared."""

    points: int
    fields: Mapping[str, FieldState]
    description: str | None
    tags: tuple[str, ...]
    metadata: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What of the newest version of a file is compared; `checksum` is SHA-256 in hex."""

    checksum: str
    size_bytes: int
    content_type: str
    description: str | None
    tags: tuple[str, ...]
    bindrs: tuple[str, ...]
    metadata: dict[str, Any] | None


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What of a state is compared.

    `params` is flat.  `metadata` has `description`, `tags` and `bindrs` where they are set, and `metadata.<key>` for
    each key of the metadata.  `files` are those that are not deleted, by path and name without a leading slash.
    """

    status: Status
    params: Mapping[str, Any]
    metadata: Mapping[str, Any]
    metrics: Mapping[str | None, MetricSummary]
    tracks: Mapping[str, TrackState]
    files: Mapping[str, FileSummary]

    def __eq__(self, other: object) -> bool:
        """Rule 2: a NaN does not make a view differ from itself."""
        return is_same(self, other)

    __hash__ = None  # type: ignore[assignment]


class Change(NamedTuple):
    """`old` became `new`; ABSENT stands for what is not there."""

    old: Any
    new: Any

    @property
    def is_added(self) -> bool:
        return self.old is ABSENT

    @property
    def is_removed(self) -> bool:
        return self.new is ABSENT


class HasView(Protocol):
    """A loaded run."""

    @property
    def view(self) -> View: ...


SECTIONS = ("params", "metadata", "metrics", "tracks", "files")


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not the same in b as in a: changes by name.  Empty where a and b are the same."""

    status: Change | None = None
    params: Mapping[str, Change] = field(default_factory=FrozenDict)
    metadata: Mapping[str, Change] = field(default_factory=FrozenDict)
    metrics: Mapping[str | None, Change] = field(default_factory=FrozenDict)
    tracks: Mapping[str, Change] = field(default_factory=FrozenDict)
    files: Mapping[str, Change] = field(default_factory=FrozenDict)

    def __bool__(self) -> bool:
        return not self.is_empty

    @property
    def is_empty(self) -> bool:
        return self.status is None and not any(getattr(self, section) for section in SECTIONS)

    def apply(self, a: View | HasView) -> View:
        """The view of b from that of a, or from what `ml_dash.load` gave of a.

        Raises ValueError where `a` is not what this is the difference from.
        """
        view = a if isinstance(a, View) else a.view
        status = view.status
        if self.status is not None:
            status = _replaced("status", status, self.status)
        sections = {section: _applied(getattr(self, section), getattr(view, section)) for section in SECTIONS}
        return View(status, **sections)

    def as_dict(self) -> dict[str, Any]:
        """Plain containers: `{"status": {"old", "new"} or None, section: [{"name", "old", "new"}]}`.

        What is not there has no "old" or no "new".  A metric, topic or file that is in both has `"changed": {member:
        {"old", "new"}}` instead, with `fields.<name>: {"last": {"old", "new"}, …}` for the fields of a metric.
        """
        plain: dict[str, Any] = {"status": None if self.status is None else _plain_change(self.status)}
        for section in SECTIONS:
            changes = getattr(self, section).items()
            plain[section] = [{"name": name, **_plain_change(change)} for name, change in changes]
        return plain

    def only(self, sections: tuple[str, ...]) -> Difference:
        """These sections of it, of `status` and SECTIONS."""
        return Difference(**{section: getattr(self, section) for section in sections})


def difference(a: State, b: State) -> Difference:
    """What is not the same in `b` as in `a` (rules 1 to 4)."""
    old, new = view_of(a), view_of(b)
    status = None if old.status is new.status else Change(old.status, new.status)
    sections = {section: _changes(getattr(old, section), getattr(new, section)) for section in SECTIONS}
    return Difference(status, **sections)


def view_of(state: State) -> View:
    """What of a state is compared."""
    metadata: dict[str, Any] = {}
    if state.description is not None:
        metadata["description"] = state.description
    for name in ("tags", "bindrs"):
        if getattr(state, name):
            metadata[name] = getattr(state, name)
    # A journal may hold anything there: no error of the fold, and none here.
    described: object = state.metadata
    if isinstance(described, dict):
        metadata.update({f"metadata.{key}": value for key, value in described.items()})
    elif described is not None:
        metadata["metadata"] = described
    files = {
        f"{file.path.strip('/')}/{file.filename}".lstrip("/"): FileSummary(
            **{each.name: getattr(file, each.name) for each in fields(FileSummary)}
        )
        for file in standing_files(state)
    }
    return View(
        state.status,
        state.params,
        FrozenDict(metadata),
        FrozenDict({name: _summary(metric) for name, metric in state.metrics.items()}),
        state.tracks,
        FrozenDict(files),
    )


def changed_members(change: Change) -> dict[str, Change]:
    """Of a change between two summaries, the members that differ; fields of metrics one by one, as `fields.<name>`."""
    found: dict[str, Change] = {}
    for each in fields(change.old):
        old, new = getattr(change.old, each.name), getattr(change.new, each.name)
        if isinstance(old, Mapping) and isinstance(new, Mapping) and each.name == "fields":
            found.update({f"fields.{name}": inner for name, inner in _changes(old, new).items()})
        elif not is_same(old, new):
            found[each.name] = Change(old, new)
    return found


def is_same(a: Any, b: Any) -> bool:
    """Rule 2."""
    if a is b:
        return True
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(is_same(value, b[key]) for key, value in a.items())
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(is_same, a, b))
    if is_dataclass(a):
        return all(is_same(getattr(a, each.name), getattr(b, each.name)) for each in fields(a))
    return bool(a == b)


def _summary(metric: MetricState) -> MetricSummary:
    return MetricSummary(metric.count, metric.fields, metric.description, metric.tags, metric.metadata)


def _changes(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> FrozenDict[Any, Change]:
    names = dict.fromkeys([*old, *new])
    pairs = {name: Change(old.get(name, ABSENT), new.get(name, ABSENT)) for name in names}
    return FrozenDict({name: change for name, change in pairs.items() if not is_same(change.old, change.new)})


def _applied(changes: Mapping[Any, Change], old: Mapping[Any, Any]) -> FrozenDict[Any, Any]:
    new = dict(old)
    for name, change in changes.items():
        value = _replaced(name, old.get(name, ABSENT), change)
        if value is ABSENT:
            del new[name]
        else:
            new[name] = value
    return FrozenDict(new)


def _replaced(name: Any, found: Any, change: Change) -> Any:
    if not is_same(found, change.old):
        raise ValueError(
            f"{name!r:.100} is {found!r:.100}: this is the difference from where it is {change.old!r:.100}"
        )
    return change.new


def _plain_change(change: Change) -> dict[str, Any]:
    if isinstance(change.old, MetricSummary | FileSummary | TrackState) and type(change.old) is type(change.new):
        return {"changed": {name: _plain_change(inner) for name, inner in changed_members(change).items()}}
    if isinstance(change.old, FieldState) and isinstance(change.new, FieldState):
        return {name: _plain_change(inner) for name, inner in changed_members(change).items()}
    both = {"old": change.old, "new": change.new}
    return {name: _plain(value) for name, value in both.items() if value is not ABSENT}


def _plain(value: Any) -> Any:
    if isinstance(value, Status):
        return value.value
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
