"""wandb in offline mode; read back by its command `wandb leet inspect --json`, since its API reads from servers only.

Writers of one experiment are runs of one group, as its documentation has it, each with a file of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

DISTRIBUTION = "wandb"
GROUP = "peers"


def prepare(folder: Path, mode: str) -> None:
    folder.mkdir()


def start(folder: Path, mode: str) -> tuple[Callable[[int], object], Callable[[], object]]:
    wandb = import_module("wandb")
    settings = wandb.Settings(silent=True)
    run = wandb.init(project="bench", group=GROUP, mode="offline", dir=str(folder), settings=settings)
    log = run.log

    def record(step: int) -> None:
        loss = 1.0 / (step + 1.1)
        log({"loss": loss, "lr": loss * 0.1}, step=step)

    return record, run.finish


def reader(folder: Path, mode: str) -> Callable[[], Any]:
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json"]

    def read() -> Any:
        points: list[Any] = []
        for path in sorted(folder.rglob("*.wandb")):
            # Of a run that was killed it gives what it can read, and may then fail: what it gave counts.
            shown = subprocess.run([*command, str(path)], check=False, stdout=subprocess.PIPE).stdout
            lines = (json.loads(line) for line in shown.splitlines() if line.startswith(b"{"))
            points.extend(line["history"]["item"] for line in lines if line["type"] == "history")
        return points

    return read


def columns(found: Any) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
    points = [each for each in found if "loss" in each]
    return [each["_step"] for each in points], [each["loss"] for each in points], [each["lr"] for each in points]
