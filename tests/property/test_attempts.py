"""attempts.py against the slowest reading of its three rules: every point asks every other."""

from __future__ import annotations

from array import array
from itertools import pairwise
from math import inf, nan
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ml_dash.state.attempts import STEP_FIELDS, Attempt, Stretch, latest_rows

NUMBERS = st.integers(-3, 12) | st.floats(-3, 12, width=16) | st.sampled_from([nan, inf, -inf, 10**400])
STEPS = NUMBERS | st.none() | st.booleans() | st.just("5")
POINTS = st.one_of(
    st.fixed_dictionaries({"step": st.integers(0, 5)}),
    st.fixed_dictionaries({"step": st.integers(0, 5)}),
    st.dictionaries(st.sampled_from(STEP_FIELDS), STEPS, max_size=3),
)


@st.composite
def attempts(draw: st.DrawFn) -> list[Attempt]:
    """Sessions that begin and end anywhere; some never end."""
    seqs = iter(draw(st.permutations(range(1, 13))))
    found = []
    for session in range(draw(st.integers(2, 4))):
        began, ended = sorted((next(seqs), next(seqs)))
        found.append(Attempt(f"s{session}", began, draw(st.sampled_from([ended, ended, None]))))
    return found


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Attempt], list[tuple[str, list[dict[str, Any]]]]]:
    sessions = draw(attempts())
    names = st.sampled_from([attempt.session for attempt in sessions] * 3 + ["unknown"])
    return sessions, draw(st.lists(st.tuples(names, st.lists(POINTS, min_size=1, max_size=5)), min_size=2, max_size=8))


def step(point: dict[str, Any]) -> tuple[str, Any] | None:
    for field in STEP_FIELDS:
        if type(point.get(field)) in (int, float) and point[field] == point[field]:
            return field, point[field]
    return None


def survivors(attempts: list[Attempt], points: list[tuple[str, dict[str, Any]]]) -> list[int]:
    def is_superseded(session: str, point: dict[str, Any]) -> bool:
        own = step(point)
        ended = next((each.ended_seq for each in attempts if each.session == session), None)
        later = {each.session for each in attempts if ended is not None and each.began_seq > ended}
        return own is not None and any(
            other in later and found is not None and found[0] == own[0] and found[1] <= own[1]
            for other, found in ((name, step(each)) for name, each in points)
        )

    return [row for row, (session, point) in enumerate(points) if not is_superseded(session, point)]


def column(points: list[dict[str, Any]], field: str) -> Any:
    """As the journal would hand it over: typed where it can be."""
    values = [point.get(field) for point in points]
    kinds = set(map(type, values))
    if kinds == {float}:
        return array("d", values)
    if kinds == {int} and max(values) < 2**63:
        stride = values[1] - values[0] if len(values) > 1 else 1
        even = range(values[0], values[0] + len(values) * stride, stride) if stride else values
        return even if list(even) == values else array("q", values)
    return values


@given(histories())
def test_what_is_kept_is_what_three_plain_loops_keep(
    history: tuple[list[Attempt], list[tuple[str, list[dict[str, Any]]]]],
) -> None:
    sessions, parts = history
    stretches = []
    for session, points in parts:
        present = [field for field in STEP_FIELDS if any(field in point for point in points)]
        stretches.append(Stretch(session, len(points), {field: column(points, field) for field in present}))
    flat = [(session, point) for session, points in parts for point in points]
    runs = latest_rows(sessions, stretches)
    assert [row for run in runs for row in run] == survivors(sessions, flat)
    assert all(run for run in runs)
    assert all(before.stop < after.start for before, after in pairwise(runs)), "runs are joined"
