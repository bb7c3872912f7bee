"""Which points of a metric a later attempt has superseded.

A training that crashed at step 15 and went on from its checkpoint at step 10 logs steps 10 to 15 twice.  Both stay in
the journal; the *latest* view leaves out what the later attempt did again:

 1. The step of a point is the first of the fields `step`, `global_step`, `_step`, `iteration`, `epoch` that it has and
    that is a number.  True and False are no numbers here, and neither is NaN.  Without one a point has no step.
 2. A session is an attempt; each rewind in it ends one attempt and begins the next.
 3. An attempt comes after another if it is a later one of the same session, or if its session began after that of the
    other had ended.  Sessions that overlap, such as the ranks of one training, never supersede each other.
 4. A point is superseded by logging if its step is not below the lowest step that any attempt which comes after its own
    has logged in this metric.  Steps are compared only if they stand in the same field: an epoch says nothing of an
    iteration.
 5. A point is superseded by a rewind that began an attempt which comes after its own, if in any field that the rewind
    names it has a number above the one named there: what led to the checkpoint stays, whatever is logged next.

Order is that of sequence numbers; no clock is asked.

Pure: no I/O.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import isnan
from operator import le
from typing import Any, TypeGuard

STEP_FIELDS = ("step", "global_step", "_step", "iteration", "epoch")

Number = int | float
Steps = Mapping[str, Number]
"""A step of each step field that has one."""
AttemptKey = tuple[str, int]
"""A session, and how many rewinds of it were before."""
Ends = tuple[Number, Number]
"""The lowest and the highest step."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a session began, was rewound and to which steps, and ended, in sequence numbers; `ended_seq` is None while
    it is open."""

    session: str
    began_seq: int
    ended_seq: int | None
    rewinds: tuple[tuple[int, Steps], ...] = ()

    @property
    def attempts(self) -> list[AttemptKey]:
        """Rule 2, in order."""
        return [(self.session, rewinds) for rewinds in range(len(self.rewinds) + 1)]

    def rewound_to(self, rewinds: int) -> Steps:
        """The steps with which the attempt began that has so many rewinds before it."""
        return self.rewinds[rewinds - 1][1] if rewinds else {}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Points that follow each other in one metric and are of one attempt.

    `steps` has the columns of the step fields that any of them has, each `count` long, None where a point lacks it.
    """

    session: str
    count: int
    steps: Mapping[str, Sequence[Any]]
    rewinds: int = 0

    @property
    def attempt(self) -> AttemptKey:
        return self.session, self.rewinds


@dataclass(frozen=True, slots=True)
class Bounds:
    """From which steps on the points of an attempt are superseded: `logged` by rule 4, the step itself included;
    `rewound` by rule 5, only what is above it."""

    logged: Steps = field(default_factory=dict)
    rewound: Steps = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.logged or self.rewound)

    def lowered(self, other: Bounds) -> Bounds:
        """Both at once."""
        return Bounds(_lower(self.logged, other.logged), _lower(self.rewound, other.rewound))


NO_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class _Uniform:
    """The steps of a stretch whose points all have theirs in one field; what ordinary trainings log."""

    field: str
    values: Sequence[Number]
    low: Number
    high: Number


_Steps = _Uniform | list[tuple[str, Number] | None]


def any_comes_after(lifetimes: Iterable[Lifetime]) -> bool:
    """Whether rule 3 holds for any two attempts; if not, nothing is superseded."""
    lifetimes = list(lifetimes)
    if any(each.rewinds for each in lifetimes):
        return True
    ends = [each.ended_seq for each in lifetimes if each.ended_seq is not None]
    return bool(ends) and max(each.began_seq for each in lifetimes) > min(ends)


def step_of(fields: Mapping[str, Any]) -> tuple[str, Number] | None:
    """Rule 1: the field that holds the step of a point, and the step."""
    for name in STEP_FIELDS:
        value = fields.get(name)
        if _is_number(value):
            return name, value
    return None


def step_ends(columns: Mapping[str, Sequence[Any]], count: int) -> dict[str, Ends]:
    """From where to where the steps of `count` points reach, by their fields."""
    return _ends(_steps_of(columns, count))


def bounds_of(lifetimes: Iterable[Lifetime], lowest: Mapping[AttemptKey, Steps]) -> dict[AttemptKey, Bounds]:
    """Rules 3 to 5, for each attempt that has any; `lowest` are the lowest steps that each has logged in the metric."""
    begun = sorted(lifetimes, key=lambda each: each.began_seq)
    own = {
        (session, rewinds): Bounds(lowest.get((session, rewinds), {}), each.rewound_to(rewinds))
        for each in begun
        for session, rewinds in each.attempts
    }
    # of_later[i]: what the sessions from begun[i] on supersede.
    of_later = [NO_BOUNDS]
    for each in reversed(begun):
        of_session = of_later[-1]
        for attempt in each.attempts:
            of_session = of_session.lowered(own[attempt])
        of_later.append(of_session)
    of_later.reverse()
    beginnings = [each.began_seq for each in begun]
    bounds: dict[AttemptKey, Bounds] = {}
    for each in begun:
        is_open = each.ended_seq is None
        found = NO_BOUNDS if is_open else of_later[bisect_right(beginnings, each.ended_seq or 0)]
        for attempt in reversed(each.attempts):
            bounds[attempt] = found
            found = found.lowered(own[attempt])
    return {attempt: found for attempt, found in bounds.items() if found}


def latest_rows(lifetimes: Iterable[Lifetime], stretches: Sequence[Stretch]) -> list[range]:
    """The points that are not superseded, as ascending ranges of their positions among all points of the metric."""
    steps = [_steps_of(stretch.steps, stretch.count) for stretch in stretches]
    bounds = bounds_of(lifetimes, _lowest(stretches, steps))
    kept: list[range] = []
    start = 0
    for stretch, own in zip(stretches, steps, strict=True):
        for run in _kept(stretch, own, bounds.get(stretch.attempt, NO_BOUNDS)):
            _add(kept, range(start + run.start, start + run.stop))
        start += stretch.count
    return kept


# -- steps -------------------------------------------------------------------------------------------------------


def _is_number(value: Any) -> TypeGuard[Number]:
    # NaN is the only number that differs from itself.
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _steps_of(columns: Mapping[str, Sequence[Any]], count: int) -> _Steps:
    name = next((name for name in STEP_FIELDS if name in columns), None)
    if name is None:
        return [None] * count
    values = columns[name]
    if isinstance(values, range):
        ends = (values[0], values[-1])
        return _Uniform(name, values, min(ends), max(ends))
    if _are_numbers(values):
        return _Uniform(name, values, min(values), max(values))
    named = {name: columns[name] for name in STEP_FIELDS if name in columns}
    return [step_of(dict(zip(named, row, strict=True))) for row in zip(*named.values(), strict=True)]


def _are_numbers(values: Sequence[Any]) -> bool:
    """Whether each value is a number by rule 1."""
    if isinstance(values, range):
        return True
    if isinstance(values, array):
        return values.typecode != "d" or not any(map(isnan, values))
    kinds = set(map(type, values))
    return kinds <= {int, float} and (float not in kinds or not any(value != value for value in values))


def _ends(steps: _Steps) -> dict[str, Ends]:
    if isinstance(steps, _Uniform):
        return {steps.field: (steps.low, steps.high)}
    found: dict[str, Ends] = {}
    for name, step in filter(None, steps):
        low, high = found.get(name, (step, step))
        found[name] = min(low, step), max(high, step)
    return found


def _lowest(stretches: Sequence[Stretch], steps: Sequence[_Steps]) -> dict[AttemptKey, Steps]:
    lowest: dict[AttemptKey, Steps] = {}
    for stretch, own in zip(stretches, steps, strict=True):
        found = {name: low for name, (low, _) in _ends(own).items()}
        lowest[stretch.attempt] = _lower(lowest.get(stretch.attempt, {}), found)
    return lowest


def _lower(first: Steps, second: Steps) -> Steps:
    if not first or not second:
        return first or second
    return {**first, **{name: min(step, first.get(name, step)) for name, step in second.items()}}


# -- rows --------------------------------------------------------------------------------------------------------


def _kept(stretch: Stretch, steps: _Steps, bounds: Bounds) -> Iterable[range]:
    kept = _not_logged_again(steps, stretch.count, bounds.logged)
    for name, bound in bounds.rewound.items():
        if name in stretch.steps:
            kept = _intersection(list(kept), list(_rows_up_to(stretch.steps[name], bound, is_included=True)))
    return kept


def _not_logged_again(steps: _Steps, count: int, logged: Steps) -> Iterable[range]:
    """Rule 4."""
    if isinstance(steps, _Uniform):
        bound = logged.get(steps.field)
        if bound is None or steps.high < bound:
            return [range(count)]
        return [] if steps.low >= bound else _rows_up_to(steps.values, bound, is_included=False)
    return (
        range(row, row + 1)
        for row, found in enumerate(steps)
        if found is None or found[0] not in logged or found[1] < logged[found[0]]
    )


def _rows_up_to(values: Sequence[Any], bound: Number, *, is_included: bool) -> Iterator[range]:
    """The rows that are below the bound, or are it if that is included, or are no numbers."""
    is_numeric = _are_numbers(values)
    if is_numeric and _ascends(values):
        yield range(bisect_right(values, bound) if is_included else bisect_left(values, bound))
        return
    for row, value in enumerate(values):
        if not (is_numeric or _is_number(value)) or value < bound or (is_included and value == bound):
            yield range(row, row + 1)


def _ascends(values: Sequence[Any]) -> bool:
    return values.step > 0 if isinstance(values, range) else all(map(le, values, islice(values, 1, None)))


def _intersection(first: Sequence[range], second: Sequence[range]) -> list[range]:
    """The rows that stand in both, each given as ascending ranges."""
    common: list[range] = []
    one = other = 0
    while one < len(first) and other < len(second):
        a, b = first[one], second[other]
        _add(common, range(max(a.start, b.start), min(a.stop, b.stop)))
        if a.stop <= b.stop:
            one += 1
        else:
            other += 1
    return common


def _add(runs: list[range], run: range) -> None:
    """Appends a run that is not empty, joined to the last one where it goes on."""
    if not run:
        return
    if runs and runs[-1].stop == run.start:
        runs[-1] = range(runs[-1].start, run.stop)
    else:
        runs.append(run)
