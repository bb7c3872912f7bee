"""Facts.  Every type of event that this release writes, by its permanent name.

An event is finished and immutable: it says what happened, never what to do.  Type names are for ever; a type that
this release does not know is kept and shown, never dropped.  `spec/events.md` gives the payload of each.

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..clock import to_datetime

EXPERIMENT_FORKED = "experiment.forked"
RUN_STARTED = "run.started"
RUN_COMPLETED = "run.completed"
RUN_FAILED = "run.failed"
RUN_CANCELLED = "run.cancelled"
RUN_REWOUND = "run.rewound"
WRITER_JOINED = "writer.joined"
EXPERIMENT_DESCRIBED = "experiment.described"
PARAMS_SET = "params.set"
LOG_WRITTEN = "log.written"
OUTPUT_WRITTEN = "output.written"
METRIC_DESCRIBED = "metric.described"
METRIC_LOGGED = "metric.logged"
TRACK_APPENDED = "track.appended"
FILE_SAVED = "file.saved"
FILE_UPDATED = "file.updated"
FILE_DELETED = "file.deleted"
VALUE_CORRECTED = "value.corrected"
EVENT_REDACTED = "event.redacted"

EVENT_TYPES = (
    EXPERIMENT_FORKED,
    RUN_STARTED,
    RUN_COMPLETED,
    RUN_FAILED,
    RUN_CANCELLED,
    RUN_REWOUND,
    WRITER_JOINED,
    EXPERIMENT_DESCRIBED,
    PARAMS_SET,
    LOG_WRITTEN,
    OUTPUT_WRITTEN,
    METRIC_DESCRIBED,
    METRIC_LOGGED,
    TRACK_APPENDED,
    FILE_SAVED,
    FILE_UPDATED,
    FILE_DELETED,
    VALUE_CORRECTED,
    EVENT_REDACTED,
)

STREAM_TYPES = frozenset((METRIC_LOGGED, TRACK_APPENDED))
"""Events with payload `{"name": …, "fields": {…}}`, many alike: these stand as columns under their name."""

COLUMNAR_TYPES = STREAM_TYPES | {LOG_WRITTEN, OUTPUT_WRITTEN}
"""Events that may stand as columns.  They commute with each other unless type and name are the same; every other
type is a barrier that no column reaches across, so folding block by block equals folding event by event."""


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of an experiment's history.

    `seq` is dense from 1, and the only order there is.  `time_us` is the writer's wall clock when the recording call
    was made, in microseconds since 1970 UTC.  `writer` is the process that recorded it, `session` the open…close that
    it belongs to.
    """

    seq: int
    type: str
    time_us: int
    data: dict[str, Any]
    writer: str
    session: str

    @property
    def time(self) -> datetime:
        """`time_us` as an aware UTC datetime."""
        return to_datetime(self.time_us)
