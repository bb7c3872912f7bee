"""`experiment.tracks`: rows by time, such as a robot's joints and its cameras.

   experiment.tracks("arm/left").append(q=[0.1, 0.2], _ts=1.5)
   experiment.tracks("arm/left").append(camera={"width": 640}, _ts=1.5)    # the same row
   experiment.tracks("arm/left").slice(0.0, 10.0).findByTime(1.7)["q"]

1. An entry is an event, recorded when `append` returns; nothing is held back (promise P1).
2. Entries of one topic and one time are one row, whenever they were written: later fields replace earlier ones.
3. Topics are names, not paths: `a/b` and `a_b` are two.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Lock
from typing import Any

from .clock import now_us
from .errors import ConfigurationError
from .facts.events import TRACK_APPENDED
from .opening.recorder import Recorder
from .reading.points import track_rows
from .reading.track_reading import TrackReading
from .reading.track_reading import TrackSlice as TrackSlice
from .recording.timestamps import INHERIT, timestamp_of
from .recording.track_formats import Row

NESTING_MAX = 32
_NOT_NESTED = frozenset((float, int, str, bool, list, tuple, type(None)))


class Tracks:
    """`tracks(topic)` is one topic; `tracks.flush()` is for all of them."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._builders: dict[str, TrackBuilder] = {}

    def __call__(self, topic: str) -> TrackBuilder:
        """A topic, by any name but the empty one; the same object each time.  Raises ConfigurationError."""
        if not isinstance(topic, str) or not topic:
            raise ConfigurationError(f"the topic {topic!r:.100} is not usable. Expected a name such as 'robot/pose'")
        found = self._builders.get(topic)
        return found if found is not None else self._builders.setdefault(topic, TrackBuilder(self._recorder, topic))

    def flush(self) -> None:
        """Everything recorded so far survives power loss when this returns.  Raises StorageError, LockError."""
        self._recorder.writer().flush()


class TrackBuilder(TrackReading):
    """One topic, to append to and to read."""

    def __init__(self, recorder: Recorder, topic: str) -> None:
        self._recorder = recorder
        self._topic = topic

    def append(self, /, **fields: Any) -> TrackBuilder:
        """Adds an entry; `_ts` is its time in seconds.

        Without `_ts` it is now, made unique in this process by microseconds; `_ts=-1` is the last time that this thread
        gave to any metric or track of the experiment, or now.  Nested dicts become dotted columns, arrays become lists.
        Raises ConfigurationError (a ValueError) for a time that is no number, ExperimentError if nothing is open.
        """
        recorder = self._recorder
        writer = recorder.writer()
        timestamp = _timestamp(recorder, fields.pop("_ts")) if "_ts" in fields else _unique_now()
        recorder.set_last_timestamp(timestamp)
        row: dict[str, Any] = {"_ts": timestamp}
        if _NOT_NESTED.issuperset(map(type, fields.values())):
            row.update(fields)
        else:
            _flatten(row, fields)
        writer.record_stream(writer.stream(TRACK_APPENDED, self._topic), row)
        return self

    def flush(self) -> TrackBuilder:
        """Everything recorded so far survives power loss when this returns.  Raises StorageError, LockError."""
        self._recorder.writer().flush()
        return self

    def _rows(self, start: float | None, end: float | None) -> list[Row]:
        return track_rows(self._recorder.whole(), self._topic, start, end)


# --- times --------------------------------------------------------------------------------------------------


class _Clock:
    """Wall clock times that no two calls in this process share."""

    def __init__(self) -> None:
        self._last_us = 0
        self.renew()

    def renew(self) -> None:
        # A forked child may have inherited the lock from a thread that it does not have.
        self._lock = Lock()

    def unique_us(self) -> int:
        with self._lock:
            self._last_us = max(now_us(), self._last_us + 1)
            return self._last_us


_CLOCK = _Clock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_CLOCK.renew)


def _unique_now() -> float:
    return _CLOCK.unique_us() / 1_000_000


def _timestamp(recorder: Recorder, given: Any) -> float:
    """Seconds, as exact as they were given."""
    seconds = timestamp_of(recorder, given, first=_unique_now)
    # Nanoseconds since 1970 are more than a double can hold; an integer keeps them.
    return given if type(given) is int and given != INHERIT and int(seconds) != given else seconds


# --- nesting ------------------------------------------------------------------------------------------------


def _flatten(row: dict[str, Any], fields: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> None:
    """Adds the fields under dotted names.  An empty dict is a value, and so is one nested deeper than NESTING_MAX."""
    for key, value in fields.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and depth < NESTING_MAX:
            _flatten(row, value, f"{name}.", depth + 1)
        else:
            row[name] = value
