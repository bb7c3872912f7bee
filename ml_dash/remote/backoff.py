"""How long to wait before the network is tried again.

Pauses grow to twice as long after each failure, up to a bound, and each is drawn from the upper half of its range, so
that a hundred trainings that lost one server do not come back to it all at once.  What the server asks for with
`Retry-After` (RFC 9110, 10.2.3) is waited at least, up to a bound.

Pure: no I/O.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

PAUSE_S_MIN = 0.5
PAUSE_S_MAX = 60.0
RETRY_AFTER_S_MAX = 300.0
"""A server that asks for more is asked again all the same: its clock or its operator may be wrong."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def pause_s(failures: int, chance: float, asked_s: float | None = None) -> float:
    """Seconds to wait after so many failures in a row, at least 1; `chance` is random, 0 to 1."""
    longest = min(PAUSE_S_MAX, PAUSE_S_MIN * 2.0 ** min(failures - 1, 16))
    pause = longest * (0.5 + chance / 2)
    return pause if asked_s is None else max(min(asked_s, RETRY_AFTER_S_MAX) * (1 + chance / 10), pause)


def retry_after_s(value: str | None, now_us: int) -> float | None:
    """What the header `Retry-After` asks for, in seconds from now; None where it says nothing that can be read."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - _EPOCH) / timedelta(seconds=1) - now_us / 1_000_000)
