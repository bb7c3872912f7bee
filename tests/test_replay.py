"""Replay: state step by step, at any event or moment, behind dead writers, damage and newer releases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from errno import ENOSYS
from pathlib import Path
from threading import Thread

import filelock
import orjson
import pytest

from ml_dash.errors import JournalCorruptError, JournalVersionError
from ml_dash.facts.codec import events_of
from ml_dash.facts.events import METRIC_LOGGED, PARAMS_SET, RUN_FAILED, Event
from ml_dash.journal import format as journal_format
from ml_dash.journal.appender import Appender
from ml_dash.journal.batch import Batch
from ml_dash.journal.damage import DamageKind
from ml_dash.journal.disk import Disk
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.reader import JournalReader
from ml_dash.journal.writer import Writer
from ml_dash.reading.moments import sequence_at
from ml_dash.reading.replay import Replay
from ml_dash.state import EMPTY, UNDECODABLE, State, fold

from .histories import EPOCH_US, event, point
from .journals import append, session

DEADLINE_S = 60.0


class WatchedDisk(Disk):
    """Counts calls, and may refuse to change anything."""

    def __init__(self, *, is_read_only: bool = False) -> None:
        self._is_read_only = is_read_only
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> object:
        if name in CHANGES and object.__getattribute__(self, "_is_read_only"):
            raise OSError(30, os.strerror(30))
        if not name.startswith("_") and name != "calls":
            self.calls.append(name)
        return object.__getattribute__(self, name)


CHANGES = {"make_folder", "open_append", "create", "write", "rename", "publish", "remove", "empty", "reserve_map"}


def journal(experiment: Path, *, segment_bytes_max: int = 2000) -> JournalFolder:
    points = [point("train", EPOCH_US + step * 1_000_000, step=step, loss=step / 7) for step in range(40)]
    append(experiment, *session("s1", [event(PARAMS_SET, params={"lr": 0.1})], end=None))
    parts = [("s1", points[at : at + 9]) for at in range(0, len(points), 9)]
    append(experiment, *parts, segment_bytes_max=segment_bytes_max)
    return append(experiment, *session("s2", points[:3]), segment_bytes_max=segment_bytes_max)


def events_in(replay: Replay, after: int = 0) -> list[Event]:
    return [
        each
        for line, blocks in replay.commits(after)
        for each in events_of(blocks, line.first, line.time_us, line.writer, line.session)
    ]


def state_at(folder: JournalFolder, at: int | None = None) -> State:
    return Replay(folder, at).refresh()


# -- step by step ------------------------------------------------------------------------------------------------


def test_a_folder_without_a_journal_is_empty_and_stays_as_it_is(tmp_path: Path) -> None:
    replay = Replay(JournalFolder(tmp_path / "nowhere"))
    assert replay.refresh() is EMPTY
    assert (replay.position, replay.damage, list(replay.commits())) == (None, [], [])
    assert not (tmp_path / "nowhere").exists()


def test_a_replay_that_was_there_from_the_start_shows_what_a_new_one_shows(tmp_path: Path) -> None:
    folder = JournalFolder(tmp_path / "a")
    replay = Replay(folder)
    for step in range(25):
        append(tmp_path / "a", ("s1", [point("train", step=step), event(PARAMS_SET, params={f"p{step}": step})]))
        assert repr(replay.refresh()) == repr(state_at(folder))
    assert len(replay.state.params) == 25


def test_the_state_at_every_event_is_the_fold_of_the_events_up_to_it(tmp_path: Path) -> None:
    folder = journal(tmp_path / "a")
    whole = Replay(folder)
    end = whole.refresh().seq
    events = events_in(whole)
    assert [each.seq for each in events] == list(range(1, end + 1))
    for seq in range(end + 1):
        assert repr(state_at(folder, seq)) == repr(fold(events[:seq]))
    assert repr(state_at(folder, end + 5)) == repr(whole.state)


def test_a_replay_of_the_past_stays_in_the_past(tmp_path: Path) -> None:
    folder = journal(tmp_path / "a")
    replay = Replay(folder, at=20)
    before = replay.refresh()
    append(tmp_path / "a", ("s3", [point("train", step=1)]))
    assert replay.refresh() is before
    assert [each.seq for each in events_in(replay, after=15)][-1] == 20


@pytest.mark.parametrize("after", [0, 1, 2, 17, 38, 46, 47, 48, 60])
def test_commits_give_the_events_behind_any_number(tmp_path: Path, after: int) -> None:
    replay = Replay(journal(tmp_path / "a"))
    end = replay.refresh().seq
    assert [each.seq for each in events_in(replay, after) if each.seq > after] == list(range(after + 1, end + 1))
    lines = [line for line, _ in replay.commits(after)]
    assert all(line.last > after for line in lines)


def test_commits_behind_the_last_event_of_a_segment_miss_none(tmp_path: Path) -> None:
    folder = journal(tmp_path / "a", segment_bytes_max=1000)
    replay = Replay(folder)
    end = replay.refresh().seq
    headers = [JournalReader(folder).header(number) for number in folder.segment_numbers()]
    firsts = [found[0].first for found in headers if found is not None]
    assert len(firsts) > 2
    for after in (max(0, first + offset) for first in firsts for offset in (-2, -1, 0)):
        assert [each.seq for each in events_in(replay, after) if each.seq > after] == list(range(after + 1, end + 1))


def test_commits_are_those_that_the_state_was_folded_from(tmp_path: Path) -> None:
    replay = Replay(journal(tmp_path / "a"))
    end = replay.refresh().seq
    before = list(replay.commits())
    append(tmp_path / "a", ("s3", [point("train", step=1)]))
    assert len(list(replay.commits())) == len(before)
    assert events_in(replay)[-1].seq == end
    replay.refresh()
    assert events_in(replay)[-1].seq == end + 1


def test_asking_again_reads_nothing_where_nothing_is_new(tmp_path: Path) -> None:
    journal(tmp_path / "a")
    disk = WatchedDisk()
    replay = Replay(JournalFolder(tmp_path / "a", disk))
    state = replay.refresh()
    disk.calls.clear()
    assert replay.refresh() is state
    assert len(disk.calls) <= 4
    assert not {"open_read", "read_at"} & set(disk.calls)


def test_a_reader_follows_a_writer_in_another_process(tmp_path: Path) -> None:
    folder = JournalFolder(tmp_path / "a")
    with Running(tmp_path, "for step in range(3000):\n    writer.record_stream(stream, {'step': step})") as process:
        replay = Replay(folder)
        seen = [EMPTY]
        deadline = time.monotonic() + DEADLINE_S
        while process.poll() is None:
            assert time.monotonic() < deadline
            seen.append(replay.refresh())
        seen.append(replay.refresh())
    assert [state.seq for state in seen] == sorted(state.seq for state in seen)
    assert seen[-1].metrics["train"].count == 3000
    assert replay.damage == []
    assert repr(seen[-1]) == repr(state_at(folder))


def test_several_threads_may_ask_one_replay(tmp_path: Path) -> None:
    folder = journal(tmp_path / "a")
    replay = Replay(folder)
    states: list[str] = []
    threads = [Thread(target=lambda: states.append(repr(replay.refresh()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert states == [repr(state_at(folder))] * 8


# -- moments -----------------------------------------------------------------------------------------------------


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(EPOCH_US / 1e6, timezone.utc) + timedelta(seconds=seconds)


def test_a_moment_means_the_last_event_up_to_it(tmp_path: Path) -> None:
    folder = append(tmp_path / "a", ("s1", [point("train", EPOCH_US + 1_000_000 * step) for step in range(50)]))
    assert sequence_at(folder, moment(-1)) == 0
    assert sequence_at(folder, moment(0)) == 1
    assert sequence_at(folder, moment(10.5)) == 11
    assert sequence_at(folder, moment(1000)) == 50
    assert Replay(folder, moment(10.5)).refresh().seq == 11
    assert Replay(folder, moment(-1)).refresh() == EMPTY


def test_a_naive_moment_is_local_time(tmp_path: Path) -> None:
    folder = append(tmp_path / "a", ("s1", [point("train", EPOCH_US + 1_000_000 * step) for step in range(50)]))
    assert sequence_at(folder, moment(10.5).astimezone().replace(tzinfo=None)) == 11


def test_where_the_clock_jumps_back_the_order_of_events_decides(tmp_path: Path) -> None:
    clock = [0, 100, 200, 50, 60, 300]
    folder = append(tmp_path / "a", ("s1", [point("train", EPOCH_US + 1_000_000 * at, at=at) for at in clock]))
    assert sequence_at(folder, moment(70)) == 5
    assert sequence_at(folder, moment(20)) == 1
    assert state_at(folder).time_us == EPOCH_US + 300_000_000


# -- dead writers ------------------------------------------------------------------------------------------------

PREAMBLE = """
import os, signal, sys
from pathlib import Path
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.writer import Writer
writer = Writer(JournalFolder(Path(sys.argv[1])), commit_interval_s=float(sys.argv[2]))
started = {"session": writer.session, "prefix": "a/b", "host": "h", "pid": 1, "rank": None, "environment": {}}
writer.record("run.started", started)
stream = writer.stream("metric.logged", "train")
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
CLOSE = "writer.record('run.completed', {'session': writer.session})\nwriter.close()"


class Running:
    """A process that records into `tmp_path/a`."""

    def __init__(self, tmp_path: Path, script: str, end: str = CLOSE, commit_interval_s: float = 0.005) -> None:
        code = "\n".join([PREAMBLE, script, end])
        arguments = [sys.executable, "-c", code, str(tmp_path / "a"), str(commit_interval_s)]
        self._process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stdin=subprocess.PIPE)

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


HUNDRED_POINTS = "for step in range(100):\n    writer.record_stream(stream, {'step': step})"


def killed(tmp_path: Path) -> None:
    """A process that recorded a hundred points, committed none of them, and was killed."""
    with Running(tmp_path, HUNDRED_POINTS, KILL, commit_interval_s=1000) as process:
        assert process.wait(DEADLINE_S) == -signal.SIGKILL


@pytest.fixture(params=["drained", "shown"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> JournalFolder:
    """A journal that may be written to, or not."""
    return JournalFolder(tmp_path / "a", WatchedDisk(is_read_only=request.param == "shown"))


def test_what_a_killed_process_recorded_is_there_at_once_and_its_session_is_lost(
    tmp_path: Path, folder: JournalFolder
) -> None:
    killed(tmp_path)
    replay = Replay(folder)
    state = replay.refresh()
    assert state.metrics["train"].count == 100
    assert (state.status, [each.reason for each in state.sessions.values()]) == ("FAILED", ["lost"])
    assert replay.refresh() == state
    events = events_in(replay)
    assert [each.seq for each in events] == list(range(1, 103))
    assert (events[-1].type, events[-1].data["reason"]) == (RUN_FAILED, "lost")
    assert repr(fold(events)) == repr(state)
    assert [each.seq for each in events_in(replay, after=50) if each.seq > 50] == list(range(51, 103))
    assert [each.seq for each in events_in(replay, after=101)] == [102]


def test_a_reader_changes_nothing_where_it_may_not_write(tmp_path: Path) -> None:
    killed(tmp_path)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(tmp_path.rglob("*"))}
    state_at(JournalFolder(tmp_path / "a", WatchedDisk(is_read_only=True)))
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(tmp_path.rglob("*"))} == before


def test_what_is_shown_is_what_draining_makes_of_it(tmp_path: Path) -> None:
    killed(tmp_path)
    shown = Replay(JournalFolder(tmp_path / "a", WatchedDisk(is_read_only=True)))
    shown.refresh()
    drained = Replay(JournalFolder(tmp_path / "a"))
    drained.refresh()
    assert not list((tmp_path / "a/_journal/spool").iterdir())
    pairs = list(zip(events_in(shown), events_in(drained), strict=True))
    assert all(one == other for one, other in pairs[:-1])
    assert pairs[-1][0].data == pairs[-1][1].data


def test_a_reader_that_showed_them_goes_on_when_somebody_else_has_committed_them(tmp_path: Path) -> None:
    killed(tmp_path)
    shown = Replay(JournalFolder(tmp_path / "a", WatchedDisk(is_read_only=True)))
    assert shown.refresh().status == "FAILED"
    Writer(JournalFolder(tmp_path / "a")).close()
    assert repr(shown.refresh()) == repr(state_at(JournalFolder(tmp_path / "a")))
    assert [each.seq for each in events_in(shown)] == list(range(1, 103))


def test_pending_events_stand_behind_what_others_append(tmp_path: Path) -> None:
    killed(tmp_path)
    shown = Replay(JournalFolder(tmp_path / "a", WatchedDisk(is_read_only=True)))
    shown.refresh()
    before = events_in(shown)
    append(tmp_path / "a", ("s9", [point("other", step=1)]))
    assert [each.data for each in events_in(shown)] == [each.data for each in before]
    state = shown.refresh()
    events = events_in(shown)
    assert [each.seq for each in events] == list(range(1, 104))
    assert events[0].data["name"] == "other"
    assert repr(fold(events)) == repr(state)


def test_the_state_before_a_pending_event_can_be_asked_for(tmp_path: Path, folder: JournalFolder) -> None:
    killed(tmp_path)
    for seq in (1, 40, 101):
        state = state_at(folder, seq)
        assert (state.seq, state.status) == (seq, "RUNNING")
        replay = Replay(folder, seq)
        replay.refresh()
        assert [each.seq for each in events_in(replay)] == list(range(1, seq + 1))
        assert sum(line.count for line, _ in replay.commits()) == seq
        assert all(blocks for _, blocks in replay.commits())
    assert state_at(folder, 102).status == "FAILED"


def test_a_writer_that_lives_is_running_and_not_drained(tmp_path: Path) -> None:
    script = "writer.record_stream(stream, {'step': 1})\nwriter.commit()\nprint('ready', flush=True)\nsys.stdin.read()"
    with Running(tmp_path, script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        replay = Replay(JournalFolder(tmp_path / "a"))
        assert replay.refresh().status == "RUNNING"
        process.kill()
        process.wait(DEADLINE_S)
        assert replay.refresh().status == "FAILED"
        assert replay.state.metrics["train"].count == 1


def test_what_a_dead_writer_left_is_shown_also_where_damage_refuses_writing(tmp_path: Path) -> None:
    folder = JournalFolder(tmp_path / "a")
    append(tmp_path / "a", *(("s1", [point("old", step=step)]) for step in range(4)), segment_bytes_max=600)
    killed(tmp_path)
    flip_a_byte(Path(folder.segment_path(1)))
    replay = Replay(folder)
    state = replay.refresh()
    assert state.metrics["train"].count == 100
    assert "lost" in [each.reason for each in state.sessions.values()]
    assert [each.kind for each in replay.damage] == [DamageKind.CORRUPT]
    assert list((tmp_path / "a/_journal/spool").iterdir())
    assert repr(replay.refresh()) == repr(state)


def test_a_copy_on_a_file_system_without_locks_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(tmp_path)

    def no_locks(descriptor: int, *, blocking: bool) -> bool:
        raise OSError(ENOSYS, os.strerror(ENOSYS))

    monkeypatch.setattr(filelock, "lock_descriptor", no_locks)
    state = state_at(JournalFolder(tmp_path / "a"))
    assert (state.metrics["train"].count, state.status) == (100, "FAILED")


def test_asking_again_for_what_cannot_be_drained_reads_it_once(tmp_path: Path) -> None:
    killed(tmp_path)
    disk = WatchedDisk(is_read_only=True)
    replay = Replay(JournalFolder(tmp_path / "a", disk))
    replay.refresh()
    disk.calls.clear()
    replay.refresh()
    assert "read_at" not in disk.calls


# -- damage and other releases -----------------------------------------------------------------------------------


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 1
    path.write_bytes(data)


def test_damage_takes_what_stood_there_and_nothing_else(tmp_path: Path) -> None:
    folder = journal(tmp_path / "a")
    whole = Replay(folder)
    whole.refresh()
    events = events_in(whole)
    flip_a_byte(Path(folder.segment_path(1)))
    replay = Replay(folder)
    state = replay.refresh()
    [damage] = replay.damage
    assert (damage.kind, damage.segment, damage.refuses_writing) == (DamageKind.CORRUPT, 1, True)
    intact = [each for each in events if not damage.first_seq <= each.seq <= damage.last_seq]
    assert len(intact) < len(events)
    assert events_in(replay) == intact
    assert repr(state) == repr(fold(intact))


def test_a_torn_tail_is_named_and_the_next_commit_is_read(tmp_path: Path) -> None:
    folder = journal(tmp_path / "a", segment_bytes_max=10**6)
    path = Path(folder.segment_path(1))
    os.truncate(path, path.stat().st_size - 10)
    replay = Replay(folder)
    before = replay.refresh()
    assert [each.kind for each in replay.damage] == [DamageKind.TORN]
    append(tmp_path / "a", ("s9", [point("train", step=1)]))
    assert replay.refresh().seq == before.seq + 1
    assert [each.kind for each in replay.damage] == [DamageKind.DEAD]
    assert repr(replay.state) == repr(state_at(folder))


def test_a_reader_that_saw_what_is_gone_says_so(tmp_path: Path) -> None:
    folder = JournalFolder(tmp_path / "a")
    writer = Writer(folder)
    for step in range(4):
        writer.record(PARAMS_SET, {"params": {"step": step}})
        writer.flush()
    replay = Replay(folder)
    assert replay.refresh().params == {"step": 3}
    path = Path(folder.segment_path(1))
    data = path.read_bytes()
    os.truncate(path, data.rindex(b"\n", 0, data.rindex(b"\n", 0, len(data) - 1)) + 1)
    for _ in range(2):
        assert replay.refresh().params == {"step": 1}
        assert [(each.kind, each.segment, each.declared) for each in replay.damage] == [(DamageKind.CORRUPT, 1, False)]
    assert repr(replay.state) == repr(state_at(JournalFolder(tmp_path / "a", WatchedDisk(is_read_only=True))))
    writer.record(PARAMS_SET, {"params": {"step": 9}})
    with pytest.raises(JournalCorruptError):
        writer.close()


def test_a_commit_of_a_newer_release_is_damage_that_refuses_nothing_and_its_events_are_unknown(tmp_path: Path) -> None:
    folder = append(tmp_path / "a", *session("s1", [point("train", step=1)], end=None))
    appender = Appender(folder, "s2")
    with appender.at_end():
        newer = orjson.dumps([{"zstd": "…"}])
        appender.append([Batch(5, EPOCH_US + 7, "s2", "s2", 1, newer)])
    appender.close()
    append(tmp_path / "a", ("s1", [point("train", step=2)]))
    replay = Replay(folder)
    state = replay.refresh()
    assert (state.seq, state.unknown, state.metrics["train"].count) == (8, {UNDECODABLE: 5}, 2)
    [damage] = replay.damage
    assert (damage.kind, damage.first_seq, damage.last_seq) == (DamageKind.UNREADABLE, 3, 7)
    assert not damage.refuses_writing
    assert [line.count for line, blocks in replay.commits() if not blocks] == [5]
    assert state_at(folder, 5).unknown == {UNDECODABLE: 3}


def test_a_journal_of_a_newer_release_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = journal(tmp_path / "a")
    path = Path(folder.segment_path(1))
    header, _, rest = path.read_bytes().partition(b"\n")
    body = header[: -journal_format.HASH_TAIL_BYTES].replace(b'"version":1', b'"version":2')
    members = orjson.loads(header)
    line, _ = journal_format._line(journal_format.GENESIS_HASH, members["journal"], body)
    path.write_bytes(line + rest)
    with pytest.raises(JournalVersionError, match="version 2"):
        state_at(folder)


def test_where_a_failed_sync_made_history_go_on_differently_a_live_reader_shows_what_stands_there(
    tmp_path: Path,
) -> None:
    folder = JournalFolder(tmp_path / "a", FailingSync())
    folder.disk.make_folder(folder.path)
    appender = Appender(folder, "s1")

    def put(*steps: int) -> None:
        with appender.at_end():
            for step in steps:
                data = orjson.dumps([{"type": METRIC_LOGGED, "t": 0, "data": {"name": "m", "fields": {"step": step}}}])
                appender.append([Batch(1, EPOCH_US, "s1", "s1", step, data)])

    put(1, 2)
    appender.sync()
    replay = Replay(JournalFolder(tmp_path / "a"))
    put(3, 4, 5)
    assert replay.refresh().metrics["m"].fields["step"].last == 5
    # The disk loses the last of them, so that what is repeated is less than what was read.
    path = Path(folder.segment_path(1))
    data = path.read_bytes()
    os.truncate(path, data.rindex(b"\n", 0, len(data) - 1) + 1)
    FailingSync.fails = True
    appender.sync()
    FailingSync.fails = False
    put(6)
    appender.sync()
    appender.close()
    state = replay.refresh()
    assert repr(state) == repr(state_at(JournalFolder(tmp_path / "a")))
    assert [each.data["fields"]["step"] for each in events_in(replay)] == [1, 2, 3, 4, 6]
    assert state.metrics["m"].fields["step"].sum == 16


class FailingSync(Disk):
    """`fails` is switched on for one sync."""

    fails = False

    def sync_data(self, descriptor: int) -> None:
        if FailingSync.fails:
            raise OSError(5, os.strerror(5))
        super().sync_data(descriptor)
