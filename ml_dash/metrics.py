"""Metrics: `experiment.metrics`.

1. One `log` is one event, and it is in the spool when the call returns.  Fields are free-form point by point: none is
   filled in or coerced, and no value raises (promise P8).
2. `metrics(name)` is the same builder each time, also over sessions; its buffers persist.  None is the unnamed metric,
   and "None" is not.
3. `_ts` is the point's time as the user has it, in seconds, exact, and stands among its fields; -1 is the last time
   that this thread used in any metric or track of the experiment, given or not.
4. What reads sees everything that this process has recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import time
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError, LockError, StorageError
from .facts.events import METRIC_DESCRIBED, METRIC_LOGGED
from .facts.value_forms import describe
from .journal.spool_shortcut import Shortcut, closed
from .opening.recorder import Recorder
from .recording.metric_buffers import MetricBuffers, SummaryCache
from .recording.param_forms import key_text
from .recording.timestamps import timestamp_of

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars
    import pyarrow

    from .journal.spool import Stream
    from .journal.writer import Writer
    from .reading.point_columns import Columns

_SCALARS = frozenset((float, int, str, bool, type(None)))


class Metrics:
    """What `experiment.metrics` is.

    experiment.metrics("train").log(step=1, loss=0.5)
    experiment.metrics.log(epoch=3, train={"loss": 0.1}, eval={"loss": 0.2})
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._builders: dict[str | None, MetricBuilder] = {}
        self.buffer = MetricBuffers(self, recorder)

    def __call__(
        self,
        name: str | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> MetricBuilder:
        """The metric of this name; without one, the unnamed metric.

        The name is any text and may contain `/`; an integer stands for its digits.  What `description`, `tags` and
        `metadata` give first counts.  Raises ConfigurationError for any other name.
        """
        try:
            builder = self._builders[name]
        except (KeyError, TypeError):
            builder = self._new_builder(name)
        if description is not None or tags is not None or metadata is not None:
            builder._describe(description, tags, metadata)
        return builder

    def _new_builder(self, name: Any) -> MetricBuilder:
        if hasattr(type(name), "__index__"):
            name = str(name)
        if name is not None and not isinstance(name, str):
            raise ConfigurationError(
                f"a metric's name is text, or None for the unnamed metric, not {describe(name):.100}"
            )
        name = None if name is None else str.__str__(name)
        return self._builders.setdefault(name, MetricBuilder(self._recorder, self.buffer, name))

    def log(self, /, **fields: Any) -> Metrics:
        """A point of the unnamed metric; for each field that is a dict, a point of the metric that the field names.

        The other fields stand in each of those points too, unless the dict has them itself.  With dicts alone there is
        no unnamed point.  `_ts` and `_flush` as in `MetricBuilder.log`.  Returns self.
        """
        for value in fields.values():
            if type(value) not in _SCALARS and isinstance(value, Mapping):
                break
        else:
            if "_ts" not in fields and "_flush" not in fields:
                if fields:
                    self(None).log(**fields)
                return self
        return self._log_nested(fields)

    def _log_nested(self, fields: dict[str, Any]) -> Metrics:
        flush, given = fields.pop("_flush", False), fields.pop("_ts", None)
        # Before anything is recorded, and once: all points of the call have one time.
        timestamp = {} if given is None else {"_ts": timestamp_of(self._recorder, given)}
        shared: dict[str, Any] = {}
        nested: dict[str, Mapping[Any, Any]] = {}
        for key, value in fields.items():
            if type(value) not in _SCALARS and isinstance(value, Mapping):
                nested[key] = value
            else:
                shared[key] = value
        if shared:
            self(None).log(**shared, **timestamp)
        for name, own in nested.items():
            self(name).log(**{**shared, **timestamp, **{key_text(key): value for key, value in own.items()}})
        return self.flush() if flush else self

    def flush(self) -> Metrics:
        """Puts what was recorded on disk; returns self.

        Where the disk refuses this does not raise: one warning has said so, and `experiment.flush()` does.
        """
        _flush(self._recorder)
        return self

    def list_all(self) -> list[dict[str, Any]]:
        """Every metric that has points: `{metricId, name, description, tags, totalDataPoints, createdAt}`."""
        return self(None).list_all()


class MetricBuilder:
    """One metric; `experiment.metrics("train")` gives it."""

    def __init__(self, recorder: Recorder, buffers: MetricBuffers, name: str | None) -> None:
        self.name = name
        self._recorder = recorder
        self._buffers = buffers
        # In one tuple: another thread must never see the stream of one writer with another one.
        self._bound: tuple[Writer | None, Any] = (None, None)
        self._shortcut: Shortcut = closed
        self._shortcut_of: object = None
        self._description: dict[str, Any] = {}
        self._is_described = True
        self.summary_cache = SummaryCache(self)

    # -- recording -----------------------------------------------------------------------------------------------

    def log(self, /, **fields: Any) -> MetricBuilder:
        """Appends one point: `log(step=1, loss=0.5)`.  Any number of fields with any values; returns self.

        `_ts` is the time of the point in seconds, -1 the last one that this thread used; without it the point has the
        time of the call.  `_flush=True` flushes.  Raises ConfigurationError for a `_ts` that is no time,
        ExperimentError where the experiment is not open.
        """
        if not self._shortcut(fields):
            self._log(fields)
        return self

    def _log(self, fields: dict[str, Any]) -> None:
        """The long way of a point, which opens the shortcut for those that follow."""
        writer, stream = self._bound
        if writer is not self._recorder.open_writer or writer is None:
            writer, stream = self._bind()
        if "_ts" in fields or "_flush" in fields:
            self._log_specially(writer, stream, fields)
            return
        # Another one while a thread is held back, and after a fork.
        record_stream = writer.record_stream
        record_stream(stream, fields)
        self._recorder.set_last_timestamp(time())
        if self._shortcut_of != record_stream:
            self._shortcut_of, self._shortcut = record_stream, writer.shortcut(stream, self._recorder)
            if not self._is_described:
                self._shortcut_of, self._shortcut = None, closed

    def _log_specially(self, writer: Writer, stream: Stream, fields: dict[str, Any]) -> None:
        flush, given = fields.pop("_flush", False), fields.pop("_ts", None)
        timestamp = time() if given is None else timestamp_of(self._recorder, given)
        if given is not None:
            fields["_ts"] = timestamp
        writer.record_stream(stream, fields)
        self._recorder.set_last_timestamp(timestamp)
        if flush:
            self.flush()

    def flush(self) -> MetricBuilder:
        """Puts what was recorded on disk; returns self.

        Where the disk refuses this does not raise: one warning has said so, and `experiment.flush()` does.
        """
        _flush(self._recorder)
        return self

    def buffer(self, /, **fields: Any) -> MetricBuilder:
        """Keeps numbers until `metrics.buffer.log_summary(…)`; returns self.

        Raises ConfigurationError, a ValueError, for what is no number; None is left out of the statistics.
        """
        self._buffers._values.add(self.name, fields)
        return self

    def _bind(self) -> tuple[Writer, Stream]:
        """The open writer and the stream of this metric in it; the description goes before the first point."""
        writer = self._recorder.writer()
        bound = (writer, writer.stream(METRIC_LOGGED, self.name))
        if not self._is_described:
            self._is_described = True
            writer.record(METRIC_DESCRIBED, {"name": self.name, **self._description})
            writer.if_dropped(self._describe_again)
        self._bound = bound
        return bound

    def _describe(self, description: Any, tags: Any, metadata: Any) -> None:
        given = {"description": description, "tags": tags, "metadata": metadata}
        new = {key: value for key, value in given.items() if value is not None and key not in self._description}
        if new:
            self._description |= {key: _DESCRIBED_AS[key](value) for key, value in new.items()}
            self._describe_again()

    def _describe_again(self) -> None:
        # In this order: a thread that opens the shortcut meanwhile looks behind itself.
        self._is_described, self._bound = False, (None, None)
        self._shortcut_of, self._shortcut = None, closed

    # -- reading -------------------------------------------------------------------------------------------------

    def read(self, start_index: int = 0, limit: int | None = 1000, attempts: str = "all") -> dict[str, Any]:
        """Points by index, of all attempts: `{data: [{index, data, createdAt}], startIndex, endIndex, total, hasMore}`.

        Indices count the points of this metric from 0 over all sessions; `total` are those in the answer; `endIndex` is
        the last one's index, `startIndex - 1` if there is none.  `limit=None` gives all.  `attempts="latest"`
        leaves out points that a later session logged again; the others keep their index.
        """
        from .reading.points import metric_page

        return metric_page(self._recorder.whole(), self.name, start_index, limit, attempts)

    def stats(self) -> dict[str, Any]:
        """What is known of the metric; counts are text, times ISO 8601 in UTC, None while it has no points."""
        from .recording.metric_reports import stats

        return stats(self._recorder.whole(), self.name, self._description)

    def list_all(self) -> list[dict[str, Any]]:
        """Every metric that has points: `{metricId, name, description, tags, totalDataPoints, createdAt}`."""
        from .recording.metric_reports import list_all

        return list_all(self._recorder.whole())

    def summary(self, attempts: str = "latest") -> dict[str, dict[str, Any]]:
        """Of each field: `{count, last, min, max, mean, min_step, max_step}`.

        All but `last` are about numbers alone: NaN, None, booleans and text are left out.  `min_step` and `max_step`
        are the steps at which the least and the greatest number came first.

        Where points of other machines are on a server that does not answer, it is of all points, whatever `attempts`,
        and the two steps are None.
        """
        replay = self._recorder.whole()
        if self.name in replay.base.metrics:
            from .recording.metric_reports import summary_of_state

            return summary_of_state(replay.refresh().metrics[self.name])
        return self._columns(attempts).summary()

    def columns(self, attempts: str = "latest") -> dict[str, list[Any]]:
        """A list for each field, as long as there are points, None where a point lacks it; in order of recording.

        `attempts="latest"` leaves out points that a later session logged again, `"all"` gives every point there is.
        """
        return self._columns(attempts).to_dict()

    def to_numpy(self, attempts: str = "latest") -> dict[str, numpy.ndarray]:
        """A one-dimensional array for each field.  Needs `ml_dash[analysis]`."""
        from .reading.column_exports import to_numpy

        return to_numpy(self._columns(attempts).fields)

    def to_pandas(self, attempts: str = "latest") -> pandas.DataFrame:
        """A frame of one row a point.  Needs `ml_dash[analysis]`."""
        from .reading.column_exports import to_pandas

        return to_pandas(self._columns(attempts).fields)

    def to_polars(self, attempts: str = "latest") -> polars.DataFrame:
        """A frame of one row a point.  Needs `ml_dash[analysis]`."""
        from .reading.column_exports import to_polars

        return to_polars(self._columns(attempts).fields)

    def to_arrow(self, attempts: str = "latest") -> pyarrow.Table:
        """A table of one row a point.  Needs `ml_dash[analysis]`."""
        from .reading.column_exports import to_arrow

        return to_arrow(self._columns(attempts).fields)

    def _columns(self, attempts: str) -> Columns:
        from .reading.points import metric_columns

        return metric_columns(self._recorder.whole(), self.name, attempts)

    def __repr__(self) -> str:
        return f"<metric {self.name!r}>"


def _flush(recorder: Recorder) -> None:
    try:
        recorder.writer().flush()
    except (StorageError, LockError):
        # Said once already; a line like `metrics.log(epoch=3).flush()` must not end a training (promise P8).
        return


def _text(value: Any) -> str:
    return value if isinstance(value, str) else describe(value)


_DESCRIBED_AS: dict[str, Callable[[Any], Any]] = {
    "description": _text,
    # One tag is one tag, not its letters.
    "tags": lambda tags: (
        [_text(tags)] if isinstance(tags, str) or not isinstance(tags, Iterable) else list(map(_text, tags))
    ),
    "metadata": lambda metadata: dict(metadata) if isinstance(metadata, Mapping) else {"metadata": metadata},
}
