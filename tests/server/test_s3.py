"""The same server in front of an object store that speaks S3: two processes on one bucket, clients that switch."""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from ml_dash.server.store import Missing, Store, Taken

from .conftest import NewServer
from .histories import History
from .shipping import Client, copy_at
from .test_journals import problem
from .test_reading import ship
from .test_redactions import PREFIX, SECRET, record, redact

START_TIMEOUT_S = 60.0


def started() -> tuple[subprocess.Popen[bytes], str]:
    """An object store, and where it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            httpx.get(url, trust_env=False)
            return process, url
        except httpx.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def object_store() -> Iterator[str]:
    process, url = started()
    yield url
    stop(process)


@pytest.fixture
def bucket(object_store: str, request: pytest.FixtureRequest) -> str:
    name = f"bucket-{abs(hash(request.node.name))}"
    assert httpx.put(f"{object_store}/{name}", trust_env=False).status_code == 200
    return name


def settings_for(url: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": url,
        "AWS_ALLOW_HTTP": "true",
    }


@pytest.fixture
def environment(object_store: str) -> dict[str, str]:
    return settings_for(object_store)


def test_the_store_keeps_its_promises_there(
    bucket: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    store = Store.open(f"s3://{bucket}/team")

    async def run() -> None:
        found = await asyncio.gather(*(store.create("a/b ü#+%", b"%d" % n) for n in range(10)), return_exceptions=True)
        assert [type(each) for each in found].count(Taken) == 9
        assert await store.read("a/b ü#+%") == b"%d" % found.index(None)
        for number in range(3):
            await store.create(f"list/{number}", b"x" * number)
        assert [(each.path, each.size) for each in await store.list("list", after="list/0")] == [
            ("list/1", 1),
            ("list/2", 2),
        ]
        await store.delete(["list/1", "list/1"])
        with pytest.raises(Missing):
            await store.read("list/1")
        assert await store.status("list/1") is None
        await store.replace("list/2", b"new")
        assert await store.read("list/2", 1, 9) == b"ew"

    asyncio.run(run())


def test_two_servers_on_one_bucket_store_each_line_once(
    new_server: NewServer, bucket: str, environment: dict[str, str]
) -> None:
    servers = [new_server(f"s3://{bucket}/team", environment=environment) for _ in range(2)]
    urls = [each.url for each in servers]
    history = History.of(20, 15, 25)

    def ship_all(number: int) -> None:
        with Client(history, urls[::-1] if number % 2 else urls) as client:
            client.ship(lines=1 + number % 4)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ship_all, range(8)))
    assert [copy_at(url, history) for url in urls] == [history.segments] * 2
    # And while both are killed, one after the other.
    chance = random.Random(3)
    history.commit(40)
    with ThreadPoolExecutor(1) as pool:
        shipping = pool.submit(ship_all, 0)
        for number in range(4):
            time.sleep(chance.random() * 0.2)
            servers[number % 2].restart()
        shipping.result(120)
    assert [copy_at(url, history) for url in urls] == [history.segments] * 2


def test_a_redacted_value_leaves_the_bucket(
    new_server: NewServer, bucket: str, environment: dict[str, str], tmp_path: Path
) -> None:
    server = new_server(f"s3://{bucket}/team", environment=environment)
    record(tmp_path)
    ship(server.url, tmp_path, PREFIX)
    redact(tmp_path)
    ship(server.url, tmp_path, PREFIX)
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        head = client.get("/v1/journals", params={"prefix": PREFIX}).json()["journals"][0]
        stored = client.get(f"/v1/journals/{head['journal']}/segments/1", params={"prefix": PREFIX}).content
    assert SECRET.encode() not in stored
    assert stored == (tmp_path / PREFIX / "_journal/00000001.jsonl").read_bytes()


def test_a_store_that_does_not_answer_is_said_to(new_server: NewServer) -> None:
    process, url = started()
    try:
        assert httpx.put(f"{url}/bucket", trust_env=False).status_code == 200
        server = new_server("s3://bucket/team", environment=settings_for(url))
        with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as client:
            assert client.get("/v1/experiments").status_code == 200
            stop(process)
            answer = client.get("/v1/journals", params={"prefix": PREFIX})
            assert (answer.status_code, problem(answer)) == (503, "unavailable")
            assert answer.headers["retry-after"]
            assert url not in answer.text
    finally:
        stop(process)
