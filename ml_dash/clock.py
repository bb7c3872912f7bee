"""The only source of time.  Wall clock times are integers, microseconds since 1970-01-01T00:00Z.

Nothing orders events by these times: order is the sequence number's alone, so a clock that jumps back, forward
or stands still changes no result.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone

monotonic_s = time.monotonic
sleep_s = time.sleep
now_ns = time.time_ns


def now_us() -> int:
    """The wall clock, in whole microseconds."""
    return time.time_ns() // 1000


def to_datetime(time_us: int) -> datetime:
    """An aware UTC datetime; exact to the microsecond."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    return datetime.fromtimestamp(seconds, timezone.utc).replace(microsecond=microseconds)


def from_datetime(moment: datetime) -> int:
    """Microseconds since the epoch; a naive datetime is local time, as `datetime.timestamp` has it."""
    aware = moment.astimezone(timezone.utc)
    return int(aware.replace(microsecond=0).timestamp()) * 1_000_000 + aware.microsecond
