"""F1 with small segments: processes are killed again and again while segment after segment is opened, and archived."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import ml_dash
from ml_dash.journal.damage import DamageKind
from ml_dash.journal.folder import JournalFolder

from ..promises import RecordProperty

PREFIX = "alice/ml/a"
SEGMENT_BYTES_MAX = 3000

RECORD = """
import os, sys
from ml_dash import Experiment
from ml_dash.journal.appender import Appender
Appender.__init__.__kwdefaults__["segment_bytes_max"] = int(sys.argv[3])
experiment = Experiment("alice/ml/a", dash_root=sys.argv[1], console=False)
experiment.run.start()
step = int(sys.argv[2])
while True:
    experiment.metrics("train").log(step=step, text="x" * (step % 90))
    if step % 7 == 0:
        experiment.flush()
    os.write(1, b"%d\\n" % step)
    step += 1
"""


def killed(root: Path, first: int, kills_after: int) -> int:
    """Records from step `first` on and is killed about `kills_after` steps later; the last step that had returned."""
    command = [sys.executable, "-c", RECORD, str(root), str(first), str(SEGMENT_BYTES_MAX)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(kills_after):
            assert process.stdout.readline()
        process.kill()
        rest = process.stdout.read().split(b"\n")[:-1]
        assert process.wait(60) == -signal.SIGKILL
    return first + kills_after + len(rest) - 1


def survives(root: Path, sessions: int, seed: int) -> int:
    """Every step that had returned is there once and in order, whatever was killed; the number of segments."""
    random, first = Random(seed), 0
    for _ in range(sessions):
        last = killed(root, first, random.randint(1, 120))
        run = ml_dash.load(PREFIX, dash_root=root)
        steps = run.metrics["train"].columns("all")["step"]
        # The step that was being logged may be there too.
        assert steps == list(range(len(steps)))
        assert last + 1 <= len(steps) <= last + 2
        assert {each.kind for each in run.damage} <= {DamageKind.DEAD}
        assert [each.seq for each in ml_dash.events(PREFIX, dash_root=root)] == list(range(1, run.seq + 1))
        first = len(steps)
        if random.random() < 0.3:
            ml_dash.archive(PREFIX, dash_root=root)
    assert ml_dash.verify(PREFIX, dash_root=root).ok
    ended = [session.reason for session in ml_dash.load(PREFIX, dash_root=root).sessions]
    assert ended == ["lost"] * sessions
    return len(JournalFolder(root / PREFIX).segment_numbers())


def test_f1_nothing_that_returned_is_lost_while_segments_are_opened_and_processes_killed(
    tmp_path: Path, record_property: RecordProperty
) -> None:
    assert survives(tmp_path, sessions=8, seed=1) > 16
    record_property("kills of writers", 8)


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(2, 22))
def test_f1_campaign_of_kills_while_segments_are_opened(
    tmp_path: Path, seed: int, record_property: RecordProperty
) -> None:
    assert survives(tmp_path, sessions=25, seed=seed) > 50
    record_property("kills of writers", 25)
