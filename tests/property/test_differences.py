"""The difference of any two states, applied to the one, gives the other; that of a state from itself is empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.facts.values import from_plain, to_plain
from ml_dash.state import EMPTY, State, fold, from_plain_state, to_plain_state
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
    assert text_of(difference(a, b).apply(view_of(a))) == text_of(view_of(b))
    assert text_of(difference(b, a).apply(view_of(b))) == text_of(view_of(a))


@given(histories())
def test_nothing_differs_from_itself_and_all_that_was_recorded_from_nothing(commits: list[Commit]) -> None:
    a = fold(events_in(commits))
    # The same from plain JSON, so that no value is the same object: a NaN is not equal to another one.
    b = from_plain_state(to_plain_state(a))
    assert difference(a, b).is_empty
    assert not difference(a, b)
    assert text_of(difference(EMPTY, a).apply(view_of(EMPTY))) == text_of(view_of(a))


@given(two_states())
def test_a_difference_is_empty_only_where_nothing_tells_the_views_apart(states: tuple[State, State]) -> None:
    a, b = states
    assert difference(a, b).is_empty == (text_of(view_of(a)) == text_of(view_of(b)))


@given(values, values)
def test_values_are_the_same_where_their_texts_are(a: Any, b: Any) -> None:
    assert is_same(a, b) == (text_of(a) == text_of(b))
    assert is_same(a, from_plain(*to_plain(a)))


@pytest.mark.parametrize(
    ("a", "b"), [(0.0, -0.0), (1, 1.0), (1, True), ([1], (1,)), (None, ABSENT), ("1", 1), ({}, [])]
)
def test_what_python_calls_equal_may_differ(a: object, b: object) -> None:
    assert not is_same(a, b)
    assert not is_same({"x": a}, {"x": b})


def text_of(value: Any) -> str:
    """All there is to know of a value; of mappings without their order."""
    if is_dataclass(value):
        return f"{type(value).__name__}{[text_of(getattr(value, each.name)) for each in fields(value)]}"
    if isinstance(value, Mapping):
        return f"{{{sorted((text_of(key), text_of(item)) for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}{[text_of(item) for item in value]}"
    return repr(value)


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
