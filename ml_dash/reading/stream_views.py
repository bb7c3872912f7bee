"""The metrics, tracks and log lines of a run that was loaded: looked up in the journal when they are asked for.

Each view shows what there was at the event that the run was loaded at, whatever is recorded meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from ..facts.copies import own_copy
from ..journal.folder import JournalFolder
from ..state import MetricState, State, TrackState
from ..state.supersessions import attempts_in, is_any_superseded, lifetimes_of, reaches_of, supersessions_in
from .column_exports import library, to_arrow, to_numpy, to_pandas, to_polars
from .point_columns import Columns
from .points import LogEntry, check_attempts, log_entries, log_rows, metric_columns, metric_page, track_rows
from .replay import Replay
from .track_columns import track_columns
from .track_reading import TrackReading
from .typed_columns import TypedColumn

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars
    import pyarrow


@dataclass(frozen=True, slots=True)
class MetricAttempt:
    """One attempt in one metric: `count` points, of which `latest` count; the others a later attempt has superseded.

    `steps` has the lowest and the highest step, by the field that holds it; `superseded_by` are the names of the
    attempts that superseded some.
    """

    name: str
    session: str
    rewound: Mapping[str, int | float]
    count: int
    latest: int
    steps: Mapping[str, tuple[int | float, int | float]]
    superseded_by: tuple[str, ...]


class MetricView:
    """One metric.  `len()` counts the points of `columns()`, `count` those of all attempts.

    `attempts="latest"` leaves out points that a later attempt logged again, `"all"` gives every point there is; any
    other word raises ConfigurationError.
    """

    __slots__ = ("_folder", "_name", "_state")

    def __init__(self, folder: JournalFolder, state: State, name: str | None) -> None:
        self._folder = folder
        self._state = state
        self._name = name

    def __repr__(self) -> str:
        return f"<MetricView {self._name!r}, {self.count} points, fields {', '.join(self.state.fields)}>"

    def __len__(self) -> int:
        # What a fork has from its parent may be gone there.
        if self.count and (self._state.fork is not None or is_any_superseded(self._state, self._name)):
            return len(self.points("latest"))
        return self.count

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def name(self) -> str | None:
        return self._name

    @property
    def state(self) -> MetricState:
        """Count, last, min, max and sum of each field, over all attempts."""
        return self._state.metrics[self._name]

    @property
    def count(self) -> int:
        """Points of all attempts."""
        return self.state.count

    @property
    def description(self) -> str | None:
        return self.state.description

    @property
    def tags(self) -> tuple[str, ...]:
        return self.state.tags

    @property
    def metadata(self) -> dict[str, Any] | None:
        return own_copy(self.state.metadata)

    @property
    def attempts(self) -> tuple[MetricAttempt, ...]:
        """What each attempt has logged here and how much of it counts, in the order in which they began.  Reads the
        points of the metric."""
        lifetimes, points = lifetimes_of(self._state), self.points("all")
        counts, kept = points.counts(lifetimes), points.latest(lifetimes).counts(lifetimes)
        reaches = reaches_of(self._state, self._name)
        superseded = [each for each in supersessions_in(self._state) if self._name in each.metrics]
        return tuple(
            MetricAttempt(
                each.name,
                each.session,
                each.rewound,
                counts[each.key],
                kept.get(each.key, 0),
                reaches[each.key].steps if each.key in reaches else {},
                tuple(dict.fromkeys(found.by for found in superseded if found.of == each.name)),
            )
            for each in attempts_in(self._state)
            if each.key in counts
        )

    def columns(self, attempts: str = "latest") -> dict[str, list[Any]]:
        """A list for each field, equally long, in the order of recording; None where a point lacks the field."""
        return self.points(attempts).to_dict()

    def read(self, start_index: int = 0, limit: int | None = 1000, attempts: str = "all") -> dict[str, Any]:
        """As `read` of `experiment.metrics(name)`: points by index, counted over all attempts."""
        state = self._state
        return metric_page(self._folder, self._name, start_index, limit, attempts, state.seq, state.corrections)

    def stats(self) -> dict[str, Any]:
        """As `stats` of `experiment.metrics(name)`: counts are text, times ISO 8601 in UTC."""
        from ..recording.metric_reports import stats

        return stats(Replay(self._folder, self._state.seq), self._name, {})

    def summary(self, attempts: str = "latest") -> dict[str, dict[str, Any]]:
        """For each field `count last min max mean min_step max_step`, as `Columns.summary` has them."""
        return self.points(attempts).summary()

    def to_numpy(self, attempts: str = "latest") -> dict[str, numpy.ndarray]:
        """An array for each field: float64, int64, bool or object; a float that is missing is NaN.

        Raises MissingExtraError where NumPy is not installed.  `column_exports.py` has the table of types.
        """
        library("numpy")
        return to_numpy(self.points(attempts).fields)

    def to_pandas(self, attempts: str = "latest") -> pandas.DataFrame:
        """One row a point.  Raises MissingExtraError where pandas is not installed."""
        library("pandas")
        return to_pandas(self.points(attempts).fields)

    def to_polars(self, attempts: str = "latest") -> polars.DataFrame:
        """One row a point.  Raises MissingExtraError where Polars or Arrow is not installed."""
        library("polars")
        return to_polars(self.points(attempts).fields)

    def to_arrow(self, attempts: str = "latest") -> pyarrow.Table:
        """One row a point.  Raises MissingExtraError where Arrow is not installed."""
        library("pyarrow")
        return to_arrow(self.points(attempts).fields)

    def points(self, attempts: str = "latest", *, with_times: bool = False) -> Columns:
        """The points as typed columns, with their sequence numbers, and with the times of recording if asked for."""
        check_attempts(attempts)
        at, corrections = self._state.seq, self._state.corrections
        points = metric_columns(self._folder, self._name, "all", at, with_times=with_times, corrections=corrections)
        if attempts == "all" or not is_any_superseded(self._state, self._name):
            return points
        return points.latest(lifetimes_of(self._state))


class TrackView(TrackReading):
    """One topic.  `len()` counts rows: entries of one timestamp are one row."""

    __slots__ = ("_folder", "_state", "_topic")

    def __init__(self, folder: JournalFolder, state: State, topic: str) -> None:
        self._folder = folder
        self._state = state
        self._topic = topic

    def __repr__(self) -> str:
        return f"<TrackView {self._topic!r}, {self.state.count} entries, fields {', '.join(self.state.fields)}>"

    def __len__(self) -> int:
        return len(self.rows())

    def __bool__(self) -> bool:
        return self.state.count > 0

    @property
    def name(self) -> str:
        return self._topic

    @property
    def state(self) -> TrackState:
        return self._state.tracks[self._topic]

    def rows(self, start: float | None = None, end: float | None = None) -> list[tuple[float, dict[str, Any]]]:
        """`(timestamp, fields)` with `start <= timestamp <= end`, ascending; timestamps in seconds."""
        return track_rows(self._folder, self._topic, start, end, self._state.seq, self._state.corrections)

    def _rows(self, start: float | None, end: float | None) -> list[tuple[float, dict[str, Any]]]:
        return self.rows(start, end)

    def columns(self) -> dict[str, list[Any]]:
        """A list for each field and one for the timestamps, `_ts`, equally long; None where a row lacks the field."""
        return {key: column.to_list() for key, column in self.typed_columns().items()}

    def to_numpy(self) -> dict[str, numpy.ndarray]:
        """As `MetricView.to_numpy`."""
        library("numpy")
        return to_numpy(self.typed_columns())

    def to_pandas(self) -> pandas.DataFrame:
        """One row a timestamp.  Raises MissingExtraError where pandas is not installed."""
        library("pandas")
        return to_pandas(self.typed_columns())

    def to_polars(self) -> polars.DataFrame:
        """One row a timestamp.  Raises MissingExtraError where Polars or Arrow is not installed."""
        library("polars")
        return to_polars(self.typed_columns())

    def to_arrow(self) -> pyarrow.Table:
        """One row a timestamp.  Raises MissingExtraError where Arrow is not installed."""
        library("pyarrow")
        return to_arrow(self.typed_columns())

    def typed_columns(self) -> Mapping[str, TypedColumn]:
        """A column for each field, the timestamps first."""
        return track_columns(self._folder, self._topic, self._state.seq, self._state.corrections)


class LogView(Sequence[LogEntry]):
    """The log lines, oldest first.  Iterating reads them one after the other; an index reads them all, once."""

    __slots__ = ("_entries", "_folder", "_state")

    def __init__(self, folder: JournalFolder, state: State) -> None:
        self._folder = folder
        self._state = state
        self._entries: tuple[LogEntry, ...] | None = None

    def __repr__(self) -> str:
        return f"<LogView of {len(self)} lines>"

    def __len__(self) -> int:
        return sum(self._state.log_counts.values())

    def __iter__(self) -> Iterator[LogEntry]:
        if self._entries is not None:
            return iter(self._entries)
        return log_entries(self._folder, self._state.seq, self._state.corrections)

    @overload
    def __getitem__(self, index: int) -> LogEntry: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[LogEntry]: ...

    def __getitem__(self, index: int | slice) -> LogEntry | Sequence[LogEntry]:
        if self._entries is None:
            self._entries = tuple(self)
        return self._entries[index]

    def read(
        self, level: str | None = None, search: str | None = None, start: int = 0, limit: int | None = None
    ) -> list[LogEntry]:
        """The lines of that level whose message contains `search` in any case; of those, `limit` from `start` on."""
        return log_rows(self._folder, level, search, start, limit, self._state.seq, self._state.corrections)
