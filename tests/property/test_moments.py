"""The state at a time: looked up in whole segments from the newest back, and the same as looking at every event."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from ml_dash.reading.moments import sequence_at

from ..examples import examples
from ..histories import EPOCH_US, Recorded, event, point
from ..journals import append

MOMENTS_US = st.integers(-5, 400)
"""Clocks jump as they like."""
steady = st.integers(0, 300).map(lambda start: [start + tick for tick in range(40)])
odd = st.lists(MOMENTS_US, min_size=1, max_size=40)
wandering = st.lists(st.integers(-60, 60), min_size=20, max_size=40).map(lambda steps: list(accumulate(steps)))
coarse = st.lists(MOMENTS_US, min_size=17, max_size=40).map(sorted)


def recorded(times: list[int]) -> list[Recorded]:
    """Metric points, which stand as columns, with an event by itself among them."""
    points = [point("train", EPOCH_US + time_us, loss=time_us / 7) for time_us in times]
    return [*points[:3], event("params.set", EPOCH_US + times[min(3, len(times) - 1)], params={"lr": 1}), *points[3:]]


@examples(60)
@given(st.lists(steady | odd | wandering | coarse, min_size=1, max_size=6), st.integers(300, 2000), MOMENTS_US)
def test_a_moment_means_the_last_event_by_then_whatever_clocks_do(
    commits: list[list[int]], segment_bytes_max: int, moment_us: int
) -> None:
    with TemporaryDirectory() as path:
        parts = [("s1", recorded(times)) for times in commits]
        folder = append(Path(path) / "a", *parts, segment_bytes_max=segment_bytes_max)
        times = [each.time_us for _, part in parts for each in part]
        expected = max((seq for seq, time_us in enumerate(times, 1) if time_us <= EPOCH_US + moment_us), default=0)
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=EPOCH_US + moment_us)
        assert sequence_at(folder, moment) == expected
