"""A leaked secret leaves the server too, whether it was redacted before it was shipped or afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import orjson
import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.survey import survey
from ml_dash.remote.mirror import Mirror, ServerSource
from ml_dash.remote.protocol import redactions_path
from ml_dash.remote.server import Server
from ml_dash.server.journals import Journals
from ml_dash.server.store import Store

from .conftest import ServerProcess
from .test_journals import problem
from .test_reading import ship

IN_EVERY_STORE = True
PREFIX = "alice/ml/a"
SECRET = "hunter2-hunter2-hunter2"


def record(root: Path, secret: str | None = SECRET) -> None:
    with Experiment(prefix=PREFIX, dash_root=root, console=False).run as experiment:
        experiment.params.set(lr=0.1, password=secret)
        experiment.metrics("train").log(step=1)
    with Experiment(prefix=PREFIX, dash_root=root, console=False).run as experiment:
        experiment.metrics("train").log(step=2)


def redact(root: Path) -> None:
    event = next(each for each in ml_dash.events(PREFIX, dash_root=root) if each.type == "params.set")
    ml_dash.redact(PREFIX, event.seq, "password", reason="leaked", dash_root=root)


def bytes_in(folder: str | Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file())


def stored_by(server: ServerProcess) -> bytes:
    return b"".join(server.objects().values())


def local_bytes(root: Path) -> bytes:
    return (root / PREFIX / "_journal/00000001.jsonl").read_bytes()


@pytest.mark.parametrize("is_shipped_before", [True, False])
def test_a_redacted_value_is_nowhere_on_the_server(
    server: ServerProcess, client: httpx.Client, tmp_path: Path, is_shipped_before: bool
) -> None:
    root, copies = tmp_path / "root", tmp_path / "copies"
    record(root)
    mirrored = Server(server.url, None)
    mirror = Mirror(copies, ServerSource(mirrored))
    if is_shipped_before:
        ship(server.url, root, PREFIX)
        assert SECRET.encode() in stored_by(server)
        mirror.refresh(PREFIX)
        assert client.get("/v1/state", params={"prefix": PREFIX}).status_code == 200
    redact(root)
    ship(server.url, root, PREFIX)
    assert SECRET.encode() not in stored_by(server)
    head = client.get("/v1/journals", params={"prefix": PREFIX}).json()["journals"][0]
    assert head["redactions"] == 1
    answer = client.get(f"/v1/journals/{head['journal']}/segments/1", params={"prefix": PREFIX})
    assert answer.content == local_bytes(root)
    state = client.get("/v1/state", params={"prefix": PREFIX})
    assert "[redacted]" in state.text
    assert SECRET not in state.text
    (folder,) = mirror.refresh(PREFIX)
    assert SECRET.encode() not in bytes_in(copies)
    assert survey(folder).ok
    assert len(survey(folder).redactions) == 1
    # And the journal goes on.
    record(root, secret=None)
    ship(server.url, root, PREFIX)
    answer = client.get(f"/v1/journals/{head['journal']}/segments/1", params={"prefix": PREFIX})
    assert answer.content == local_bytes(root)
    mirrored.close()


def test_a_declaration_about_another_line_is_refused(
    server: ServerProcess, client: httpx.Client, tmp_path: Path
) -> None:
    record(tmp_path)
    ship(server.url, tmp_path, PREFIX)
    redact(tmp_path)
    event = next(each for each in ml_dash.events(PREFIX, dash_root=tmp_path) if each.type == "event.redacted")
    payload = dict(event.data)
    journal = client.get("/v1/journals", params={"prefix": PREFIX}).json()["journals"][0]["journal"]
    stored = stored_by(server)
    for wrong in (
        {**payload, "offset": payload["offset"] + 1},
        {**payload, "hash": "0" * 64},
        {**payload, "now": "0" * 64},
        {**payload, "patches": {"5": '"free text"'}},
        {**payload, "patches": None},
        {"seq": 1},
        "no object",
    ):
        answer = client.post(redactions_path(journal), params={"prefix": PREFIX}, json={"redactions": [wrong]})
        assert (answer.status_code, problem(answer)) == (422, "invalid-redaction"), wrong
    for body in (b"[]", b"{}", b'{"redactions": 1}'):
        answer = client.post(
            redactions_path(journal),
            params={"prefix": PREFIX},
            content=body,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 422
    assert stored_by(server) == stored
    answer = client.post(redactions_path(journal), params={"prefix": PREFIX}, json={"redactions": [payload]})
    assert (answer.status_code, answer.json()["head"]["redactions"]) == (200, 1)
    assert SECRET.encode() not in stored_by(server)


def test_what_a_killed_server_had_declared_the_next_batch_carries_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    record(root)
    journal = JournalFolder(root / PREFIX)
    whole = local_bytes(root)
    redact(root)
    found = survey(journal)
    assert found.journal is not None
    declared = next(each for each in ml_dash.events(PREFIX, dash_root=root) if each.type == "event.redacted")

    class Killed(Exception):
        pass

    class KilledAmidst(Journals):
        async def _carry_out(self, *_: object) -> None:
            raise Killed

    async def run(journal_id: str) -> bytes:
        from ml_dash.server.journals import Batch

        store = Store.in_memory()
        await Journals(store).append(PREFIX, journal_id, Batch(1, 0, whole, None))
        head = await Journals(store).head(PREFIX, journal_id)
        assert head is not None
        rest = Batch(1, len(whole), local_bytes(root)[len(whole) :], head.hash)
        with pytest.raises(Killed):
            await KilledAmidst(store).append(PREFIX, journal_id, rest)
        # The client has no answer, and sends it again.
        again = await Journals(store).append(PREFIX, journal_id, rest)
        assert (again.lines, again.head.redactions) == (0, 1)
        journals = Journals(store)
        size = (await journals.segments(PREFIX, journal_id))[1]
        return b"".join([chunk async for chunk in journals.read(PREFIX, journal_id, 1, 0, size)])

    stored = asyncio.run(run(found.journal))
    assert SECRET.encode() not in stored
    assert stored == local_bytes(root)
    assert orjson.loads(orjson.dumps(declared.data))["field"] == "password"
