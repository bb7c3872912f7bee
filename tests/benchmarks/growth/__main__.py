"""`python -m tests.benchmarks.growth`: measures the same at sizes ten times apart and prints how cost grows.

--part NAME  only this one of history, writers and experiments; repeatable
--rounds N   how often everything is measured (2); figures are medians
--quick      small sizes, one round: only to see that everything runs
--write      puts the tables of the parts that ran into spec/performance.md
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .. import page
from ..options import chosen_options
from ..rows import Results
from . import tables
from .tables import PARTS, Part


def measure(name: str, folder: Path, size: int) -> dict[str, float]:
    """Runs one measurement in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.growth.measures", name, str(folder), str(size)]
    done = subprocess.run(command, cwd=page.ROOT, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    print(f"  {name:12} {size:>10,}", "  ".join(f"{key} {value:,.4f}" for key, value in figures.items()), flush=True)
    return figures


def measure_part(part: Part, sizes: tuple[int, ...], rounds: int, scratch: Path) -> Results:
    results = Results()
    print(part.name, flush=True)
    if part.makes is not None:
        for size in sizes:
            measure(part.makes, scratch / f"{part.name}-{size}", size)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        # The other way round each time, so that no size always runs on a machine warmed up by the same neighbour.
        for size in sizes[:: 1 if number % 2 == 0 else -1]:
            for name in part.measures:
                folder = scratch / f"{part.name}-{size}"
                results.add(tables.key(part, size), measure(name, folder, size))
                if part.makes is None:
                    shutil.rmtree(folder)
    return results


def main() -> None:
    names = [part.name for part in PARTS]
    chosen = chosen_options("python -m tests.benchmarks.growth", "How cost grows.", names)
    rounds, load = 1 if chosen.quick else chosen.rounds, page.load_before()
    for part in PARTS:
        if part.name not in (chosen.part or names):
            continue
        sizes = part.quick_sizes if chosen.quick else part.sizes
        with tempfile.TemporaryDirectory(prefix="ml-dash-growth-") as scratch:
            results = measure_part(part, sizes, rounds, Path(scratch))
        table = page.table(tables.heads(part, sizes), tables.rows(part, sizes, results))
        text = f"{page.circumstances(rounds, load)}\n\n{table}"
        print(f"\n{text}\n", flush=True)
        if chosen.write:
            page.write(f"growth {part.name}", text)


if __name__ == "__main__":
    main()
