"""Client and server are killed at random moments, again and again: each event arrives once, none is lost (P1, P6)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path
from random import Random

import pytest

import ml_dash
from ml_dash.journal.folder import JournalFolder
from ml_dash.opening.left_to_ship import left_to_ship, ship
from ml_dash.remote.server import Server

from ..examples import IS_CAMPAIGN
from ..promises import RecordProperty
from ..server.conftest import ServerProcess
from .hostile import valid_bytes

PREFIX = "alice/ml/killed"
DEADLINE_S = 60.0
# A round is a process that opens the experiment, says after each call that it has returned, and is killed amidst.
SOURCE = """
import sys
from ml_dash import Experiment
experiment = Experiment(sys.argv[1], dash_url=sys.argv[2], dash_root=sys.argv[3], console=False, ship_timeout_s=0)
experiment.run.start()
number = int(sys.argv[4])
print(number, flush=True)
while True:
    number += 1
    experiment.metrics("train").log(number=number)
    if number % 200 == 0:
        experiment.files.save_text(str(number) * 50, to=f"{number}.txt")
    if number % 50 == 0:
        print(number, flush=True)
"""


def one_round(url: str, root: Path, number: int, random: Random, server: ServerProcess, *, kill_server: bool) -> int:
    """The last number whose recording had returned for certain."""
    arguments = [sys.executable, "-c", SOURCE, PREFIX, url, str(root), str(number)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        number = int(process.stdout.readline())
        time.sleep(random.uniform(0.0, 0.5))
        if kill_server:
            server.kill()
        process.send_signal(signal.SIGKILL)
        said = process.stdout.read().split()
    if kill_server:
        server.start()
    return int(said[-1]) if said else number


def run_rounds(rounds: int, seed: int, tmp_path: Path, server: ServerProcess, record_property: RecordProperty) -> None:
    random, number, root, url = Random(seed), 0, tmp_path / "dash", server.url
    recorded: list[range] = []
    folder = JournalFolder(root / PREFIX, prefix=PREFIX)
    for count in range(rounds):
        returned = one_round(url, root, number, random, server, kill_server=count % 5 == 4)
        stored = copies(url, server)
        local = valid_bytes(folder)
        assert all(local[segment].startswith(data) for segment, data in stored.items()), "a prefix, always"
        recorded.append(range(number + 1, returned + 1))
        number = returned + 1_000
    (waiting,) = left_to_ship([root], lambda parts: True, url)
    finished = ship(waiting)
    assert finished.is_complete, finished
    assert copies(url, server) == valid_bytes(folder)
    logged = ml_dash.load(PREFIX, dash_url=url).metrics["train"].columns(attempts="all")["number"]
    assert len(set(logged)) == len(logged), "none twice"
    assert set(chain.from_iterable(recorded)) <= set(logged), "none lost that had returned"
    remote, here = ml_dash.load(PREFIX, dash_url=url), ml_dash.load(PREFIX, dash_root=root)
    assert remote.state == here.state
    server_of = Server(url, None)
    assert all(server_of.has_blob("alice", file.checksum) for file in here.files)
    server_of.close()
    record_property("kills of clients", rounds)
    record_property("kills of servers", rounds // 5)


def copies(url: str, server: ServerProcess) -> dict[int, bytes]:
    """What the server has of each segment."""
    found: dict[int, bytes] = {}
    asked = Server(url, None)
    try:
        for head in asked.journals(PREFIX):
            for segment in range(1, head.segment + 1):
                with asked.segment(PREFIX, head.journal, segment) as chunks:
                    found[segment] = b"".join(chunks)
    finally:
        asked.close()
    return found


@pytest.fixture(autouse=True)
def folders_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_clients_and_servers_that_are_killed_lose_and_double_nothing(
    tmp_path: Path, server: ServerProcess, record_property: RecordProperty
) -> None:
    run_rounds(10 if IS_CAMPAIGN else 5, 7, tmp_path, server, record_property)


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(50))
def test_a_hundred_kills_each_lose_and_double_nothing(
    tmp_path: Path, server: ServerProcess, seed: int, record_property: RecordProperty
) -> None:
    run_rounds(100, seed, tmp_path, server, record_property)
