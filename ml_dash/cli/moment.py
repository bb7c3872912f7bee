"""Moments as people write them: the number of an event, or a time.

1500                                  after that event
2026-03-01  2026-03-01T14:30:00+01:00  2026-03-01 14:30      ISO 8601; without a zone it is local time
14:30  today  yesterday  yesterday 14:30  now                 today is when it began; yesterday alone is 24 hours ago
2 hours ago  90m ago  3d  1 week ago                         so long before now
"""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Any

import click

EXAMPLES = "a time such as 2026-03-01, 2026-03-01T14:30, 14:30, yesterday or '2 hours ago'"
_UNITS_S = {
    "second": 1,
    "sec": 1,
    "s": 1,
    "minute": 60,
    "min": 60,
    "m": 60,
    "hour": 3600,
    "hr": 3600,
    "h": 3600,
    "day": 86400,
    "d": 86400,
    "week": 604800,
    "wk": 604800,
    "w": 604800,
    "month": 30 * 86400,
    "year": 365 * 86400,
}
_AGO = re.compile(rf"(an?|\d+(?:\.\d+)?)\s*({'|'.join(_UNITS_S)})s?(\s+ago)?")
_DAY = re.compile(r"(today|yesterday)?\s*(?:at\s+)?(\d{1,2}:\d{2}(?::\d{2})?)?")


def parse_time(text: str, now: datetime) -> datetime | None:
    """The time that a text names, aware of its zone where the text says one; None where it names none."""
    text = text.strip()
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        pass
    words = text.lower()
    if words == "now":
        return now
    try:
        return _ago(words, now) or _on_a_day(words, now)
    except (ValueError, OverflowError):
        return None


def parse_moment(text: str, now: datetime) -> int | datetime | None:
    """The same, or the number of an event."""
    return int(text) if text.isdecimal() and text.isascii() else parse_time(text, now)


def _ago(words: str, now: datetime) -> datetime | None:
    match = _AGO.fullmatch(words)
    if match is None:
        return None
    return now - timedelta(seconds=_length_s(match))


def _on_a_day(words: str, now: datetime) -> datetime | None:
    match = _DAY.fullmatch(words)
    if match is None or not words:
        return None
    day, clock = match[1], match[2]
    if clock is None:
        return now - timedelta(days=1) if day == "yesterday" else datetime.combine(now.date(), time()).astimezone()
    date = now.date() - timedelta(days=1) if day == "yesterday" else now.date()
    return datetime.combine(date, time.fromisoformat(clock if clock[1] != ":" else f"0{clock}")).astimezone()


class Moment(click.ParamType[Any]):
    """The number of an event, or a time."""

    name = "SEQ|TIME"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int | datetime:
        if isinstance(value, (int, datetime)):
            return value
        moment = parse_moment(value, datetime.now().astimezone())
        if moment is None:
            self.fail(f"{value!r} is neither the number of an event nor {EXAMPLES}", parameter, context)
        return moment


class Time(click.ParamType[Any]):
    """A time."""

    name = "TIME"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> datetime:
        moment = value if isinstance(value, datetime) else parse_time(value, datetime.now().astimezone())
        if moment is None:
            self.fail(f"{value!r} is not {EXAMPLES}", parameter, context)
        return moment if moment.tzinfo is not None else moment.astimezone()


class Duration(click.ParamType[Any]):
    """How long: `90s`, `2 minutes`, `1h`; seconds where no unit is said."""

    name = "DURATION"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        words = str(value).strip().lower()
        match = _AGO.fullmatch(words if not words.replace(".", "", 1).isdecimal() else f"{words}s")
        if match is None or match[1].startswith("a") or match[3] or not (length_s := _length_s(match)):
            self.fail(f"{value!r} is not how long: expected something like 30s, 5m or '2 hours'", parameter, context)
        return length_s


def _length_s(match: re.Match[str]) -> float:
    return (1.0 if match[1].startswith("a") else float(match[1])) * _UNITS_S[match[2]]


MOMENT = Moment()
TIME = Time()
DURATION = Duration()
