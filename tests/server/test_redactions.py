"""A leaked secret leaves the server too, whether it was redacted before it was shipped or afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any

import httpx
import orjson
import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import NetworkError
from ml_dash.facts.codec import decode_events
from ml_dash.facts.codec import events_of as events_of_blocks
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import CommitLine
from ml_dash.journal.reader import JournalReader
from ml_dash.journal.survey import survey
from ml_dash.remote.mirror import Mirror, ServerSource
from ml_dash.remote.protocol import redactions_path
from ml_dash.remote.server import Server
from ml_dash.server.append import Batch
from ml_dash.server.journals import Journals
from ml_dash.server.store import Store

from .. import loopback
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

    async def killed(*_: object) -> None:
        raise Killed

    async def run(journal_id: str) -> bytes:
        store = Store.in_memory()
        await Journals(store).append(PREFIX, journal_id, Batch(1, 0, whole, None))
        head = await Journals(store).head(PREFIX, journal_id)
        assert head is not None
        rest = Batch(1, len(whole), local_bytes(root)[len(whole) :], head.hash)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ml_dash.server.journals.carry_out", killed)
            with pytest.raises(Killed):
                await Journals(store).append(PREFIX, journal_id, rest)
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


# -- a reader between the declaration and the event that makes it ------------------------------------------------


def declarations(root: Path) -> list[dict[str, Any]]:
    return [dict(each.data) for each in ml_dash.events(PREFIX, dash_root=root) if each.type == "event.redacted"]


def events_of(folder: JournalFolder) -> list[tuple[int, str]]:
    reader = JournalReader(folder)
    found = [(event.seq, event.type) for line in reader.commits() for event in decoded(line)]
    assert reader.damage == []
    return found


def decoded(line: CommitLine) -> list[ml_dash.Event]:
    return list(events_of_blocks(decode_events(line.events, line.count), line.first, line.time_us, "", ""))


def shipped_and_then_redacted(server: ServerProcess, root: Path) -> list[tuple[int, str]]:
    """What had been recorded, and is on the server, before a value was redacted here."""
    record(root)
    before = [(each.seq, each.type) for each in ml_dash.events(PREFIX, dash_root=root)]
    ship(server.url, root, PREFIX)
    redact(root)
    return before


def test_a_reader_misses_nothing_of_a_line_whose_declaring_event_has_not_come(
    server: ServerProcess, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    before = shipped_and_then_redacted(server, root)
    asked = Server(server.url, None)
    journal = asked.journals(PREFIX)[0].journal
    # As a client does that is killed before it sends the event; and one that had begun to bring them before.
    begun = Mirror(tmp_path / "begun", ServerSource(asked))
    begun.refresh(PREFIX)
    asked.redact(PREFIX, journal, declarations(root))
    assert SECRET.encode() not in stored_by(server)
    for mirror in (begun, Mirror(tmp_path / "from-now-on", ServerSource(asked))):
        (folder,) = mirror.refresh(PREFIX)
        assert events_of(folder) == before
        assert SECRET.encode() not in bytes_in(folder.path)
    asked.close()


@pytest.mark.parametrize("is_before", [False, True])
def test_what_is_redacted_while_bytes_are_on_their_way_is_known_before_they_are_read(
    server: ServerProcess, tmp_path: Path, is_before: bool
) -> None:
    root = tmp_path / "root"
    before = shipped_and_then_redacted(server, root)
    asked = Server(server.url, None)

    class Redacted(ServerSource):
        """It is redacted between where the journal ends and its bytes, or between these and what is declared."""

        def __init__(self, is_before: bool) -> None:
            super().__init__(asked)
            self._is_before = is_before

        def read(self, prefix: str, journal: str, segment: int, offset: int) -> Iterator[bytes]:
            if self._is_before:
                asked.redact(PREFIX, journal, declarations(root))
            yield from super().read(prefix, journal, segment, offset)

        def redactions(self, prefix: str, journal: str) -> list[dict[str, Any]]:
            asked.redact(PREFIX, journal, declarations(root))
            return super().redactions(prefix, journal)

    mirror = Mirror(tmp_path / "copies", Redacted(is_before))
    for _ in range(2):
        (folder,) = mirror.refresh(PREFIX)
        assert events_of(folder) == before
    assert SECRET.encode() not in bytes_in(folder.path)
    asked.close()


def test_a_follower_of_a_server_is_given_a_line_that_is_redacted_there_already(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "root"
    record(root)
    before = [each.seq for each in ml_dash.events(PREFIX, dash_root=root)]
    ship(server.url, root, PREFIX)
    redact(root)
    asked = Server(server.url, None)
    asked.redact(PREFIX, asked.journals(PREFIX)[0].journal, declarations(root))
    asked.close()
    followed = ml_dash.events(PREFIX, dash_url=server.url, follow=True)
    given = [next(followed) for _ in before]
    assert [each.seq for each in given] == before
    assert "[redacted]" in repr([each.data for each in given if each.type == "params.set"])
    ship(server.url, root, PREFIX)
    assert next(followed).type == "event.redacted"


def test_a_folder_that_is_served_as_it_is_says_what_is_redacted_in_it(tmp_path: Path) -> None:
    root, mirrored = tmp_path / "root", tmp_path / "mirrored"
    record(root)
    before = [(each.seq, each.type) for each in ml_dash.events(PREFIX, dash_root=root)]
    server = ServerProcess(root, tmp_path / "cache").start()
    asked = Server(server.url, None)
    try:
        mirror = Mirror(mirrored, ServerSource(asked))
        mirror.refresh(PREFIX)
        redact(root)
        head = asked.journals(PREFIX)[0]
        assert head.redactions == 1
        assert asked.redactions(PREFIX, head.journal) == declarations(root)
        (folder,) = mirror.refresh(PREFIX)
        assert events_of(folder)[: len(before)] == before
        assert SECRET.encode() not in bytes_in(mirrored)
    finally:
        asked.close()
        server.close()


# -- what a server keeps to read from ----------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Servers in front of one store, each with a cache of its own where none is named."""
    started: list[ServerProcess] = []

    def one(cache: str, before: str = "") -> ServerProcess:
        started.append(ServerProcess(tmp_path / "store", tmp_path / cache, before=before).start())
        return started[-1]

    yield one
    for each in started:
        each.close()


def two_machines(url: str, tmp_path: Path) -> None:
    """What two have recorded is at the server, and has been read there in every way that keeps something."""
    for root in (tmp_path / "one", tmp_path / "two"):
        record(root)
        ship(url, root, PREFIX)
    read_all(url)


def read_all(url: str) -> str:
    with loopback.Client(base_url=url) as client:
        journals = [
            each["journal"] for each in client.get("/v1/journals", params={"prefix": PREFIX}).json()["journals"]
        ]
        asked = [{}, *({name: each} for each in journals for name in ("journal", "without"))]
        return "".join(client.get("/v1/state", params={"prefix": PREFIX, **each}).text for each in asked)


def test_a_server_s_cache_is_freed_of_a_value_before_that_is_acknowledged(
    start: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = start("cache")
    two_machines(server.url, tmp_path)
    assert SECRET.encode() in bytes_in(tmp_path / "cache")
    for root in ("one", "two"):
        redact(tmp_path / root)
        ship(server.url, tmp_path / root, PREFIX)
    assert SECRET.encode() not in bytes_in(tmp_path / "cache")
    assert SECRET not in read_all(server.url)
    assert SECRET.encode() not in bytes_in(tmp_path / "cache")


def test_a_declaration_alone_frees_the_cache_and_what_is_answered(
    start: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = start("cache")
    root = tmp_path / "one"
    record(root)
    ship(server.url, root, PREFIX)
    assert SECRET in read_all(server.url)
    redact(root)
    asked = Server(server.url, None)
    asked.redact(PREFIX, asked.journals(PREFIX)[0].journal, declarations(root))
    asked.close()
    assert SECRET.encode() not in bytes_in(tmp_path / "cache")
    answer = read_all(server.url)
    assert SECRET not in answer
    assert "[redacted]" in answer


DIES = "import os; from ml_dash.server.cache import Cache; Cache.{} = lambda *_: os._exit(1)"
HASTY = "import ml_dash.server.reading as reading; reading.LOOK_INTERVAL_S = 0.1"


@pytest.mark.parametrize("step", ["take_out", "_merged_below", "forget_states"])
def test_the_cache_of_a_server_that_is_killed_amidst_is_freed_when_one_starts_again(
    start: Callable[..., ServerProcess], tmp_path: Path, step: str
) -> None:
    first = start("cache")
    two_machines(first.url, tmp_path)
    first.close()
    dying = start("cache", DIES.format(step))
    for root in ("one", "two"):
        redact(tmp_path / root)
        asked = Server(dying.url if root == "one" else start("other").url, None)
        with suppress(NetworkError):
            asked.redact(PREFIX, survey(JournalFolder(tmp_path / root / PREFIX)).journal, declarations(tmp_path / root))
        asked.close()
    start("cache")
    eventually(lambda: SECRET.encode() not in bytes_in(tmp_path / "cache"))


def test_a_server_beside_the_one_that_redacted_frees_its_cache_when_it_is_read_and_else_after_a_while(
    start: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    redacting, beside, hasty = start("cache"), start("beside"), start("hasty", HASTY)
    two_machines(redacting.url, tmp_path)
    for each in (beside, hasty):
        assert SECRET in read_all(each.url)
    for root in ("one", "two"):
        redact(tmp_path / root)
        ship(redacting.url, tmp_path / root, PREFIX)
    assert SECRET not in read_all(beside.url)
    assert SECRET.encode() not in bytes_in(tmp_path / "beside")
    eventually(lambda: SECRET.encode() not in bytes_in(tmp_path / "hasty"))


def eventually(is_so: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_so():
            return
        sleep(0.1)
    pytest.fail("not after a minute either")
