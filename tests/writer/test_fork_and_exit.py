"""F9: however a process ends, and whoever it forks, every event that returned is in the journal, once."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from ml_dash.clock import sleep_s
from ml_dash.errors import ExperimentError
from ml_dash.facts.events import METRIC_LOGGED, RUN_COMPLETED, RUN_FAILED, WRITER_JOINED, Event
from ml_dash.journal.drain import is_alive
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.writer import Writer

from .faults import FULL, FaultyDisk
from .support import in_child, in_threads, log, points, read, reopen, run_python, wait_until

OPEN = """
import os, signal, sys, threading, time
from pathlib import Path
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.writer import Writer
folder = JournalFolder(Path(sys.argv[1]))
writer = Writer(folder)
stream = writer.stream("metric.logged", "loss")
def log(i): writer.record_stream(stream, {"i": i})
for i in range(100): log(i)
"""


def joined(events: list[Event]) -> list[Event]:
    return [event for event in events if event.type == WRITER_JOINED]


# -- ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise ValueError('training failed')", 1),
        ("os._exit(7)", 7),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.abort()", -signal.SIGABRT),
        ("threading.Thread(target=lambda: [log(i) for i in range(100, 200)]).start()", 0),
        ("import atexit; atexit.register(lambda: [log(i) for i in range(100, 200)])", 0),
        ("import atexit; atexit.register(writer.close)", 0),
        ("writer.flush(); os._exit(0)", 0),
    ],
)
def test_f9_every_event_is_kept_however_the_process_ends(folder: JournalFolder, end: str, code: int) -> None:
    ran = run_python(OPEN + end, folder.experiment)
    assert ran.returncode == code, ran.stderr
    assert points(reopen(folder), "loss") == list(range(200 if "200" in end else 100))


def test_f9_a_session_that_did_not_end_is_ended_as_lost_once(folder: JournalFolder) -> None:
    ran = run_python(OPEN, folder.experiment)
    assert ran.returncode == 0
    for _ in range(3):
        ends = [event for event in reopen(folder) if event.type == RUN_FAILED]
        assert [(end.data["session"], end.data["reason"]) for end in ends] == [(ends[0].session, "lost")]


def test_f9_a_session_that_ended_in_the_spool_is_not_lost(folder: JournalFolder) -> None:
    script = OPEN + "writer.record('run.completed', {'session': writer.session}); os._exit(0)"
    assert run_python(script, folder.experiment).returncode == 0
    events = reopen(folder)
    assert [event.type for event in events if event.type.startswith("run.")] == [RUN_COMPLETED]


def test_f9_a_session_that_ended_and_was_killed_before_it_was_removed_is_not_lost(folder: JournalFolder) -> None:
    script = OPEN + "writer.record('run.completed', {'session': writer.session}); writer.flush(); os._exit(0)"
    assert run_python(script, folder.experiment).returncode == 0
    events = reopen(folder)
    assert [event.type for event in events if event.type.startswith("run.")] == [RUN_COMPLETED]


def test_f9_what_a_user_records_does_not_end_a_session_by_its_looks(folder: JournalFolder) -> None:
    script = (
        OPEN + "writer.record('params.set', {'params': {'x': {'type': 'run.failed'}}}); writer.flush(); os._exit(0)"
    )
    assert run_python(script, folder.experiment).returncode == 0
    assert [event.data["reason"] for event in reopen(folder) if event.type == RUN_FAILED] == ["lost"]


def test_an_unclosed_writer_does_not_delay_the_end_of_the_interpreter(folder: JournalFolder) -> None:
    """The committer may be waiting for a lock that another process holds for half a minute."""
    script = OPEN + (
        "from ml_dash.journal.lock import JournalLock\n"
        "held = JournalLock(folder.lock_path); held.__enter__()\n"
        "log(100); time.sleep(0.3); began = time.monotonic()\n"
        "import atexit; atexit.register(lambda: print(time.monotonic() - began))\n"
    )
    ran = run_python(script, folder.experiment)
    assert ran.returncode == 0, ran.stderr
    assert points(reopen(folder), "loss") == list(range(101))


# -- forks -------------------------------------------------------------------------------------------------------


def test_f9_workers_of_a_data_loader_keep_every_event(folder: JournalFolder) -> None:
    """Forked amid recording, gone by os._exit right after their last event."""
    writer = Writer(folder)
    children = []
    for worker in range(4):
        for i in range(200):
            log(writer, "main", worker * 200 + i)
        pid = os.fork()
        if pid == 0:
            for i in range(50):
                log(writer, f"worker{worker}", i)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    writer.close()
    events = reopen(folder)
    assert points(events, "main") == list(range(800))
    for worker in range(4):
        assert points(events, f"worker{worker}") == list(range(50))
    assert {event.data["parent"] for event in joined(events)} == {writer.session}
    assert {event.session for event in events} == {writer.session}


def test_f9_a_child_records_into_streams_that_its_parent_has_used(folder: JournalFolder) -> None:
    """The numbers of their fields are those of the parent's spool."""
    writer = Writer(folder)
    log(writer, "a", 1, x=1)
    log(writer, "b", 2, y=2)

    def live() -> None:
        log(writer, "b", 3, y=3)
        log(writer, "a", 4, x=4)
        log(writer, "c", 5, z=5)
        writer.close()

    assert in_child(live) == 0
    log(writer, "a", 6, x=6)
    writer.close()
    fields = [event.data["fields"] for event in reopen(folder) if event.type == METRIC_LOGGED]
    assert sorted(fields, key=lambda each: each["i"]) == [
        {"i": 1, "x": 1},
        {"i": 2, "y": 2},
        {"i": 3, "y": 3},
        {"i": 4, "x": 4},
        {"i": 5, "z": 5},
        {"i": 6, "x": 6},
    ]


def test_f9_a_forked_child_that_records_nothing_leaves_no_trace(folder: JournalFolder) -> None:
    writer = Writer(folder)
    log(writer, "loss", 1)

    def live() -> None:
        assert writer.is_forked
        writer.commit()
        writer.flush()
        writer.close()

    assert in_child(live) == 0
    assert list(folder.spool_files()) == [writer.id]
    log(writer, "loss", 2)
    writer.close()
    assert points(read(folder), "loss") == [1, 2]


def test_f9_a_forked_child_that_closes_is_closed_and_its_parent_is_not(folder: JournalFolder) -> None:
    writer = Writer(folder)

    def live() -> None:
        log(writer, "child", 1)
        writer.flush()
        writer.close()
        with pytest.raises(ExperimentError):
            log(writer, "child", 2)

    assert in_child(live) == 0
    log(writer, "main", 1)
    writer.close()
    events = read(folder)
    assert (points(events, "child"), points(events, "main")) == ([1], [1])


def test_f9_a_child_that_closes_before_it_has_recorded_records_nothing_later(folder: JournalFolder) -> None:
    writer = Writer(folder)

    def live() -> None:
        writer.close()
        with pytest.raises(ExperimentError):
            log(writer, "child", 1)

    assert in_child(live) == 0
    writer.close()


def test_f9_a_parent_that_closes_before_its_child_loses_nothing_of_either(folder: JournalFolder) -> None:
    read_end, write_end = os.pipe()
    writer = Writer(folder)
    log(writer, "main", 1)
    pid = os.fork()
    if pid == 0:
        log(writer, "child", 1)
        os.close(write_end)
        os.read(read_end, 1)
        log(writer, "child", 2)
        os._exit(0)
    writer.close()
    with pytest.raises(ExperimentError, match="not open"):
        log(writer, "main", 2)
    os.close(write_end)
    os.waitpid(pid, 0)
    os.close(read_end)
    events = reopen(folder)
    assert (points(events, "main"), points(events, "child")) == ([1], [1, 2])


def test_f9_forks_of_forks_are_writers_of_their_own(folder: JournalFolder) -> None:
    writer = Writer(folder)
    log(writer, "g0", 1)

    def live(generation: int) -> None:
        log(writer, f"g{generation}", 1)
        if generation < 4:
            assert in_child(lambda: live(generation + 1)) == 0
        log(writer, f"g{generation}", 2)

    assert in_child(lambda: live(1)) == 0
    # One whose father has not recorded anything: its parent is the grandfather.
    assert in_child(lambda: os._exit(in_child(lambda: log(writer, "silent", 1)))) == 0
    writer.close()
    events = reopen(folder)
    for generation in range(1, 5):
        assert points(events, f"g{generation}") == [1, 2]
    assert points(events, "silent") == [1]
    parents = Counter(event.data["parent"] for event in joined(events))
    assert parents[writer.session] == 2
    assert len(parents) == 4


def test_f9_forking_from_a_thread_while_others_record_loses_nothing(folder: JournalFolder, small_files: None) -> None:
    """Whatever lock another thread holds at the moment of the fork stays locked for ever in the child."""
    writer = Writer(folder, commit_interval_s=0.001)
    done = threading.Event()
    counts = [0, 0]

    def act(thread: int) -> None:
        if thread < 2:
            while not done.is_set():
                log(writer, f"m{thread}", counts[thread], text="x" * 100)
                counts[thread] += 1
                if counts[thread] % 20 == 0:
                    sleep_s(0.001)
        else:
            for child in range(15):
                name = f"c{child}"
                assert in_child(lambda name=name: [log(writer, name, i, text="y" * 99) for i in range(30)]) == 0  # type: ignore[misc]
            done.set()

    try:
        in_threads(3, act)
    finally:
        done.set()
    writer.close()
    events = reopen(folder)
    for thread in range(2):
        assert points(events, f"m{thread}") == list(range(counts[thread]))
    for child in range(15):
        assert points(events, f"c{child}") == list(range(30))


def test_a_child_that_records_before_anyone_could_tell_it_to_leave_is_a_writer_of_its_own(
    folder: JournalFolder,
) -> None:
    """A finalizer may run in the child's first instructions: in its parent's map it would destroy the parent's rows."""
    script = (
        "import os\n"
        "early = []\n"
        "os.register_at_fork(after_in_child=lambda: [action() for action in early])\n"
        + OPEN
        + "def early_log(i): writer.record_stream(writer.stream('metric.logged', 'early'), {'i': i})\n"
        "early.append(lambda: [early_log(i) for i in range(5)])\n"
        "pid = os.fork()\n"
        "early.clear()\n"
        "if pid == 0:\n"
        "    for i in range(5, 8): early_log(i)\n"
        "    os._exit(0)\n"
        "for i in range(100, 150): log(i)\n"
        "os.waitpid(pid, 0)\n"
        "os._exit(0)\n"
    )
    ran = run_python(script, folder.experiment)
    assert ran.returncode == 0, ran.stderr
    events = reopen(folder)
    assert points(events, "loss") == list(range(150))
    assert points(events, "early") == list(range(8))
    assert len(joined(events)) == 1


def test_a_forked_child_inherits_no_descriptor_of_the_journal(folder: JournalFolder) -> None:
    writer = Writer(folder, commit_interval_s=0.001)
    for i in range(100):
        log(writer, "loss", i)
    writer.flush()

    def look() -> None:
        for name in os.listdir("/proc/self/fd"):
            # The one that the listing itself used is gone by now.
            with suppress(FileNotFoundError):
                assert str(folder.experiment) not in os.readlink(f"/proc/self/fd/{name}")
        assert str(folder.experiment) not in Path("/proc/self/maps").read_text()

    assert in_child(look) == 0
    writer.close()


def test_the_lock_of_a_dead_parent_is_free_although_a_child_of_it_lives(folder: JournalFolder) -> None:
    read_end, write_end = os.pipe()

    def die_before_the_child() -> None:
        writer = Writer(folder)
        log(writer, "loss", 1)
        if os.fork() == 0:
            os.close(write_end)
            os.read(read_end, 1)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(die_before_the_child) == -signal.SIGKILL
    [dead] = folder.spool_files()
    wait_until(lambda: not is_alive(folder, dead), "the lock is free")
    assert points(reopen(folder), "loss") == [1]
    os.close(write_end)
    os.close(read_end)


def test_a_fork_that_fails_changes_nothing(folder: JournalFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    script = OPEN + (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\n"
        "os.setuid(65534)\n"
        "try:\n"
        "    os.fork()\n"
        "    raise SystemExit(2)\n"
        "except BlockingIOError:\n"
        "    log(100)\n"
        "os._exit(0)\n"
    )
    if os.geteuid() != 0:
        pytest.fail("this test takes the right to fork from a process, which needs root as the other processes run too")
    ran = run_python(script, folder.experiment)
    assert ran.returncode == 0, ran.stderr
    assert points(reopen(folder), "loss") == list(range(101))


def test_a_child_of_a_full_disk_records_in_memory_and_says_so(tmp_path: Path) -> None:
    disk = FaultyDisk()
    folder = JournalFolder(tmp_path, disk)
    writer = Writer(folder)

    def live() -> None:
        disk.failing = set(FULL)
        log(writer, "child", 1)
        disk.failing = set()
        log(writer, "child", 2)
        writer.close()

    assert in_child(live) == 0
    writer.close()
    assert points(reopen(folder), "child") == [1, 2]
