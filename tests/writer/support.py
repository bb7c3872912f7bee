"""Reading a journal back, and running children that write to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_dash.clock import monotonic_s, sleep_s
from ml_dash.facts.codec import decode_events, events_of
from ml_dash.facts.events import METRIC_LOGGED, Event
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.reader import JournalReader
from ml_dash.journal.writer import Writer

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE_S = 60.0


def read(folder: JournalFolder) -> list[Event]:
    """Every event of the journal, which must be dense and without damage that anyone would have to declare."""
    reader = JournalReader(folder)
    events: list[Event] = []
    for line in reader.commits():
        blocks = decode_events(line.events, line.count)
        events += events_of(blocks, line.first, line.time_us, line.writer, line.session)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert not [damage for damage in reader.damage if damage.refuses_writing]
    return events


def points(events: list[Event], name: str) -> list[Any]:
    """The field `i` of every point of a metric, in sequence order."""
    return [event.data["fields"]["i"] for event in events if event.type == METRIC_LOGGED and event.data["name"] == name]


def log(writer: Writer, name: str, i: Any, **fields: Any) -> None:
    """One point of a metric, `i` and whatever else."""
    writer.record_stream(writer.stream(METRIC_LOGGED, name), {"i": i, **fields})


def reopen(folder: JournalFolder) -> list[Event]:
    """What the next one that opens the experiment finds, once it has saved what others left."""
    Writer(folder).close()
    assert folder.spool_files() == {}
    return read(folder)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = monotonic_s() + DEADLINE_S
    while not condition():
        assert monotonic_s() < deadline_s, f"{what}: still not so after {DEADLINE_S:g} s"
        sleep_s(0.002)


def run_python(script: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a script in a new interpreter that can import this package; standard error is for the caller to look at."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, **options)


def start_python(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def in_child(action: Callable[[], object]) -> int:
    """Forks; the child runs `action` and ends without any of the interpreter's last rites.  Gives its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_threads(count: int, action: Callable[[int], object]) -> None:
    """Runs `action(0)` … `action(count - 1)` at the same time; the first exception of any is raised."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            action(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@contextmanager
def interrupting_with(handler: Callable[[], object], *, every_s: float) -> Iterator[None]:
    """Has the main thread run `handler` again and again, whatever it is doing, but not amid itself."""
    # Not the alarm: that is what ends a test that hangs.
    number = signal.SIGUSR1
    is_over, is_free = threading.Event(), threading.Semaphore()
    interrupted = threading.get_ident()

    def handle(*_: object) -> None:
        handler()
        is_free.release()

    def interrupt() -> None:
        while not is_over.wait(every_s):
            if is_free.acquire(timeout=every_s):
                signal.pthread_kill(interrupted, number)

    before = signal.signal(number, handle)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        # What is on its way is handled here, before the handler changes.
        signal.signal(number, before)
