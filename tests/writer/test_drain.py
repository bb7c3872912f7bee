"""Drain: what a dead writer had accepted is committed once, whoever does it, however often that is killed itself."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from errno import EIO
from pathlib import Path
from typing import Any

import pytest

from ml_dash.errors import JournalCorruptError, StorageError
from ml_dash.facts.codec import decode_events, events_of
from ml_dash.facts.events import RUN_COMPLETED, RUN_FAILED
from ml_dash.facts.rows import seal
from ml_dash.journal.appender import Appender
from ml_dash.journal.disk import OPERATING_SYSTEM, Disk
from ml_dash.journal.drain import drain, find_dead, has_dead, is_alive
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.lock import hold_alone, release
from ml_dash.journal.reader import JournalReader
from ml_dash.journal.writer import Writer

from ..examples import share
from ..promises import RecordProperty
from .faults import FaultyDisk
from .support import in_child, log, points, read, reopen

EVENTS = 60


class KillingDisk(Disk):
    """The real disk; its N-th call is the last thing that the process does."""

    def __init__(self, calls: int) -> None:
        self.remaining = calls

    def __getattribute__(self, name: str) -> Any:
        attribute = super().__getattribute__(name)
        if name == "remaining" or not callable(attribute):
            return attribute

        def call(*arguments: Any) -> Any:
            self.remaining -= 1
            if self.remaining < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return attribute(*arguments)

        return call


def die_recording(folder: JournalFolder, events: int = EVENTS, *, then: Callable[[Writer], object] = id) -> str:
    """A child opens the experiment, records, and is killed; the name of its writer."""

    def live() -> None:
        writer = Writer(folder, commit_interval_s=1000.0)
        for i in range(events // 2):
            log(writer, "loss", i, text="x" * 50)
        writer.flush()
        for i in range(events // 2, events):
            log(writer, "loss", i, text="x" * 50)
        then(writer)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(live) == -signal.SIGKILL
    [dead] = [dead.writer for dead in find_dead(folder)]
    return dead


def judge(folder: JournalFolder, events: int = EVENTS) -> None:
    found = reopen(folder)
    assert points(found, "loss") == list(range(events))
    assert [event.data["reason"] for event in found if event.type == RUN_FAILED] == ["lost"]


def test_a_drain_killed_at_any_step_loses_and_doubles_nothing(
    folder: JournalFolder, small_files: None, record_property: RecordProperty
) -> None:
    die_recording(folder)
    kills = 0
    for steps in share(range(1000), 3):
        copy = JournalFolder(folder.experiment.with_name(f"copy{steps}"))
        shutil.copytree(folder.experiment, copy.experiment)
        killing = JournalFolder(copy.experiment, KillingDisk(steps))
        code = in_child(lambda killing=killing: Writer(killing).close())  # type: ignore[misc]
        judge(copy)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert steps > 50, "the drain has more steps than that"
    record_property("kills of drains", kills)


def test_a_drain_killed_again_and_again_gets_done(folder: JournalFolder, small_files: None) -> None:
    die_recording(folder)
    for steps in range(10, 60):
        killing = JournalFolder(folder.experiment, KillingDisk(steps))
        if in_child(lambda killing=killing: Writer(killing).close()) == 0:  # type: ignore[misc]
            break
    found = reopen(folder)
    assert points(found, "loss") == list(range(EVENTS))


def test_whose_last_word_was_the_end_of_the_run_is_not_lost(folder: JournalFolder) -> None:
    def end(writer: Writer) -> None:
        writer.flush()
        writer.record(RUN_COMPLETED, {"session": writer.session})

    die_recording(folder, 4, then=end)
    assert [event.type for event in reopen(folder) if event.type in (RUN_COMPLETED, RUN_FAILED)] == [RUN_COMPLETED]


def test_two_drains_at_once_commit_it_once(folder: JournalFolder, small_files: None) -> None:
    for _ in range(5):
        die_recording(folder, 20)
    barrier = os.pipe()
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            os.close(barrier[1])
            os.read(barrier[0], 1)
            code = 1
            with suppress(BaseException):
                Writer(folder).close()
                code = 0
            os._exit(code)
        children.append(pid)
    os.close(barrier[0])
    os.close(barrier[1])
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    assert sorted(points(reopen(folder), "loss")) == sorted(list(range(20)) * 5)


def test_a_living_writer_is_left_alone(folder: JournalFolder) -> None:
    writer = Writer(folder)
    log(writer, "loss", 1)
    assert is_alive(folder, writer.id)
    assert not has_dead(folder)

    def look() -> None:
        other = Writer(folder)
        assert is_alive(folder, writer.id)
        assert writer.id in folder.spool_files()
        other.close()

    assert in_child(look) == 0
    log(writer, "loss", 2)
    writer.close()
    assert points(read(folder), "loss") == [1, 2]
    assert not is_alive(folder, writer.id)


def test_a_living_writer_saves_what_dies_beside_it(folder: JournalFolder) -> None:
    writer = Writer(folder)
    die_recording(folder)
    log(writer, "other", 1)
    writer.flush()
    assert points(read(folder), "loss") == list(range(EVENTS))
    assert list(folder.spool_files()) == [writer.id]
    writer.close()


def test_a_damaged_journal_keeps_the_spool_until_the_damage_is_declared(folder: JournalFolder) -> None:
    die_recording(folder)
    Writer(folder).close()
    writer = die_recording(folder, 4)
    segment = Path(folder.segment_path(1))
    data = bytearray(segment.read_bytes())
    data[len(data) // 3] ^= 1
    segment.write_bytes(data)
    before = Path(folder.spool_path(writer, 1)).read_bytes()
    for _ in range(2):
        with pytest.raises(JournalCorruptError, match="ml-dash recover"):
            Writer(folder)
        assert Path(folder.spool_path(writer, 1)).read_bytes() == before
    appender = Appender(folder, "healer")
    appender.recover()
    appender.close()
    Writer(folder).close()
    assert folder.spool_files() == {}
    kept = [events_of(decode_events(line.events, line.count), 1, 0, "", "") for line in JournalReader(folder).commits()]
    assert points([event for events in kept for event in events], "loss")[-4:] == [0, 1, 2, 3]


@pytest.mark.parametrize("bytes_cut", [*range(1, 40), 90])
def test_a_torn_row_takes_none_of_the_whole_ones_with_it(folder: JournalFolder, bytes_cut: int) -> None:
    writer = die_recording(folder, 10)
    path = Path(folder.spool_path(writer, 1))
    rows = path.read_bytes().rstrip(b"\0")
    torn = rows[:-bytes_cut]
    path.write_bytes(torn + bytes(len(rows) - len(torn) + 100))
    whole = rows[:-bytes_cut].count(b"\n") - rows.count(b"\n")
    assert points(reopen(folder), "loss") == list(range(10 + whole))


def test_a_row_that_changed_on_the_disk_is_not_believed(folder: JournalFolder) -> None:
    writer = die_recording(folder, 10)
    path = Path(folder.spool_path(writer, 1))
    data = path.read_bytes()
    row = data.index(b"[", data.index(b"],") if b"],7" in data else data.rindex(b"\n", 0, data.rindex(b"xxx")))
    path.write_bytes(data[: row + 1] + bytes([data[row + 1] ^ 1]) + data[row + 2 :])
    found = points(reopen(folder), "loss")
    assert found == list(range(len(found)))
    assert 5 <= len(found) < 10


def test_a_byte_of_a_spool_that_changes_costs_its_own_event_only_and_is_named(
    folder: JournalFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    writer = die_recording(folder, 20)
    data = Path(folder.spool_path(writer, 1)).read_bytes().rstrip(b"\0")
    rows = data.index(b"\n") + 1
    last_row = data.rindex(b"\n", 0, -1) + 1
    for place in range(rows, last_row, 29):
        copy = JournalFolder(folder.experiment.with_name(f"copy{place}"))
        shutil.copytree(folder.experiment, copy.experiment)
        path = Path(copy.spool_path(writer, 1))
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        found = points(reopen(copy), "loss")
        assert found == sorted(set(found)), f"byte {place}: doubled, or out of order"
        is_definition = b'"define"' in data[data.rindex(b"\n", 0, place) : data.index(b"\n", place)]
        assert len(found) >= (10 if is_definition else 19), f"byte {place}: lost"
        assert Path(f"{path}.damaged").exists()
        assert "has changed on the disk" in capfd.readouterr().err
        assert points(reopen(copy), "loss") == found


def test_a_spool_whose_header_has_changed_is_kept_and_named_and_stops_nobody(
    folder: JournalFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    writer = die_recording(folder, 20)
    data = Path(folder.spool_path(writer, 1)).read_bytes()
    for place in range(0, data.index(b"\n"), 13):
        copy = JournalFolder(folder.experiment.with_name(f"copy{place}"))
        shutil.copytree(folder.experiment, copy.experiment)
        path = Path(copy.spool_path(writer, 1))
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert points(reopen(copy), "loss") == list(range(10)), "what was committed, once"
        assert Path(f"{path}.damaged").exists()
        assert "at byte 0 of its spool" in capfd.readouterr().err


def test_a_first_file_that_is_gone_does_not_take_the_others_with_it(folder: JournalFolder, small_files: None) -> None:
    writer = die_recording(folder)
    content = folder.spool_files()[writer]
    assert len(content) > 1
    os.unlink(folder.spool_path(writer, 1))
    found = points(reopen(folder), "loss")
    assert found[: EVENTS // 2] == list(range(EVENTS // 2))
    assert found == sorted(set(found))
    assert found[-1] == EVENTS - 1


def test_of_a_spool_only_one_file_may_be_left_and_not_the_first(folder: JournalFolder, small_files: None) -> None:
    writer = die_recording(folder)
    first, _, *others = folder.spool_files()[writer]
    for number in (first, *others):
        os.unlink(folder.spool_path(writer, number))
    found = points(reopen(folder), "loss")
    assert found[: EVENTS // 2] == list(range(EVENTS // 2))
    assert found == sorted(set(found))


def test_a_spool_of_a_newer_release_is_refused_by_name_and_kept(folder: JournalFolder) -> None:
    Writer(folder).close()
    path = Path(folder.spool_path("zz", 1))
    path.write_bytes(seal(b'{"format":"ml-dash-spool","version":2,"writer":"zz"}'))
    with pytest.raises(StorageError, match=r"version 2.*upgrade ml_dash"):
        Writer(folder)
    assert path.exists()


def test_a_file_that_is_no_spool_is_no_obstacle(folder: JournalFolder) -> None:
    Writer(folder).close()
    for name, data in {"aa": b"", "bb": b"no spool\n", "cc": bytes(100), "dd": b"[1]\n"}.items():
        Path(folder.spool_path(name, 1)).write_bytes(data)
    assert read(folder) == reopen(folder)


def test_what_dies_before_it_has_a_name_is_cleared_away(folder: JournalFolder) -> None:
    Writer(folder).close()
    unborn = Path(f"{folder.spool_folder}/.wx.2.new")
    unborn.write_bytes(bytes(10))
    born = Path(f"{folder.spool_folder}/.wy.2.new")
    descriptor = OPERATING_SYSTEM.create(str(born))
    assert hold_alone(descriptor, str(born))
    Writer(folder).close()
    assert not unborn.exists()
    assert born.exists(), "its writer is about to give it its name"
    release(descriptor, OPERATING_SYSTEM)


def test_what_a_failing_sync_may_have_lost_is_not_removed_from_the_spool(folder: JournalFolder) -> None:
    writer = die_recording(folder)
    disk = FaultyDisk("sync_data", error_number=EIO)
    failing = JournalFolder(folder.experiment, disk)
    with suppress(StorageError):
        Writer(failing)
    appender = Appender(folder, "later")
    with appender.at_end():
        drain(folder, appender)
    appender.close()
    assert writer not in folder.spool_files()
    assert points(read(folder), "loss") == list(range(EVENTS))


def test_a_spool_is_removed_only_behind_the_sync_of_its_commits(folder: JournalFolder) -> None:
    writer = die_recording(folder)
    calls: list[str] = []

    class Watching(Disk):
        def write(self, descriptor: int, data: bytes) -> None:
            calls.append("write events" if b'"name":"loss"' in data else "write")
            super().write(descriptor, data)

        def sync_data(self, descriptor: int) -> None:
            super().sync_data(descriptor)
            calls.append("sync")

        def remove(self, path: str) -> None:
            calls.append(f"remove {Path(path).name}")
            super().remove(path)

    Writer(JournalFolder(folder.experiment, Watching())).close()
    written = max(index for index, call in enumerate(calls) if call == "write events")
    removed = calls.index(f"remove {writer}.jsonl")
    assert "sync" in calls[written:removed], calls


def test_a_drained_event_keeps_its_time_writer_and_session(folder: JournalFolder) -> None:
    writer = die_recording(folder, 4)
    events = [event for event in reopen(folder) if event.data.get("name") == "loss"]
    assert {(event.writer, event.session) for event in events} == {(writer, writer)}
    assert [event.time_us for event in events] == sorted(event.time_us for event in events)
    assert events[-1].time_us - events[0].time_us < 60_000_000


def test_many_events_are_committed_in_parts(folder: JournalFolder) -> None:
    die_recording(folder, 20_000)
    judge(folder, 20_000)
