"""A sweep: eight processes that start in the same second, none of which says what it is called.

python sweep.py --dash-root .dash
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

PROCESSES = 8
POINTS = 50


def run_one(learning_rate: float, begin_at: float, dash_root: str) -> None:
    time.sleep(max(0.0, begin_at - time.time()))
    # Only now: the second in which it is imported is what a job is called by.
    from ml_dash import Experiment

    with Experiment(dash_root=dash_root, console=False, tags=["sweep"]).run as experiment:
        experiment.params.set(lr=learning_rate)
        for step in range(POINTS):
            experiment.metrics("train").log(step=step, loss=learning_rate / (step + 1))
        experiment.files.save_text(f"{learning_rate}", to="answer.txt")
        # In one piece: `print` may write the end of the line by itself, and eight processes share this output.
        sys.stdout.write(f"{experiment.prefix}\n")


def run_all(dash_root: str) -> None:
    begin_at = int(time.time()) + 2
    started = [
        subprocess.Popen(
            [sys.executable, __file__, "--dash-root", dash_root, "--lr", str(lr + 1), "--begin-at", str(begin_at)]
        )
        for lr in range(PROCESSES)
    ]
    if any(process.wait(timeout=120) for process in started):
        raise SystemExit("a process of the sweep failed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--dash-root", default=".dash")
    parser.add_argument("--lr", type=float)
    parser.add_argument("--begin-at", type=float, default=0.0)
    given = parser.parse_args()
    if given.lr is None:
        run_all(given.dash_root)
    else:
        run_one(given.lr, given.begin_at, given.dash_root)
