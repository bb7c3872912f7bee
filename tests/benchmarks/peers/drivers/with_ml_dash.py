"""`ml-dash`, the package that this one replaces: the same calls, its buffer on, as it is by default."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

DISTRIBUTION = "ml-dash"
PREFIX = "bench/peers/run"
PAGE_POINTS = 10_000
"""The most that it documents for one call of `read`."""


def prepare(folder: Path, mode: str) -> None:
    folder.mkdir()


def start(folder: Path, mode: str) -> tuple[Callable[[int], object], Callable[[], object]]:
    experiment = import_module("ml_dash").Experiment(PREFIX, dash_root=str(folder))
    experiment.run.start()
    log = experiment.metrics("train").log

    def record(step: int) -> None:
        loss = 1.0 / (step + 1.1)
        log(step=step, loss=loss, lr=loss * 0.1)

    return record, experiment.run.complete


def reader(folder: Path, mode: str) -> Callable[[], Any]:
    experiment = import_module("ml_dash").Experiment(PREFIX, dash_root=str(folder))
    experiment.run.start()
    metric = experiment.metrics("train")

    def read() -> Any:
        points: list[Any] = []
        while page := metric.read(start_index=len(points), limit=PAGE_POINTS)["data"]:
            points.extend(page)
        return points

    return read


def columns(found: Any) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
    points = [each["data"] for each in found]
    return [each["step"] for each in points], [each["loss"] for each in points], [each["lr"] for each in points]
