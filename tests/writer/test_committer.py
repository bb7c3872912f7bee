"""Committer: what is recorded gets into the journal by itself; what fails on the way does not reach the training."""

from __future__ import annotations

import os
import signal
import threading
from errno import EIO
from pathlib import Path

import pytest

from ml_dash.clock import sleep_s
from ml_dash.errors import ExperimentError, StorageError
from ml_dash.facts.rows import seal
from ml_dash.journal import committer as committer_module
from ml_dash.journal.appender import Appender
from ml_dash.journal.drain import left_behind
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.spool_reading import read_spool
from ml_dash.journal.writer import Writer

from .faults import FULL, FaultyDisk
from .support import in_threads, interrupting_with, log, points, read, reopen, wait_until

NEVER_S = 1000.0


def faulty(tmp_path: Path) -> tuple[JournalFolder, FaultyDisk]:
    disk = FaultyDisk()
    return JournalFolder(tmp_path / "run", disk), disk


def test_what_is_recorded_is_committed_without_being_asked(folder: JournalFolder) -> None:
    writer = Writer(folder)
    log(writer, "loss", 1)
    wait_until(lambda: points(read(folder), "loss") == [1], "the point is committed")
    writer.close()


def test_what_is_recorded_becomes_durable_without_being_asked(folder: JournalFolder) -> None:
    writer = Writer(folder)
    log(writer, "loss", 1)
    wait_until(lambda: writer.durable_seq == 1, "the point is durable")
    writer.close()


def test_flush_returns_when_everything_before_it_is_durable(folder: JournalFolder) -> None:
    writer = Writer(folder, commit_interval_s=NEVER_S)
    for i in range(5):
        log(writer, "loss", i)
        assert writer.flush() == i + 1 == writer.durable_seq
        assert points(read(folder), "loss") == list(range(i + 1))
    writer.close()


def test_commit_shows_everything_before_it_to_every_reader(folder: JournalFolder) -> None:
    writer = Writer(folder, commit_interval_s=NEVER_S)
    for i in range(5):
        log(writer, "loss", i)
        writer.commit()
        assert points(read(folder), "loss") == list(range(i + 1))
    writer.close()


def test_rows_stay_in_the_spool_until_their_commit_is_durable(
    folder: JournalFolder, small_files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed sync may take a commit back, and then the spool is all there is."""
    monkeypatch.setattr(committer_module, "SYNC_INTERVAL_S", NEVER_S)
    writer = Writer(folder, commit_interval_s=NEVER_S)

    def kept() -> list[int]:
        contents = [read_spool(folder, writer.id, number) for number in folder.spool_files()[writer.id]]
        return sorted(row[2] for content in contents if content is not None for row in content.rows)

    for i in range(300):
        log(writer, "loss", i)
        if i % 50 == 0:
            writer.commit()
    # More, where the ring of an earlier request came after its commit: then one more cycle follows.
    assert points(read(folder), "loss")[:251] == list(range(251))
    assert kept() == list(range(300))
    writer.flush()
    assert len(kept()) < 50
    writer.close()


def test_flush_ends_while_others_record_without_end(folder: JournalFolder) -> None:
    writer = Writer(folder)
    flushed = threading.Event()

    def act(thread: int) -> None:
        if thread == 0:
            for _ in range(2):
                writer.flush()
            flushed.set()
        else:
            i = 0
            while not flushed.is_set():
                log(writer, f"m{thread}", i)
                i += 1

    in_threads(3, act)
    writer.close()
    events = read(folder)
    for thread in (1, 2):
        found = points(events, f"m{thread}")
        assert found == list(range(len(found)))


def test_an_idle_committer_is_never_woken(folder: JournalFolder) -> None:
    writer = Writer(folder)
    log(writer, "loss", 1)
    writer.flush()
    wait_until(lambda: writer._spool.is_committer_asleep, "the committer sleeps")
    status = Path(f"/proc/self/task/{writer._committer._thread.native_id}/status")

    def switches() -> list[str]:
        return [line for line in status.read_text().splitlines() if "ctxt_switches" in line]

    wait_until(lambda: "S (sleeping)" in status.read_text(), "its thread sleeps")
    before = switches()
    sleep_s(0.5)
    assert switches() == before
    log(writer, "loss", 2)
    wait_until(lambda: points(read(folder), "loss") == [1, 2], "the next row wakes it")
    writer.close()


def test_no_row_is_missed_by_a_committer_that_is_about_to_sleep(folder: JournalFolder) -> None:
    writer = Writer(folder, commit_interval_s=0.0005)
    for i in range(200):
        log(writer, "loss", i)
        wait_until(lambda: not writer._spool.cursor.backlog_bytes, "the row is taken")
    writer.close()
    assert points(read(folder), "loss") == list(range(200))


def test_a_row_that_comes_just_before_the_committer_sleeps_is_not_missed(
    folder: JournalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "SYNC_INTERVAL_S", NEVER_S)
    writer = Writer(folder)
    has_no_rows = writer._committer._has_no_rows
    came = threading.Event()

    def has_none_but_one_comes() -> bool:
        if has_no_rows() and not came.is_set():
            log(writer, "loss", 2)
            came.set()
            return True
        return has_no_rows()

    wait_until(lambda: writer._spool.is_committer_asleep, "the committer sleeps")
    writer._committer._has_no_rows = has_none_but_one_comes
    log(writer, "loss", 1)
    wait_until(came.is_set, "it is about to sleep")
    wait_until(lambda: points(read(folder), "loss") == [1, 2], "the row is committed")
    writer.close()


def test_a_signal_handler_may_flush_amid_a_flush(folder: JournalFolder) -> None:
    writer = Writer(folder)
    handled = 0

    def handle() -> None:
        nonlocal handled
        log(writer, "handler", handled)
        assert writer.flush() > 0
        handled += 1

    i = 0
    with interrupting_with(handle, every_s=0.0005):
        while handled < 30:
            log(writer, "main", i)
            writer.flush()
            i += 1
    writer.close()
    events = read(folder)
    assert points(events, "main") == list(range(i))
    assert points(events, "handler") == list(range(handled))


def test_an_interrupted_flush_leaves_nothing_half_done(folder: JournalFolder) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    writer = Writer(folder)
    before = signal.signal(signal.SIGPROF, interrupt)
    recorded = 0
    try:
        for i in range(60):
            log(writer, "loss", i)
            recorded += 1
            try:
                signal.setitimer(signal.ITIMER_PROF, 0.0001 + 0.00002 * i)
                while True:
                    writer.flush()
            except Interrupted:
                continue
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    writer.close()
    assert points(read(folder), "loss") == list(range(recorded))


# -- failures ----------------------------------------------------------------------------------------------------


def test_a_journal_that_cannot_be_written_costs_nothing_but_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, disk = faulty(tmp_path)
    writer = Writer(folder)
    log(writer, "loss", 0)
    writer.flush()
    disk.failing = {"write", "create"}
    for i in range(1, 100):
        log(writer, "loss", i)
    with pytest.raises(StorageError, match="No space left on device"):
        writer.flush()
    with pytest.raises(StorageError, match="wait in the spool"):
        writer.flush()
    assert points(read(folder), "loss") == [0]
    disk.failing = set()
    log(writer, "loss", 100)
    wait_until(
        lambda: points(read(folder), "loss") == list(range(101)), "it is written by itself, once that works again"
    )
    writer.close()
    assert points(reopen(folder), "loss") == list(range(101))
    assert capsys.readouterr().err.count("WARNING") == 1


def test_a_flush_after_a_failed_one_makes_everything_durable(tmp_path: Path) -> None:
    """What the failed one had taken counts as little as what it had not; both are more than one write."""
    folder, disk = faulty(tmp_path)
    writer = Writer(folder, commit_interval_s=NEVER_S)
    disk.failing = {"write"}
    for i in range(500):
        log(writer, "loss", i, text="x" * 50_000)
    for _ in range(8):
        with pytest.raises(StorageError):
            writer.flush()
    disk.failing = set()
    assert writer.flush() == 500
    assert points(read(folder), "loss") == list(range(500))
    writer.close()


def test_strict_recording_raises_while_the_journal_cannot_be_written(tmp_path: Path) -> None:
    folder, disk = faulty(tmp_path)
    writer = Writer(folder, is_strict=True)
    log(writer, "loss", 0)
    disk.failing = {"write", "create"}
    with pytest.raises(StorageError):
        writer.flush()
    for _ in range(2):
        with pytest.raises(StorageError, match="could not be written"):
            log(writer, "loss", 1)
    disk.failing = set()
    writer.flush()
    log(writer, "loss", 2)
    writer.close()
    assert points(reopen(folder), "loss") == [0, 2]


def test_a_failed_sync_reports_nothing_durable_and_loses_nothing(tmp_path: Path) -> None:
    folder, disk = faulty(tmp_path)
    disk.error_number = EIO
    writer = Writer(folder, commit_interval_s=NEVER_S)
    log(writer, "loss", 0)
    assert writer.flush() == 1
    disk.failing = {"sync_data"}
    log(writer, "loss", 1)
    try:
        writer.flush()
    except StorageError:
        assert writer.durable_seq == 1
    assert disk.failed > 0
    disk.failing = set()
    log(writer, "loss", 2)
    assert writer.flush() == 3
    writer.close()
    assert len(folder.segment_numbers()) > 1, "the segment whose sync failed takes no further byte"
    assert points(reopen(folder), "loss") == [0, 1, 2]


def test_a_flaw_in_the_code_does_not_end_the_thread(
    folder: JournalFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = Writer(folder)
    with monkeypatch.context() as patch:

        def fail(*_: object) -> bytes:
            raise ZeroDivisionError("a flaw")

        patch.setattr(committer_module, "encode_parts", fail)
        log(writer, "loss", 1)
        with pytest.raises(StorageError, match="a flaw"):
            writer.flush()
    log(writer, "loss", 2)
    writer.flush()
    writer.close()
    assert points(read(folder), "loss") == [1, 2]
    assert capsys.readouterr().err.count("WARNING") == 1


def test_a_thread_that_cannot_start_makes_opening_fail_without_a_trace(
    folder: JournalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def fail(_: object) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(StorageError, match="no thread can be started"):
            Writer(folder)
    assert folder.spool_files() == {}
    Writer(folder).close()


def test_what_others_left_and_nobody_can_read_does_not_fail_a_flush(
    folder: JournalFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = Writer(folder)
    alien = Path(folder.spool_path("zz", 1))
    alien.write_bytes(seal(b'{"format":"ml-dash-spool","version":99,"writer":"zz"}'))
    log(writer, "loss", 1)
    assert writer.flush() == 1
    assert "version 99" in capsys.readouterr().err
    writer.close()
    assert alien.exists(), "what is not understood is not removed"


def test_a_living_writer_that_was_taken_for_dead_doubles_nothing(folder: JournalFolder) -> None:
    """A network file system that forgets locks shows the living as dead; whoever drains commits in their name."""
    writer = Writer(folder, commit_interval_s=NEVER_S)
    for i in range(10):
        log(writer, "loss", i)
    other = Appender(folder, "other")
    with other.at_end():
        for batch in left_behind(folder, writer.id, folder.spool_files()[writer.id]):
            if b"lost" not in batch.events:
                other.append([batch])
    other.close()
    log(writer, "loss", 10)
    writer.flush()
    writer.close()
    assert points(read(folder), "loss") == list(range(11))


def test_who_asks_a_committer_that_has_finished_is_answered(folder: JournalFolder) -> None:
    """A signal handler that closes comes between another close and its question."""
    writer = Writer(folder)
    log(writer, "loss", 1)
    writer.close()
    assert writer._committer.flush() == 1


def test_a_finalizer_in_the_committers_own_thread_cannot_wait_for_itself(folder: JournalFolder) -> None:
    writer = Writer(folder, commit_interval_s=NEVER_S)
    raised: list[Exception] = []

    def flush_amid_a_cycle() -> None:
        try:
            writer.flush()
        except StorageError as error:
            raised.append(error)

    writer._committer._drain = flush_amid_a_cycle
    log(writer, "loss", 1)
    writer.flush()
    writer.close()
    assert "cannot wait" in str(raised[0])


def test_recording_goes_on_while_another_process_holds_the_journal(folder: JournalFolder) -> None:
    writer = Writer(folder)
    appender = Appender(folder, "other")
    with appender.at_end():
        for i in range(2000):
            log(writer, "loss", i)
        sleep_s(0.3)
        assert points(read(folder), "loss") == []
    appender.close()
    writer.close()
    assert points(read(folder), "loss") == list(range(2000))


def test_a_closed_writer_refuses_whatever_the_disk_does(tmp_path: Path) -> None:
    folder, disk = faulty(tmp_path)
    writer = Writer(folder)
    log(writer, "loss", 1)
    disk.failing = set(FULL)
    with pytest.raises(StorageError):
        writer.close()
    disk.failing = set()
    with pytest.raises(ExperimentError):
        log(writer, "loss", 2)
    assert points(reopen(folder), "loss") == [1]
    assert os.listdir(folder.spool_folder) == []
