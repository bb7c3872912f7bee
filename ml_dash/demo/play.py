"""Runs the training, kills it half-way with SIGKILL, resumes it by the same prefix, shows what the journal holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..errors import ExperimentError
from ..history import load, verify
from . import report
from .digits import load_digits
from .training import FOLDS, ReturnedCalls, metric_names, points_to_go

POLL_INTERVAL_S = 0.03
TRAINING_S_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the journal was held against.

    `recorded` events stand in the journal.  `acknowledged` recording calls had returned to the training, which counted
    them itself; `lost` of those are not in the journal.
    """

    prefix: str
    recorded: int
    acknowledged: int
    lost: int
    is_intact: bool

    @property
    def is_good(self) -> bool:
        return self.lost == 0 and self.is_intact


class Rehearsal:
    """One training, run twice: `run(kill_at=…)`, then `run()`."""

    def __init__(self, console: Console, prefix: str, dash_root: str, scratch: Path) -> None:
        self._console = console
        self._arguments = [prefix, dash_root, str(scratch)]
        self._prefix = prefix
        self._dash_root = dash_root
        self._scratch = scratch
        self._returned = ReturnedCalls(scratch)
        self._image_count = len(load_digits())

    @property
    def acknowledged(self) -> int:
        return sum(self._returned[fold] for fold in range(FOLDS))

    @property
    def points_expected(self) -> int:
        """How many calls will have returned once a training that starts now has ended."""
        return self.acknowledged + points_to_go(self._image_count, self._scratch)

    @property
    def points_lost(self) -> int:
        """Points whose recording call returned and which the journal does not have."""
        metrics = load(self._prefix, dash_root=self._dash_root).metrics
        lost = 0
        for fold in range(FOLDS):
            found = sum(metrics[name].count for name in metric_names(fold) if name in metrics)
            lost += max(0, self._returned[fold] - found)
        return lost

    def run(self, title: str, kill_at: int | None = None) -> None:
        """Starts the training; kills all its processes once `kill_at` recording calls have returned.

        Raises ExperimentError if it fails by itself, or takes too long.
        """
        command = [sys.executable, "-m", "ml_dash.demo.training", *self._arguments]
        # A session of its own, so that one signal reaches all four processes and nothing else.
        training = subprocess.Popen(command, start_new_session=True)
        deadline_s = time.monotonic() + TRAINING_S_MAX
        with self._progress() as progress:
            bar = progress.add_task(title, total=self.points_expected)
            while training.poll() is None:
                progress.update(bar, completed=self.acknowledged)
                is_late = time.monotonic() > deadline_s
                if is_late or (kill_at is not None and self.acknowledged >= kill_at):
                    os.killpg(training.pid, signal.SIGKILL)
                    training.wait()
                    if not is_late:
                        return
                time.sleep(POLL_INTERVAL_S)
            progress.update(bar, completed=self.acknowledged)
        if training.returncode != 0:
            raise ExperimentError(
                f"the demo's training ended with exit code {training.returncode}, expected 0; see above what it printed"
            )

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("points"),
            TimeElapsedColumn(),
            console=self._console,
            expand=True,
        )


def play(console: Console, owner: str, dash_root: str) -> Outcome:
    """The whole demo.  Raises ExperimentError when the training itself fails."""
    prefix = f"{owner}/digits/demo-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="ml-dash-demo-") as folder:
        rehearsal = Rehearsal(console, prefix, dash_root, Path(folder))
        report.introduce(console, prefix, dash_root)

        rehearsal.run("training", kill_at=rehearsal.points_expected // 2)
        killed = load(prefix, dash_root=dash_root)
        lost = rehearsal.points_lost
        report.show_kill(console, killed, rehearsal.acknowledged, lost)

        rehearsal.run("resumed ")
        resumed = load(prefix, dash_root=dash_root)
        lost += rehearsal.points_lost
        verified = verify(prefix, dash_root=dash_root)
        report.show_result(console, resumed)
        report.show_history(console, resumed, dash_root)
        outcome = Outcome(prefix, resumed.seq, rehearsal.acknowledged, lost, verified.ok)
        report.conclude(console, resumed, verified, outcome.acknowledged, outcome.lost)
        return outcome
