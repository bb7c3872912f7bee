"""Values that wait for their statistics, and the statistics.

 1. Adding takes no lock and loses nothing to another thread that takes what there is at the same moment.
 2. None counts as NaN, and NaN is left out of every statistic; a field without any other value has none.
 3. Statistics are NumPy's: `std` is the sample standard deviation (`ddof=1`, but 0.0 for one value), percentiles
    interpolate linearly, `median` is `p50`.  Sums are correctly rounded (`math.fsum`).

Pure: no I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from math import fsum, inf, isnan, nan, sqrt
from typing import Any, Generic, TypeVar

from ..errors import ConfigurationError
from ..facts.value_forms import describe

Key = TypeVar("Key", bound=Hashable)

Values = Mapping[str, Sequence[float]]
"""The values of each field, in the order in which they came."""


class Accumulator(Generic[Key]):
    """Fields with their values, by the key of whoever added them.  `verb` is what users call adding."""

    def __init__(self, verb: str = "buffer") -> None:
        self._verb = verb
        # One queue for all: appending and popping are single steps for any thread, and for a child forked in between.
        self._added: deque[tuple[Key, dict[str, float]]] = deque()

    def add(self, key: Key, fields: Mapping[str, Any]) -> None:
        """Raises ConfigurationError for a value that is no number; nothing of the call is added then."""
        self._added.append((key, {name: number_of(name, value, self._verb) for name, value in fields.items()}))

    def peek(self) -> dict[Key, dict[str, list[float]]]:
        """What there is, by key and field, each in the order in which it came first."""
        while True:
            try:
                return _sorted(self._added.copy())
            except RuntimeError:  # another thread was adding
                continue

    def take(
        self, if_dropped: Callable[[Callable[[], object]], object] = lambda _: None
    ) -> dict[Key, dict[str, list[float]]]:
        """What there is, which is then there no longer.

        `if_dropped` is told how to put it back, for when what is recorded of it comes to nothing.
        """
        taken = []
        for _ in range(len(self._added)):
            try:
                taken.append(self._added.popleft())
            except IndexError:  # another thread is taking too
                break
        if_dropped(lambda: self._added.extendleft(reversed(taken)))
        return _sorted(taken)


def _sorted(added: Iterable[tuple[Key, dict[str, float]]]) -> dict[Key, dict[str, list[float]]]:
    values: dict[Key, dict[str, list[float]]] = {}
    for key, fields in added:
        of_key = values.setdefault(key, {})
        for name, value in fields.items():
            of_key.setdefault(name, []).append(value)
    return values


def number_of(name: str, value: Any, verb: str) -> float:
    """Any number as a double; numeric text and booleans count, as does an array or tensor of one item.

    Raises ConfigurationError for anything else.
    """
    if type(value) is float:
        return value
    if value is None:
        return nan
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except Exception as error:
        raise ConfigurationError(
            f"Cannot {verb} non-numeric value for {name!r}: {describe(value):.100} ({type(value).__name__}). "
            "Statistics need numbers (None is left out); use log() for text and everything else"
        ) from error


def newest(values: Values, keys: Sequence[str], limit: int) -> dict[str, list[float]]:
    """The last `limit` values of each of these fields, of all of them without `keys`; 0 means all values."""
    return {key: list(values[key][-limit:] if limit else values[key]) for key in keys or values if values.get(key)}


def summary_fields(values: Values, aggregations: Sequence[str]) -> dict[str, float]:
    """`{"loss.mean": …, "loss.std": …}`: every aggregation of every field that has values."""
    fields: dict[str, float] = {}
    for key, all_values in values.items():
        numbers = [value for value in all_values if not isnan(value)]
        if numbers:
            fields |= {f"{key}.{name}": AGGREGATIONS[name](numbers) for name in aggregations}
    return fields


def check_aggregations(aggregations: Sequence[str]) -> None:
    """Raises ConfigurationError unless all of them exist."""
    for name in aggregations:
        if name not in AGGREGATIONS:
            raise ConfigurationError(f"Unsupported aggregation: {name!r:.100}. Supported: {', '.join(AGGREGATIONS)}")


# -- statistics of at least one number, none of them NaN ---------------------------------------------------------


def _sum(numbers: Sequence[float]) -> float:
    try:
        return fsum(numbers)
    except (OverflowError, ValueError):
        # Beyond a double, or infinities of both signs: what adding them gives.
        return float(sum(numbers))


def _mean(numbers: Sequence[float]) -> float:
    return _sum(numbers) / len(numbers)


def _std(numbers: Sequence[float]) -> float:
    if len(numbers) == 1:
        return 0.0
    mean = _mean(numbers)
    return sqrt(_sum([(number - mean) * (number - mean) for number in numbers]) / (len(numbers) - 1))


def _percentile(percent: int) -> Callable[[Sequence[float]], float]:
    def percentile(numbers: Sequence[float]) -> float:
        ordered = sorted(numbers)
        whole, rest = divmod((len(ordered) - 1) * percent, 100)
        low, high = ordered[whole], ordered[min(whole + 1, len(ordered) - 1)]
        # Between equal infinities there is nothing to interpolate.
        if rest == 0 or low == high:
            return low
        share, span = rest / 100, high - low
        if span == inf and low != -inf and high != inf:
            return low * (1 - share) + high * share
        return low + span * share if share < 0.5 else high - span * (1 - share)

    return percentile


AGGREGATIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": _mean,
    "std": _std,
    "min": min,
    "max": max,
    "count": len,
    "median": _percentile(50),
    "sum": _sum,
    "p50": _percentile(50),
    "p90": _percentile(90),
    "p95": _percentile(95),
    "p99": _percentile(99),
    "first": lambda numbers: numbers[0],
    "last": lambda numbers: numbers[-1],
}
