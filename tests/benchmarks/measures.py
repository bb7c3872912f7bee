"""One measurement in a process of its own: `python -m tests.benchmarks.measures NAME FOLDER SIZE` prints JSON.

`SIZE` is a number of points, or of seconds where calls are paced.  The folder is empty, or holds what `history` made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any

from .baselines import Close, Record, locked_append, loss_at, plain_append, sqlite_insert
from .clockwork import resident_bytes, time_calls, time_paced_calls

PREFIX = "bench/marks/run"
PACE_HZ = 1_000
WRITERS = 4
Figures = dict[str, float]


def ours(folder: Path) -> tuple[Record, Close]:
    """Recording as a user does it: the metric's builder kept, three fields by keyword."""
    from ml_dash import Experiment

    experiment = Experiment(PREFIX, dash_root=folder, console=False)
    experiment.run.start()
    log = experiment.metrics("train").log

    def record(step: int) -> None:
        loss = loss_at(step)
        log(step=step, loss=loss, lr=loss * 0.1)

    return record, experiment.run.complete


RECORDERS: dict[str, Callable[[Path], tuple[Record, Close]]] = {
    "ours": ours,
    "plain": plain_append,
    "locked": locked_append,
    "sqlite": sqlite_insert,
}


def call(recorder: str, folder: Path, size: int) -> Figures:
    record, close = RECORDERS[recorder](folder)
    figures = time_calls(record, size)
    close()
    return figures


def paced(recorder: str, folder: Path, size: int) -> Figures:
    record, close = RECORDERS[recorder](folder)
    figures = time_paced_calls(record, PACE_HZ, size)
    close()
    return figures


def sustained(recorder: str, folder: Path, size: int) -> Figures:
    """Points a second from the first call until all is closed and durable."""
    record, close = RECORDERS[recorder](folder)
    start = perf_counter()
    for step in range(size):
        record(step)
    close()
    seconds = perf_counter() - start
    stored = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "checkpoint.json")
    return {"points_per_s": size / seconds, "bytes_per_point": stored / size}


def many(recorder: str, folder: Path, size: int) -> Figures:
    """Several processes, one experiment; the time from before the first starts until the last has ended."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.measures",
        "sustained",
        recorder,
        str(folder),
        str(size // WRITERS),
    ]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(WRITERS)]
    rates = [json.loads(child.communicate()[0])["points_per_s"] for child in children]
    # Each reports its own rate from its first call to its end; they overlap but for starting Python.
    slowest_s = max(size // WRITERS / rate for rate in rates)
    figures = {"points_per_s": size / slowest_s}
    if recorder == "ours":
        from ml_dash import load

        kept = load(PREFIX, dash_root=folder).metrics["train"].count
        figures["lost"] = float(size // WRITERS * WRITERS - kept)
    return figures


def memory(recorder: str, folder: Path, size: int) -> Figures:
    """What a process that has logged `size` points holds above its start."""
    record, close = RECORDERS[recorder](folder)
    for step in range(1_000):
        record(step)
    before = resident_bytes()
    highest = before
    for step in range(size):
        record(step)
        if step % 100_000 == 0:
            highest = max(highest, resident_bytes())
    close()
    highest = max(highest, resident_bytes())
    return {"bytes": float(highest - before)}


def history(recorder: str, folder: Path, size: int) -> Figures:
    """Makes a journal of `size` points for the measurements that read."""
    return sustained(recorder, folder, size)


def opening(recorder: str, folder: Path, size: int) -> Figures:
    """Opening for appending; size 0 is an experiment without history."""
    from ml_dash import Experiment

    with Experiment("bench/marks/warm", dash_root=folder / "warm", console=False).run:
        pass
    experiment = Experiment(PREFIX, dash_root=folder, console=False)
    before = resident_bytes()
    start = perf_counter()
    experiment.run.start()
    seconds = perf_counter() - start
    grown = resident_bytes() - before
    experiment.run.complete()
    return {"ms": seconds * 1e3, "bytes": float(grown)}


def hashing(recorder: str, folder: Path, size: int) -> Figures:
    """What `verify` is held against: reading the same files and hashing them once."""
    from hashlib import sha256

    start = perf_counter()
    total = 0
    digest = sha256()
    for path in sorted((folder / PREFIX / "_journal").glob("0*.jsonl")):
        data = path.read_bytes()
        digest.update(data)
        total += len(data)
    return {"mb_per_s": total / 1e6 / (perf_counter() - start)}


def importing(recorder: str, folder: Path, size: int) -> Figures:
    """Milliseconds that `import ml_dash` adds to starting and ending a new interpreter; the least of several."""
    taken = {"import ml_dash": inf, "pass": inf}
    for _ in range(10):
        for code in taken:
            start = perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            taken[code] = min(taken[code], perf_counter() - start)
    return {"ms": (taken["import ml_dash"] - taken["pass"]) * 1e3}


OWN = (call, paced, sustained, many, memory, history, opening, hashing, importing)


def main(arguments: list[str]) -> None:
    from .past import PAST
    from .shipping import SHIPPING

    name, recorder, folder, size = arguments
    os.makedirs(folder, exist_ok=True)
    measures = {each.__name__: each for each in (*OWN, *PAST, *SHIPPING)}
    figures: dict[str, Any] = measures[name](recorder, Path(folder), int(size))
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
