"""What an experiment is, at one point of its history: frozen nouns that `fold.py` derives from events.

Nothing here is ever stored as truth.  A state is immutable: its mappings refuse changes, and folding one more event
gives a new state that shares what did not change.  Values that a user recorded (parameters, `metadata`, the last value
of a field) stand as the events carry them; whoever hands them out copies what may be changed.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from .status import Status, status_of

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


FORKED = "forked"
"""Why a session has ended that was open when its experiment was forked."""


class FrozenDict(dict[_Key, _Value]):
    """A dict that refuses to change; still a dict for `json`, `pickle`, `==` and `print`."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("this is history and cannot be changed; `dict(…)` gives a copy that can")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[FrozenDict[_Key, _Value]], tuple[dict[_Key, _Value]]]:
        return type(self), (dict(self),)


@dataclass(frozen=True, slots=True)
class Rewind:
    """Event `seq`: the training went on from the checkpoint of these steps, by the fields that hold them."""

    seq: int
    time_us: int
    steps: Mapping[str, int | float]


@dataclass(frozen=True, slots=True)
class Session:
    """One open…close of a process: an attempt.  Times are microseconds since 1970, `None` while it is open.

    `attempt` counts from 1 in the order in which sessions began.  `writers` are the processes that recorded in it: the
    one that opened it first, then its forked children.  `reason` and `error` say how it failed.  Each of `rewinds`
    began a further attempt inside of it.  What a fork has from its parent began and ended with numbers up to 0.
    """

    id: str
    attempt: int
    started_seq: int
    started_us: int
    ended_seq: int | None = None
    ended_us: int | None = None
    status: Status = Status.RUNNING
    reason: str | None = None
    error: dict[str, Any] | None = None
    host: str | None = None
    pid: int | None = None
    rank: int | None = None
    environment: dict[str, Any] | None = None
    writers: tuple[str, ...] = ()
    rewinds: tuple[Rewind, ...] = ()

    @property
    def is_inherited(self) -> bool:
        """Whether it was a session of the experiment that this one was forked from."""
        return self.started_seq <= 0


@dataclass(frozen=True, slots=True)
class WriterState:
    """One process that recorded.  `parent` is the writer it was forked from; `count` its events."""

    id: str
    session: str
    first_seq: int
    last_seq: int
    count: int
    host: str | None = None
    pid: int | None = None
    rank: int | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class FieldState:
    """One field of a metric.  `last` is its last value, of any type.

    `count`, `min`, `max` and `sum` are about its numbers alone: integers and floats, infinities included; NaN, None,
    booleans and text are left out.  `sum` is what adding them from left to right in order of sequence numbers gives:
    exact for integers, IEEE 754 doubles once a float is among them.  The mean is `sum / count`.
    """

    count: int = 0
    last: Any = None
    min: int | float | None = None
    max: int | float | None = None
    sum: int | float = 0


@dataclass(frozen=True, slots=True)
class ReachState:
    """What one attempt has logged in one metric: how many points, and the lowest and the highest of their steps by the
    field that holds them (`attempts.py`, rule 1)."""

    count: int = 0
    steps: Mapping[str, tuple[int | float, int | float]] = field(default_factory=FrozenDict)


@dataclass(frozen=True, slots=True)
class MetricState:
    """One series of points.  `count` are its points; `first_seq` and `last_seq` are `None` while it has none.

    `reaches` are those of the attempts that logged in it, by the number of the event with which the attempt began: the
    first of its session, or a rewind.
    """

    name: str | None
    description: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] | None = None
    count: int = 0
    first_seq: int | None = None
    last_seq: int | None = None
    fields: Mapping[str, FieldState] = field(default_factory=FrozenDict)
    reaches: Mapping[int, ReachState] = field(default_factory=FrozenDict)


@dataclass(frozen=True, slots=True)
class TrackState:
    """One topic.  `count` are the appended entries, before those of one time merge; `first_ts` and `last_ts` the least
    and the greatest `_ts` in seconds; `fields` the names of all others, in the order in which they appeared."""

    name: str
    count: int = 0
    first_ts: int | float | None = None
    last_ts: int | float | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileState:
    """One saved version of a file.  `seq` is the event that saved it; `checksum` is SHA-256 in hex."""

    id: str
    path: str
    filename: str
    description: str | None
    tags: tuple[str, ...]
    bindrs: tuple[str, ...]
    metadata: dict[str, Any] | None
    content_type: str
    size_bytes: int
    checksum: str
    uploaded_us: int
    updated_us: int
    deleted_us: int | None
    seq: int


@dataclass(frozen=True, slots=True)
class Correction:
    """Event `seq` replaced members of event `corrected` by those in `data`; `by` is who, as `user@host`."""

    seq: int
    corrected: int
    data: dict[str, Any]
    reason: str | None
    by: str | None
    time_us: int


@dataclass(frozen=True, slots=True)
class Redaction:
    """Event `seq` says that values of event `redacted` were taken out of the bytes of the commit that holds it.

    The commit is the line of `bytes` bytes, newline included, at `offset` of `segment`; it states `hash`.  `patches`
    are what stands in it instead, by the offset in the line; with them its hash is `now` (`journal/format.py`).
    """

    seq: int
    redacted: int
    field: str | None
    reason: str | None
    by: str | None
    time_us: int
    segment: int
    offset: int
    bytes: int
    hash: str
    now: str
    patches: dict[str, str]


@dataclass(frozen=True, slots=True)
class Fork:
    """Where an experiment began: behind event `seq` of the experiment `prefix`, whose journal has the id `journal` and
    states `hash` for the commit that holds that event."""

    prefix: str
    seq: int
    journal: str
    hash: str


@dataclass(frozen=True, slots=True)
class State:
    """An experiment after its first `seq` events.

    `created_us` is the time of the first event and `time_us` that of the last, by their writers' clocks.  `params`
    is flat, under dotted keys; `log_counts` counts log lines by level, `output_counts` captured lines by stream, and
    `unknown` the events that this release does not understand by their type.  `corrections` are those that count, by
    the numbers of the events that made them; `redactions` likewise.  `fork` says where it comes from if it is a fork.
    """

    seq: int = 0
    created_us: int | None = None
    time_us: int | None = None
    prefix: str | None = None
    sessions: Mapping[str, Session] = field(default_factory=FrozenDict)
    params: Mapping[str, Any] = field(default_factory=FrozenDict)
    description: str | None = None
    tags: tuple[str, ...] = ()
    bindrs: tuple[str, ...] = ()
    metadata: dict[str, Any] | None = None
    metrics: Mapping[str | None, MetricState] = field(default_factory=FrozenDict)
    tracks: Mapping[str, TrackState] = field(default_factory=FrozenDict)
    files: Mapping[str, FileState] = field(default_factory=FrozenDict)
    log_counts: Mapping[str, int] = field(default_factory=FrozenDict)
    output_counts: Mapping[str, int] = field(default_factory=FrozenDict)
    writers: Mapping[str, WriterState] = field(default_factory=FrozenDict)
    corrections: Mapping[int, Correction] = field(default_factory=FrozenDict)
    redactions: Mapping[int, Redaction] = field(default_factory=FrozenDict)
    unknown: Mapping[str, int] = field(default_factory=FrozenDict)
    fork: Fork | None = None

    @property
    def status(self) -> Status:
        """RUNNING while any session is open; then how the sessions of the newest overlapping group ended.

        A fork that has no session of its own yet is RUNNING where its parent was at that event.
        """
        sessions = self.sessions.values()
        was_running = self.fork is not None and any(session.reason == FORKED for session in sessions)
        if was_running and all(session.is_inherited for session in sessions):
            return Status.RUNNING
        return status_of(sessions)


EMPTY = State()
"""Before the first event."""
