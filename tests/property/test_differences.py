"""The difference of any two states, applied to the one, gives the other; that of a state from itself is empty."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.state import EMPTY, State, fold
from ml_dash.state.differences import ABSENT, Change, difference, is_same, view_of

from ..histories import Commit, events_in, histories, values


@st.composite
def two_states(draw: st.DrawFn) -> tuple[State, State]:
    """Of two histories, or of two moments of one."""
    first: list[Commit] = draw(histories())
    second: list[Commit] = draw(st.just(first) | histories())
    return _somewhere(draw, first), _somewhere(draw, second)


def _somewhere(draw: st.DrawFn, commits: list[Commit]) -> State:
    events = events_in(commits)
    return fold(events[: draw(st.integers(0, len(events)))])


@given(two_states())
def test_the_difference_applied_to_a_gives_b_and_the_way_back_gives_a(states: tuple[State, State]) -> None:
    a, b = states
    assert is_same(difference(a, b).apply(view_of(a)), view_of(b))
    assert is_same(difference(b, a).apply(view_of(b)), view_of(a))


@given(histories())
def test_nothing_differs_from_itself_and_all_that_was_recorded_from_nothing(commits: list[Commit]) -> None:
    # Folded twice, so that no value is the same object.
    a, b = fold(events_in(commits)), fold(events_in(commits))
    assert difference(a, b).is_empty
    assert not difference(a, b)
    assert is_same(difference(EMPTY, a).apply(view_of(EMPTY)), view_of(a))


@given(two_states())
def test_a_difference_is_empty_only_where_the_views_are_the_same(states: tuple[State, State]) -> None:
    a, b = states
    assert difference(a, b).is_empty == is_same(view_of(a), view_of(b))


@given(two_states())
def test_it_can_be_said_in_plain_containers_and_holds_no_placeholder(states: tuple[State, State]) -> None:
    plain = difference(*states).as_dict()
    assert repr(ABSENT) not in repr(plain)
    assert set(plain) == {"status", "params", "metadata", "metrics", "tracks", "files"}


@given(two_states(), values)
def test_applied_to_what_it_is_no_difference_from_it_refuses(states: tuple[State, State], value: object) -> None:
    a, _ = states
    found = difference(a, fold([], a)).only(("params",))
    wrong = type(found)(params={"lr of nobody": Change(value, 1)})
    with pytest.raises(ValueError, match="lr of nobody"):
        wrong.apply(view_of(a))
