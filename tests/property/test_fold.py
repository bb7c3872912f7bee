"""Laws of the fold, for any history: states are compared by their `repr`, which shows every bit, type and order."""

from __future__ import annotations

from math import inf
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.facts.events import PARAMS_SET, Event
from ml_dash.state import EMPTY, Fold, State, apply, blocks_before, fold, fold_commit, from_plain_state, to_plain_state
from ml_dash.state.series import Field

from ..histories import Commit, events_in, histories, keys, values


@given(histories())
def test_block_by_block_gives_what_event_by_event_gives(commits: list[Commit]) -> None:
    by_block = by_event = EMPTY
    for commit in commits:
        by_block = fold_commit(by_block, commit.blocks, commit)
        by_event = fold(commit.events, by_event)
        assert repr(by_block) == repr(by_event)


@given(histories(), st.data())
def test_the_state_at_any_event_is_the_fold_of_the_events_up_to_it(commits: list[Commit], data: st.DataObject) -> None:
    events = events_in(commits)
    seq = data.draw(st.integers(0, len(events)))
    state = EMPTY
    for commit in commits:
        state = fold_commit(state, blocks_before(commit.blocks, seq + 1 - commit.first), commit)
    assert state.seq == seq
    assert repr(state) == repr(fold(events[:seq]))


@given(histories(), st.data())
def test_folding_goes_on_from_the_middle(commits: list[Commit], data: st.DataObject) -> None:
    events = events_in(commits)
    middle = data.draw(st.integers(0, len(events)))
    assert repr(fold(events[middle:], fold(events[:middle]))) == repr(fold(events))


@given(histories())
def test_applying_each_event_gives_the_fold(commits: list[Commit]) -> None:
    events = events_in(commits)
    state = EMPTY
    for event in events:
        state = apply(state, event)
    assert repr(state) == repr(fold(events))


@given(histories(), st.data())
def test_asking_for_a_state_in_between_changes_nothing_and_no_state_ever_changes(
    commits: list[Commit], data: st.DataObject
) -> None:
    folding = Fold()
    seen: list[tuple[State, str]] = []
    for commit in commits:
        folding.add_commit(commit.blocks, commit)
        if data.draw(st.booleans()):
            seen.append((folding.state(), repr(folding.state())))
    assert repr(folding.state()) == repr(fold(events_in(commits)))
    assert all(repr(state) == text for state, text in seen)


@given(histories())
def test_every_event_counts_once_somewhere(commits: list[Commit]) -> None:
    state = fold(events_in(commits))
    inherited = 0 if state.fork is None else state.fork.seq
    assert state.seq == sum(one.count for one in commits)
    assert state.seq + inherited == sum(writer.count for writer in state.writers.values())


@given(histories())
def test_a_kept_state_comes_back_in_every_bit(commits: list[Commit]) -> None:
    state = fold(events_in(commits))
    again = from_plain_state(orjson.loads(orjson.dumps(to_plain_state(state))))
    assert repr(again) == repr(state)


@given(st.lists(st.dictionaries(keys, values, max_size=3), max_size=12), st.integers(0, 12))
def test_flat_and_nested_parameters_never_disagree(sets: list[dict[str, Any]], middle: int) -> None:
    events = [Event(seq, PARAMS_SET, 0, {"params": given}, "w", "s") for seq, given in enumerate(sets, 1)]
    flat = fold(events[middle:], fold(events[:middle])).params
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        assert leaf not in place, f"{key} stands beside what is below it"
        # A recorded dict is a leaf here: what is below it must not be taken for parameters.
        place[leaf] = _Leaf(value)
    expected: dict[str, Any] = {}
    for one in sets:
        for key, value in one.items():
            related = [old for old in expected if old.startswith(f"{key}.") or key.startswith(f"{old}.")]
            for old in related:
                del expected[old]
            expected[key] = value
    assert repr(dict(flat)) == repr({key: expected[key] for key in flat})
    assert set(flat) == set(expected)


class _Leaf:
    """Not a dict, so nothing can be put below it."""

    def __init__(self, value: Any) -> None:
        self.value = value


numbers = st.integers(-3, 3) | st.sampled_from((0.0, -0.0, 1.0, -1.0, 1.5, inf, -inf))


@given(
    st.lists(numbers, min_size=1, max_size=40),
    st.integers(1, 20),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 799), numbers), max_size=3),
)
def test_the_least_and_the_greatest_are_the_first_of_equals_whichever_way_a_column_goes(
    drawn: list[float], times: int, is_falling: bool, strays: list[tuple[int, float]]
) -> None:
    column = sorted(drawn * times, reverse=is_falling)
    for place, stray in strays:
        column[place % len(column)] = stray
    field = Field()
    field.extend(column)
    assert (repr(field.min), repr(field.max)) == (repr(min(column)), repr(max(column)))
