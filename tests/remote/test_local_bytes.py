"""Which bytes of a journal travel: whole, valid and durable ones, up to the first damage."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EIO
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import history
from ml_dash.journal.appender import Appender
from ml_dash.journal.batch import Batch
from ml_dash.journal.disk import Disk
from ml_dash.journal.folder import JournalFolder
from ml_dash.remote import local_bytes
from ml_dash.remote.local_bytes import LocalBytes

from ..histories import EPOCH_US, encoded, point
from ..journals import append, session
from .hostile import valid_bytes

PREFIX = "alice/ml/a"


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    return tmp_path / PREFIX


def record(experiment: Path, commits: int = 6, **options: Any) -> JournalFolder:
    """Commits that are synced one by one, so that each says that those before it are."""
    folder = JournalFolder(experiment, prefix=PREFIX)
    folder.disk.make_folder(folder.path)
    appender = Appender(folder, "s1", **options)
    for step in range(commits):
        with appender.at_end():
            counter = appender.position.next_seq if appender.position is not None else 1
            data = encoded([point("train", step=step, text="x" * 50)], EPOCH_US)
            appender.append([Batch(1, EPOCH_US, "s1", "s1", counter, data)])
        appender.sync()
    appender.close()
    return folder


def batches(local: LocalBytes, bytes_max: int = 1) -> Iterator[local_bytes.Batch]:
    at = None
    local.look()
    while (batch := local.after(at, bytes_max)) is not None:
        yield batch
        at = batch.end


def joined(found: list[local_bytes.Batch]) -> dict[int, bytes]:
    bytes_of: dict[int, bytes] = {}
    for batch in found:
        assert len(bytes_of.setdefault(batch.segment, b"")) == batch.offset
        bytes_of[batch.segment] += batch.data
    return bytes_of


@pytest.mark.parametrize("bytes_max", [1, 500, 1_000_000])
def test_all_that_counts_travels_in_order_and_in_whole_lines(experiment: Path, bytes_max: int) -> None:
    folder = record(experiment, 12, segment_bytes_max=1500)
    found = list(batches(LocalBytes(folder), bytes_max))
    assert joined(found) == valid_bytes(folder)
    assert len(folder.segment_numbers()) > 2
    hashes = [None, *(batch.end.hash for batch in found)]
    assert [batch.after for batch in found] == hashes[:-1]
    assert all(batch.data.endswith(b"\n") for batch in found)
    lines = [batch.data.count(b"\n") - (batch.offset == 0) for batch in found]
    assert lines == [1] * 12 if bytes_max == 1 else all(lines)


def test_a_line_longer_than_any_batch_travels_whole(experiment: Path) -> None:
    append(experiment, ("s1", [point("train", text="x" * 3_000_000)]), ("s1", [point("train", step=1)]))
    folder = JournalFolder(experiment, prefix=PREFIX)
    assert joined(list(batches(LocalBytes(folder)))) == valid_bytes(folder)


@pytest.mark.parametrize("torn", [b'{"first":7', b"\0" * 700, b'{"first":7,"count":1}\n'])
def test_a_torn_tail_stays_here_now_and_when_it_is_dead(experiment: Path, torn: bytes) -> None:
    folder = record(experiment)
    whole = valid_bytes(folder)
    with Path(folder.segment_path(1)).open("ab") as file:
        file.write(torn)
    local = LocalBytes(folder)
    assert joined(list(batches(local))) == whole
    assert local.blocked is None
    record(experiment, 2)
    assert joined(list(batches(local))) == valid_bytes(folder)
    assert torn not in joined(list(batches(local)))[1]


def test_damage_ends_the_way_and_is_named_to_the_byte(experiment: Path) -> None:
    folder = record(experiment)
    path = Path(folder.segment_path(1))
    lines = path.read_bytes().splitlines(keepends=True)
    broken = lines[3].replace(b"xxx", b"xyx", 1)
    path.write_bytes(b"".join([*lines[:3], broken, *lines[4:]]))
    local = LocalBytes(folder)
    assert joined(list(batches(local)))[1] == b"".join(lines[:3])
    assert local.blocked is not None
    assert (local.blocked.segment, local.blocked.offset) == (1, len(b"".join(lines[:3])))
    history.recover(PREFIX, dash_root=experiment.parents[2])
    assert joined(list(batches(local)))[1] == b"".join(lines[:3])
    assert local.blocked is not None, "declared or not"
    path.write_bytes(b"".join(lines))
    assert joined(list(batches(local))) == valid_bytes(folder)
    assert local.blocked is None


def test_a_missing_segment_ends_the_way(experiment: Path) -> None:
    folder = record(experiment, 12, segment_bytes_max=1500)
    Path(folder.segment_path(2)).unlink()
    local = LocalBytes(folder)
    assert set(joined(list(batches(local)))) == {1}
    assert local.blocked is not None
    assert (local.blocked.segment, local.blocked.offset) == (2, 0)


class Failing(Disk):
    """A medium that takes nothing any more."""

    def sync_data(self, descriptor: int) -> None:
        raise OSError(EIO, "I/O error")


def test_what_cannot_be_synced_does_not_travel(experiment: Path) -> None:
    record(experiment)
    folder = JournalFolder(experiment, Failing(), PREFIX)
    (data,) = joined(list(batches(LocalBytes(folder), 1_000_000))).values()
    lines = Path(folder.segment_path(1)).read_bytes().splitlines(keepends=True)
    assert data == b"".join(lines[:-1]), "the last line's fence says how much is known to be synced"


def test_after_a_failed_sync_nothing_beyond_the_fence_is_believed(experiment: Path) -> None:
    folder = record(experiment)
    Path(folder.unsynced_path(1)).touch()
    (data,) = joined(list(batches(LocalBytes(folder), 1_000_000))).values()
    assert data.count(b"\n") == 6, "the header, and all commits but the last"


def test_a_redacted_line_travels_behind_what_declares_it(experiment: Path) -> None:
    root = experiment.parents[2]
    append(experiment, *session("s1", [point("train", step=1, text="a secret password")]))
    ml_dash.redact(PREFIX, 2, "text", reason="leaked", dash_root=root)
    folder = JournalFolder(experiment, prefix=PREFIX)
    found = list(batches(LocalBytes(folder)))
    assert b"secret" not in b"".join(batch.data for batch in found)
    assert joined(found) == valid_bytes(folder)
    assert [(each.redacted, each.reason) for each in found[0].redactions] == [(2, "leaked")]


def test_a_line_that_is_redacted_while_others_travel_stops_nothing(experiment: Path) -> None:
    root = experiment.parents[2]
    for name in ("s1", "s2"):
        append(experiment, *session(name, [point("train", step=1, text="a secret password")]))
    folder = JournalFolder(experiment, prefix=PREFIX)
    first, second = (each.seq for each in ml_dash.events(PREFIX, dash_root=root) if "a secret" in str(each.data))
    ml_dash.redact(PREFIX, first, "text", reason="leaked", dash_root=root)
    local = LocalBytes(folder)
    local.look()
    at, sent = None, b""
    while b"[redacted]" not in sent:
        batch = local.after(at, 1)
        assert batch is not None
        at, sent = batch.end, sent + batch.data
    ml_dash.redact(PREFIX, second, "text", reason="leaked", dash_root=root)
    local.look()
    while (batch := local.after(at, 1)) is not None:
        at, sent = batch.end, sent + batch.data
    assert local.blocked is None
    assert {1: sent} == valid_bytes(folder)


def test_what_is_archived_travels_as_it_was_written(experiment: Path) -> None:
    folder = record(experiment, 12, segment_bytes_max=1500)
    whole = valid_bytes(folder)
    local = LocalBytes(folder)
    assert joined(list(batches(local))) == whole
    ml_dash.archive(PREFIX, dash_root=experiment.parents[2])
    assert not Path(folder.segment_path(1)).exists()
    assert joined(list(batches(local))) == whole
    assert joined(list(batches(LocalBytes(folder), 1_000_000))) == whole
