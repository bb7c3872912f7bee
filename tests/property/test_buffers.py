"""Buffered statistics are NumPy's, whatever the numbers."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.recording.aggregations import AGGREGATIONS, Accumulator, summary_fields

# Beyond this the sum of squares leaves the range of a double, and rounding decides who says infinity first.
numbers = st.floats(-1e150, 1e150, allow_nan=False) | st.integers(-(10**9), 10**9) | st.floats(-1, 1, width=32)
maybe_numbers = numbers | st.none() | st.just(math.nan)

NUMPY: dict[str, Any] = {
    "mean": numpy.mean,
    "std": lambda values: numpy.std(values, ddof=1) if len(values) > 1 else 0.0,
    "min": numpy.min,
    "max": numpy.max,
    "count": len,
    "median": numpy.median,
    "sum": numpy.sum,
    "p50": lambda values: numpy.percentile(values, 50),
    "p90": lambda values: numpy.percentile(values, 90),
    "p95": lambda values: numpy.percentile(values, 95),
    "p99": lambda values: numpy.percentile(values, 99),
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
}


def test_every_aggregation_is_compared() -> None:
    assert NUMPY.keys() == AGGREGATIONS.keys()


@given(st.lists(maybe_numbers, min_size=1, max_size=40))
def test_statistics_are_those_of_numpy_without_none_and_nan(values: list[float | None]) -> None:
    accumulator: Accumulator[str] = Accumulator()
    for value in values:
        accumulator.add("m", {"x": value})
    fields = summary_fields(accumulator.take()["m"], list(AGGREGATIONS))

    kept = numpy.array([value for value in values if value is not None and not math.isnan(value)], dtype=float)
    if not len(kept):
        assert fields == {}
        return
    # Sums are compared with what their rounding may cost, which is relative to the largest number.
    scale = float(numpy.max(numpy.abs(kept))) * len(kept)
    for name, of_numpy in NUMPY.items():
        expected = float(of_numpy(kept))
        assert fields[f"x.{name}"] == pytest.approx(expected, rel=1e-9, abs=scale * 1e-12), name


@given(st.lists(numbers, min_size=1, max_size=40))
def test_sums_are_correctly_rounded(values: list[float]) -> None:
    assert AGGREGATIONS["sum"](list(map(float, values))) == math.fsum(map(float, values))


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_no_statistic_raises_for_any_numbers(values: list[float]) -> None:
    for aggregate in AGGREGATIONS.values():
        assert isinstance(aggregate(values), (float, int))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_percentiles_lie_between_the_extremes_and_in_order(values: list[float]) -> None:
    percentiles = [AGGREGATIONS[name](values) for name in ("min", "p50", "p90", "p95", "p99", "max")]
    for low, high in pairwise(percentiles):
        assert low <= high


def test_percentiles_between_the_ends_of_the_range_do_not_leave_it() -> None:
    assert AGGREGATIONS["median"]([-1.7e308, 1.7e308]) == 0
    assert AGGREGATIONS["p90"]([-1.7e308, 1.7e308]) == pytest.approx(0.8 * 1.7e308)
