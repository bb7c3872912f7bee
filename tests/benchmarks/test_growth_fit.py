"""What is said of growth follows from what was measured: the line, the exponent, and what lies beyond on paper."""

from __future__ import annotations

import pytest

from .growth.fit import extrapolated, last_exponent, line_through, words

SIZES = (1e4, 1e5, 1e6, 1e7)


def test_a_line_is_found_again_exactly() -> None:
    line = line_through([(size, 0.004 + 1.6e-7 * size) for size in SIZES])
    assert (line.constant, line.slope) == pytest.approx((0.004, 1.6e-7))
    assert line.misfit < 1e-9
    assert line.at(1e8) == pytest.approx(16.004)


def test_small_sizes_count_as_much_as_large_ones() -> None:
    # A tenth too much at the largest, which squares of absolute errors would let decide alone.
    samples = [(1e4, 0.0116), (1e5, 0.026), (1e6, 0.17), (1e7, 1.1 * 1.61)]
    assert line_through(samples).constant == pytest.approx(0.01, rel=0.1)


def test_neither_constant_nor_slope_is_below_nought_where_cost_falls() -> None:
    line = line_through([(1, 5.0), (10, 4.0), (100, 4.2)])
    assert line.slope == 0
    assert 4 < line.constant < 5


@pytest.mark.parametrize(("exponent", "grows"), [(0, "no"), (0.5, "less than linearly"), (1, "linearly")])
def test_the_exponent_says_how_it_grows(exponent: float, grows: str) -> None:
    samples = [(size, 3 * size**exponent) for size in SIZES]
    assert last_exponent(samples) == pytest.approx(exponent)
    assert words(samples) == grows


def test_the_exponent_is_that_of_the_largest_sizes_where_no_constant_hides_it() -> None:
    assert last_exponent([(size, 1.0 + 1e-4 * size) for size in SIZES]) == pytest.approx(1, abs=0.01)


def test_a_curve_that_bends_upwards_is_named_and_not_flattered_by_a_line() -> None:
    samples = [(size, 1e-9 * size**2) for size in SIZES]
    assert "more than" in words(samples)
    assert extrapolated(samples, 1e8) == pytest.approx(1e7)


def test_what_does_not_grow_stays_what_it_is_on_paper() -> None:
    assert extrapolated([(size, 0.0043) for size in SIZES], 1e8) == pytest.approx(0.0043)
