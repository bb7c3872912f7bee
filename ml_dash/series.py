"""Metrics and tracks: what columns of points add to their states.

One point is a column of length one, so that folding event by event and block by block is the same arithmetic:

 1. Numbers are values whose type is exactly `int` or `float` and that are not NaN.
 2. `sum` adds them from left to right, starting from the integer 0: exact for integers, doubles once a float is among
    them.  An integer beyond a double's range counts as an infinity there.
 3. `min` and `max` keep the earlier one of equals.

`sum()` is not used for floats: since Python 3.12 it compensates, and where blocks end would show in the result.

Pure: no I/O.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import inf, isnan

from .columns import Column
from .nouns import FieldState, FrozenDict, MetricState, TrackState

Number = int | float


def extend_metric(
    metric: MetricState, columns: Mapping[str, Column], count: int, first_seq: int, last_seq: int
) -> MetricState:
    """The metric with `count` more points; each column holds one value of each of them."""
    fields = dict(metric.fields)
    for key, column in columns.items():
        fields[key] = extend_field(fields.get(key, _NO_FIELD), column)
    return MetricState(
        metric.name,
        metric.description,
        metric.tags,
        metric.metadata,
        metric.count + count,
        first_seq if metric.first_seq is None else metric.first_seq,
        last_seq,
        FrozenDict(fields),
    )


_NO_FIELD = FieldState()


def extend_field(field: FieldState, column: Column) -> FieldState:
    """The field with the values of a column that is not empty."""
    last = column[-1]
    if isinstance(column, range) and type(field.sum) is int:
        count, total = len(column), (column[0] + last) * len(column) // 2
        low, high = (column[0], last) if column.step > 0 else (last, column[0])
        return FieldState(field.count + count, last, _least(field.min, low), _most(field.max, high), field.sum + total)
    numbers = _numbers(column)
    total = _add(field.sum, numbers)
    if total != total:
        # A NaN among the numbers, or infinities that cancel; only now is it worth a look at each of them.
        numbers = [number for number in numbers if number == number]
        total = _add(field.sum, numbers)
    if not numbers:
        return FieldState(field.count, last, field.min, field.max, field.sum)
    return FieldState(
        field.count + len(numbers), last, _least(field.min, min(numbers)), _most(field.max, max(numbers)), total
    )


def extend_track(track: TrackState, columns: Mapping[str, Column], count: int) -> TrackState:
    """The topic with `count` more entries."""
    times = [time for time in _numbers(columns["_ts"]) if not isnan(time)]
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


def _add(total: Number, numbers: Iterable[Number]) -> Number:
    try:
        return _last(accumulate(numbers, initial=total))
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
