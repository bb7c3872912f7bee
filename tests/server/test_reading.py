"""State, columns, summaries and a folder of local journals, asked over HTTP and compared with what is read locally."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.facts.values import from_plain
from ml_dash.journal.folder import JournalFolder
from ml_dash.remote.server import Server
from ml_dash.remote.shipment import Shipment
from ml_dash.state import from_plain_state

from .. import loopback
from .conftest import NewServer, ServerProcess
from .test_journals import problem

IN_EVERY_STORE = True


def record(root: Path, prefix: str, points: int = 50) -> None:
    with Experiment(prefix=prefix, dash_root=root, tags=["kept"], console=False).run as experiment:
        experiment.params.set(lr=0.1)
        for step in range(points):
            experiment.metrics("train").log(step=step, loss=math.nan if step == 3 else 1 / (step + 1))
        experiment.log("half-way")


def ship(url: str, root: Path, prefix: str) -> None:
    server = Server(url, None)
    shipment = Shipment(JournalFolder(root / prefix, prefix=prefix), prefix, server)
    while not shipment.step().is_idle:
        pass
    shipment.close()
    server.close()


def floats(columns: Mapping[str, Iterable[float]]) -> str:
    """In words, because NaN is not equal to itself."""
    return str({name: [float(value) for value in values] for name, values in columns.items()})


@pytest.fixture(params=["store", "dash root"])
def served(
    request: pytest.FixtureRequest, tmp_path: Path, new_server: NewServer
) -> Iterator[tuple[httpx.Client, Path]]:
    """The same two experiments, shipped to a server, and in a folder that one shows."""
    root = tmp_path / "root"
    for prefix in ("alice/ml/a", "bob/ml/b"):
        record(root, prefix)
    if request.param == "store":
        server = new_server()
        for prefix in ("alice/ml/a", "bob/ml/b"):
            ship(server.url, root, prefix)
    else:
        server = new_server(root)
    with loopback.Client(base_url=server.url, timeout=30.0) as client:
        yield client, root


def test_what_is_read_from_a_server_is_what_is_read_locally(served: tuple[httpx.Client, Path]) -> None:
    client, root = served
    local = ml_dash.load("alice/ml/a", dash_root=root)
    answer = client.get("/v1/state", params={"prefix": "alice/ml/a"}).json()
    assert from_plain_state(answer) == local.state
    assert (answer["summary"]["status"], answer["summary"]["tags"]) == ("COMPLETED", ["kept"])
    earlier = client.get("/v1/state", params={"prefix": "alice/ml/a", "at": 10}).json()
    assert from_plain_state(earlier) == ml_dash.load("alice/ml/a", dash_root=root, at=10).state
    assert local.updated is not None
    latest = client.get("/v1/state", params={"prefix": "alice/ml/a", "at": local.updated.isoformat()}).json()
    assert from_plain_state(latest) == local.state
    columns = client.get("/v1/columns", params={"prefix": "alice/ml/a", "metric": "train"}).json()
    assert floats(from_plain(columns["columns"], columns["tags"])) == floats(local.metrics["train"].columns())
    listed = client.get("/v1/experiments", params={"pattern": "alice/**"}).json()
    assert [each["prefix"] for each in listed["experiments"]] == ["alice/ml/a"]
    head = client.get("/v1/journals", params={"prefix": "alice/ml/a"}).json()["journals"][0]
    segment = client.get(f"/v1/journals/{head['journal']}/segments/1", params={"prefix": "alice/ml/a"})
    assert segment.content == (root / "alice/ml/a/_journal/00000001.jsonl").read_bytes()
    commits = client.get("/v1/commits", params={"prefix": "alice/ml/a"}).content
    assert segment.content.endswith(commits)


def test_what_lies_outside_is_said_to(served: tuple[httpx.Client, Path]) -> None:
    client, _ = served
    for address, query, status, name in (
        ("/v1/state", {"prefix": "alice/ml/a", "at": "1000"}, 404, "out-of-range"),
        ("/v1/state", {"prefix": "alice/ml/a", "at": "0"}, 404, "out-of-range"),
        ("/v1/state", {"prefix": "alice/ml/a", "at": "2020-01-01T00:00:00Z"}, 404, "out-of-range"),
        ("/v1/state", {"prefix": "alice/ml/a", "at": "yesterday"}, 400, "invalid-request"),
        ("/v1/state", {"prefix": "alice/ml/a", "at": "2020-01-01T00:00:00"}, 400, "invalid-request"),
        ("/v1/state", {"prefix": "alice/ml/x"}, 404, "unknown-experiment"),
        ("/v1/columns", {"prefix": "alice/ml/a", "metric": "eval"}, 404, "unknown-metric"),
        ("/v1/columns", {"prefix": "alice/ml/a", "metric": "train", "attempts": "some"}, 400, "invalid-request"),
        ("/v1/experiments", {"status": "LOST"}, 400, "invalid-request"),
        ("/v1/experiments", {"cursor": "!"}, 400, "invalid-request"),
        ("/v1/experiments", {"limit": "0"}, 400, "invalid-request"),
        ("/v1/experiments", {"pattern": "../**"}, 400, "invalid-request"),
    ):
        answer = client.get(address, params=query)
        assert (answer.status_code, problem(answer)) == (status, name), (address, query)


def test_experiments_come_in_pages_newest_first(server: ServerProcess, client: httpx.Client, tmp_path: Path) -> None:
    prefixes = [f"alice/ml/run-{number}" for number in range(5)]
    for prefix in prefixes:
        record(tmp_path, prefix, points=1)
        ship(server.url, tmp_path, prefix)
    found, cursor = [], None
    while True:
        query = {"limit": 2, "tag": "kept", "status": "COMPLETED", **({"cursor": cursor} if cursor else {})}
        page = client.get("/v1/experiments", params=query).json()
        found += [each["prefix"] for each in page["experiments"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == prefixes[::-1]
    assert client.get("/v1/experiments", params={"tag": "other"}).json()["experiments"] == []


def test_journals_of_several_machines_are_read_as_one(
    server: ServerProcess, client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for machine in ("one", "two"):
        record(tmp_path / machine, "alice/ml/a", points=5)
        ship(server.url, tmp_path / machine, "alice/ml/a")
    for _ in range(2):
        answer = client.get("/v1/state", params={"prefix": "alice/ml/a"}).json()
        merged = ml_dash.load("alice/ml/a", dash_url=server.url).state
        assert from_plain_state(answer) == merged
        assert (answer["journal"], len(merged.sessions)) == (None, answer["summary"]["sessions"])
        columns = client.get("/v1/columns", params={"prefix": "alice/ml/a", "metric": "train", "attempts": "all"})
        assert len(columns.json()["seq"]) == 5 * len(merged.sessions)
        (listed,) = client.get("/v1/experiments").json()["experiments"]
        assert (listed["journals"], listed["sessions"]) == (2, len(merged.sessions))
        heads = client.get("/v1/journals", params={"prefix": "alice/ml/a"}).json()["journals"]
        alone = client.get("/v1/state", params={"prefix": "alice/ml/a", "journal": heads[0]["journal"]}).json()
        assert alone["journal"] == heads[0]["journal"]
        assert alone["summary"]["sessions"] < len(merged.sessions)
        record(tmp_path / "one", "alice/ml/a", points=5)
        ship(server.url, tmp_path / "one", "alice/ml/a")


def test_a_folder_of_local_journals_is_shown_and_never_changed(new_server: NewServer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with Experiment(prefix="alice/ml/a", dash_root=root, console=False).run as experiment:
        experiment.metrics("train").log(step=1)
        (tmp_path / "weights.bin").write_bytes(b"weights")
        experiment.files("models").upload(str(tmp_path / "weights.bin"))
    server = new_server(root)
    with loopback.Client(base_url=server.url, timeout=30.0) as client:
        assert client.get("/v1/health").json()["read_only"] is True
        head = client.get("/v1/journals", params={"prefix": "alice/ml/a"}).json()["journals"][0]
        answer = client.post(
            f"/v1/journals/{head['journal']}/commits",
            params={"prefix": "alice/ml/a", "segment": 1, "offset": head["offset"]},
            headers={"Content-Type": "application/x-ndjson", "If-Match": f'"{head["hash"]}"'},
            content=b"{}\n",
        )
        assert (answer.status_code, problem(answer)) == (403, "read-only")
        checksum = hashlib.sha256(b"weights").hexdigest()
        assert client.get(f"/v1/blobs/alice/{checksum}", headers={"Range": "bytes=3-"}).content == b"ghts"
        assert client.get(f"/v1/blobs/bob/{checksum}").status_code == 404
        with Experiment(prefix="alice/ml/a", dash_root=root, console=False).run as experiment:
            experiment.metrics("train").log(step=2)
            experiment.flush()
            grown = client.get("/v1/journals", params={"prefix": "alice/ml/a"}).json()["journals"][0]
            assert grown["offset"] > head["offset"]
            assert client.get("/v1/state", params={"prefix": "alice/ml/a"}).json()["summary"]["status"] == "RUNNING"


def test_what_a_server_has_read_it_reads_on_from_there_also_when_started_anew(
    server: ServerProcess, client: httpx.Client, tmp_path: Path
) -> None:
    for count in range(1, 4):
        record(tmp_path, "alice/ml/a", points=5)
        ship(server.url, tmp_path, "alice/ml/a")
        answer = client.get("/v1/state", params={"prefix": "alice/ml/a"}).json()
        assert answer["summary"]["sessions"] == count
        if count == 2:
            server.restart()
    assert from_plain_state(answer) == ml_dash.load("alice/ml/a", dash_root=tmp_path).state


def test_who_opens_the_server_in_a_browser_reads_what_it_is(
    server: ServerProcess, client: httpx.Client, new_server: NewServer, tmp_path: Path
) -> None:
    page = client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert f"ml-dash list --dash-url {server.url}" in page.text
    assert f"dash_url=&quot;{server.url}&quot;" in page.text
    record(tmp_path / ".dash", "alice/ml/a", points=1)
    shows_only = loopback.get(new_server(tmp_path / ".dash").url).text
    assert "ml-dash list" in shows_only
    assert "dash_url=&quot;" not in shows_only, "nothing can be recorded there"


def test_figures_count_what_was_stored(server: ServerProcess, client: httpx.Client, tmp_path: Path) -> None:
    record(tmp_path, "alice/ml/a", points=7)
    ship(server.url, tmp_path, "alice/ml/a")
    seq = ml_dash.load("alice/ml/a", dash_root=tmp_path).seq
    answer = client.get("/v1/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert f"ml_dash_stored_events_total {seq}.0" in answer.text
    assert 'ml_dash_requests_total{method="POST",route="/v1/journals/{journal}/commits",status="200"}' in answer.text
