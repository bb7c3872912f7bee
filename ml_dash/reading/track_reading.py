"""The rows of a topic as people ask for them, of what is open and what is loaded: `read`, `list_entries`, `slice`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..errors import ConfigurationError, NotFoundError
from ..recording.track_formats import Entry, Row, entries_of, select, to_jsonl, to_mocap, to_parquet

FORMATS = ("json", "jsonl", "parquet", "mocap")
Entries = list[Entry]


class TrackReading(ABC):
    """One topic, to read."""

    _topic: str

    @abstractmethod
    def _rows(self, start: float | None, end: float | None) -> list[Row]:
        """Those with `start <= timestamp <= end`, ascending."""

    def read(
        self,
        start_timestamp: float | None = None,
        end_timestamp: float | None = None,
        columns: Sequence[str] | None = None,
        format: str = "json",
    ) -> Any:
        """The rows from `start_timestamp` to `end_timestamp`, both included, in order of time; of `columns` if given.

        `json`: `{"entries": [{"timestamp": seconds, field: value, …}, …], "count": …}`; `jsonl`: those entries as
        bytes, one a line; `parquet`: bytes, needs pyarrow; `mocap`: a dict of `version metadata channels frames`.  A
        topic that nobody has appended to is empty.  Raises ConfigurationError for any other format.
        """
        if format not in FORMATS:
            raise ConfigurationError(f"Unsupported format: {format!r:.100}. Expected one of {', '.join(FORMATS)}")
        rows = self._rows(start_timestamp, end_timestamp)
        if columns is not None:
            rows = select(rows, [columns] if isinstance(columns, str) else columns)
        if format == "mocap":
            return to_mocap(self._topic, rows)
        entries = entries_of(rows)
        if format == "jsonl":
            return to_jsonl(entries)
        if format == "parquet":
            return to_parquet(entries)
        return {"entries": entries, "count": len(entries)}

    def list_entries(self) -> Entries:
        """All rows, as `read` gives them."""
        return entries_of(self._rows(None, None))

    def slice(self, start_timestamp: float | None = None, end_timestamp: float | None = None) -> TrackSlice:
        """The rows of a stretch of time, both ends included, as they are when they are first asked for."""
        return TrackSlice(self, start_timestamp, end_timestamp)


class TrackSlice:
    """Rows of a topic in order of time, loaded once: iterable any number of times, sized, searchable."""

    def __init__(self, track: TrackReading, start: float | None, end: float | None) -> None:
        self._track = track
        self._start = start
        self._end = end
        self._loaded: tuple[Entries, list[float]] | None = None

    def findByTime(self, timestamp: Any, neighborhood_size: int = 10) -> Any:
        """The row at this time in seconds, or the last one before it; for a list of times a list of rows.

        `neighborhood_size` changes nothing: the rows are loaded once, whatever it is.
        Raises NotFoundError, a StorageError and a KeyError, where there is none.
        """
        if isinstance(timestamp, Iterable) and not isinstance(timestamp, str) and getattr(timestamp, "ndim", 1) > 0:
            return [self._find(time) for time in timestamp]
        return self._find(timestamp)

    def _find(self, time: Any) -> Entry:
        entries, times = self._load()
        if not entries:
            raise NotFoundError(f"No entries in track slice {self!r}, so there is none at or before {time}")
        # A time that is no number at all (NaN) has nothing before it.
        index = bisect_right(times, time) if time == time else 0
        if index == 0:
            raise NotFoundError(f"No entry found with timestamp <= {time}. Earliest timestamp: {times[0]}")
        return entries[index - 1]

    def _load(self) -> tuple[Entries, list[float]]:
        if self._loaded is None:
            rows = self._track._rows(self._start, self._end)
            self._loaded = entries_of(rows), [time for time, _ in rows]
        return self._loaded

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._load()[0])

    def __len__(self) -> int:
        return len(self._load()[0])

    def __repr__(self) -> str:
        return f"TrackSlice(topic={self._track._topic!r}, start={self._start}, end={self._end})"
