"""`run.table`: several metrics and tracks as one table, each beside what the others were at that moment.

Each row of the first one stands beside the last row of every other at or before it, in time or in a numeric field such
as `step`: what pandas calls `merge_asof` with direction "backward".  `as_of_rows.py` has the rules of matching.

 1. The table has the rows of the first, in the order in which they were recorded (of a track: by time), also those
    without a key.  Where another has nothing at or before a row, its columns are missing there (None, NaN, null).
 2. A value is what the row that was found holds; what that row lacks is not looked for in earlier ones.
 3. Columns of the first have their own names, those of another are called `name.field`.  What was joined on stands
    once, as the first has it.
 4. On "time" the column `time` is in seconds: of a track its `_ts`, of a metric the `_ts` that a point was given, else
    when it was recorded, in seconds since 1970.  A field of the first that is called `time` is then `name.time`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from math import isnan
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ..errors import ConfigurationError, NotFoundError
from .as_of_rows import as_of_rows, is_key, take
from .column_exports import library, to_arrow, to_numpy, to_pandas, to_polars
from .stream_views import MetricView, TrackView
from .typed_columns import TypedColumn

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars
    import pyarrow

TIME = "time"
TIME_FIELD = "_ts"
NEAREST_MAX = 3

Stream: TypeAlias = str | MetricView | TrackView | None
"""A metric or a track: by its name, or the view itself where one of each has that name."""
Within: TypeAlias = float | timedelta | None


class Streams(Protocol):
    """A run that was loaded, as far as it is looked up here."""

    @property
    def prefix(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def metrics(self) -> Mapping[str | None, MetricView]: ...
    @property
    def tracks(self) -> Mapping[str, TrackView]: ...


@dataclass(frozen=True, slots=True)
class Side:
    """One metric or track: what its rows are joined on, and its other columns."""

    name: str
    keys: TypedColumn
    fields: Mapping[str, TypedColumn]


class Table:
    """`len()` rows; `names` are its columns in order.  Joined when it is first looked into."""

    __slots__ = ("_columns", "_key", "_left", "_others", "_within")

    def __init__(self, key: str, left: Side, others: Sequence[Side], within: float | None) -> None:
        self._key = key
        self._left = left
        self._others = tuple(others)
        self._within = within
        self._columns: dict[str, TypedColumn] | None = None

    def __repr__(self) -> str:
        names = ", ".join(repr(side.name) for side in (self._left, *self._others))
        return f"<Table of {names} on {self._key!r}, {len(self)} rows>"

    def __len__(self) -> int:
        return len(self._left.keys)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._joined())

    def to_dict(self) -> dict[str, list[Any]]:
        """A list for each column, equally long; None where a value is missing."""
        return {name: column.to_list() for name, column in self._joined().items()}

    columns = to_dict
    """What a metric calls it."""

    def to_numpy(self) -> dict[str, numpy.ndarray]:
        """As `MetricView.to_numpy`.  Raises MissingExtraError where NumPy is not installed."""
        library("numpy")
        return to_numpy(self._joined())

    def to_pandas(self) -> pandas.DataFrame:
        """Raises MissingExtraError where pandas is not installed."""
        library("pandas")
        return to_pandas(self._joined())

    def to_polars(self) -> polars.DataFrame:
        """Raises MissingExtraError where Polars or Arrow is not installed."""
        library("polars")
        return to_polars(self._joined())

    def to_arrow(self) -> pyarrow.Table:
        """Raises MissingExtraError where Arrow is not installed."""
        library("pyarrow")
        return to_arrow(self._joined())

    def _joined(self) -> dict[str, TypedColumn]:
        if self._columns is None:
            columns = {self._key: self._left.keys}
            for name, column in self._left.fields.items():
                _put(columns, name if name != TIME or self._key != TIME else f"{self._left.name}.{name}", column)
            for side in self._others:
                rows = as_of_rows(self._left.keys, side.keys, self._within)
                for name, column in side.fields.items():
                    _put(columns, f"{side.name}.{name}", take(column, rows))
            self._columns = columns
        return self._columns


def _put(columns: dict[str, TypedColumn], name: str, column: TypedColumn) -> None:
    if name in columns:
        raise ConfigurationError(
            f"two columns of the table would be called {name!r}: expected names that differ. Join them in two tables"
        )
    columns[name] = column


def as_of_table(
    run: Streams, streams: Iterable[Stream] | Stream, on: str, how: str, within: Within, attempts: str
) -> Table:
    """What `Run.table` gives, and raises."""
    if how != "asof":
        raise ConfigurationError(f"how={how!r:.100} is not known: expected 'asof', the last row at or before each")
    if not isinstance(on, str):
        raise ConfigurationError(f"on={on!r:.100}: expected 'time' or the name of a numeric field such as 'step'")
    tolerance = _tolerance(within, on)
    listed = [streams] if streams is None or isinstance(streams, str | MetricView | TrackView) else list(streams)
    views = [_view(run, stream) for stream in listed]
    if not views:
        raise ConfigurationError("no metric and no track is named: expected a list such as ['train', 'system/cpu']")
    names = [_name(view) for view in views]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"{twice!r} is named twice: expected each metric and each track once")
    left, *others = (_side(view, on, attempts) for view in views)
    return Table(on, left, others, tolerance)


def _tolerance(within: Within, on: str) -> float | None:
    if isinstance(within, timedelta) and on == TIME:
        within = within.total_seconds()
    is_number = isinstance(within, int | float) and not isinstance(within, bool)
    if within is not None and (not is_number or isnan(within) or within < 0):  # type: ignore[arg-type, operator]
        unit = "seconds, or a timedelta," if on == TIME else f"a number in the unit of {on!r}"
        raise ConfigurationError(f"within={within!r:.100}: expected {unit} from 0 on")
    return within  # type: ignore[return-value]


def _view(run: Streams, stream: Stream) -> MetricView | TrackView:
    """Raises NotFoundError with the nearest names, ConfigurationError where a metric and a track have the name."""
    if isinstance(stream, MetricView | TrackView):
        return stream
    metrics, tracks = run.metrics, run.tracks
    if stream in metrics and stream in tracks:
        raise ConfigurationError(
            f"{stream!r} is a metric and a track: give run.metrics[{stream!r}] or run.tracks[{stream!r}] instead"
        )
    if stream in metrics:
        return metrics[stream]
    if isinstance(stream, str) and stream in tracks:
        return tracks[stream]
    known = sorted(name for name in (*metrics, *tracks) if name is not None)
    nearest = get_close_matches(str(stream), known, NEAREST_MAX)
    there = f"The nearest names are {', '.join(map(repr, nearest))}" if nearest else f"There are {known!r:.300}"
    raise NotFoundError(f"{run.prefix!r} has no metric and no track {stream!r:.100} at event {run.seq}. {there}")


def _name(view: MetricView | TrackView) -> str:
    return "" if view.name is None else view.name


def _side(view: MetricView | TrackView, on: str, attempts: str) -> Side:
    if isinstance(view, TrackView):
        fields = view.typed_columns()
        if on == TIME:
            return _without(_name(view), fields, TIME_FIELD, fields.get(TIME_FIELD))
    else:
        points = view.points(attempts, with_times=on == TIME)
        fields = points.fields
        if on == TIME:
            return _without(_name(view), fields, TIME_FIELD, _times(points.time_us, fields.get(TIME_FIELD)))
    if fields and on not in fields:
        raise ConfigurationError(
            f"{view.name!r} has no field {on!r} to join on: its fields are {', '.join(fields)}. "
            f"on={TIME!r} joins by the time of recording"
        )
    return _without(_name(view), fields, on, fields.get(on))


def _without(name: str, fields: Mapping[str, TypedColumn], key: str, keys: TypedColumn | None) -> Side:
    others = {field: column for field, column in fields.items() if field != key}
    return Side(name, TypedColumn() if keys is None else keys, others)


def _times(recorded_us: TypedColumn, given: TypedColumn | None) -> TypedColumn:
    """Rule 4, of a metric."""
    times = TypedColumn()
    recorded_s = [time_us / 1e6 for time_us in recorded_us]
    if given is not None:
        times.extend([own if is_key(own) else time_s for own, time_s in zip(given, recorded_s, strict=True)])
    else:
        times.extend(recorded_s)
    return times
