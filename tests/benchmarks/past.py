"""Measurements of reading back: state now and at any moment, points as arrays, lists of many experiments.

Peak memory is that of the whole process, the interpreter and what is imported included.  What a command takes is
measured around its process.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from time import perf_counter

from .journals import copy_many, write

PREFIX = "bench/marks/run"
SMALL_COMMIT = 256
LARGE_COMMIT = 8192
METRICS = 10
Figures = dict[str, float]


def small(recorder: str, folder: Path, size: int) -> Figures:
    """Makes a journal of `size` points of one metric in commits of 256."""
    write(folder / PREFIX, 1, size, SMALL_COMMIT)
    return {}


def ten(recorder: str, folder: Path, size: int) -> Figures:
    """Makes a journal of `size` points of ten metrics that are logged in turn."""
    write(folder / PREFIX, METRICS, size, LARGE_COMMIT)
    return {}


def listed(recorder: str, folder: Path, size: int) -> Figures:
    """Makes that many typical experiments: two sessions, 20 params, 3 metrics of 200 points each."""
    from ml_dash import Experiment

    for session in range(2):
        with Experiment("pattern/ml/run", dash_root=folder, console=False, tags=["baseline"]).run as experiment:
            experiment.params.set(**{f"p{number}": random.random() for number in range(20)})
            for name in ("train", "eval", "system"):
                for step in range(100 * session, 100 * session + 100):
                    experiment.metrics(name).log(step=step, loss=random.random(), accuracy=random.random())
    copy_many(folder, size)
    return {}


def replay(recorder: str, folder: Path, size: int) -> Figures:
    """From the first byte to the full state, no checkpoint; the one that was there is put back for the others."""
    from ml_dash import load

    checkpoint = folder / PREFIX / "_journal/checkpoint.json"
    kept = checkpoint.read_bytes() if checkpoint.exists() else None
    checkpoint.unlink(missing_ok=True)
    start = perf_counter()
    run = load(PREFIX, dash_root=folder)
    seconds = perf_counter() - start
    if kept is not None:
        checkpoint.write_bytes(kept)
    return {"points_per_s": run.seq / seconds, **peak()}


def at(recorder: str, folder: Path, size: int) -> Figures:
    """The state at numbers and times from the first to the last: seconds at the worst of them, and for each kind."""
    from ml_dash import load

    run = load(PREFIX, dash_root=folder)
    assert run.created is not None
    assert run.updated is not None
    lasted = run.updated - run.created
    numbers: list[int] = [1, *(run.seq * part // 4 for part in (1, 2, 3)), run.seq - 1, run.seq]
    times = [run.created + lasted * part for part in (0.0, 0.25, 0.5, 0.75, 1.0)]
    figures = {"number_s": 0.0, "time_s": 0.0}
    moments: list[int | datetime] = [*numbers, *times]
    for moment in moments:
        start = perf_counter()
        load(PREFIX, dash_root=folder, at=moment)
        kind = "number_s" if isinstance(moment, int) else "time_s"
        figures[kind] = max(figures[kind], perf_counter() - start)
    return {**figures, **peak()}


def columns(recorder: str, folder: Path, size: int) -> Figures:
    """One metric as NumPy arrays; loading the state is not counted."""
    import numpy  # noqa: F401 - what it takes to load is not the measurement's

    from ml_dash import load

    run = load(PREFIX, dash_root=folder)
    metric = run.metrics["train"]
    start = perf_counter()
    arrays = metric.to_numpy()
    seconds = perf_counter() - start
    assert len(arrays["loss"]) == metric.count
    return {"points_per_s": metric.count / seconds, "read_per_s": run.seq / seconds, **peak()}


def verify(recorder: str, folder: Path, size: int) -> Figures:
    from ml_dash import verify

    start = perf_counter()
    report = verify(PREFIX, dash_root=folder)
    seconds = perf_counter() - start
    assert report.ok
    return {"mb_per_s": report.bytes / 1e6 / seconds, **peak()}


def show(recorder: str, folder: Path, size: int) -> Figures:
    """`ml-dash show`, the whole process, beside a checkpoint."""
    _command("show", PREFIX, "--dash-root", str(folder))
    figures, _ = _command("show", PREFIX, "--dash-root", str(folder))
    return figures


def listing(recorder: str, folder: Path, size: int) -> Figures:
    """`ml-dash list` of one project or of all ten, the whole process, as writers leave experiments."""
    pattern = ["bench/project0"] if recorder == "one" else []
    figures, shown = _command("list", *pattern, "--dash-root", str(folder / "all"))
    assert len(shown.splitlines()) >= size, f"{size} experiments, and {len(shown.splitlines())} lines"
    return figures


def listing_cold(recorder: str, folder: Path, size: int) -> Figures:
    """The same without any checkpoint, as it is where experiments were copied by something that knows of none."""
    paths = list((folder / "all").rglob("checkpoint.json"))
    for path in paths:
        path.rename(path.with_suffix(".away"))
    try:
        return listing(recorder, folder, size)
    finally:
        for path in paths:
            path.with_suffix(".away").rename(path)


def _command(*arguments: str) -> tuple[Figures, str]:
    environment = {**os.environ, "NO_COLOR": "1"}
    start = perf_counter()
    command = [sys.executable, "-m", "ml_dash", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    seconds = perf_counter() - start
    return {"s": seconds, "peak_bytes": float(getrusage(RUSAGE_CHILDREN).ru_maxrss) * 1024}, done.stdout


def peak() -> Figures:
    return {"peak_bytes": float(getrusage(RUSAGE_SELF).ru_maxrss) * 1024}


PAST = (small, ten, listed, replay, at, columns, verify, show, listing, listing_cold)
