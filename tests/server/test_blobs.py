"""Content of saved files: whole, in parts, interrupted, and not what it should be."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from ml_dash.remote.protocol import BYTES, PART_BYTES, blob_path, complete_path, part_path, parts_path
from ml_dash.server.blobs import Blobs
from ml_dash.server.store import Store

from .conftest import ServerProcess
from .test_journals import problem

IN_EVERY_STORE = True
HEADERS = {"Content-Type": BYTES}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_content_comes_back_as_it_went_in(client: httpx.Client) -> None:
    for data in (b"", b"x", os.urandom(100_000)):
        url = blob_path("alice", sha256(data))
        assert client.head(url).status_code == 404
        assert client.put(url, content=data, headers=HEADERS).status_code == 200
        answer = client.head(url)
        assert (answer.status_code, int(answer.headers["content-length"])) == (200, len(data))
        assert client.get(url).content == data
        assert client.put(url, content=data, headers=HEADERS).status_code == 200


def test_content_of_one_owner_is_not_there_for_another(client: httpx.Client) -> None:
    client.put(blob_path("alice", sha256(b"x")), content=b"x", headers=HEADERS)
    assert client.head(blob_path("bob", sha256(b"x"))).status_code == 404


def test_content_with_another_hash_is_refused(client: httpx.Client, server: ServerProcess) -> None:
    answer = client.put(blob_path("alice", sha256(b"x")), content=b"y", headers=HEADERS)
    assert (answer.status_code, problem(answer), answer.json()["found"]) == (422, "wrong-hash", sha256(b"y"))
    assert client.head(blob_path("alice", sha256(b"x"))).status_code == 404
    answer = client.put(blob_path("alice", "A" * 64), content=b"y", headers=HEADERS)
    assert answer.status_code == 404
    assert not [path for path in server.objects() if path.startswith("blobs/")]


def test_an_interrupted_upload_goes_on_where_it_was(client: httpx.Client, server: ServerProcess) -> None:
    data = os.urandom(2 * PART_BYTES + 5)
    checksum = sha256(data)
    offsets = range(0, len(data), PART_BYTES)

    def put(offset: int) -> None:
        part = data[offset : offset + PART_BYTES]
        answer = client.put(part_path("alice", checksum, offset), content=part, headers=HEADERS)
        assert answer.status_code == 200

    put(offsets[2])
    put(offsets[0])
    server.restart()
    answer = client.post(complete_path("alice", checksum), params={"bytes": len(data)})
    assert (answer.status_code, problem(answer)) == (409, "incomplete-blob")
    assert answer.json()["parts"] == [[0, PART_BYTES], [offsets[2], 5]]
    found = client.get(parts_path("alice", checksum)).json()
    assert (found["parts"], found["part_bytes"]) == ([[0, PART_BYTES], [offsets[2], 5]], PART_BYTES)
    put(offsets[1])
    for _ in range(2):
        assert client.post(complete_path("alice", checksum), params={"bytes": len(data)}).status_code == 200
    assert client.get(blob_path("alice", checksum)).content == data
    assert client.get(parts_path("alice", checksum)).json()["parts"] == []


def test_parts_that_are_not_the_content_are_refused_and_forgotten(client: httpx.Client) -> None:
    checksum = sha256(b"another")
    client.put(part_path("alice", checksum, 0), content=b"this", headers=HEADERS)
    answer = client.post(complete_path("alice", checksum), params={"bytes": 4})
    assert (answer.status_code, problem(answer)) == (422, "wrong-hash")
    assert client.head(blob_path("alice", checksum)).status_code == 404
    assert client.get(parts_path("alice", checksum)).json()["parts"] == []


def test_a_part_has_its_place_and_its_size(client: httpx.Client) -> None:
    checksum = sha256(b"x")
    answer = client.put(part_path("alice", checksum, 5), content=b"x", headers=HEADERS)
    assert (answer.status_code, problem(answer)) == (400, "invalid-request")
    answer = client.put(part_path("alice", checksum, 0), content=b"", headers=HEADERS)
    assert answer.status_code == 422
    answer = client.put(part_path("alice", checksum, 0), content=bytes(PART_BYTES + 1), headers=HEADERS)
    assert (answer.status_code, problem(answer)) == (413, "body-too-large")


def test_who_asks_again_for_what_is_being_joined_waits_for_the_same_work(tmp_path: Path) -> None:
    class Counting(Store):
        joined = 0

        async def join(self, path: str, chunks: AsyncIterator[bytes]) -> None:
            self.joined += 1
            await super().join(path, chunks)

    made = Store.open(tmp_path / "store")
    store = Counting(made._backend, made.name, made._folder)
    data = os.urandom(PART_BYTES + 3)

    async def run() -> None:
        blobs = Blobs(store)
        for offset in (0, PART_BYTES):
            await blobs.put_part("alice", sha256(data), offset, data[offset : offset + PART_BYTES])
        asking = [asyncio.create_task(blobs.complete("alice", sha256(data), len(data))) for _ in range(4)]
        await asyncio.sleep(0)
        # A client that waits no longer: the work goes on for the others.
        asking[0].cancel()
        await asyncio.gather(*asking[1:])
        assert asking[0].cancelled()
        found = await blobs.status("alice", sha256(data))
        assert found is not None
        assert found.size == len(data)
        assert await blobs.parts("alice", sha256(data)) == []
        # Asked once more it is there.
        await blobs.complete("alice", sha256(data), len(data))

    asyncio.run(run())
    assert store.joined == 1
