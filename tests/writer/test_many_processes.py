"""F10: many processes write to one experiment, some are killed, some join; each event arrives once, in order."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from ml_dash.clock import monotonic_s, sleep_s
from ml_dash.facts.events import METRIC_LOGGED
from ml_dash.journal.folder import JournalFolder

from ..promises import RecordProperty
from .support import ROOT, reopen

WRITER = """
import random, sys, time
from pathlib import Path
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.writer import Writer
folder, name, ends_s = JournalFolder(Path(sys.argv[1])), sys.argv[2], float(sys.argv[3])
writer = Writer(folder)
streams = [writer.stream("metric.logged", f"{name}.{part}") for part in range(3)]
began, i = time.monotonic(), 0
print(0, flush=True)
while time.monotonic() - began < ends_s:
    for _ in range(200):
        writer.record_stream(streams[i % 3], {"i": i})
        i += 1
    # The acknowledgement: a line in a pipe.
    print(i, flush=True)
    time.sleep(random.random() * 0.02)
writer.close()
print(i, "closed", flush=True)
"""


class Process:
    def __init__(self, experiment: Path, number: int, lives_s: float) -> None:
        self.number = number
        command = [sys.executable, "-c", WRITER, str(experiment), f"m{number}", str(lives_s)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def acknowledged(self) -> tuple[int, bool]:
        """How many events it says had returned, and whether it closed."""
        output, errors = self.process.communicate(timeout=120)
        assert errors == "", errors
        assert self.process.returncode in (0, -signal.SIGKILL)
        lines = output.splitlines()
        return max((int(line.split()[0]) for line in lines), default=0), lines != [] and "closed" in lines[-1]


def run(experiment: Path, at_a_time: int, seconds: float, kill_every_s: float, record_property: RecordProperty) -> None:
    """Keeps `at_a_time` processes writing for `seconds`; every so often the oldest is killed and another one joins."""
    began = monotonic_s()
    processes = [Process(experiment, number, seconds) for number in range(at_a_time)]
    killed = 0
    while (elapsed := monotonic_s() - began) < seconds:
        if elapsed > (killed + 1) * kill_every_s:
            processes[killed].process.kill()
            killed += 1
            processes.append(Process(experiment, len(processes), max(0.2, seconds - elapsed)))
        sleep_s(0.01)
    acknowledged = {process.number: process.acknowledged() for process in processes}
    assert killed > 0
    found: dict[str, list[int]] = defaultdict(list)
    events = reopen(JournalFolder(experiment))
    for event in events:
        if event.type == METRIC_LOGGED:
            number, part = event.data["name"].split(".")
            found[number].append(event.data["fields"]["i"])
            assert event.data["fields"]["i"] % 3 == int(part)
    for number, (count, is_closed) in acknowledged.items():
        kept = found[f"m{number}"]
        assert kept == list(range(len(kept))), f"an event of writer {number} is lost, doubled or not in its place"
        assert len(kept) == count if is_closed else len(kept) >= count
    assert len({event.writer for event in events}) >= at_a_time
    record_property("kills of writers", killed)
    record_property("events of many writers", len(events))


def test_f10_eight_processes_write_one_experiment(tmp_path: Path, record_property: RecordProperty) -> None:
    run(tmp_path, 8, 3.0, 0.6, record_property)


@pytest.mark.campaign
def test_f10_eight_processes_write_one_experiment_for_a_minute(tmp_path: Path, record_property: RecordProperty) -> None:
    run(tmp_path, 8, 60.0, 2.0, record_property)
