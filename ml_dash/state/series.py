"""Metrics and tracks: what columns of points add to their states.

One point is a column of length one, so that folding event by event and block by block is the same arithmetic:

 1. Numbers are values whose type is exactly `int` or `float` and that are not NaN.
 2. `sum` adds them from left to right, starting from the integer 0: exact for integers, doubles once a float is among
    them.  An integer beyond a double's range counts as an infinity there.
 3. `min` and `max` keep the earlier one of equals.

Since Python 3.12 `sum()` compensates for rounding: where blocks end would show in the result, so it is not used there.

Pure: no I/O.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import inf
from operator import ge, le
from typing import Any

from ..facts.columns import Column
from .attempts import STEP_FIELDS, Ends, step_ends
from .nouns import FieldState, FrozenDict, MetricState, ReachState, TrackState

SUM_IS_PLAIN = sum([1e16, 1.0, -1e16]) == 0.0
"""Whether this Python's `sum` adds from left to right and nothing else, as it did before 3.12."""

SORTED_COUNT_MIN = 64
SORTED_COUNT_MAX = 256
WAYMARKS = 8

Number = int | float
_NO_FIELD = FieldState()
_NO_REACH = ReachState()


class Field:
    """A `FieldState` under construction."""

    __slots__ = ("count", "last", "max", "min", "sum")

    def __init__(self, field: FieldState = _NO_FIELD) -> None:
        self.count = field.count
        self.last = field.last
        self.min = field.min
        self.max = field.max
        self.sum = field.sum

    def extend(self, column: Column) -> Ends | None:
        """Adds the values of a column that is not empty; gives the least and the greatest if all are numbers."""
        self.last = last = column[-1]
        if isinstance(column, range) and type(self.sum) is int:
            numbers: Sequence[Number] = (column[0], last)
            self.count += len(column)
            self.sum += (column[0] + last) * len(column) // 2
        else:
            numbers = _numbers(column)
            total = _add(self.sum, numbers)
            if total != total:
                # A NaN among the numbers, or infinities that cancel; only now is it worth a look at each of them.
                numbers = [number for number in numbers if number == number]
                total = _add(self.sum, numbers)
            self.count += len(numbers)
            self.sum = total
            if not numbers:
                return None
        low, high = _ends_of(numbers)
        if self.min is None or low < self.min:
            self.min = low
        if self.max is None or high > self.max:
            self.max = high
        return (low, high) if isinstance(column, range) or len(numbers) == len(column) else None

    def state(self) -> FieldState:
        return FieldState(self.count, self.last, self.min, self.max, self.sum)


class Reach:
    """A `ReachState` under construction."""

    __slots__ = ("count", "steps")

    def __init__(self, reach: ReachState = _NO_REACH) -> None:
        self.count = reach.count
        self.steps: dict[str, Ends] = dict(reach.steps)

    def extend(self, count: int, ends: Mapping[str, Ends]) -> None:
        """`count` more points, whose steps reach that far."""
        self.count += count
        for name, (low, high) in ends.items():
            known = self.steps.get(name)
            self.steps[name] = (low, high) if known is None else (min(known[0], low), max(known[1], high))

    def state(self) -> ReachState:
        return ReachState(self.count, FrozenDict(self.steps))


class Metric:
    """A `MetricState` under construction."""

    __slots__ = ("_described", "count", "fields", "first_seq", "last_seq", "reaches")

    def __init__(self, metric: MetricState) -> None:
        self._described = metric
        self.count = metric.count
        self.first_seq = metric.first_seq
        self.last_seq = metric.last_seq
        self.fields = {key: Field(field) for key, field in metric.fields.items()}
        self.reaches = {attempt: Reach(reach) for attempt, reach in metric.reaches.items()}

    def describe(self, given: Mapping[str, Any]) -> None:
        """Replaces what is given of description, tags and metadata."""
        self._described = replace(self._described, **given)

    def extend(
        self, columns: Mapping[str, Column], count: int, first_seq: int, last_seq: int, attempt: int | None
    ) -> None:
        """Adds `count` points; each column holds one value of each of them.  `attempt` is the event with which it began
        that logged them, None where that is not known."""
        fields, found = self.fields, {}
        for key, column in columns.items():
            field = fields.get(key)
            if field is None:
                field = fields[key] = Field()
            found[key] = field.extend(column)
        self.count += count
        self.last_seq = last_seq
        if self.first_seq is None:
            self.first_seq = first_seq
        if attempt is not None:
            reach = self.reaches.get(attempt)
            if reach is None:
                reach = self.reaches[attempt] = Reach()
            reach.extend(count, _step_ends(columns, count, found))

    def state(self) -> MetricState:
        return replace(
            self._described,
            count=self.count,
            first_seq=self.first_seq,
            last_seq=self.last_seq,
            fields=FrozenDict({key: field.state() for key, field in self.fields.items()}),
            reaches=FrozenDict({attempt: reach.state() for attempt, reach in self.reaches.items()}),
        )


def _step_ends(columns: Mapping[str, Column], count: int, ends: Mapping[str, Ends | None]) -> Mapping[str, Ends]:
    """How far the steps of these points reach; `ends` are those of the columns that have nothing but numbers."""
    for name in STEP_FIELDS:
        if name in ends:
            # Where the first of the fields has a number in each point, it is the step of each: what trainings log.
            found = ends[name]
            return step_ends(columns, count) if found is None else {name: found}
    return {}


def extend_track(track: TrackState, columns: Mapping[str, Column], count: int) -> TrackState:
    """The topic with `count` more entries."""
    times = [time for time in _numbers(columns["_ts"]) if time == time]
    known = dict.fromkeys(track.fields)
    known.update(dict.fromkeys(key for key in columns if key != "_ts"))
    first = _least(track.first_ts, min(times)) if times else track.first_ts
    last = _most(track.last_ts, max(times)) if times else track.last_ts
    return TrackState(track.name, track.count + count, first, last, tuple(known))


def _numbers(column: Column) -> Sequence[Number]:
    if isinstance(column, array):
        return column.tolist()
    if set(map(type, column)) <= {int, float}:
        return column
    return [value for value in column if type(value) is float or type(value) is int]


def _ends_of(numbers: Sequence[Number]) -> Ends:
    """Rule 3.  Sorting what goes one way takes a third of the time that looking for both takes, and what goes to and
    fro on its way, as losses do, no longer; in short pieces, since that grows faster than their length."""
    if len(numbers) < SORTED_COUNT_MIN or not _goes_one_way(numbers[:: len(numbers) // WAYMARKS]):
        return min(numbers), max(numbers)
    lows, highs = [], []
    for start in range(0, len(numbers), SORTED_COUNT_MAX):
        # Stable: equals stay in their order, so that the first one of the greatest is to be looked for.
        ordered = sorted(numbers[start : start + SORTED_COUNT_MAX])
        lows.append(ordered[0])
        highs.append(ordered[bisect_left(ordered, ordered[-1])])
    return min(lows), max(highs)


def _goes_one_way(waymarks: Sequence[Number]) -> bool:
    return all(map(le, waymarks, waymarks[1:])) or all(map(ge, waymarks, waymarks[1:]))


def _add(total: Number, numbers: Iterable[Number]) -> Number:
    try:
        return sum(numbers, total) if SUM_IS_PLAIN else _last(accumulate(numbers, initial=total))
    except OverflowError:
        return _last(accumulate(numbers, _add_beyond_doubles, initial=total))


def _last(values: Iterable[Number]) -> Number:
    return deque(values, maxlen=1)[0]


def _add_beyond_doubles(total: Number, number: Number) -> Number:
    try:
        return total + number
    except OverflowError:
        return _within_doubles(total) + _within_doubles(number)


def _within_doubles(number: Number) -> float:
    try:
        return float(number)
    except OverflowError:
        return inf if number > 0 else -inf


def _least(old: Number | None, new: Number) -> Number:
    return new if old is None else min(old, new)


def _most(old: Number | None, new: Number) -> Number:
    return new if old is None else max(old, new)
