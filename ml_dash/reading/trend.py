"""How a number has gone, in so many means: bounded memory, however many points there are.

Values are taken together as they come, so many to a mean; when there are too many means, each two become one of twice
as many values.  So all means but the last are of equally many values, and their order is that of the values.

Pure: no I/O.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import isfinite
from typing import Any

MEANS_MAX = 256


class Trend:
    """`means()` gives at most MEANS_MAX numbers, oldest first; None where no value was a finite number."""

    __slots__ = ("_counts", "_filled", "_size", "_sums")

    def __init__(self) -> None:
        self._size = 1
        self._filled = 1
        self._sums: list[float] = []
        self._counts: list[int] = []

    def means(self) -> list[float | None]:
        return [total / count if count else None for total, count in zip(self._sums, self._counts, strict=True)]

    def extend(self, values: Sequence[Any]) -> None:
        start, stop = 0, len(values)
        while start < stop:
            if self._filled == self._size:
                self._open()
            end = min(stop, start + self._size - self._filled)
            total, count = _sum(values[start:end])
            self._sums[-1] += total
            self._counts[-1] += count
            self._filled += end - start
            start = end

    def _open(self) -> None:
        if len(self._sums) == MEANS_MAX:
            self._sums = [a + b for a, b in zip(self._sums[::2], self._sums[1::2], strict=True)]
            self._counts = [a + b for a, b in zip(self._counts[::2], self._counts[1::2], strict=True)]
            self._size *= 2
        self._sums.append(0.0)
        self._counts.append(0)
        self._filled = 0


def _sum(values: Sequence[Any]) -> tuple[float, int]:
    """Of the finite numbers among them, and how many those are; booleans are no numbers here."""
    if isinstance(values, range | array):
        total = float(sum(values))
        if isfinite(total):
            return total, len(values)
    numbers = []
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
            numbers.append(float(value))
    return sum(numbers), len(numbers)
