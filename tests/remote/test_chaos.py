"""F14 for real: clients and servers are killed at random moments, with a proxy between them that does what any network
can do.  After every round the server's copy is a prefix of the journal, byte for byte; at the end it is all of it: P6.

A round is a run, a `ml-dash ship` or a redaction, of half a second or less.  Several experiments go on at once through
the proxy, which sends each request to the other of two servers that share one store.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..promises import RecordProperty
from ..server.conftest import Place
from ..server.object_stores import start_s3
from .proxy import FAULTS
from .rounds import Lane, chaos_below, run_rounds

LANES = 5
FAULT_RATE = 0.3
ROUNDS = 30
BUCKET_ROUNDS = 10


def run(folder: Path, place: Place, seed: int, rounds: int, record_property: RecordProperty) -> None:
    with chaos_below(folder, place, seed, FAULT_RATE) as chaos:
        lanes = [Lane(chaos, number, has_root=number > 0) for number in range(min(LANES, rounds // 10))]
        run_rounds(chaos, lanes, rounds, kills_servers=True)
        assert chaos.kills["record"] > 0
        assert chaos.kills["server"] > 0
        assert chaos.proxy.faults.total() < 2 * len(FAULTS) or chaos.proxy.faults.keys() == set(FAULTS)
        record_property("kills of clients", chaos.kills.total() - chaos.kills["server"])
        record_property("kills of servers", chaos.kills["server"])
        record_property("faults of the network", chaos.proxy.faults.total())


@pytest.mark.timeout(900)
def test_rounds_of_kills_and_faults_lose_and_double_nothing(tmp_path: Path, record_property: RecordProperty) -> None:
    run(tmp_path, Place(str(tmp_path / "store")), 3, ROUNDS, record_property)


@pytest.fixture
def bucket() -> Iterator[Place]:
    there = start_s3()
    yield Place(there.bucket(), there.environment)
    there.stop()


@pytest.mark.timeout(900)
def test_rounds_with_two_servers_on_one_bucket_lose_and_double_nothing(
    tmp_path: Path, bucket: Place, record_property: RecordProperty
) -> None:
    run(tmp_path, bucket, 5, BUCKET_ROUNDS, record_property)


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(50))
def test_five_thousand_rounds_of_kills_and_faults_lose_and_double_nothing(
    tmp_path: Path, seed: int, record_property: RecordProperty
) -> None:
    run(tmp_path, Place(str(tmp_path / "store")), seed, 100, record_property)


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(5))
def test_hundreds_of_rounds_on_a_bucket_lose_and_double_nothing(
    tmp_path: Path, bucket: Place, seed: int, record_property: RecordProperty
) -> None:
    run(tmp_path, bucket, seed, 100, record_property)
