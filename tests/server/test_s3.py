"""The same server in front of an object store that speaks S3: two processes on one bucket, clients that switch."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .. import loopback
from .conftest import NewServer, Place, ServerProcess
from .histories import History
from .object_stores import ObjectStore, start_s3
from .shipping import Client, copy_at
from .test_journals import problem
from .test_reading import ship
from .test_redactions import PREFIX, SECRET, record, redact, stored_by


@pytest.fixture
def place(object_stores: Callable[[str], ObjectStore]) -> Place:
    return Place(object_stores("s3").bucket(), object_stores("s3").environment)


def test_two_servers_on_one_bucket_store_each_line_once(new_server: NewServer) -> None:
    servers = [new_server() for _ in range(2)]
    urls = [each.url for each in servers]
    history = History.of(8, 6, 10)

    def ship_all(number: int) -> None:
        with Client(history, urls[::-1] if number % 2 else urls) as client:
            client.ship(lines=1 + number % 4)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ship_all, range(8)))
    assert [copy_at(url, history) for url in urls] == [history.segments] * 2
    # And while both are killed, one after the other.
    chance = random.Random(3)
    history.commit(20)
    with ThreadPoolExecutor(1) as pool:
        shipping = pool.submit(ship_all, 0)
        for number in range(4):
            time.sleep(chance.random() * 0.2)
            servers[number % 2].restart()
        shipping.result(120)
    assert [copy_at(url, history) for url in urls] == [history.segments] * 2


def test_a_redacted_value_leaves_the_bucket(server: ServerProcess, tmp_path: Path) -> None:
    record(tmp_path)
    ship(server.url, tmp_path, PREFIX)
    redact(tmp_path)
    ship(server.url, tmp_path, PREFIX)
    with loopback.Client(base_url=server.url, timeout=30) as client:
        head = client.get("/v1/journals", params={"prefix": PREFIX}).json()["journals"][0]
        stored = client.get(f"/v1/journals/{head['journal']}/segments/1", params={"prefix": PREFIX}).content
    assert SECRET.encode() not in stored_by(server)
    assert stored == (tmp_path / PREFIX / "_journal/00000001.jsonl").read_bytes()


def test_a_store_that_does_not_answer_is_said_to(new_server: NewServer) -> None:
    there = start_s3()
    try:
        server = new_server(there.bucket(), environment=there.environment)
        with loopback.Client(base_url=server.url, timeout=120) as client:
            assert client.get("/v1/experiments").status_code == 200
            there.stop()
            answer = client.get("/v1/journals", params={"prefix": PREFIX})
            assert (answer.status_code, problem(answer)) == (503, "unavailable")
            assert answer.headers["retry-after"]
            assert there.url not in answer.text
    finally:
        there.stop()
