"""Folding commits: damaged or foreign blocks, and that cost grows with what is new, never with what is there."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from typing import Any

import orjson
import pytest

from ml_dash.facts.codec import decode_events
from ml_dash.facts.events import LOG_WRITTEN, METRIC_LOGGED, PARAMS_SET
from ml_dash.state import EMPTY, UNDECODABLE, Fold, FrozenDict, State, blocks_before, fold, fold_commit, series
from ml_dash.state.parameters import Parameters
from ml_dash.state.series import Field

from .histories import EPOCH_US, Commit, commit, event, history, point, started


def of_json(*blocks: dict[str, Any], count: int) -> Commit:
    """A commit whose blocks read like this: what another release may have written."""
    return Commit(1, count, EPOCH_US, "w1", "s1", decode_events(orjson.dumps(blocks), count))


def folded(one: Commit) -> State:
    return fold_commit(EMPTY, one.blocks, one)


def test_a_column_of_a_later_release_makes_its_events_unknown_and_leaves_the_others() -> None:
    run = {"type": METRIC_LOGGED, "name": "m", "n": 20, "at": 0, "t": {"range": [0, 1]}}
    strange = {**run, "columns": {"x": {"zstd": "…"}, "y": [1] * 20}}
    sound = {**run, "name": "n", "at": 20, "columns": {"y": [1] * 20}}
    state = folded(of_json(strange, sound, count=40))
    assert state.unknown == {METRIC_LOGGED: 20}
    assert list(state.metrics) == ["n"]
    assert state.seq == 40


def test_columns_of_an_unknown_type_are_counted_one_by_one() -> None:
    run = {"type": "optics.aligned", "n": 20, "at": 0, "t": [0] * 20, "columns": {"y": [1] * 20}}
    assert folded(of_json(run, count=20)).unknown == {"optics.aligned": 20}


def test_times_of_a_later_release_are_taken_from_the_commit() -> None:
    run = {"type": METRIC_LOGGED, "name": "m", "n": 20, "at": 0, "t": {"zstd": "…"}, "columns": {"y": [1] * 20}}
    state = folded(of_json(run, count=20))
    assert (state.created_us, state.time_us, state.metrics["m"].count) == (EPOCH_US, EPOCH_US, 20)


def test_columns_of_a_type_that_stands_singly_today_fold_all_the_same() -> None:
    run = {"type": PARAMS_SET, "n": 2, "at": 0, "t": [0, 0], "columns": {"params": [{"a": 1}, {"b": 2}]}}
    assert folded(of_json(run, count=2)).params == {"a": 1, "b": 2}


def test_lines_without_a_level_are_unknown_and_the_others_count() -> None:
    run = {"type": LOG_WRITTEN, "n": 3, "at": 0, "t": [0, 0, 0], "columns": {"level": ["info", None, "info"]}}
    state = folded(of_json(run, count=3))
    assert (state.log_counts, state.unknown) == ({"info": 2}, {LOG_WRITTEN: 1})


def test_a_commit_that_cannot_be_decoded_is_counted_and_opens_no_session() -> None:
    folding = Fold()
    folding.add_undecodable(Commit(1, 7, EPOCH_US, "w1", "s1", []))
    state = folding.state()
    assert (state.seq, state.unknown, state.writers["w1"].count) == (7, {UNDECODABLE: 7}, 7)
    assert state.sessions == {}


def test_a_prefix_of_a_commit_folds_also_where_it_cuts_packed_columns() -> None:
    points = [point("m", EPOCH_US + step, step=step, loss=step / 7, word="w") for step in range(40)]
    whole = commit(1, [event(PARAMS_SET, params={"a": 1}), *points])
    for count in (0, 1, 2, 17, 18, 40, 41):
        state = fold_commit(EMPTY, blocks_before(whole.blocks, count), whole)
        assert repr(state) == repr(fold(whole.events[:count]))


def test_the_sum_is_the_same_however_points_are_cut_into_blocks() -> None:
    values = [math.ldexp(1.0 + step / 97, step % 60 - 30) for step in range(600)]
    expected = list(accumulate(values))[-1]
    for size in (1, 7, 100, 600):
        parts = [[point("m", x=value) for value in values[at : at + size]] for at in range(0, len(values), size)]
        state = EMPTY
        for one in history(*parts):
            state = fold_commit(state, one.blocks, one)
        assert state.metrics["m"].fields["x"].sum == expected


@pytest.mark.parametrize("size", [1, 2, 20])
def test_of_equal_numbers_the_earlier_one_is_the_least_and_the_greatest(size: int) -> None:
    values: list[Any] = [0.0, -0.0, 0] * 7
    parts = [[point("m", x=value) for value in values[at : at + size]] for at in range(0, len(values), size)]
    state = EMPTY
    for one in history(*parts):
        state = fold_commit(state, one.blocks, one)
    field = state.metrics["m"].fields["x"]
    assert (repr(field.min), repr(field.max)) == ("0.0", "0.0")


def test_integers_that_count_up_are_added_one_by_one_once_the_sum_is_a_double() -> None:
    points = [[point("m", x=0.1)], [point("m", x=2**53 + step) for step in range(30)]]
    state = EMPTY
    for one in history(*points):
        state = fold_commit(state, one.blocks, one)
    expected = 0.1
    for step in range(30):
        expected += 2**53 + step
    assert state.metrics["m"].fields["x"].sum == expected
    assert expected != 0.1 + sum(2**53 + step for step in range(30))


def test_sums_are_plain_also_where_the_built_in_sum_compensates(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, compensating = Field(), Field()
    values = array("d", [1e16, 1.0, -1e16, 1.0])
    plain.extend(values)
    monkeypatch.setattr(series, "SUM_IS_PLAIN", False)
    compensating.extend(values)
    assert plain.sum == compensating.sum == 1.0


# -- cost --------------------------------------------------------------------------------------------------------


class Counting(FrozenDict[Any, Any]):
    """Counts how often all of it is copied."""

    copies = 0

    def keys(self) -> Any:
        type(self).copies += 1
        return super().keys()

    def __iter__(self) -> Iterator[Any]:
        type(self).copies += 1
        return super().__iter__()


def test_many_small_commits_copy_what_is_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counting, "copies", 0)
    folding = Fold(replace(EMPTY, params=Counting({f"old.{index}": 0 for index in range(100)})))
    commits = history([started("s1")], *([event(PARAMS_SET, params={f"p{index}": index})] for index in range(50)))
    for one in commits:
        folding.add_commit(one.blocks, one)
    assert len(folding.state().params) == 150
    assert Counting.copies == 1


def test_a_fold_that_learned_nothing_gives_the_state_that_it_gave() -> None:
    folding = Fold()
    [one] = history([started("s1"), point("m", x=1)])
    folding.add_commit(one.blocks, one)
    assert folding.state() is folding.state()


def test_replacing_subtrees_looks_only_at_what_stands_in_them() -> None:
    parameters = Parameters({f"other.{index}": index for index in range(5000)})
    for index in range(3000):
        parameters.set("a.x", index)
        parameters.set("a", index)
    assert len(parameters.flat) == 5001
    assert set(parameters._below) == {"other"}
