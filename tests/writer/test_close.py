"""Close: what was accepted before it is committed, what comes after it is told so, whoever closes and whenever."""

from __future__ import annotations

import gc
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from ml_dash.clock import sleep_s
from ml_dash.errors import ExperimentError, StorageError
from ml_dash.journal.drain import is_alive
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.writer import Writer

from .faults import FULL, FaultyDisk
from .support import in_child, in_threads, log, points, read, reopen, wait_until


def test_close_may_be_called_twice_and_by_many_at_once(folder: JournalFolder) -> None:
    for _ in range(5):
        writer = Writer(folder)
        log(writer, "loss", 1)
        in_threads(4, lambda _, writer=writer: writer.close())  # type: ignore[misc]
        writer.close()
        assert folder.spool_files() == {}
    assert points(read(folder), "loss") == [1] * 5


def test_every_event_that_was_accepted_while_another_thread_closed_is_there(
    folder: JournalFolder, small_files: None
) -> None:
    accepted = Counter[str]()
    for attempt in range(8):
        writer = Writer(folder)

        def act(thread: int, writer: Writer = writer, attempt: int = attempt) -> None:
            name = f"a{attempt}t{thread}"
            if thread == 0:
                while accepted[f"a{attempt}t1"] < 20:
                    sleep_s(0)
                writer.close()
                return
            while True:
                try:
                    log(writer, name, accepted[name])
                except ExperimentError:
                    return
                accepted[name] += 1

        in_threads(3, act)
        with pytest.raises(ExperimentError, match="not open"):
            log(writer, "late", 1)
    events = reopen(folder)
    for name, count in accepted.items():
        assert points(events, name) == list(range(count))


def test_a_signal_handler_may_close_amid_whatever_it_interrupts(folder: JournalFolder, small_files: None) -> None:
    recorded: Counter[str] = Counter()
    for attempt in range(40):
        writer = Writer(folder)
        name = f"a{attempt}"

        def close(*_: object, writer: Writer = writer) -> None:
            writer.close()

        before = signal.signal(signal.SIGPROF, close)
        signal.setitimer(signal.ITIMER_PROF, 0.0003 + attempt * 0.0001)
        try:
            while True:
                log(writer, name, recorded[name], text="x" * 200)
                recorded[name] += 1
                if attempt % 4 == 0 and recorded[name] % 10 == 0:
                    writer.flush()
                if attempt % 4 == 1 and recorded[name] % 10 == 0:
                    writer.close()
                    break
        except ExperimentError:
            pass
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
        writer.close()
        assert folder.spool_files() == {}
    events = read(folder)
    for name, count in recorded.items():
        found = points(events, name)
        # The call that was interrupted may have recorded before it was told that it may not.
        assert found in (list(range(count)), list(range(count + 1)))


def test_a_child_of_a_writer_that_could_not_be_closed_leaves_it_alone(tmp_path: Path) -> None:
    """Its parent still tries; the child has no spool of it to end and no lock of it to let go."""
    disk = FaultyDisk()
    folder = JournalFolder(tmp_path, disk)
    writer = Writer(folder)
    disk.failing = set(FULL)
    for i in range(100):
        log(writer, "loss", i, text="x" * 50_000)
    with pytest.raises(StorageError):
        writer.close()

    def live() -> None:
        with pytest.raises(ExperimentError):
            log(writer, "child", 1)
        writer.close()

    assert in_child(live) == 0
    assert is_alive(folder, writer.id)
    disk.failing = set()
    writer.close()
    assert folder.spool_files() == {}
    assert points(read(folder), "loss") == list(range(100))


def test_a_forgotten_writer_goes_on_committing(folder: JournalFolder) -> None:
    def forget() -> None:
        log(Writer(folder), "loss", 1)

    forget()
    gc.collect()
    wait_until(lambda: points(read(folder), "loss") == [1], "it is committed all the same")
    [writer] = [each for each in _living() if each._folder == folder]
    writer.close()


def _living() -> list[Writer]:
    module = sys.modules[Writer.__module__]
    return list(module._living)
