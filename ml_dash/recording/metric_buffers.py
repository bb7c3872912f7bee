"""Numbers that wait for their statistics: `metrics.buffer` and `metrics(name).summary_cache`.

They persist with their builder, also over sessions, and become ordinary points when they are asked to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..opening.recorder import Recorder
from .aggregations import AGGREGATIONS, Accumulator, check_aggregations, newest, summary_fields
from .timestamps import timestamp_of

SUMMARY_CACHE_AGGREGATIONS = ("mean", "min", "max", "count", "std")


class Builder(Protocol):
    """`metrics(name)`, as far as summaries become points of it."""

    _recorder: Recorder

    def log(self, /, **fields: Any) -> object: ...


class MetricBuffers:
    """What `experiment.metrics.buffer` is: the numbers that `metrics(name).buffer(…)` keeps, of all metrics."""

    SUPPORTED_AGGS = frozenset(AGGREGATIONS)

    def __init__(self, metrics: Callable[[str | None], Builder], recorder: Recorder) -> None:
        self._metrics = metrics
        self._recorder = recorder
        self._values: Accumulator[str | None] = Accumulator()

    def log_summary(self, /, *aggregations: str, **extra: Any) -> None:
        """One point for each metric that has buffered numbers, with the fields `<key>.<aggregation>`; then clears them.

        Aggregations: mean (the default) std min max count median sum p50 p90 p95 p99 first last.  `extra` fields, such
        as `step`, stand in each point; `_ts` is its time.  Raises ConfigurationError for an unknown aggregation and
        ExperimentError where the experiment is not open, both before anything is cleared.
        """
        check_aggregations(aggregations)
        writer = self._recorder.writer()
        if extra.get("_ts") is not None:
            extra["_ts"] = timestamp_of(self._recorder, extra["_ts"])
        for name, values in self._values.take(writer.if_dropped).items():
            fields = summary_fields(values, aggregations or ("mean",))
            if fields:
                self._metrics(name).log(**{**extra, **fields})

    def peek(self, prefix: str | None = None, *keys: str, limit: int = 5) -> dict[str, list[float]]:
        """The last `limit` buffered numbers of each field of the metric `prefix`, without clearing them; 0 means all.

        Without `prefix`, those of all metrics, under `name/field`, of the unnamed one under `(default)/field`.
        """
        buffered = self._values.peek()
        if prefix is not None:
            return newest(buffered.get(prefix, {}), keys, limit)
        return {
            f"{'(default)' if name is None else name}/{key}": numbers
            for name, values in buffered.items()
            for key, numbers in newest(values, keys, limit).items()
        }


class SummaryCache:
    """What `metrics(name).summary_cache` is: numbers of one metric until their statistics are wanted."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._values: Accumulator[None] = Accumulator("store")
        self._set: dict[str, Any] = {}

    def store(self, /, **fields: Any) -> None:
        """Keeps numbers.  Raises ConfigurationError, a ValueError, for what is no number; None is left out."""
        self._values.add(None, fields)

    def set(self, /, **fields: Any) -> None:
        """Values of any kind that stand in the next summary as they are; the last one of a name counts."""
        self._set.update(fields)

    def summarize(self, clear: bool = True) -> None:
        """One point: `<key>.mean .min .max .count .std` of what is stored, and what is set; none if there is neither.

        `clear=False` keeps both for the next one.  Raises ExperimentError where the experiment is not open, before
        anything is cleared.
        """
        writer = self._builder._recorder.writer()
        values = self._values.take(writer.if_dropped) if clear else self._values.peek()
        kept = dict(self._set)
        fields = {**kept, **summary_fields(values.get(None, {}), SUMMARY_CACHE_AGGREGATIONS)}
        if clear:
            writer.if_dropped(lambda: self._set.update({**kept, **self._set}))
            for key in kept:
                self._set.pop(key, None)
        if fields:
            self._builder.log(**fields)

    def peek(self, *keys: str, limit: int = 5) -> dict[str, list[float]]:
        """The last `limit` stored numbers of each field, without clearing them; 0 means all."""
        return newest(self._values.peek().get(None, {}), keys, limit)
