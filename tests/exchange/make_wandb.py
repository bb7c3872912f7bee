"""Records an offline run with the real wandb: `python make_wandb.py FOLDER POINTS EXIT_CODE`.

A process of its own, because wandb starts a service and reads the environment when it is imported.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import wandb

ODD = {3: float("nan"), 4: float("inf"), 5: float("-inf")}


def record(folder: Path, points: int, exit_code: int) -> None:
    run = wandb.init(
        project="proj",
        name="my run",
        id="abc123",
        group="group 1",
        tags=["a", "b"],
        notes="some notes",
        mode="offline",
        dir=str(folder),
        config={"lr": 0.1, "model": {"depth": 3}, "nothing": None, "sizes": [1, 2], "a/b": "c"},
        settings=wandb.Settings(silent=True, x_stats_sampling_interval=0.2),
    )
    print("hello console")
    for part in range(5):
        print(f"\rprogress {part}", end="")
    print()
    print("to stderr", file=sys.stderr)
    for step in range(points):
        value = ODD.get(step, 1 / (step + 1))
        run.log({"loss": value, "train/accuracy": step / points, "nested": {"deep": step}, "text": f"t{step}"})
    run.log({"picture": wandb.Image(np.zeros((4, 4, 3), dtype=np.uint8)), "weights": wandb.Histogram([1.0, 2.0, 3.0])})
    run.log({"late": 1}, step=points + 10)
    run.config.update({"later": 5})
    run.summary["best"] = 0.5
    run.define_metric("train/*", step_metric="epoch")
    run.alert("careful", "something happened", level=wandb.AlertLevel.WARN)
    run.finish(exit_code=exit_code)


if __name__ == "__main__":
    record(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
