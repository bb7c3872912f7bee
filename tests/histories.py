"""Histories as a journal holds them, for tests: commits with their blocks, and the same events one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from ml_dash.facts.codec import Block, decode_events, encode_events, events_of
from ml_dash.facts.events import (
    EXPERIMENT_DESCRIBED,
    EXPERIMENT_FORKED,
    FILE_DELETED,
    FILE_SAVED,
    FILE_UPDATED,
    LOG_WRITTEN,
    METRIC_DESCRIBED,
    METRIC_LOGGED,
    PARAMS_SET,
    RUN_CANCELLED,
    RUN_COMPLETED,
    RUN_FAILED,
    RUN_REWOUND,
    RUN_STARTED,
    TRACK_APPENDED,
    WRITER_JOINED,
    Event,
)
from ml_dash.facts.rows import Shape, event_row, parse_rows, seal, stream_row
from ml_dash.state import fold
from ml_dash.state.attempts import STEP_FIELDS
from ml_dash.state.forks import forked_payload
from ml_dash.state.nouns import Fork

EPOCH_US = 1_700_000_000_000_000


@dataclass(frozen=True)
class Recorded:
    """What a recording call was given: a payload, or the fields of a stream."""

    type: str
    data: dict[str, Any]
    time_us: int = EPOCH_US
    name: str | None = None
    is_stream: bool = False


def event(event_type: str, time_us: int = EPOCH_US, **data: Any) -> Recorded:
    return Recorded(event_type, data, time_us)


def point(name: str | None, time_us: int = EPOCH_US, **fields: Any) -> Recorded:
    return Recorded(METRIC_LOGGED, fields, time_us, name, is_stream=True)


def entry(topic: str, time_us: int = EPOCH_US, **fields: Any) -> Recorded:
    return Recorded(TRACK_APPENDED, fields, time_us, topic, is_stream=True)


def started(session: str, time_us: int = EPOCH_US) -> Recorded:
    origin = {"host": "node1", "pid": 4711, "rank": None}
    return event(RUN_STARTED, time_us, session=session, prefix="alice/ml/a", environment={"python": "3.11.7"}, **origin)


def saved(file_id: str, path: str = "/models", filename: str = "a.pt", **more: Any) -> Recorded:
    size = {"contentType": "application/octet-stream", "sizeBytes": 3, "checksum": "ab" * 32}
    description = {"description": None, "tags": ["x"], "bindrs": [], "metadata": None}
    return event(FILE_SAVED, id=file_id, path=path, filename=filename, **description, **size, **more)


@dataclass(frozen=True)
class Commit:
    """One commit of a history; has the members that `fold_commit` asks of a commit line."""

    first: int
    count: int
    time_us: int
    writer: str
    session: str
    blocks: list[Block]

    @property
    def events(self) -> list[Event]:
        return events_of(self.blocks, self.first, self.time_us, self.writer, self.session)


def encoded(recorded: Sequence[Recorded], time_us: int) -> bytes:
    """The `events` of a commit of these, as a writer encodes them."""
    shapes: dict[int, Shape] = {}
    numbers: dict[Shape, int] = {}
    lines = []
    for each in recorded:
        if each.is_stream or each.type == LOG_WRITTEN:
            shape = Shape(each.type, each.is_stream, each.name, tuple(each.data))
            number = numbers.setdefault(shape, len(numbers))
            shapes[number] = shape
            row = stream_row(each.time_us * 1000, number, shape, tuple(each.data.values()))
        else:
            row = event_row(each.time_us * 1000, each.type, each.data)
        lines.append(seal(row))
    return encode_events(parse_rows(b"".join(lines)), shapes, time_us)


def commit(first: int, recorded: Sequence[Recorded], writer: str = "w1", session: str = "s1") -> Commit:
    time_us = recorded[-1].time_us
    blocks = decode_events(encoded(recorded, time_us), len(recorded))
    return Commit(first, len(recorded), time_us, writer, session, blocks)


def history(*parts: Sequence[Recorded], writer: str = "w1", session: str = "s1") -> list[Commit]:
    """Commits of one writer, one for each part."""
    commits: list[Commit] = []
    for part in parts:
        first = commits[-1].first + commits[-1].count if commits else 1
        commits.append(commit(first, part, writer, session))
    return commits


def events_in(commits: Iterable[Commit]) -> list[Event]:
    return [each for one in commits for each in one.events]


# -- any history -------------------------------------------------------------------------------------------------

SESSIONS = ("s1", "s2", "s3")
numbers = st.one_of(
    st.floats(),
    st.floats(width=32),
    st.integers(-1000, 1000),
    st.integers(),
    st.sampled_from([0.0, -0.0, 10**400, -(10**400), 2**63, 2**64, 5e-324, 1e308]),
)
scalars = st.one_of(numbers, st.none(), st.booleans(), st.text(max_size=3))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner))
keys = st.sampled_from(["a", "b", "a.b", "a.b.c", "a.c", "b.a", "a.", ".a", "a..b", "c", "ab"])
times = st.integers(-(10**6), 10**9).map(lambda offset: EPOCH_US + offset)
# Few names and many equal numbers, so that blocks meet.
names = st.sampled_from(["train", "train", None, "None"])
few = st.sampled_from([0, 0.0, -0.0, 1, 1.0, 0.1, 0.2, 1e16, float("nan"), float("inf")])


@st.composite
def runs(draw: st.DrawFn) -> list[Recorded]:
    """Points, entries or log lines of one shape, often enough of them to be packed."""
    count = draw(st.integers(1, 40))
    kind = draw(st.sampled_from([METRIC_LOGGED, METRIC_LOGGED, TRACK_APPENDED, LOG_WRITTEN]))
    moments = draw(st.lists(times, min_size=count, max_size=count))
    if kind == LOG_WRITTEN:
        levels = st.sampled_from(["debug", "info", "warn", "error", "fatal"])
        written = [{"message": "m", "level": draw(levels), "metadata": None} for _ in range(count)]
        return [Recorded(kind, data, time_us) for data, time_us in zip(written, moments, strict=True)]
    fields = draw(st.lists(st.sampled_from(["loss", "step", "_ts"]), unique=True, max_size=3))
    if kind == TRACK_APPENDED:
        fields = ["_ts", *(field for field in fields if field != "_ts")]
    columns = [draw(columns_of(count)) for _ in fields]
    name = draw(names if kind == METRIC_LOGGED else st.sampled_from(["pose", "a/b"]))
    rows = [dict(zip(fields, row, strict=True)) for row in zip(*columns, strict=True)] if fields else [{}] * count
    return [Recorded(kind, row, time_us, name, True) for row, time_us in zip(rows, moments, strict=True)]


def columns_of(count: int) -> st.SearchStrategy[list[Any]]:
    """Every form that a column may stand in."""
    first_and_step = st.tuples(st.integers(-(10**6), 10**6), st.integers(-3, 3))
    return st.one_of(
        *(
            st.lists(kind, min_size=count, max_size=count)
            for kind in (
                few,
                few,
                st.floats(),
                st.floats(width=32),
                st.integers(-100, 100),
                st.integers(0, 2**64),
                scalars,
            )
        ),
        first_and_step.map(lambda pair: [pair[0] + pair[1] * index for index in range(count)]),
        st.sampled_from(["text", True, None, 1.5]).map(lambda value: [value] * count),
    )


descriptions = st.fixed_dictionaries(
    {},
    optional={
        "description": st.none() | st.text(max_size=3),
        "tags": st.lists(st.text(max_size=2), max_size=2),
        "bindrs": st.lists(st.text(max_size=2), max_size=2),
        "metadata": st.none() | st.dictionaries(st.text(max_size=2), scalars, max_size=2),
    },
)
sessions = st.sampled_from(SESSIONS)
file_ids = st.sampled_from(["f1", "f2"])
malformed = st.sampled_from(
    [
        Recorded(RUN_STARTED, {"session": 5, "prefix": "a/b"}),
        Recorded(RUN_STARTED, {}),
        Recorded(RUN_COMPLETED, {"session": None}),
        Recorded(RUN_FAILED, {}),
        Recorded(RUN_REWOUND, {"session": "s1", "steps": {}}),
        Recorded(RUN_REWOUND, {"session": "s1", "steps": {"step": "5"}}),
        Recorded(EXPERIMENT_FORKED, {"prefix": "alice/ml/p", "seq": 0, "journal": "j", "hash": "h", "state": {}}),
        Recorded(EXPERIMENT_FORKED, {"prefix": "../p/q", "seq": 1, "journal": "j", "hash": "h", "state": {}}),
        Recorded(EXPERIMENT_FORKED, {"prefix": "p/q", "seq": 1, "journal": "j", "hash": "h", "state": {"params": [1]}}),
        Recorded(WRITER_JOINED, {"parent": 1}),
        Recorded(EXPERIMENT_DESCRIBED, {"description": "not taken", "tags": "text"}),
        Recorded(PARAMS_SET, {"params": [1]}),
        Recorded(PARAMS_SET, {"params": {"ok": 1, 7: 2}}),
        Recorded(METRIC_DESCRIBED, {"description": "of nothing"}),
        Recorded(METRIC_LOGGED, {"name": 5, "fields": {"loss": 1}}),
        Recorded(METRIC_LOGGED, {"name": "train", "fields": [1]}),
        Recorded(TRACK_APPENDED, {"name": "pose", "fields": {"x": 1}}),
        Recorded(TRACK_APPENDED, {"name": None, "fields": {"_ts": 1}}),
        Recorded(FILE_SAVED, {"id": "f1"}),
        Recorded(FILE_UPDATED, {"id": "never saved"}),
        Recorded(FILE_DELETED, {}),
        Recorded("model.distilled", {"teacher": "t"}),
        Recorded("model.distilled", {}, is_stream=False),
    ]
)
PARENT = fold(
    [
        Event(1, RUN_STARTED, EPOCH_US, {"session": "s0", "prefix": "alice/ml/p"}, "w0", "s0"),
        Event(2, METRIC_LOGGED, EPOCH_US, {"name": "train", "fields": {"step": 3, "loss": 0.5}}, "w0", "s0"),
        Event(3, PARAMS_SET, EPOCH_US, {"params": {"lr": float("nan"), "big": 10**400}}, "w0", "s0"),
        Event(4, RUN_STARTED, EPOCH_US, {"session": "s1", "prefix": "alice/ml/p"}, "w1", "s1"),
        Event(5, RUN_COMPLETED, EPOCH_US, {"session": "s0"}, "w0", "s0"),
    ]
)
"""What a fork may begin as: one session has ended, one is open, which the fork may go on to record in."""
rewound_steps = st.dictionaries(st.sampled_from([*STEP_FIELDS, "of_a_later_release"]), st.integers(-3, 25), min_size=1)


def forked() -> Recorded:
    return Recorded(EXPERIMENT_FORKED, forked_payload(Fork("alice/ml/p", PARENT.seq, "j", "0" * 64), PARENT))


singles = st.one_of(
    st.builds(forked),
    st.tuples(sessions, rewound_steps).map(lambda pair: event(RUN_REWOUND, session=pair[0], steps=pair[1])),
    sessions.map(started),
    sessions.map(lambda session: event(RUN_COMPLETED, session=session)),
    sessions.map(lambda session: event(RUN_CANCELLED, session=session)),
    sessions.map(lambda session: event(RUN_FAILED, session=session, reason="stated", error={"type": "E"})),
    sessions.map(lambda session: event(WRITER_JOINED, session=session, parent="w1", host="h", pid=1, rank=2)),
    descriptions.map(lambda given: Recorded(EXPERIMENT_DESCRIBED, given)),
    st.dictionaries(keys, values, max_size=3).map(lambda given: event(PARAMS_SET, params=given)),
    st.tuples(names, descriptions).map(lambda pair: event(METRIC_DESCRIBED, name=pair[0], **pair[1])),
    file_ids.map(saved),
    st.tuples(file_ids, descriptions).map(lambda pair: event(FILE_UPDATED, id=pair[0], **pair[1])),
    file_ids.map(lambda file_id: event(FILE_DELETED, id=file_id)),
    malformed,
)


@st.composite
def histories(draw: st.DrawFn) -> list[Commit]:
    """Commits of several writers of several sessions, in no sensible order."""
    commits: list[Commit] = []
    for _ in range(draw(st.integers(1, 5))):
        parts = draw(st.lists(runs() | singles.map(lambda single: [single]), min_size=1, max_size=4))
        recorded = [each for part in parts for each in part]
        if draw(st.booleans()):
            recorded = _interleaved(parts)
        writer = draw(st.sampled_from(["w1", "w2", *SESSIONS]))
        first = commits[-1].first + commits[-1].count if commits else 1
        commits.append(commit(first, recorded, writer, draw(sessions)))
    return commits


def _interleaved(parts: list[list[Recorded]]) -> list[Recorded]:
    longest = max(len(part) for part in parts)
    return [part[index] for index in range(longest) for part in parts if index < len(part)]
