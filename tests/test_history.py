"""`load`, `events`, `experiments`, `verify` and `recover` on journals that stand still, whole or damaged."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

import ml_dash
from ml_dash import history
from ml_dash.errors import (
    ConfigurationError,
    JournalCorruptError,
    NetworkError,
    NotFoundError,
    PrefixError,
    StorageError,
)
from ml_dash.journal.disk import Disk
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import GENESIS_HASH, chain_hash
from ml_dash.reading import listing
from ml_dash.state import UNDECODABLE

from .histories import EPOCH_US, Recorded, entry, event, point, saved
from .journals import append, append_bytes, session

PREFIX = "alice/ml/a"
SECOND_US = 1_000_000


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dash root that is found when none is given."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / ".dash"
    root.mkdir()
    return root


def experiment(root: Path, prefix: str = PREFIX) -> Path:
    return root.joinpath(*prefix.split("/"))


def training(root: Path, prefix: str = PREFIX, end: str | None = "run.completed") -> JournalFolder:
    recorded = [
        event("experiment.described", description="a first try", tags=["baseline", "small"], bindrs=["b"]),
        event("params.set", params={"lr": 0.1, "model.layers": [1, 2]}),
        *(point("train", EPOCH_US + step * SECOND_US, step=step, loss=1 / (step + 1)) for step in range(10)),
        event("log.written", EPOCH_US + 10 * SECOND_US, message="done", level="info", metadata={"step": 9}),
    ]
    return append(experiment(root, prefix), *session("s1", recorded, end))


def message_of(error: type[Exception], call: Callable[[], Any]) -> str:
    with pytest.raises(error) as raised:
        call()
    return str(raised.value)


# --- load ---------------------------------------------------------------------------------------------------


def test_a_run_is_what_its_journal_says(root: Path) -> None:
    training(root)
    run = ml_dash.load(PREFIX)
    assert (run.prefix, run.owner, run.project, run.name) == (PREFIX, "alice", "ml", "a")
    assert run.status == "COMPLETED"
    assert f"{run.status}" == "COMPLETED"
    assert run.params == {"lr": 0.1, "model.layers": [1, 2]}
    assert (run.description, run.tags, run.bindrs, run.metadata) == ("a first try", ("baseline", "small"), ("b",), None)
    assert run.created == datetime.fromtimestamp(EPOCH_US / SECOND_US, timezone.utc)
    assert run.seq == 15
    assert len(run.sessions) == 1
    assert run.sessions[0].host == "node"
    assert run.damage == ()
    assert list(run.metrics) == ["train"]
    assert len(run.metrics["train"]) == run.metrics["train"].count == 10
    assert run.metrics["train"].columns()["step"] == list(range(10))


def test_log_lines_of_a_run_are_a_sequence_that_is_read_when_asked(root: Path) -> None:
    lines = [event("log.written", message=str(index), level="info", metadata=None) for index in range(30)]
    append(experiment(root), *session("s1", lines))
    logs = ml_dash.load(PREFIX).logs
    assert len(logs) == 30
    assert [line.message for line in logs] == [str(index) for index in range(30)]
    assert logs[-1].message == "29"
    assert [line.message for line in logs[3:5]] == ["3", "4"]
    assert [line.seq for line in logs][:2] == [2, 3]
    assert [line.message for line in logs.read(search="2", limit=2)] == ["2", "12"]


def test_files_of_a_run_are_the_newest_that_are_not_deleted(root: Path) -> None:
    recorded = [
        saved("f1", "/models", "a.pt"),
        saved("f2", "/models", "b.pt"),
        saved("f3", "/models", "a.pt"),
        saved("f4", "/", "c.pt"),
        event("file.deleted", id="f2"),
    ]
    append(experiment(root), *session("s1", recorded))
    assert [file.id for file in ml_dash.load(PREFIX).files] == ["f4", "f3"]


def test_tracks_of_a_run_are_rows_by_time(root: Path) -> None:
    append(experiment(root), *session("s1", [entry("arm", _ts=2.0, q=1), entry("arm", _ts=1.0, q=2, x=True)]))
    track = ml_dash.load(PREFIX).tracks["arm"]
    assert len(track) == 2
    assert track.rows() == [(1.0, {"q": 2, "x": True}), (2.0, {"q": 1})]
    assert track.columns() == {"_ts": [1.0, 2.0], "q": [2, 1], "x": [True, None]}
    assert track.to_numpy()["q"].tolist() == [2, 1]


def test_a_run_cannot_be_changed(root: Path) -> None:
    training(root)
    run = ml_dash.load(PREFIX)
    for name in ("status", "params", "metrics", "seq", "anything"):
        with pytest.raises(AttributeError):
            setattr(run, name, None)
    with pytest.raises(TypeError, match="history"):
        run.params["lr"] = 1  # type: ignore[index]
    run.params["model.layers"].append(3)
    assert run.params["model.layers"] == ml_dash.load(PREFIX).params["model.layers"] == [1, 2]


def test_a_run_does_not_show_what_is_recorded_after_it_was_loaded(root: Path) -> None:
    training(root)
    run = ml_dash.load(PREFIX)
    append(experiment(root), *session("s2", [point("train", step=0, loss=0.0), point("eval", loss=0.0)]))
    assert len(run.metrics["train"].columns()["step"]) == len(run.metrics["train"].columns("all")["step"]) == 10
    assert len(list(run.logs)) == 1
    assert len(ml_dash.load(PREFIX).metrics["train"].columns()["step"]) == 1


def test_the_length_of_a_metric_is_that_of_its_columns(root: Path) -> None:
    training(root)
    append(experiment(root), *session("s2", [point("train", step=5, loss=0.0)]))
    train = ml_dash.load(PREFIX).metrics["train"]
    assert len(train) == len(train.columns()["step"]) == 6
    assert train.count == len(train.columns(attempts="all")["step"]) == 11
    assert train.summary()["step"]["max"] == 5
    assert train.summary(attempts="all")["step"]["max"] == 9


# --- at -----------------------------------------------------------------------------------------------------


def test_a_run_at_every_event_is_as_it_was_then(root: Path) -> None:
    training(root)
    for at in range(1, 16):
        run = ml_dash.load(PREFIX, at=at)
        assert run.seq == at
        assert run.status == ("RUNNING" if at < 15 else "COMPLETED")
        steps = run.metrics["train"].columns()["step"] if at > 3 else []
        assert steps == list(range(max(0, min(10, at - 3))))


def test_a_run_at_a_time_is_as_it_was_after_the_last_event_recorded_by_then(root: Path) -> None:
    training(root, end=None)
    began = datetime.fromtimestamp(EPOCH_US / SECOND_US, timezone.utc)
    assert ml_dash.load(PREFIX, at=began + timedelta(seconds=3, microseconds=-1)).seq == 6
    assert ml_dash.load(PREFIX, at=began + timedelta(seconds=3)).seq == 7
    assert ml_dash.load(PREFIX, at=(began + timedelta(seconds=3)).astimezone().replace(tzinfo=None)).seq == 7
    assert ml_dash.load(PREFIX, at=began + timedelta(days=1)).seq == 14


@pytest.mark.parametrize("at", [0, -1, 16, 10**30])
def test_an_event_that_there_is_not_is_refused_with_the_range_there_is(root: Path, at: int) -> None:
    training(root)
    message = message_of(ConfigurationError, lambda: ml_dash.load(PREFIX, at=at))
    assert f"at={at}" in message
    assert "events 1 to 15" in message


def test_a_time_before_the_first_event_is_refused_with_the_times_there_are(root: Path) -> None:
    training(root)
    message = message_of(ConfigurationError, lambda: ml_dash.load(PREFIX, at=datetime(2001, 1, 1)))
    assert "2001-01-01" in message
    assert "2023-11-14T22:13:20.000000Z" in message


@pytest.mark.parametrize("at", [True, "5", 5.0])
def test_anything_else_for_at_is_refused(root: Path, at: Any) -> None:
    training(root)
    assert repr(at) in message_of(ConfigurationError, lambda: ml_dash.load(PREFIX, at=at))


# --- what is not there --------------------------------------------------------------------------------------

READERS: dict[str, Callable[..., Any]] = {
    "load": ml_dash.load,
    "events": ml_dash.events,
    "verify": ml_dash.verify,
    "recover": history.recover,
}
every_reader = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


@every_reader
def test_an_unknown_prefix_is_answered_with_the_nearest_names(root: Path, reader: Callable[..., Any]) -> None:
    training(root, "alice/ml/long-training")
    message = message_of(NotFoundError, lambda: reader("alice/ml/long-trainin"))
    assert "'alice/ml/long-trainin'" in message
    assert "'alice/ml/long-training'" in message


@every_reader
def test_a_folder_of_experiments_is_no_experiment(root: Path, reader: Callable[..., Any]) -> None:
    training(root)
    assert "folder that holds experiments: 'alice/ml/a'" in message_of(NotFoundError, lambda: reader("alice/ml"))


@every_reader
def test_a_prefix_that_is_none_is_refused(root: Path, reader: Callable[..., Any]) -> None:
    assert "'../a/b'" in message_of(PrefixError, lambda: reader("../a/b"))


@pytest.mark.parametrize("reader", [partial(each, PREFIX) for each in READERS.values()] + [ml_dash.experiments])
def test_a_dash_root_that_is_none_is_refused(root: Path, reader: Callable[..., Any]) -> None:
    file = root / "file"
    file.touch()
    assert f"'{file}' is a file" in message_of(StorageError, lambda: reader(dash_root=file))
    assert "does not exist" in message_of(NotFoundError, lambda: reader(dash_root=root / "missing"))


@pytest.mark.parametrize("reader", [partial(each, PREFIX) for each in READERS.values()] + [ml_dash.experiments])
def test_a_server_that_does_not_answer_is_an_error_that_names_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Callable[..., Any]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    is_written_to = getattr(reader, "func", None) is history.recover
    expected = ConfigurationError if is_written_to else NetworkError
    assert "http://127.0.0.1:1" in message_of(expected, lambda: reader(dash_url="http://127.0.0.1:1"))


@pytest.mark.parametrize("reader", [ml_dash.load, ml_dash.events, ml_dash.verify])
def test_a_folder_and_a_server_are_not_one_place_to_read_from(root: Path, reader: Callable[..., Any]) -> None:
    message = message_of(ConfigurationError, lambda: reader(PREFIX, dash_root=root, dash_url="http://127.0.0.1:1"))
    assert "one of the two" in message


def test_the_root_is_the_argument_then_the_environment_then_the_folder_here(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training(root, "a/here")
    training(tmp_path / "environment", "a/environment")
    training(tmp_path / "argument", "a/argument")
    assert [each.prefix for each in ml_dash.experiments()] == ["a/here"]
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path / "environment"))
    assert [each.prefix for each in ml_dash.experiments()] == ["a/environment"]
    assert [each.prefix for each in ml_dash.experiments(dash_root=tmp_path / "argument")] == ["a/argument"]
    assert [each.prefix for each in ml_dash.experiments(dash_root=str(tmp_path / "argument"))] == ["a/argument"]


def test_reading_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for reader in [*(partial(each, PREFIX) for each in READERS.values()), ml_dash.experiments]:
        message_of(NotFoundError, reader)
    assert list(tmp_path.iterdir()) == []


# --- events -------------------------------------------------------------------------------------------------


def test_events_are_dense_and_in_order_from_the_first(root: Path) -> None:
    training(root)
    found = list(ml_dash.events(PREFIX))
    assert [each.seq for each in found] == list(range(1, 16))
    assert [each.type for each in found[:4]] == ["run.started", "experiment.described", "params.set", "metric.logged"]
    assert found[4].data == {"name": "train", "fields": {"step": 1, "loss": 0.5}}
    assert found[4].time == datetime(2023, 11, 14, 22, 13, 21, tzinfo=timezone.utc)
    assert (found[4].writer, found[4].session) == ("s1", "s1")


@pytest.mark.parametrize("after", [0, 1, 7, 14, 15, 99])
def test_events_behind_a_number_begin_with_the_next(root: Path, after: int) -> None:
    training(root)
    assert [each.seq for each in ml_dash.events(PREFIX, after=after)] == list(range(after + 1, 16))


@pytest.mark.parametrize("after", [-1, True, 1.5, "1"])
def test_a_number_that_is_none_is_refused_before_the_first_event(root: Path, after: Any) -> None:
    training(root)
    assert repr(after) in message_of(ConfigurationError, lambda: ml_dash.events(PREFIX, after=after))


def test_a_commit_that_cannot_be_decoded_hides_no_event(root: Path) -> None:
    append(experiment(root), *session("s1", [point("train", loss=0.5)]))
    append_bytes(experiment(root), b'[{"kind":"of a later release"}]', 3, "s9")
    append(experiment(root), *session("s2", [point("train", loss=0.25)]))
    found = list(ml_dash.events(PREFIX))
    assert [each.seq for each in found] == list(range(1, 10))
    assert [each.type for each in found][3:6] == [UNDECODABLE] * 3
    assert ml_dash.load(PREFIX).metrics["train"].columns() == {"loss": [0.5, 0.25]}


def test_a_column_that_cannot_be_decoded_hides_no_other_event_of_its_commit(root: Path) -> None:
    good = b'{"type":"metric.logged","t":0,"data":{"name":"train","fields":{"loss":%d}}}'
    bad = b'{"type":"metric.logged","name":"eval","n":2,"at":1,"t":[0,0],"columns":{"loss":{"packed":"?"}}}'
    append_bytes(experiment(root), b"[%b,%b,%b]" % (good % 1, bad, good % 2), 4)
    found = list(ml_dash.events(PREFIX))
    assert [each.seq for each in found] == [1, 2, 3, 4]
    assert [each.type for each in found] == ["metric.logged", UNDECODABLE, UNDECODABLE, "metric.logged"]
    assert ml_dash.load(PREFIX).metrics["train"].columns() == {"loss": [1, 2]}


# --- experiments --------------------------------------------------------------------------------------------


def listed(pattern: str = "**", **arguments: Any) -> list[str]:
    return sorted(each.prefix for each in ml_dash.experiments(pattern, **arguments))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**", ["alice/ml", "alice/ml/a", "alice/ml/deep/er/b", "alice/nlp/a", "bob/ml/a"]),
        ("*", ["alice/ml", "alice/ml/a", "alice/ml/deep/er/b", "alice/nlp/a", "bob/ml/a"]),
        ("alice", ["alice/ml", "alice/ml/a", "alice/ml/deep/er/b", "alice/nlp/a"]),
        ("alice/", ["alice/ml", "alice/ml/a", "alice/ml/deep/er/b", "alice/nlp/a"]),
        ("al*", ["alice/ml", "alice/ml/a", "alice/ml/deep/er/b", "alice/nlp/a"]),
        ("alice/**", ["alice/ml", "alice/ml/a", "alice/ml/deep/er/b", "alice/nlp/a"]),
        ("alice/ml", ["alice/ml", "alice/ml/a", "alice/ml/deep/er/b"]),
        ("alice/*", ["alice/ml"]),
        ("*/ml/*", ["alice/ml/a", "bob/ml/a"]),
        ("**/a", ["alice/ml/a", "alice/nlp/a", "bob/ml/a"]),
        ("**/deep/**", ["alice/ml/deep/er/b"]),
        ("alice/[mn]*/?", ["alice/ml/a", "alice/nlp/a"]),
        ("alice/ml/a", ["alice/ml/a"]),
        ("alice/m", []),
        ("carol/**", []),
    ],
)
def test_a_pattern_names_experiments_or_a_folder_of_them(root: Path, pattern: str, expected: list[str]) -> None:
    for prefix in ("alice/ml", "alice/ml/a", "alice/ml/deep/er/b", "alice/nlp/a", "bob/ml/a"):
        append(experiment(root, prefix), *session("s1", []))
    assert listed(pattern) == expected


@pytest.mark.parametrize("pattern", ["", "/", "../x", 5, None])
def test_a_pattern_that_can_match_nothing_is_refused(root: Path, pattern: Any) -> None:
    assert repr(pattern) in message_of(ConfigurationError, lambda: ml_dash.experiments(pattern))


def test_a_summary_says_what_there_is(root: Path) -> None:
    training(root)
    (summary,) = ml_dash.experiments()
    run = ml_dash.load(PREFIX)
    names = ("prefix", "status", "description", "tags", "bindrs", "seq", "created", "updated", "damage")
    assert [getattr(summary, name) for name in names] == [getattr(run, name) for name in names]
    assert (summary.sessions, summary.error) == (1, None)


def test_experiments_are_chosen_by_status_and_all_of_the_tags(root: Path) -> None:
    training(root, "a/completed")
    training(root, "a/running", end=None)
    append(experiment(root, "a/failed"), *session("s1", [event("experiment.described", tags=["small"])], "run.failed"))
    assert listed(status="FAILED") == listed(status="failed") == ["a/failed"]
    assert listed(status=ml_dash.Status.RUNNING) == ["a/running"]
    assert listed(tags=["small"]) == listed(tags="small") == ["a/completed", "a/failed", "a/running"]
    assert listed(tags=["small", "baseline"]) == ["a/completed", "a/running"]
    assert listed(tags=["small"], status="COMPLETED") == ["a/completed"]
    assert "BROKEN" in message_of(ConfigurationError, lambda: ml_dash.experiments(status="BROKEN"))


def test_the_experiment_that_was_opened_last_stands_first(root: Path) -> None:
    opened = {"a/old": 1, "a/new": 3, "a/middle": 2}
    for prefix, second in opened.items():
        append(experiment(root, prefix), ("s1", started(second)))
    append(experiment(root, "a/old"), ("s2", started(9)))
    assert [each.prefix for each in ml_dash.experiments()] == ["a/old", "a/new", "a/middle"]


def started(second: int) -> list[Recorded]:
    return [event("run.started", EPOCH_US + second * SECOND_US, session="s", prefix="a/b", environment={})]


def test_what_cannot_be_read_is_listed_with_the_reason_and_hides_nothing(root: Path) -> None:
    training(root, "a/well")
    training(root, "a/damaged")
    flip(root / "a/damaged/_journal/00000001.jsonl", -400)
    (root / "a/foreign/_journal").mkdir(parents=True)
    (root / "a/foreign/_journal/00000001.jsonl").write_text("not a journal\n")
    of_a_newer_release(training(root, "a/newer"))
    found = {each.prefix: each for each in ml_dash.experiments()}
    assert found["a/well"].status == "COMPLETED"
    assert found["a/damaged"].damage or found["a/damaged"].error
    assert "nothing of its journal replays" in str(found["a/foreign"].error)
    assert "version 2" in str(found["a/newer"].error)
    assert found["a/foreign"].status is found["a/newer"].status is None
    assert len(found) == 4


def of_a_newer_release(folder: JournalFolder) -> None:
    segment = Path(folder.segment_path(1))
    line = segment.read_bytes().partition(b"\n")[0]
    body = line.partition(b',"hash"')[0].replace(b'"version":1', b'"version":2')
    journal = orjson.loads(line)["journal"]
    segment.write_bytes(b'%b,"hash":"%b"}\n' % (body, chain_hash(GENESIS_HASH, journal, body).encode()))


def test_a_folder_that_may_not_be_looked_into_is_listed_and_hides_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training(root, "a/well")
    (root / "b").mkdir()
    may_not_look_into(root / "b", monkeypatch)
    found = {each.prefix: each for each in ml_dash.experiments()}
    assert found["a/well"].error is None
    assert "Permission denied" in str(found["b"].error)
    may_not_look_into(root, monkeypatch)
    assert "Permission denied" in message_of(StorageError, ml_dash.experiments)


def may_not_look_into(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = os.scandir

    def scandir(path: str) -> Any:
        if path == str(folder):
            raise PermissionError(13, os.strerror(13))
        return look(path)

    monkeypatch.setattr(listing.os, "scandir", scandir)


def test_a_link_back_to_a_folder_above_is_not_followed_for_ever(root: Path) -> None:
    training(root)
    (root / "alice" / "loop").symlink_to(root / "alice", target_is_directory=True)
    assert listed() == [PREFIX]


def test_saved_files_and_journals_are_no_experiments(root: Path) -> None:
    training(root)
    (experiment(root) / "_files" / "aa" / "_journal").mkdir(parents=True)
    assert listed() == [PREFIX]


# --- damage -------------------------------------------------------------------------------------------------


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def damaged(root: Path) -> JournalFolder:
    """Ten commits in two sealed segments and more; a bit of the third commit is another one."""
    folder = training(root)
    for number in range(2, 11):
        recorded = [point("train", step=10 * number + each, loss=0.5) for each in range(10)]
        append(experiment(root), *session(f"s{number}", recorded), segment_bytes_max=600)
    text = Path(folder.segment_path(2)).read_bytes()
    flip(Path(folder.segment_path(2)), text.index(b'"events"') + 40)
    return folder


def test_damage_is_located_and_what_is_intact_is_read(root: Path) -> None:
    folder = damaged(root)
    report = ml_dash.verify(PREFIX)
    assert not report.ok
    (found,) = report.damage
    assert found.segment == 2
    assert report.segments == len(folder.segment_numbers())
    run = ml_dash.load(PREFIX)
    assert run.damage == report.damage
    steps = run.metrics["train"].columns("all")["step"]
    assert steps[:10] == list(range(10))
    assert steps[-10:] == list(range(100, 110))
    missing = set(range(1, run.seq + 1)) - {each.seq for each in ml_dash.events(PREFIX)}
    assert missing == set(range(found.first_seq, found.last_seq + 1))


def test_a_damaged_journal_is_recovered_then_written_then_read_whole(root: Path) -> None:
    damaged(root)
    with pytest.raises(JournalCorruptError, match="ml-dash recover"):
        append(experiment(root), *session("s11", []))
    before = [each.seq for each in ml_dash.events(PREFIX)]
    (declared,) = history.recover(PREFIX)
    assert declared.refuses_writing
    append(experiment(root), *session("s11", [point("train", step=110, loss=0.5)]))
    assert [each.seq for each in ml_dash.events(PREFIX)] == [*before, *range(before[-1] + 1, before[-1] + 4)]
    assert all(each.declared for each in ml_dash.verify(PREFIX).damage)
    assert history.recover(PREFIX) == []


def test_a_journal_that_cannot_be_written_to_is_not_recovered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged(root)
    monkeypatch.setattr(listing, "JournalFolder", partial(JournalFolder, disk=ReadOnlyDisk()))
    assert "Read-only file system" in message_of(StorageError, lambda: history.recover(PREFIX))


def test_a_spool_that_cannot_be_listed_is_named(root: Path) -> None:
    spool = Path(training(root).spool_folder)
    shutil.rmtree(spool, ignore_errors=True)
    spool.write_text("not a folder")
    assert "cannot be read" in message_of(StorageError, lambda: list(ml_dash.events(PREFIX)))
    assert "cannot be read" in message_of(StorageError, lambda: ml_dash.load(PREFIX))


def test_a_whole_journal_is_verified(root: Path) -> None:
    folder = training(root)
    report = ml_dash.verify(PREFIX)
    assert report.ok
    assert (report.events, report.segments, report.damage) == (15, 1, ())
    data = Path(folder.segment_path(1)).read_bytes()
    assert report.bytes == len(data)
    assert report.head == data[-67:-3].decode()


def test_any_changed_byte_of_a_whole_journal_is_noticed(root: Path) -> None:
    path = Path(training(root).segment_path(1))
    data = path.read_bytes()
    for offset in range(0, len(data), 17):
        flip(path, offset)
        report = ml_dash.verify(PREFIX)
        assert not report.ok, f"byte {offset}"
        assert report.damage
        path.write_bytes(data)
    assert ml_dash.verify(PREFIX).ok


class UnreadableDisk(Disk):
    """Files of somebody else."""

    def open_read(self, path: str) -> int:
        raise PermissionError(13, "Permission denied", path)


@pytest.mark.parametrize("reader", [ml_dash.load, ml_dash.verify, lambda prefix: list(ml_dash.events(prefix))])
def test_files_that_may_not_be_read_are_named(
    root: Path, reader: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    training(root)
    monkeypatch.setattr(listing, "JournalFolder", partial(JournalFolder, disk=UnreadableDisk()))
    message = message_of(StorageError, lambda: reader(PREFIX))
    assert "00000001.jsonl" in message
    (summary,) = ml_dash.experiments()
    assert "Permission denied" in str(summary.error)


# --- processes that died ------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from ml_dash import Experiment
experiment = Experiment(prefix="alice/ml/a", dash_root=".dash", console=False)
experiment.run.start()
for step in range(500):
    experiment.metrics("train").log(step=step)
experiment.log("last words")
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_run(root: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED], cwd=root.parent, capture_output=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


class ReadOnlyDisk(Disk):
    """A file system that is mounted read-only."""

    def _refuse(self, *_: object) -> Any:
        raise OSError(30, os.strerror(30))

    make_folder = open_append = create = write = rename = remove = empty = _refuse


@pytest.fixture(params=["writable", "read-only"])
def access(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "read-only":
        monkeypatch.setattr(listing, "JournalFolder", partial(JournalFolder, disk=ReadOnlyDisk()))
    access: str = request.param
    return access


def test_what_a_killed_process_had_logged_is_read_whole_and_the_run_is_lost(root: Path, access: str) -> None:
    killed_run(root)
    before = {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))}
    run = ml_dash.load(PREFIX)
    assert run.metrics["train"].columns()["step"] == list(range(500))
    assert [line.message for line in run.logs] == ["last words"]
    assert run.status == "FAILED"
    assert run.sessions[0].reason == "lost"
    found = list(ml_dash.events(PREFIX))
    assert [each.seq for each in found] == list(range(1, run.seq + 1))
    assert found[-1].type == "run.failed"
    assert [each.status for each in ml_dash.experiments()] == ["FAILED"]
    if access == "read-only":
        assert {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))} == before


def test_a_damaged_journal_that_a_killed_process_had_been_writing_to_is_recovered_at_once(tmp_path: Path) -> None:
    with ml_dash.Experiment(PREFIX, dash_root=tmp_path, console=False).run as experiment:
        for step in range(30):
            experiment.params.set(step=step)
            experiment.flush()
    child = os.fork()
    if child == 0:
        dying = ml_dash.Experiment(PREFIX, dash_root=tmp_path, console=False)
        dying.run.start()
        dying.params.set(dying=True)
        os._exit(0)
    os.waitpid(child, 0)
    path = tmp_path / PREFIX / "_journal/00000001.jsonl"
    data = bytearray(path.read_bytes())
    data[3000] ^= 1
    path.write_bytes(data)
    assert len(history.recover(PREFIX, dash_root=tmp_path)) == 1
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    assert (run.params["step"], run.params["dying"], run.status) == (29, True, "FAILED")
    assert ml_dash.verify(PREFIX, dash_root=tmp_path).ok


@pytest.mark.parametrize("said_by", ["the checkpoint", "a spool"])
def test_without_its_only_header_a_journal_is_read_by_the_id_that_is_said_elsewhere(
    tmp_path: Path, said_by: str
) -> None:
    with ml_dash.Experiment(PREFIX, dash_root=tmp_path, console=False).run as experiment:
        for step in range(30):
            experiment.params.set(step=step)
            experiment.flush()
    folder = JournalFolder(tmp_path / PREFIX)
    path = Path(folder.segment_path(1))
    living = ml_dash.Experiment(PREFIX, dash_root=tmp_path, console=False) if said_by == "a spool" else None
    if living is not None:
        living.run.start()
        Path(folder.checkpoint_path).unlink()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[1:]))
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    assert run.params["step"] == 29
    (damage,) = run.damage
    # The first commit continues the hash of what is gone.
    assert (damage.kind.value, damage.segment, damage.offset, damage.first_seq) == ("corrupt", 1, 0, 1)
    seqs = [each.seq for each in ml_dash.events(PREFIX, dash_root=tmp_path)]
    assert seqs == list(range(damage.last_seq + 1, run.seq + 1))
    path.write_bytes(b"".join(lines))
    if living is not None:
        living.run.complete()
    assert ml_dash.verify(PREFIX, dash_root=tmp_path).ok
