"""One measurement of growth in a process of its own: `python -m tests.benchmarks.growth.measures NAME FOLDER SIZE`.

It prints JSON.  What reads leaves the folder as it was; what appends to a history gets a copy.  Memory is the peak of
the whole process, the interpreter and what is imported included.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from shutil import copytree, rmtree
from statistics import median
from time import perf_counter, perf_counter_ns

from .. import past
from ..clockwork import percentiles, taken_ns, time_calls
from ..measures import PREFIX, ours, sustained
from ..page import ROOT

CALLS = 20_000
WARM = "bench/marks/warm"
POINTS_OF_WRITERS = 1_000_000
FIRST = "bench/project0/run00000"
TIMES = 5
"""So often is what takes milliseconds repeated in one process; the median counts."""
OPEN = "import sys, ml_dash\nwith ml_dash.Experiment(sys.argv[1], dash_root=sys.argv[2], console=False).run: pass"
Figures = dict[str, float]


# --- one experiment, a longer and longer history --------------------------------------------------------------


def history(folder: Path, size: int) -> Figures:
    """Recorded as a user does it, flat out, closed."""
    return sustained("ours", folder, size)


def going_on(folder: Path, size: int) -> Figures:
    """Opened for appending: how long, and with how much memory; and then what a recording call takes."""
    from ml_dash import Experiment

    copied = folder.with_name(f"{folder.name}-copy")
    copytree(folder, copied)
    # Whoever opens a copy first reads all of it, because its files are not those that were vouched for.
    subprocess.run([sys.executable, "-c", OPEN, PREFIX, str(copied)], check=True)
    with Experiment(WARM, dash_root=copied, console=False).run:
        pass
    start = perf_counter()
    record, close = ours(copied)
    figures = {"open_s": perf_counter() - start, "open_bytes": past.peak()["peak_bytes"]}
    called = time_calls(record, CALLS)
    close()
    rmtree(copied)
    return {**figures, "call_us": called["p50_us"]}


def replay(folder: Path, size: int) -> Figures:
    found = past.replay("ours", folder, size)
    return {"replay_s": size / found["points_per_s"], "replay_bytes": found["peak_bytes"]}


def show(folder: Path, size: int) -> Figures:
    """The command, beside a checkpoint."""
    found = past.show("ours", folder, size)
    return {"show_s": found["s"], "show_bytes": found["peak_bytes"]}


def middle(folder: Path, size: int) -> Figures:
    """The state at the event in the middle."""
    from ml_dash import load

    start = perf_counter()
    load(PREFIX, dash_root=folder, at=size // 2)
    return {"middle_s": perf_counter() - start, "middle_bytes": past.peak()["peak_bytes"]}


def verify(folder: Path, size: int) -> Figures:
    import ml_dash

    start = perf_counter()
    report = ml_dash.verify(PREFIX, dash_root=folder)
    seconds = perf_counter() - start
    assert report.ok
    return {"verify_s": seconds, "verify_bytes": past.peak()["peak_bytes"], "stored_bytes": float(report.bytes)}


# --- one experiment, more and more writers --------------------------------------------------------------------


def writers(folder: Path, size: int) -> Figures:
    """`size` processes at once, `POINTS_OF_WRITERS` between them; from the first call of any until all have closed."""
    each = POINTS_OF_WRITERS // size
    command = [sys.executable, "-m", "tests.benchmarks.growth.measures", "writer", str(folder), str(each)]
    with ExitStack() as ending:
        started = [
            ending.enter_context(subprocess.Popen(command, cwd=ROOT, text=True, stdin=-1, stdout=-1))
            for _ in range(size)
        ]
        for one in started:
            ending.callback(one.kill)
            assert one.stdout is not None
            one.stdout.readline()
        for one in started:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        found = [json.loads(one.stdout.readline()) for one in started if one.stdout is not None]
    from ml_dash import load

    seconds = (max(one["end_ns"] for one in found) - min(one["start_ns"] for one in found)) / 1e9
    kept = load(PREFIX, dash_root=folder).metrics["train"].count
    return {
        "points_per_s": each * size / seconds,
        "lost": float(each * size - kept),
        "call_us": median(one["p50_us"] for one in found),
        "slow_us": max(one["p999_us"] for one in found),
        "slowest_us": max(one["max_us"] for one in found),
    }


def writer(folder: Path, size: int) -> Figures:
    """One of them: says when it is ready, begins when it is told to."""
    record, close = ours(folder)
    print("ready", flush=True)
    sys.stdin.readline()
    start_ns = perf_counter_ns()
    taken = taken_ns(record, size)
    close()
    end_ns = perf_counter_ns()
    return {**percentiles(taken), "start_ns": float(start_ns), "end_ns": float(end_ns)}


# --- more and more experiments ----------------------------------------------------------------------------------


def experiments(folder: Path, size: int) -> Figures:
    """Makes that many typical ones: two sessions, 20 params, 3 metrics of 200 points each."""
    return past.listed("made", folder, size)


def list_all(folder: Path, size: int) -> Figures:
    """The command, as writers leave experiments."""
    found = past.listing("all", folder, size)
    return {"list_s": found["s"], "list_bytes": found["peak_bytes"]}


def one_of_many(folder: Path, size: int) -> Figures:
    """What has to do with one of them, or two: found by its name, loaded, resumed (which appends to it), compared."""
    from ml_dash import Experiment, diff, experiments, load

    root = folder / "all"
    last = f"bench/project{(size - 1) % 10}/run{size - 1:05d}"

    def resume() -> None:
        Experiment(FIRST, dash_root=root, console=False).run.start().run.complete()

    return {
        "found_s": _median_s(lambda: experiments(last, dash_root=root)),
        "loaded_s": _median_s(lambda: load(last, dash_root=root)),
        "resumed_s": _median_s(resume),
        "compared_s": _median_s(lambda: diff(FIRST, f"{last}@100", dash_root=root)),
    }


def _median_s(work: Callable[[], object]) -> float:
    """Without the first time, which imports."""
    taken = []
    for _ in range(TIMES + 1):
        start = perf_counter()
        work()
        taken.append(perf_counter() - start)
    return median(taken[1:])


MEASURES = (history, going_on, replay, show, middle, verify, writers, writer, experiments, list_all, one_of_many)


def main(arguments: list[str]) -> None:
    name, folder, size = arguments
    Path(folder).mkdir(parents=True, exist_ok=True)
    measure = next(each for each in MEASURES if each.__name__ == name)
    print(json.dumps(measure(Path(folder), int(size))))


if __name__ == "__main__":
    main(sys.argv[1:])
