"""Moments as people write them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ml_dash.cli.moment import parse_moment, parse_time

NOW = datetime(2026, 3, 15, 14, 30, 20, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("now", timedelta()),
        ("2 hours ago", timedelta(hours=2)),
        ("an hour ago", timedelta(hours=1)),
        ("90m ago", timedelta(minutes=90)),
        ("1.5 h", timedelta(hours=1.5)),
        ("30 secs ago", timedelta(seconds=30)),
        ("3d", timedelta(days=3)),
        ("2 Weeks Ago", timedelta(weeks=2)),
        ("a month ago", timedelta(days=30)),
        ("1 year ago", timedelta(days=365)),
        ("yesterday", timedelta(days=1)),
    ],
)
def test_so_long_before_now(text: str, before: timedelta) -> None:
    assert parse_time(text, NOW) == NOW - before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01", datetime(2026, 3, 1)),
        ("2026-03-01 14:30", datetime(2026, 3, 1, 14, 30)),
        ("2026-03-01T14:30:00Z", datetime(2026, 3, 1, 14, 30, tzinfo=timezone.utc)),
        ("2026-03-01T14:30:00.250000+01:00", datetime(2026, 3, 1, 13, 30, 0, 250000, tzinfo=timezone.utc)),
    ],
)
def test_iso_8601_is_taken_as_it_stands(text: str, expected: datetime) -> None:
    assert parse_time(text, NOW) == expected


def test_times_of_a_day_are_local() -> None:
    local = NOW.astimezone()
    for text, expected in {
        "9:05:01": local.replace(hour=9, minute=5, second=1),
        "9:05": local.replace(hour=9, minute=5, second=0),
        "today": local.replace(hour=0, minute=0, second=0),
        "yesterday at 23:59:01": local.replace(hour=23, minute=59, second=1) - timedelta(days=1),
    }.items():
        assert parse_time(text, local) == expected


@pytest.mark.parametrize(
    "text", ["", "soon", "tomorrow", "25:00", "5 parsecs ago", "99999999999 years ago", "-3", "１２"]
)
def test_what_names_no_time_is_none(text: str) -> None:
    assert parse_moment(text, NOW) is None


def test_a_number_is_that_of_an_event() -> None:
    assert parse_moment("1500", NOW) == 1500
