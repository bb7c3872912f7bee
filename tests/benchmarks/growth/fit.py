"""The curve through what was measured: a constant and so much a unit; how well it fits; what lies beyond it.

Cost that grows as it should is `constant + slope × size`.  The exponent of the last step says whether it does: 0 where
cost does not depend on size, 1 where it is proportional, 2 where it is quadratic.  What is extrapolated is the larger
of what the line says and what the exponent says, so that a curve that bends upwards is not flattered by a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

FLAT_EXPONENT_MAX, LINEAR_EXPONENT_MIN, LINEAR_EXPONENT_MAX = 0.2, 0.8, 1.2
Samples = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """`constant + slope × size`, neither below nought; `misfit` is the worst of the relative errors at the samples."""

    constant: float
    slope: float
    misfit: float

    def at(self, size: float) -> float:
        return self.constant + self.slope * size


def line_through(samples: Samples) -> Line:
    """The line with the least squares of *relative* errors, so that small sizes count as much as large ones.

    `samples` are sizes and costs, both above nought; two or more sizes.
    """
    candidates = [_least_squares(samples), _proportional(samples), _constant(samples)]
    allowed = [(constant, slope) for constant, slope in candidates if constant >= 0 and slope >= 0]
    constant, slope = min(allowed, key=lambda each: _squares(samples, *each))
    misfit = max(abs(constant + slope * size - cost) / cost for size, cost in samples)
    return Line(constant, slope, misfit)


def _least_squares(samples: Samples) -> tuple[float, float]:
    # Each equation constant/cost + slope·size/cost = 1 has the same weight.
    rows = [(1 / cost, size / cost) for size, cost in samples]
    aa, ab, bb = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    a, b = (sum(row[i] for row in rows) for i in (0, 1))
    determinant = aa * bb - ab * ab
    return ((a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant)


def _proportional(samples: Samples) -> tuple[float, float]:
    ratios = [size / cost for size, cost in samples]
    return 0.0, sum(ratios) / sum(ratio * ratio for ratio in ratios)


def _constant(samples: Samples) -> tuple[float, float]:
    ratios = [1 / cost for _, cost in samples]
    return sum(ratios) / sum(ratio * ratio for ratio in ratios), 0.0


def _squares(samples: Samples, constant: float, slope: float) -> float:
    return sum(((constant + slope * size) / cost - 1) ** 2 for size, cost in samples)


def last_exponent(samples: Samples) -> float:
    """k of `cost ~ size**k` between the two largest sizes."""
    (size, cost), (larger, larger_cost) = sorted(samples)[-2:]
    return log(larger_cost / cost) / log(larger / size)


def extrapolated(samples: Samples, size: float) -> float:
    """What `size` would cost, on paper."""
    largest, cost = max(samples)
    return max(line_through(samples).at(size), cost * float((size / largest) ** last_exponent(samples)))


def words(samples: Samples) -> str:
    """How it grows, by the last exponent."""
    exponent = last_exponent(samples)
    if exponent <= FLAT_EXPONENT_MAX:
        return "no"
    if exponent < LINEAR_EXPONENT_MIN:
        return "less than linearly"
    return "linearly" if exponent <= LINEAR_EXPONENT_MAX else "**more than linearly**"
