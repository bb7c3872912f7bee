"""What every store promises, held against a directory, object stores over HTTP and memory; what a directory does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from errno import EIO, ENOSPC
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest

import ml_dash
from ml_dash.errors import ConfigurationError
from ml_dash.journal.disk import OPERATING_SYSTEM, Disk
from ml_dash.journal.folder import JournalFolder
from ml_dash.server.append import Batch
from ml_dash.server.journals import Journals
from ml_dash.server.running import open_store
from ml_dash.server.store import MARKER, Missing, Store, StoreError, Taken
from ml_dash.server.store_folder import STAGING, StoreFolder

from ..histories import point
from ..journals import append, session
from .histories import JOURNAL, PREFIX, History
from .object_stores import ObjectStore

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


@pytest.fixture(params=["memory", "directory", "s3", pytest.param("azure", marks=pytest.mark.campaign)])
def store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    object_stores: Callable[[str], ObjectStore],
    monkeypatch: pytest.MonkeyPatch,
) -> Store:
    if request.param in ("memory", "directory"):
        return Store.in_memory() if request.param == "memory" else Store.open(tmp_path / "store")
    there = object_stores(request.param)
    for name, value in there.environment.items():
        monkeypatch.setenv(name, value)
    return Store.open(there.bucket())


async def pieces(count: int, error: Exception | None = None) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number % 256]) * 1_000_000
    if error is not None:
        raise error


def test_of_all_who_create_one_succeeds(store: Store) -> None:
    async def race() -> list[BaseException | None]:
        return await asyncio.gather(*(store.create("a/b", b"%d" % n) for n in range(20)), return_exceptions=True)

    found = run(race())
    assert [type(each) for each in found].count(Taken) == 19
    assert run(store.read("a/b")) == b"%d" % found.index(None)


def test_what_is_read_is_what_was_written(store: Store) -> None:
    run(store.create("a/b", b"0123456789"))
    assert [run(store.read("a/b", *each)) for each in ((), (3,), (3, 5), (8, 99), (4, 4))] == [
        b"0123456789",
        b"3456789",
        b"34",
        b"89",
        b"",
    ]
    run(store.replace("a/b", b"new"))
    status = run(store.status("a/b"))
    assert status is not None
    assert (run(store.read("a/b")), status.size) == (b"new", 3)
    run(store.create("empty", b""))
    assert run(store.read("empty")) == b""
    with pytest.raises(Missing):
        run(store.read("a/c"))
    assert run(store.status("a/c")) is None


def test_lists_are_in_order_and_stay_in_their_folder(store: Store) -> None:
    for path in ("a/2", "a/10", "a/1", "ab/1", "b", "a/x/y"):
        run(store.create(path, b"x"))
    assert [each.path for each in run(store.list("a"))] == ["a/1", "a/10", "a/2", "a/x/y"]
    assert [each.path for each in run(store.list("a", after="a/10"))] == ["a/2", "a/x/y"]
    assert run(store.list("nothing")) == []
    run(store.delete(["a/1", "a/1", "never"]))
    assert [each.path for each in run(store.list("a"))] == ["a/10", "a/2", "a/x/y"]


def test_what_is_joined_is_there_whole_or_not_at_all(store: Store) -> None:
    run(store.join("a/whole", pieces(20)))
    assert run(store.read("a/whole", 19_500_000)) == bytes([19]) * 500_000

    async def streamed() -> int:
        return sum([len(each) async for each in store.stream("a/whole")])

    assert run(streamed()) == 20_000_000
    with pytest.raises(KeyError):
        run(store.join("a/part", pieces(20, KeyError("cut"))))
    assert [each.path for each in run(store.list("a"))] == ["a/whole"]


# --- a directory --------------------------------------------------------------------------------------------


class Watched(Disk):
    """Tells in which order a directory is written to; refuses what it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.refused: dict[str, int] = {}

    def _note(self, name: str) -> None:
        self.calls.append(name)
        if name in self.refused:
            raise OSError(self.refused[name], "refused")

    def write(self, descriptor: int, data: bytes) -> None:
        self._note("write")
        super().write(descriptor, data)

    def sync_file(self, descriptor: int) -> None:
        self._note("sync file")
        super().sync_file(descriptor)

    def publish(self, temporary: str, final: str) -> None:
        self._note("name")
        super().publish(temporary, final)

    def rename(self, source: str, target: str) -> None:
        self._note("name")
        super().rename(source, target)

    def sync_folder(self, path: str) -> None:
        self._note("sync folder")
        super().sync_folder(path)


@pytest.fixture
def disk() -> Watched:
    return Watched()


@pytest.fixture
def directory(tmp_path: Path, disk: Watched) -> Store:
    opened = Store.open(tmp_path / "store")
    return Store(opened._backend, opened.name, StoreFolder(tmp_path / "store", disk))


def test_bytes_are_synced_before_they_get_a_name_and_the_name_before_it_is_told(
    directory: Store, disk: Watched
) -> None:
    run(directory.create("x", b"1"))
    run(directory.replace("x", b"2"))
    run(directory.join("y", pieces(1)))
    assert disk.calls == ["write", "sync file", "name", "sync folder"] * 3
    run(directory.create("new/folder/x", b"1"))
    way = disk.calls[12:]
    assert way[:2] + way[-2:] == ["write", "sync file", "name", "sync folder"]
    assert set(way[2:-2]) == {"sync folder"}
    assert len(way[2:-2]) >= 2


def test_a_batch_of_a_server_that_was_killed_is_acknowledged_once_its_name_is_synced(
    directory: Store, disk: Watched
) -> None:
    batch = Batch(1, 0, History.of(2).segments[1], None)
    disk.refused = {"sync folder": EIO}
    disk.calls.clear()
    killed = Store.open(directory.name)
    run(Journals(killed).append(PREFIX, JOURNAL, batch))
    journals = Journals(directory)
    for _ in range(2):
        with pytest.raises(StoreError):
            run(journals.append(PREFIX, JOURNAL, batch))
    disk.refused = {}
    assert run(journals.append(PREFIX, JOURNAL, batch)).lines == 0
    assert disk.calls[-1] == "sync folder"


def test_who_was_second_makes_sure_of_the_name_of_the_first(directory: Store, disk: Watched) -> None:
    run(directory.create("x", b"1"))
    disk.calls.clear()
    with pytest.raises(Taken):
        run(directory.create("x", b"1"))
    assert disk.calls[-1] == "sync folder"


@pytest.mark.parametrize("call", ["write", "sync file", "name", "sync folder"])
@pytest.mark.parametrize("number", [ENOSPC, EIO])
def test_a_batch_that_the_disk_refuses_is_not_acknowledged_and_comes_again(
    directory: Store, disk: Watched, call: str, number: int
) -> None:
    history = History.of(3)
    batch = Batch(1, 0, history.segments[1], None)
    journals = Journals(directory)
    disk.refused = {call: number}
    with pytest.raises(StoreError):
        run(journals.append(PREFIX, JOURNAL, batch))
    disk.refused = {}
    stored = run(Journals(directory).append(PREFIX, JOURNAL, batch))
    assert stored.head.next_seq == 4
    assert not list(Path(directory.name, STAGING).iterdir())
    assert len(run(directory.list("journals"))) == 1


def test_what_a_killed_server_left_is_not_taken_for_an_object(directory: Store) -> None:
    (Path(directory.name) / STAGING / "k10wb0emz0000000w1.new").write_bytes(b"half")
    assert run(directory.list("journals")) == []
    assert Store.open(directory.name).id == Store.open(directory.name).id
    assert not list(Path(directory.name, STAGING).iterdir()), "it is cleared away"


def test_what_a_server_is_writing_is_not_cleared_away_by_another(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    for number in range(2):
        descriptor, path = StoreFolder(tmp_path / "store").stage()
        Path(path).write_bytes(b"half")
        if number:
            OPERATING_SYSTEM.close(descriptor)
        Store.open(tmp_path / "store")
        run(store.clear_up())
        assert Path(path).exists() is (number == 0)


def test_a_value_that_is_redacted_is_not_left_where_a_killed_server_was_writing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    left = tmp_path / "store" / STAGING / "k10wb0emz0000000w1.new"
    left.write_bytes(b"a secret")
    append(tmp_path / "dash" / PREFIX, *session("s1", [point("train", note="a secret")]))
    folder = JournalFolder(tmp_path / "dash" / PREFIX)
    ml_dash.redact(PREFIX, 2, "note", reason="leaked", dash_root=tmp_path / "dash")
    whole = Path(folder.segment_path(1)).read_bytes()
    journal = str(orjson.loads(whole.splitlines()[0])["journal"])
    declared = next(each for each in ml_dash.events(PREFIX, dash_root=tmp_path / "dash") if "patches" in each.data)
    run(Journals(store).redact(PREFIX, journal, [declared.data]))
    run(Journals(store).append(PREFIX, journal, Batch(1, 0, whole, None)))
    assert not left.exists()


def test_a_directory_with_other_things_in_it_is_not_taken_for_a_store(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="other things"):
        open_store(tmp_path)
    with pytest.raises(ConfigurationError, match="is a file"):
        open_store(tmp_path / "notes.txt")
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        open_store(tmp_path / "notes.txt" / "store")
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(ConfigurationError, match="expected a directory"):
        open_store("ftp://example.org/x")


def test_a_store_is_made_for_nobody_but_who_serves_it(tmp_path: Path) -> None:
    Store.open(tmp_path / "deep" / "store")
    assert (tmp_path / "deep" / "store").stat().st_mode & 0o777 == 0o700


def test_a_store_of_a_newer_release_is_refused_by_name(tmp_path: Path) -> None:
    Store.open(tmp_path / "store")
    (tmp_path / "store" / MARKER).write_text('{"format":"ml-dash-store","version":2,"id":"x"}')
    with pytest.raises(ConfigurationError, match="upgrade ml_dash"):
        open_store(tmp_path / "store")
