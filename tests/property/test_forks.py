"""Forks against plain loops, whatever the parent's history is, wherever it is forked, whatever becomes of it then."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from ml_dash.facts.events import EXPERIMENT_FORKED, METRIC_LOGGED, Event
from ml_dash.history import events, load
from ml_dash.journal.folder import JournalFolder
from ml_dash.opening.forking import ForkPoint, begin_as_fork
from ml_dash.prefix import parse_prefix
from ml_dash.reading.points import log_rows, metric_columns, metric_rows
from ml_dash.reading.replay import Replay
from ml_dash.state import State, fold
from ml_dash.state.forks import born
from ml_dash.state.nouns import Fork

from ..examples import examples
from ..journals import Part, append
from .test_history import Told, histories

PARENT, CHILD, GRANDCHILD = "alice/ml/parent", "alice/ml/child", "alice/ml/grandchild"
roots = histories().filter(lambda parts: parts[0][1][0].type != EXPERIMENT_FORKED)
"""Of an experiment that is no fork itself."""


def begin(root: Path, prefix: str, parent: str, at: int) -> JournalFolder:
    """The fork of a parent behind event `at`, without a session of its own."""
    folder = JournalFolder(root / prefix, prefix=prefix)
    begin_as_fork(folder, parse_prefix(prefix), root, ForkPoint.parse(f"{parent}@{at}"))
    return folder


def own_parts(parts: list[Part], name: str) -> list[Part]:
    """The same history of other sessions: no process records in two experiments."""
    return [
        (f"{name}{session}", [replace(each, data=renamed(each.data, name)) for each in recorded])
        for session, recorded in parts
    ]


def renamed(data: dict[str, object], name: str) -> dict[str, object]:
    return {**data, "session": f"{name}{data['session']}"} if isinstance(data.get("session"), str) else data


def shifted(told: list[Event], by: int) -> list[Event]:
    return [replace(each, seq=each.seq - by) for each in told]


def harm(root: Path, prefix: str, how: str, parts: list[Part]) -> None:
    journal = root / prefix / "_journal"
    if how == "resumed":
        append(root / prefix, *own_parts(parts, "later"))
    elif how == "removed":
        shutil.rmtree(root / prefix)
    else:
        path = journal / "00000001.jsonl"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


@examples(25)
@given(roots, st.data(), st.sampled_from(["resumed", "removed", "damaged"]))
def test_a_fork_is_born_as_its_parent_was_whatever_becomes_of_the_parent(
    parts: list[Part], data: st.DataObject, how: str
) -> None:
    told = Told.of(parts)
    at = data.draw(st.integers(1, len(told.events)))
    with TemporaryDirectory() as name:
        root = Path(name)
        append(root / PARENT, *parts)
        folder = begin(root, CHILD, PARENT, at)
        [first] = list(events(CHILD, dash_root=root))
        fork = Fork(PARENT, at, first.data["journal"], first.data["hash"])
        expected = fold([first])
        assert repr(without_numbers(expected)) == repr(without_numbers(born(fork, fold(told.events[:at]))))
        assert repr(Replay(folder).refresh()) == repr(expected)
        harm(root, PARENT, how, parts)
        again = load(CHILD, dash_root=root)
        assert repr(again.state) == repr(expected)
        if how != "damaged":
            # What is damaged may lie behind the event that was forked.
            assert bool(again.damage) == (how == "removed")


def without_numbers(state: State) -> State:
    """Without what the fork's own first event adds to what it was born with."""
    own = state.fork is not None and state.seq == 1
    writers = dict(state.writers)
    if own:
        writers = {key: writer for key, writer in writers.items() if writer.first_seq <= 0}
    return replace(state, seq=0, created_us=None, time_us=None, writers=writers)


@examples(25)
@given(roots, histories(), histories(), st.data())
def test_a_fork_of_a_fork_reads_as_one_history(
    first: list[Part], second: list[Part], third: list[Part], data: st.DataObject
) -> None:
    told = Told.of(first)
    with TemporaryDirectory() as name:
        root = Path(name)
        append(root / PARENT, *first)
        series = told.events
        for prefix, parent, parts, session in ((CHILD, PARENT, second, "c"), (GRANDCHILD, CHILD, third, "g")):
            end = series[-1].seq
            at = data.draw(st.integers(1, end))
            begin(root, prefix, parent, at)
            append(root / prefix, *own_parts(parts, session))
            own = list(events(prefix, dash_root=root))
            assert own[0].type == EXPERIMENT_FORKED
            series = [*shifted([each for each in series if each.seq <= at], at), *own]
            assert repr(list(events(prefix, dash_root=root, after=None))) == repr(series)
            check(JournalFolder(root / prefix), Told(series, fold(own)), root, prefix)


def check(folder: JournalFolder, told: Told, root: Path, prefix: str) -> None:
    run = load(prefix, dash_root=root)
    assert repr(run.state) == repr(told.state)
    assert run.damage == ()
    for name in told.state.metrics:
        points = list(told.payloads(METRIC_LOGGED, name))
        columns = metric_columns(folder, name, "all")
        assert repr(columns.to_dict()) == repr(told.table([fields for _, fields in points]))
        assert columns.seq.to_list() == [each.seq for each, _ in points]
        rows = metric_rows(folder, name, 0, None)
        assert repr([row["data"] for row in rows]) == repr([fields for _, fields in points])
        latest = told.latest(points)
        assert repr(metric_columns(folder, name).to_dict()) == repr(latest)
        assert repr(run.metrics[name].columns()) == repr(latest)
        kept = max(map(len, latest.values()), default=len(run.metrics[name]))
        assert len(run.metrics[name]) == kept == sum(each.latest for each in run.metrics[name].attempts)
        assert run.metrics[name].count == sum(each.count for each in run.metrics[name].attempts)
        is_rewound = any(session.rewinds for session in run.sessions)
        for each in run.metrics[name].attempts:
            # A rewind may be by a field that is not the step, of which the state knows nothing.
            assert bool(each.superseded_by) == (each.latest < each.count) or (is_rewound and not each.superseded_by)
    assert [line.seq for line in log_rows(folder)] == [each.seq for each in told.log_lines()]
