"""Reading back against plain loops over what was recorded, whatever was recorded in whatever commits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ml_dash.facts.events import LOG_WRITTEN, METRIC_LOGGED, Event
from ml_dash.history import events, load
from ml_dash.reading.column_exports import to_arrow, to_numpy
from ml_dash.reading.points import log_rows, metric_columns, metric_rows, track_rows
from ml_dash.reading.typed_columns import TypedColumn
from ml_dash.state import State, fold
from ml_dash.state.attempts import STEP_FIELDS, step_of

from ..examples import examples
from ..histories import (
    SESSIONS,
    Recorded,
    columns_of,
    commit,
    entry,
    event,
    point,
    runs,
    sessions,
    singles,
)
from ..journals import Part, append

PREFIX = "alice/ml/a"


@st.composite
def training(draw: st.DrawFn) -> list[Recorded]:
    """Points as trainings log them, with steps that attempts are compared by."""
    field = draw(st.sampled_from(STEP_FIELDS))
    first, stride, count = (
        draw(st.integers(-3, 20)),
        draw(st.sampled_from([1, 1, 1, 2, -1, 0])),
        draw(st.integers(1, 30)),
    )
    odd = draw(st.dictionaries(st.integers(0, 29), st.sampled_from([None, True, nan, "3", 2.5, 10**30]), max_size=2))
    steps = [odd.get(index, first + stride * index) for index in range(count)]
    return [point("train", **{field: step, "loss": index / 3}) for index, step in enumerate(steps)]


@st.composite
def histories(draw: st.DrawFn) -> list[Part]:
    """Commits of any sessions, beginning and ending as they like."""
    parts: list[Part] = []
    some = training() | runs() | singles.map(lambda single: [single])
    for _ in range(draw(st.integers(1, 6))):
        name = draw(sessions)
        recorded = [each for each in draw(st.lists(some, min_size=1, max_size=3)) for each in each]
        if draw(st.booleans()):
            recorded.append(event("run.completed", session=draw(st.sampled_from([name, *SESSIONS]))))
        if draw(st.booleans()):
            recorded = draw(st.permutations(recorded)) if len(recorded) < 20 else recorded[::-1]
        parts.append((name, recorded))
    return parts


@dataclass(frozen=True)
class Told:
    """The same history as plain events."""

    events: list[Event]
    state: State

    @classmethod
    def of(cls, parts: list[Part]) -> Told:
        found: list[Event] = []
        for name, recorded in parts:
            found += commit(len(found) + 1, recorded, name, name).events
        return cls(found, fold(found))

    def payloads(self, event_type: str, name: str | None) -> Iterator[tuple[Event, dict[str, Any]]]:
        for each in self.events:
            if each.type == event_type and each.data.get("name", ...) == name:
                fields = each.data.get("fields")
                if isinstance(fields, dict):
                    yield each, fields

    def log_lines(self) -> list[Event]:
        return [each for each in self.events if each.type == LOG_WRITTEN and isinstance(each.data.get("level"), str)]

    def table(self, points: list[dict[str, Any]]) -> dict[str, list[Any]]:
        keys = dict.fromkeys(key for fields in points for key in fields)
        return {key: [fields.get(key) for fields in points] for key in keys}

    def latest(self, points: list[tuple[Event, dict[str, Any]]]) -> dict[str, list[Any]]:
        """The columns of what is not superseded, in the order of all of them."""
        kept = [fields for each, fields in points if not self._is_superseded(each, fields, points)]
        columns, order = self.table(kept), self.table([fields for _, fields in points])
        return {key: columns[key] for key in order if key in columns}

    def _is_superseded(self, own: Event, fields: dict[str, Any], points: list[tuple[Event, dict[str, Any]]]) -> bool:
        step = step_of(fields)
        logged = (
            found
            for each, theirs in points
            if self._comes_after(each.session, each.seq, own) and (found := step_of(theirs))
        )
        if step is not None and any(name == step[0] and again <= step[1] for name, again in logged):
            return True
        return any(
            is_number(fields.get(name)) and fields[name] > bound
            for session in self.state.sessions.values()
            for rewind in session.rewinds
            if self._comes_after(session.id, rewind.seq, own)
            for name, bound in rewind.steps.items()
            if name in STEP_FIELDS
        )

    def _comes_after(self, session: str, seq: int, own: Event) -> bool:
        """Whether the attempt of event `seq`, or the one that it begins, comes after that of `own`."""
        if session == own.session:
            return any(own.seq < rewind.seq <= seq for rewind in self.state.sessions[session].rewinds)
        ended = self.state.sessions[own.session].ended_seq
        return ended is not None and self.state.sessions[session].started_seq > ended


def is_number(value: Any) -> bool:
    return type(value) in (int, float) and value == value


@examples(60)
@given(histories())
def test_what_is_read_back_is_what_was_recorded(parts: list[Part]) -> None:
    told = Told.of(parts)
    with TemporaryDirectory() as root:
        folder = append(Path(root) / PREFIX, *parts)
        assert repr(list(events(PREFIX, dash_root=root))) == repr(told.events)
        assert repr(load(PREFIX, dash_root=root).state) == repr(told.state)
        for name in {*told.state.metrics, "train"}:
            points = list(told.payloads(METRIC_LOGGED, name))
            expected = told.table([fields for _, fields in points])
            columns = metric_columns(folder, name, "all", with_times=True)
            assert repr(columns.to_dict()) == repr(expected)
            assert columns.seq.to_list() == [each.seq for each, _ in points]
            assert columns.time_us.to_list() == [each.time_us for each, _ in points]
            rows = metric_rows(folder, name, 0, None)
            assert repr([row["data"] for row in rows]) == repr([fields for _, fields in points])
            assert repr(metric_columns(folder, name).to_dict()) == repr(told.latest(points))
        assert [line.seq for line in log_rows(folder)] == [each.seq for each in told.log_lines()]


@examples(40)
@given(histories(), st.data())
def test_a_run_at_an_event_reads_as_if_nothing_had_been_recorded_after_it(
    parts: list[Part], data: st.DataObject
) -> None:
    told = Told.of(parts)
    at = data.draw(st.integers(1, len(told.events)))
    then = Told(told.events[:at], fold(told.events[:at]))
    with TemporaryDirectory() as root:
        folder = append(Path(root) / PREFIX, *parts)
        run = load(PREFIX, dash_root=root, at=at)
        assert repr(run.state) == repr(then.state)
        for name in told.state.metrics:
            points = list(then.payloads(METRIC_LOGGED, name))
            if name in run.metrics:
                assert repr(run.metrics[name].columns()) == repr(then.latest(points))
                assert len(run.metrics[name]) == len(metric_columns(folder, name, at=at))
            else:
                assert points == []
        assert [line.seq for line in run.logs] == [each.seq for each in then.log_lines()]


TIMES = st.integers(-3, 3) | st.sampled_from([0.5, 1.0, 2.0])
ENTRIES = st.tuples(TIMES, st.dictionaries(st.sampled_from("abc"), st.integers()))


@examples(40)
@given(st.lists(st.lists(ENTRIES, min_size=1), max_size=5))
def test_track_rows_are_the_entries_merged_by_time_however_they_were_committed(
    commits: list[list[tuple[float, dict[str, int]]]],
) -> None:
    rows: dict[float, dict[str, int]] = {}
    for timestamp, fields in (each for one in commits for each in one):
        rows[timestamp] = {**rows.get(timestamp, {}), **fields}
    with TemporaryDirectory() as root:
        recorded = [("s1", [entry("arm", _ts=timestamp, **fields) for timestamp, fields in one]) for one in commits]
        folder = append(Path(root), ("s1", [entry("leg", _ts=0)]), *recorded)
        assert track_rows(folder, "arm") == sorted(rows.items())
        expected = [row for row in sorted(rows.items()) if 0 <= row[0] <= 1]
        assert track_rows(folder, "arm", 0, 1) == expected


@st.composite
def columns(draw: st.DrawFn) -> list[Any]:
    """What the codec may hand over for one field, block after block; None is a block without the field."""
    counts = draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    return [draw(st.none() | columns_of(count)) or count for count in counts]


@given(columns(), st.data())
def test_a_typed_column_is_the_list_that_it_stands_for(parts: list[Any], data: st.DataObject) -> None:
    column, plain = TypedColumn(), []
    for part in parts:
        if isinstance(part, int):
            column.extend_gap(part)
            plain += [None] * part
        else:
            column.extend(list(part))
            plain += part
    assert repr(column.to_list()) == repr(list(column)) == repr(plain)
    assert len(column) == len(plain)
    marks = sorted(data.draw(st.sets(st.integers(0, len(plain)), max_size=6)))
    chosen = [range(start, stop) for start, stop in zip(marks[::2], marks[1::2], strict=False)]
    assert repr(column.rows(chosen).to_list()) == repr([plain[row] for run in chosen for row in run])
    as_numpy = to_numpy({"x": column})["x"].tolist()
    as_arrow = to_arrow({"x": column})["x"].to_pylist()
    for value, from_numpy, from_arrow in zip(plain, as_numpy, as_arrow, strict=True):
        # Types may widen (1 → 1.0, 1 → "1"); values never change, and what is missing stays so.
        assert is_same(value, from_numpy)
        assert is_same(value, from_arrow) or (from_arrow is not None and from_arrow == text_of(value))


def is_same(value: Any, other: Any) -> bool:
    if value is None:
        return other is None or other != other
    return bool(value == other) or (value != value and other != other)


def text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)
