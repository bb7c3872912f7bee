"""Which points of a metric a later attempt has superseded.

A training that crashed at step 15 and went on from its checkpoint at step 10 logs steps 10 to 15 twice.  Both stay in
the journal; the *latest* view leaves out what the later attempt did again:

 1. The step of a point is the first of the fields `step`, `global_step`, `_step`, `iteration`, `epoch` that it has and
    that is a number.  True and False are no numbers here, and neither is NaN.  Without one a point is never superseded.
 2. A session comes after another if it began after the other had ended.  Sessions that overlap, such as the ranks of
    one training, never supersede each other.
 3. A point is superseded if its step is not below the lowest step that any session which comes after its own has logged
    in this metric.  Steps are compared only if they stand in the same field: an epoch says nothing of an iteration.

Order is that of sequence numbers; no clock is asked.

Pure: no I/O.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

STEP_FIELDS = ("step", "global_step", "_step", "iteration", "epoch")

Number = int | float
Lowest = Mapping[str, Number]
"""A step of each step field that has one."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """When a session began and ended, in sequence numbers; `ended_seq` is None while it is open."""

    session: str
    began_seq: int
    ended_seq: int | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Points that follow each other in one metric and are of one session.

    `steps` has the columns of the step fields that any of them has, each `count` long, None where a point lacks it.
    """

    session: str
    count: int
    steps: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class _Uniform:
    """The steps of a stretch whose points all have theirs in one field; what ordinary trainings log."""

    field: str
    values: Sequence[Number]
    low: Number
    high: Number


_Steps = _Uniform | list[tuple[str, Number] | None]


def any_comes_after(attempts: Iterable[Attempt]) -> bool:
    """Whether rule 2 holds for any two sessions; if not, nothing is superseded."""
    attempts = list(attempts)
    ends = [attempt.ended_seq for attempt in attempts if attempt.ended_seq is not None]
    return bool(ends) and max(attempt.began_seq for attempt in attempts) > min(ends)


def step_of(fields: Mapping[str, Any]) -> tuple[str, Number] | None:
    """Rule 1: the field that holds the step of a point, and the step."""
    for field in STEP_FIELDS:
        value = fields.get(field)
        # NaN is the only number that differs from itself.
        if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
            return field, value
    return None


def superseded_from(attempts: Iterable[Attempt], lowest: Mapping[str, Lowest]) -> dict[str, Lowest]:
    """Rules 2 and 3: for each session the steps, by field, from which on its points are superseded.

    `lowest` gives the lowest steps that each session has logged in the metric.
    """
    attempts = list(attempts)
    begun = sorted((each for each in attempts if lowest.get(each.session)), key=lambda each: each.began_seq)
    # of_later[i]: the lowest steps of begun[i] and of all that began after it.
    of_later: list[Lowest] = [{}]
    for attempt in reversed(begun):
        merged = dict(of_later[-1])
        for field, step in lowest[attempt.session].items():
            merged[field] = min(step, merged.get(field, step))
        of_later.append(merged)
    of_later.reverse()
    beginnings = [attempt.began_seq for attempt in begun]
    bounds = {
        attempt.session: of_later[bisect_right(beginnings, attempt.ended_seq)]
        for attempt in attempts
        if attempt.ended_seq is not None
    }
    return {session: bound for session, bound in bounds.items() if bound}


def latest_rows(attempts: Iterable[Attempt], stretches: Sequence[Stretch]) -> list[range]:
    """The points that are not superseded, as ascending ranges of their positions among all points of the metric."""
    steps = [_steps_of(stretch) for stretch in stretches]
    bounds = superseded_from(attempts, _lowest(stretches, steps))
    kept: list[range] = []
    start = 0
    for stretch, own in zip(stretches, steps, strict=True):
        for run in _kept(own, stretch.count, bounds.get(stretch.session, {})):
            _add(kept, range(start + run.start, start + run.stop))
        start += stretch.count
    return kept


def _steps_of(stretch: Stretch) -> _Steps:
    field = next((field for field in STEP_FIELDS if field in stretch.steps), None)
    if field is None:
        return [None] * stretch.count
    values = stretch.steps[field]
    if isinstance(values, range):
        ends = (values[0], values[-1])
        return _Uniform(field, values, min(ends), max(ends))
    if _are_numbers(values):
        return _Uniform(field, values, min(values), max(values))
    return [step_of(dict(zip(stretch.steps, row, strict=True))) for row in zip(*stretch.steps.values(), strict=True)]


def _are_numbers(values: Sequence[Any]) -> bool:
    """Whether each value is a step by rule 1."""
    if isinstance(values, array):
        return values.typecode != "d" or not any(map(isnan, values))
    kinds = set(map(type, values))
    return kinds <= {int, float} and (float not in kinds or not any(value != value for value in values))


def _lowest(stretches: Sequence[Stretch], steps: Sequence[_Steps]) -> dict[str, dict[str, Number]]:
    lowest: dict[str, dict[str, Number]] = {}
    for stretch, own in zip(stretches, steps, strict=True):
        of_session = lowest.setdefault(stretch.session, {})
        found = [(own.field, own.low)] if isinstance(own, _Uniform) else filter(None, own)
        for field, step in found:
            of_session[field] = min(step, of_session.get(field, step))
    return lowest


def _kept(steps: _Steps, count: int, bounds: Lowest) -> Iterator[range]:
    if isinstance(steps, _Uniform):
        bound = bounds.get(steps.field)
        if bound is None or steps.high < bound:
            yield range(count)
        elif isinstance(steps.values, range) and steps.values.step > 0:
            yield range(bisect_left(steps.values, bound))
        elif steps.low < bound:
            yield from (range(row, row + 1) for row, step in enumerate(steps.values) if step < bound)
        return
    for row, found in enumerate(steps):
        if found is None or found[0] not in bounds or found[1] < bounds[found[0]]:
            yield range(row, row + 1)


def _add(runs: list[range], run: range) -> None:
    """Appends a run that is not empty, joined to the last one where it goes on."""
    if not run:
        return
    if runs and runs[-1].stop == run.start:
        runs[-1] = range(runs[-1].start, run.stop)
    else:
        runs.append(run)
