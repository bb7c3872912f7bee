"""tensorboardX; read back by TensorBoard's own accumulator of events.

An event is one value, so that a point is two calls of `add_scalar`, with their step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

DISTRIBUTION = "tensorboardX"


def prepare(folder: Path, mode: str) -> None:
    folder.mkdir()


def start(folder: Path, mode: str) -> tuple[Callable[[int], object], Callable[[], object]]:
    writer = import_module("tensorboardX").SummaryWriter(str(folder))
    add = writer.add_scalar

    def record(step: int) -> None:
        loss = 1.0 / (step + 1.1)
        add("loss", loss, step)
        add("lr", loss * 0.1, step)

    return record, writer.close


def reader(folder: Path, mode: str) -> Callable[[], Any]:
    module = import_module("tensorboard.backend.event_processing.event_accumulator")

    def read() -> Any:
        # Nought is all of them; as it is it would keep 10,000, drawn by lot.
        accumulator = module.EventAccumulator(str(folder), size_guidance={module.SCALARS: 0})
        accumulator.Reload()
        tags = accumulator.Tags()["scalars"]
        return [accumulator.Scalars(tag) if tag in tags else [] for tag in ("loss", "lr")]

    return read


def columns(found: Any) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
    losses, rates = ({each.step: each.value for each in metric} for metric in found)
    steps = [step for step in losses if step in rates]
    return steps, [losses[step] for step in steps], [rates[step] for step in steps]
