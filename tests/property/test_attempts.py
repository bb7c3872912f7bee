"""attempts.py against the slowest reading of its rules: every point asks every other, and every rewind."""

from __future__ import annotations

from array import array
from itertools import pairwise
from math import inf, nan
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ml_dash.state.attempts import STEP_FIELDS, AttemptKey, Lifetime, Stretch, latest_rows

NUMBERS = st.integers(-3, 12) | st.floats(-3, 12, width=16) | st.sampled_from([nan, inf, -inf, 10**400])
STEPS = NUMBERS | st.none() | st.booleans() | st.just("5")
POINTS = st.one_of(
    st.fixed_dictionaries({"step": st.integers(0, 5)}),
    st.fixed_dictionaries({"step": st.integers(0, 5)}),
    st.dictionaries(st.sampled_from(STEP_FIELDS), STEPS, max_size=3),
)


REWINDS = st.dictionaries(
    st.sampled_from(STEP_FIELDS), NUMBERS.filter(lambda step: step == step), min_size=1, max_size=2
)


@st.composite
def attempts(draw: st.DrawFn) -> list[Lifetime]:
    """Sessions that begin and end anywhere; some never end, some are rewound."""
    seqs = iter(draw(st.permutations(range(1, 21))))
    found = []
    for session in range(draw(st.integers(1, 4))):
        steps = draw(st.lists(REWINDS, max_size=2) if draw(st.booleans()) else st.just([]))
        began, *rewound, ended = sorted(next(seqs) for _ in range(2 + len(steps)))
        rewinds = tuple(zip(rewound, steps, strict=True))
        found.append(Lifetime(f"s{session}", began, draw(st.sampled_from([ended, ended, None])), rewinds))
    return found


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Lifetime], list[tuple[AttemptKey, list[dict[str, Any]]]]]:
    sessions = draw(attempts())
    keys = st.sampled_from([key for each in sessions for key in each.attempts] * 3 + [("unknown", 0)])
    return sessions, draw(st.lists(st.tuples(keys, st.lists(POINTS, min_size=1, max_size=5)), min_size=2, max_size=8))


def step(point: dict[str, Any]) -> tuple[str, Any] | None:
    for field in STEP_FIELDS:
        if type(point.get(field)) in (int, float) and point[field] == point[field]:
            return field, point[field]
    return None


def survivors(sessions: list[Lifetime], points: list[tuple[AttemptKey, dict[str, Any]]]) -> list[int]:
    lifetimes = {each.session: each for each in sessions}

    def comes_after(other: AttemptKey, own: AttemptKey) -> bool:
        if other[0] == own[0]:
            return other[1] > own[1]
        if other[0] not in lifetimes or own[0] not in lifetimes:
            return False
        ended = lifetimes[own[0]].ended_seq
        return ended is not None and lifetimes[other[0]].began_seq > ended

    def is_logged_again(own: AttemptKey, point: dict[str, Any]) -> bool:
        found = step(point)
        return found is not None and any(
            comes_after(other, own) and again is not None and again[0] == found[0] and again[1] <= found[1]
            for other, again in ((other, step(each)) for other, each in points)
        )

    def is_rewound(own: AttemptKey, point: dict[str, Any]) -> bool:
        return any(
            comes_after((each.session, number), own) and type(point.get(field)) in (int, float) and point[field] > bound
            for each in sessions
            for number, (_, steps) in enumerate(each.rewinds, start=1)
            for field, bound in steps.items()
        )

    return [
        row for row, (own, point) in enumerate(points) if not is_logged_again(own, point) and not is_rewound(own, point)
    ]


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
def test_what_is_kept_is_what_plain_loops_keep(
    history: tuple[list[Lifetime], list[tuple[AttemptKey, list[dict[str, Any]]]]],
) -> None:
    sessions, parts = history
    stretches = []
    for (session, rewinds), points in parts:
        present = [field for field in STEP_FIELDS if any(field in point for point in points)]
        columns = {field: column(points, field) for field in present}
        stretches.append(Stretch(session, len(points), columns, rewinds))
    flat = [(key, point) for key, points in parts for point in points]
    runs = latest_rows(sessions, stretches)
    assert [row for run in runs for row in run] == survivors(sessions, flat)
    assert all(run for run in runs)
    assert all(before.stop < after.start for before, after in pairwise(runs)), "runs are joined"
