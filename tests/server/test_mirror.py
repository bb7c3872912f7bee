"""Journals brought from a server: equal to the originals, only what is missing, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.survey import survey
from ml_dash.reading.replay import Replay
from ml_dash.remote.mirror import Mirror, ServerSource
from ml_dash.remote.protocol import Head
from ml_dash.remote.server import Server

from .. import loopback
from .conftest import ServerProcess
from .histories import JOURNAL, PREFIX, History
from .shipping import Client

IN_EVERY_STORE = True
OTHER = "k10wb0emz0000000j2"


class Counting:
    """Counts what comes, and stops after `bytes_left`."""

    def __init__(self, source: ServerSource) -> None:
        self._source = source
        self.bytes = 0
        self.bytes_left = 10**9

    def journals(self, prefix: str) -> list[Head]:
        return self._source.journals(prefix)

    def read(self, prefix: str, journal: str, segment: int, offset: int) -> Iterator[bytes]:
        for chunk in self._source.read(prefix, journal, segment, offset):
            for at in range(0, len(chunk), 100):
                if self.bytes_left <= 0:
                    raise ConnectionError("cut")
                self.bytes_left -= 100
                self.bytes += len(chunk[at : at + 100])
                yield chunk[at : at + 100]

    def redactions(self, prefix: str, journal: str) -> list[dict[str, Any]]:
        return self._source.redactions(prefix, journal)


@pytest.fixture
def source(server: ServerProcess) -> Iterator[Counting]:
    asked = Server(server.url, None)
    yield Counting(ServerSource(asked))
    asked.close()


def stands(folder: JournalFolder) -> dict[int, bytes]:
    return {number: Path(folder.segment_path(number)).read_bytes() for number in folder.segment_numbers()}


def ship(server: ServerProcess, history: History) -> None:
    with Client(history, [server.url]) as client:
        client.ship(lines=4)


def test_only_what_is_missing_is_brought(server: ServerProcess, source: Counting, tmp_path: Path) -> None:
    history = History.of(10, 5)
    mirror = Mirror(tmp_path, source)
    assert mirror.refresh(PREFIX) == []
    ship(server, history)
    (folder,) = mirror.refresh(PREFIX)
    assert stands(folder) == history.segments
    brought = source.bytes
    mirror.refresh(PREFIX)
    assert source.bytes == brought
    history.commit(2)
    history.open_segment(5)
    history.commit(1)
    ship(server, history)
    for again in (mirror, Mirror(tmp_path, source)):
        (folder,) = again.refresh(PREFIX)
        assert stands(folder) == history.segments
    assert source.bytes == sum(map(len, history.segments.values()))
    assert survey(folder).ok
    assert Replay(folder).refresh().seq == 18


def test_whatever_was_cut_off_is_brought_the_next_time(server: ServerProcess, source: Counting, tmp_path: Path) -> None:
    history = History.of(6, 6)
    ship(server, history)
    for bytes_left in range(0, 6000, 400):
        root = tmp_path / str(bytes_left)
        source.bytes_left = bytes_left
        mirror = Mirror(root, source)
        try:
            mirror.refresh(PREFIX)
        except ConnectionError:
            folder = mirror.folder(PREFIX, JOURNAL)
            for number, data in stands(folder).items():
                assert history.segments[number].startswith(data)
        source.bytes_left = 10**9
        (folder,) = Mirror(root, source).refresh(PREFIX)
        assert stands(folder) == history.segments


def test_bytes_that_a_power_failure_left_behind_are_replaced(
    server: ServerProcess, source: Counting, tmp_path: Path
) -> None:
    history = History.of(4)
    ship(server, history)
    mirror = Mirror(tmp_path, source)
    (folder,) = mirror.refresh(PREFIX)
    history.commit(3)
    # The file had grown when power failed, and its new blocks hold zeros.
    path = Path(folder.segment_path(1))
    path.write_bytes(path.read_bytes() + bytes(500))
    ship(server, history)
    mirror.refresh(PREFIX)
    assert stands(folder) == history.segments


def test_journals_of_several_machines_stand_side_by_side(
    server: ServerProcess, source: Counting, tmp_path: Path
) -> None:
    ours, theirs = History.of(3), History.of(5, journal=OTHER)
    mirror = Mirror(tmp_path, source)
    ship(server, theirs)
    mirror.refresh(PREFIX)
    ship(server, ours)
    folders = mirror.refresh(PREFIX)
    assert [stands(folder) for folder in folders] == [ours.segments, theirs.segments]
    # The one that came first stands where a local one would, and stays there.
    assert folders[1].experiment == tmp_path / PREFIX
    assert all(survey(folder).ok for folder in folders)
    with loopback.Client(base_url=server.url) as client:
        listed = client.get("/v1/experiments").json()["experiments"]
    assert [(each["prefix"], each["journals"]) for each in listed] == [(PREFIX, 2)]


def test_a_journal_of_this_machine_is_never_written_to(server: ServerProcess, source: Counting, tmp_path: Path) -> None:
    history = History.of(3)
    ship(server, history)
    folder = JournalFolder(tmp_path / PREFIX)
    folder.disk.make_folder(folder.path)
    history.commit(2)
    Path(folder.segment_path(1)).write_bytes(history.segments[1])
    assert Mirror(tmp_path, source).refresh(PREFIX) == [folder]
    assert stands(folder) == history.segments
    assert source.bytes == 0
