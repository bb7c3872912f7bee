"""Makes the golden journals of the current format: `python -m tests.golden.make`.

Run once for each format version, before its release.  After that the files are evidence and are never made again: a
release that reads them otherwise is wrong, not they.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import ml_dash.opening.environment
import ml_dash.opening.session
from ml_dash import Experiment
from ml_dash.facts.events import STREAM_TYPES
from ml_dash.journal.appender import Appender
from ml_dash.journal.archive import pack, rewriting
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import FORMAT_VERSION
from ml_dash.journal.seekable import FRAME_BYTES
from ml_dash.journal.writer import Writer

from ..journal.damage import Recorder
from .expectation import expectation

HERE = Path(__file__).parent
PREFIX = "alice/golden/run"


TRAIN = """
experiment = Experiment(
    prefix=PREFIX, dash_root=root, tags=["golden"], description="first", metadata={"seed": 7, "big": 2**100}
)
try:
    with experiment.run:
        experiment.params.set(lr=0.1, model={"depth": 50, "dropout": float("nan")}, path=Path("a/b"))
        for step in range(200):
            experiment.metrics("train").log(step=step, loss=1 / (step + 1), wide=0.1 * step, big=2**63 + step, ok=True)
            if step % 50 == 0:
                experiment.log("half-way", level="warn", step=step, when=datetime(2024, 2, 29, tzinfo=timezone.utc))
        for step in range(40):
            experiment.metrics("squares").log(step=step, square=step**4, half=step / 2)
        experiment.metrics.log(epoch=1, train={"loss": 0.5}, eval={"loss": math.inf})
        raise ValueError("loss is nan")
except ValueError:
    pass
with Experiment(prefix=PREFIX, dash_root=root, description="second").run as experiment:
    experiment.metrics("train").log(step=150, loss=-0.0, extra="text")
    experiment.metrics("odd").log(step=1, value=-math.inf, raw=b"\\x00\\xff", z=1 + 2j)
    experiment.params.set(lr=0.2, note="\\ud800 alone")
    experiment.tracks("arm").append(q=[0.1, 0.2], _ts=1.5)
    experiment.log("done")
"""

KILLED = """
from tests.golden.make import anonymous
anonymous()
import sys, time
import ml_dash.opening.environment
import ml_dash.opening.session
from ml_dash import Experiment
from ml_dash.facts.events import STREAM_TYPES
experiment = Experiment(prefix=sys.argv[2], dash_root=sys.argv[1])
experiment.run.start()
for step in range(100):
    experiment.metrics('train').log(step=step, loss=1 / (step + 1))
experiment.flush()
for step in range(100, 120):
    experiment.metrics('train').log(step=step, loss=float('nan'))
print('ready', flush=True)
time.sleep(60)
"""


def anonymous() -> None:
    """Nothing of the machine that makes them is in a golden journal."""
    process = {"host": "node1", "pid": 4711, "rank": None}
    environment = {"python": "3.11.7", "argv": ["train.py"], "git": None}
    for module in (ml_dash.opening.environment, ml_dash.opening.session):
        for name, answer in (("describe_process", process), ("capture", environment)):
            if hasattr(module, name):
                setattr(module, name, lambda *_, answer=answer: dict(answer))


def make_experiment(root: Path) -> None:
    """Everything that a run records, in two sessions, the first of which fails."""
    names = {"Experiment": Experiment, "Path": Path, "datetime": datetime, "timezone": timezone, "math": math}
    # Compiled under a name of its own, so that the traceback shows no folder of this machine.
    exec(compile(TRAIN, "train.py", "exec"), {**names, "PREFIX": PREFIX, "root": root})


def make_events(root: Path) -> None:
    """Every type of event, with the example that spec/events.md gives of it."""
    folder = _folder(root)
    writer = Writer(folder)
    text = (HERE.parents[1] / "spec" / "events.md").read_text(encoding="utf-8")
    for part in text.split("\n### ")[1:]:
        name = part.split("`")[1]
        [example] = re.findall(r"```json\n(.*?)```", part, re.DOTALL)
        data = json.loads(example)
        if name in STREAM_TYPES:
            writer.record_stream(writer.stream(name, data["name"]), data["fields"])
        else:
            writer.record(name, data)
    writer.close()


def make_segments(root: Path) -> None:
    """Several segments, of two writers."""
    folder = _folder(root)
    writers = [Recorder(folder, name, segment_bytes_max=2000) for name in ("w1", "w2")]
    for number in range(60):
        writers[number % 2].record(number, number + 1000)
        writers[number % 2].commit()
    for writer in writers:
        writer.flush()
        writer.appender.close()


def make_torn(root: Path) -> None:
    """A torn tail that has healed, and one that has not."""
    folder = _folder(root)
    for name, numbers in (("w1", range(5)), ("w2", range(5, 9))):
        writer = Recorder(folder, name)
        writer.record(*numbers)
        writer.flush()
        writer.appender.close()
        with Path(folder.segment_path(folder.segment_numbers()[-1])).open("ab") as file:
            file.write(b'{"first":6,"count":')


def make_recovered(root: Path) -> None:
    """Damage that was declared, and damage that was not."""
    folder = _folder(root)
    writer = Recorder(folder, "w1")
    for number in range(0, 30, 3):
        writer.record(number, number + 1, number + 2)
        writer.flush()
    writer.appender.close()
    path = Path(folder.segment_path(1))
    _flip(path, 600)
    appender = Appender(folder, "w2")
    assert appender.recover()
    appender.close()
    writer = Recorder(folder, "w3")
    for number in range(30, 42, 3):
        writer.record(number, number + 1, number + 2)
        writer.flush()
    writer.appender.close()
    _flip(path, 2000)


def make_archived(root: Path) -> None:
    """Segments that are archived, one of them of several frames, because of what is dead in it."""
    folder = _folder(root)
    for name, numbers in (("w1", range(20)), ("w2", range(20, 60))):
        writer = Recorder(folder, name, segment_bytes_max=2000)
        for number in numbers:
            writer.record(number, number + 1000)
            writer.flush()
        writer.appender.close()
        if name == "w1":
            with Path(folder.segment_path(folder.segment_numbers()[-1])).open("ab") as file:
                file.write(b'{"first":6,"count":' + b"x" * (FRAME_BYTES + 1000))
    with rewriting(folder):
        for number in folder.segment_numbers()[:-2]:
            pack(folder, number)


def make_killed(root: Path) -> None:
    """A run whose process was killed: its last events are in its spool."""
    command = [sys.executable, "-c", KILLED, str(root), PREFIX]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=HERE.parents[1])
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for file in Path(JournalFolder(root / PREFIX).spool_folder).iterdir():
        # The zeros behind the last row say nothing.
        file.write_bytes(file.read_bytes().rstrip(b"\0"))


def _folder(root: Path) -> JournalFolder:
    folder = JournalFolder(root / PREFIX)
    folder.disk.make_folder(folder.path)
    return folder


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


CASES = {
    "experiment": make_experiment,
    "events": make_events,
    "segments": make_segments,
    "torn": make_torn,
    "recovered": make_recovered,
    "archived": make_archived,
    "killed": make_killed,
}


def main() -> None:
    anonymous()
    for name, make in CASES.items():
        case = HERE / f"version-{FORMAT_VERSION}" / name
        shutil.rmtree(case, ignore_errors=True)
        make(case)
        for cache in ("lock", "rewriting", "checkpoint.json"):
            (case / PREFIX / "_journal" / cache).unlink(missing_ok=True)
        expected = expectation(case / PREFIX)
        text = json.dumps(expected, indent=1, ensure_ascii=True)
        (case / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
