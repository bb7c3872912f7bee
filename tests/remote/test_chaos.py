"""F14 for real: clients and servers are killed at random moments, with a proxy between them that does what any network
can do.  After every round the server's copy is a prefix of the journal, byte for byte; at the end it is all of it: P6.

A round is a run, a `ml-dash ship` or a redaction, of half a second or less.  Several experiments go on at once through
the proxy, which sends each request to the other of two servers that share one store.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .proxy import FAULTS
from .rounds import Lane, chaos_below, run_rounds

LANES = 5
FAULT_RATE = 0.3


def run(folder: Path, seed: int, rounds: int) -> None:
    with chaos_below(folder, seed, FAULT_RATE) as chaos:
        lanes = [Lane(chaos, number, has_root=number > 0) for number in range(LANES)]
        run_rounds(chaos, lanes, rounds, kills_servers=True)
        assert chaos.proxy.faults.keys() == set(FAULTS), chaos.proxy.faults
        assert {"record", "ship", "redact", "server"} == chaos.kills.keys(), chaos.kills


@pytest.mark.timeout(900)
def test_a_hundred_rounds_of_kills_and_faults_lose_and_double_nothing(tmp_path: Path) -> None:
    run(tmp_path, 3, 100)


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(50))
def test_five_thousand_rounds_of_kills_and_faults_lose_and_double_nothing(tmp_path: Path, seed: int) -> None:
    run(tmp_path, seed, 100)
