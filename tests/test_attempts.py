"""The rules of ml_dash/state/attempts.py, one after the other, on trainings small enough to read."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from ml_dash.state.attempts import STEP_FIELDS, Lifetime, Stretch, latest_rows, step_of

SPEC = Path(__file__).resolve().parent.parent / "spec/reading.md"

FIRST = Lifetime("first", 1, 100)
SECOND = Lifetime("second", 101, 200)
THIRD = Lifetime("third", 201, None)
OVERLAPPING = Lifetime("overlapping", 50, 150)


def stretch(session: str, field: str, steps: Sequence[Any]) -> Stretch:
    return Stretch(session, len(steps), {field: steps})


def kept(attempts: list[Lifetime], *stretches: Stretch) -> list[int]:
    return [row for run in latest_rows(attempts, stretches) for row in run]


def kept_steps(attempts: list[Lifetime], *stretches: Stretch) -> list[Any]:
    steps = [step for each in stretches for column in each.steps.values() for step in column]
    return [steps[row] for row in kept(attempts, *stretches)]


def test_a_training_killed_at_15_and_resumed_at_10_has_each_step_once() -> None:
    steps = kept_steps([FIRST, SECOND], stretch("first", "step", range(16)), stretch("second", "step", range(10, 21)))
    assert steps == list(range(21))


def test_a_third_attempt_supersedes_both_before_it() -> None:
    steps = kept_steps(
        [FIRST, SECOND, THIRD],
        stretch("first", "step", range(16)),
        stretch("second", "step", range(10, 21)),
        stretch("third", "step", range(5, 8)),
    )
    assert steps == list(range(8))


def test_an_attempt_that_starts_over_leaves_nothing_of_the_one_before() -> None:
    rows = kept([FIRST, SECOND], stretch("first", "step", range(16)), stretch("second", "step", range(3)))
    assert rows == [16, 17, 18]


def test_an_attempt_that_goes_on_behind_the_end_supersedes_nothing() -> None:
    rows = kept([FIRST, SECOND], stretch("first", "step", range(10)), stretch("second", "step", range(10, 20)))
    assert rows == list(range(20))


def test_sessions_that_overlap_keep_all_their_points() -> None:
    rows = kept([FIRST, OVERLAPPING], stretch("first", "step", range(5)), stretch("overlapping", "step", range(5)))
    assert rows == list(range(10))


def test_a_session_that_is_still_open_is_not_superseded() -> None:
    still_open = Lifetime("first", 1, None)
    rows = kept([still_open, SECOND], stretch("first", "step", range(5)), stretch("second", "step", range(5)))
    assert rows == list(range(10))


def test_ranks_of_the_next_attempt_supersede_every_rank_of_the_last() -> None:
    ranks = [FIRST, Lifetime("first/1", 2, 99), SECOND, Lifetime("second/1", 102, 201)]
    steps = kept_steps(
        ranks,
        stretch("first", "step", [0, 1, 2]),
        stretch("first/1", "step", [0, 1, 2]),
        stretch("second", "step", [2, 3]),
        stretch("second/1", "step", [1, 2]),
    )
    assert steps == [0, 0, 2, 3, 1, 2]


def test_points_in_no_order_of_steps_are_superseded_one_by_one() -> None:
    rows = kept([FIRST, SECOND], stretch("first", "step", [4, 0, 3, 1, 2]), stretch("second", "step", [9, 3]))
    assert rows == [1, 3, 4, 5, 6]


def test_an_attempt_reaches_as_far_back_as_its_lowest_step_wherever_that_stands() -> None:
    lowest_first = stretch("second", "step", [3, 9]), stretch("second", "step", [8, 9])
    lowest_last = stretch("second", "step", [8, 9]), stretch("second", "step", [9, 3])
    for second in (lowest_first, lowest_last):
        rows = kept([FIRST, SECOND], stretch("first", "step", range(6)), *second)
        assert rows == [0, 1, 2, 6, 7, 8, 9]


def test_it_does_so_also_where_some_points_have_no_step() -> None:
    second = stretch("second", "step", [None, 9, 3, 8])
    assert kept([FIRST, SECOND], stretch("first", "step", range(6)), second) == [0, 1, 2, 6, 7, 8, 9]


@pytest.mark.parametrize("no_step", [None, True, nan, "6"])
def test_points_without_a_step_are_never_superseded(no_step: object) -> None:
    first = Stretch("first", 3, {"step": [5, no_step, 6]})
    rows = kept([FIRST, SECOND], first, Stretch("second", 2, {"step": [0, None]}), Stretch("second", 1, {}))
    assert rows == [1, 3, 4, 5]


def test_steps_of_different_fields_are_not_compared() -> None:
    rows = kept([FIRST, SECOND], stretch("first", "step", [1000, 2000]), stretch("second", "epoch", [1, 2]))
    assert rows == [0, 1, 2, 3]


@pytest.mark.parametrize("values", [array("d", [0.5, 1.5, 2.5]), [0.5, 1.5, 2.5], [0.5, 1.5, 2.5 + 0j]])
def test_fractions_of_epochs_are_steps(values: Sequence[Any]) -> None:
    rows = kept([FIRST, SECOND], stretch("first", "epoch", values), stretch("second", "epoch", [1.5]))
    assert rows[:1] == [0]
    assert 1 not in rows


@pytest.mark.parametrize("first", [range(20, 0, -2), array("H", range(20, 0, -2)), list(range(20, 0, -2))])
def test_a_column_is_judged_alike_whatever_it_is_stored_as(first: Sequence[int]) -> None:
    rows = kept([FIRST, SECOND], stretch("first", "step", first), stretch("second", "step", array("b", [9])))
    assert rows == [6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"loss": 0.5}, None),
        ({"step": 3, "epoch": 1}, ("step", 3)),
        ({"epoch": 1, "global_step": 3}, ("global_step", 3)),
        ({"_step": 3, "iteration": 4}, ("_step", 3)),
        ({"iteration": 4, "epoch": 1}, ("iteration", 4)),
        ({"step": None, "epoch": 1}, ("epoch", 1)),
        ({"step": "3", "epoch": 1}, ("epoch", 1)),
        ({"step": True, "epoch": 1}, ("epoch", 1)),
        ({"step": nan, "epoch": 1}, ("epoch", 1)),
        ({"step": inf}, ("step", inf)),
        ({"step": 10**400}, ("step", 10**400)),
    ],
)
def test_the_step_is_the_first_of_the_step_fields_that_is_a_number(fields: dict[str, Any], expected: object) -> None:
    assert step_of(fields) == expected


def test_a_step_that_is_no_number_in_one_point_counts_by_the_next_field_there_alone() -> None:
    first = Stretch("first", 3, {"step": [1, nan, 3], "epoch": [0, 7, 0]})
    rows = kept([FIRST, SECOND], first, Stretch("second", 1, {"step": [2], "epoch": [0]}))
    assert rows == [0, 1, 3]


def test_the_step_fields_are_those_of_the_specification_in_its_order() -> None:
    (rule,) = re.findall(r"first of the fields (.+?) that it has", SPEC.read_text(encoding="utf-8").replace("\n", " "))
    assert tuple(re.findall(r"`(\w+)`", rule)) == STEP_FIELDS
