"""A trend against plain means of all its values, however they come."""

from __future__ import annotations

from array import array
from math import isfinite, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.reading.trend import MEANS_MAX, Trend

values = st.sampled_from([0, 1, 2.5, -3.0, 1e6, nan, float("inf"), None, True, "text"])


@st.composite
def columns(draw: st.DrawFn) -> list[Any]:
    kind = draw(st.sampled_from(["list", "range", "array"]))
    if kind == "range":
        return range(draw(st.integers(0, 9)), draw(st.integers(10, 400)))  # type: ignore[return-value]
    if kind == "array":
        numbers = st.floats(-1e6, 1e6) | st.just(nan)
        return array("d", draw(st.lists(numbers, max_size=30)))  # type: ignore[return-value]
    return draw(st.lists(values, max_size=30))


@given(st.lists(columns(), max_size=20))
def test_each_mean_is_that_of_as_many_values_as_the_others_in_order(parts: list[Any]) -> None:
    trend = Trend()
    for part in parts:
        trend.extend(part)
    told = [value for part in parts for value in part]
    means = trend.means()
    assert len(means) <= MEANS_MAX
    size = 1
    while size * MEANS_MAX < len(told):
        size *= 2
    shares = [told[start : start + size] for start in range(0, len(told), size)]
    assert len(means) == len(shares)
    for mean, share in zip(means, shares, strict=True):
        numbers = [
            value
            for value in share
            if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
        ]
        assert mean == (pytest.approx(sum(numbers) / len(numbers), abs=1e-6) if numbers else None)
