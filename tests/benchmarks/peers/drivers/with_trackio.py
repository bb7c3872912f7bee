"""trackio on this machine; read back by what its own dashboard reads from."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

DISTRIBUTION = "trackio"
PROJECT, RUN = "bench", "peers"


def prepare(folder: Path, mode: str) -> None:
    folder.mkdir()


def start(folder: Path, mode: str) -> tuple[Callable[[int], object], Callable[[], object]]:
    os.environ["TRACKIO_DIR"] = str(folder)
    trackio = import_module("trackio")
    trackio.init(project=PROJECT, name=RUN, resume="allow", embed=False)
    log = trackio.log

    def record(step: int) -> None:
        loss = 1.0 / (step + 1.1)
        log({"loss": loss, "lr": loss * 0.1}, step=step)

    return record, trackio.finish


def reader(folder: Path, mode: str) -> Callable[[], Any]:
    os.environ["TRACKIO_DIR"] = str(folder)
    storage = import_module("trackio.sqlite_storage").SQLiteStorage

    def read() -> Any:
        # Writers that begin together may make several runs of this one name.
        runs = storage.get_run_records(PROJECT)
        return [point for run in runs for point in storage.get_logs(PROJECT, run["name"], run_id=run["id"])]

    return read


def columns(found: Any) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
    return [each["step"] for each in found], [each["loss"] for each in found], [each["lr"] for each in found]
