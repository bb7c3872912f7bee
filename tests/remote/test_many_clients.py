"""Many trainings ship to one server while they record: nothing is lost, whatever the machine has to do besides."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..benchmarks.many_clients import RATE_HZ, run
from ..promises import RecordProperty


def test_clients_that_ship_at_once_have_all_their_points_on_the_server(
    tmp_path: Path, record_property: RecordProperty
) -> None:
    outcome = run(4, 1, tmp_path, clients_per_process=2)
    assert (outcome.points, outcome.lost) == (4 * RATE_HZ, 0)
    record_property("points of many trainings", outcome.points)


@pytest.mark.campaign
def test_a_hundred_trainings_lose_nothing_and_the_server_does_not_grow(
    tmp_path: Path, record_property: RecordProperty
) -> None:
    outcome = run(100, 10, tmp_path)
    assert (outcome.points, outcome.lost) == (100_000, 0)
    record_property("points of many trainings", outcome.points)
    start_bytes, highest_bytes, _ = outcome.server_bytes
    assert highest_bytes - start_bytes < 64 * 1024 * 1024
