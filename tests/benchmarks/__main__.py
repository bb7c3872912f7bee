"""`python -m tests.benchmarks`: measures us and the baselines in turn and prints the tables of design figures.

--part NAME  only this one of recording, reading, list and shipping; repeatable
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
from collections.abc import Collection
from pathlib import Path

from . import page
from .options import chosen_options
from .past_rows import LISTING, READING
from .rows import JOURNALS, MEASUREMENTS, RECORDING, Measurement, Results, Row
from .shipping_rows import SHIPPING

HEADS = ("what", "target", "measured", "ratio, memory", "met")
PARTS: dict[str, tuple[Row, ...]] = {"recording": RECORDING, "reading": READING, "list": LISTING, "shipping": SHIPPING}
"""The rows of each part; `Measurement.part` says what they need."""


def measure(measurement: Measurement, folder: Path, *, quick: bool) -> dict[str, float]:
    """Runs one measurement in a process of its own."""
    size = measurement.quick_size if quick else measurement.size
    command = [sys.executable, "-m", "tests.benchmarks.measures", measurement.measure, measurement.recorder]
    done = subprocess.run(
        [*command, str(folder), str(size)], cwd=page.ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    print(f"  {measurement.key:20}", "  ".join(f"{name} {value:,.2f}" for name, value in figures.items()), flush=True)
    return figures


def measure_all(scratch: Path, rounds: int, parts: Collection[str], *, quick: bool) -> Results:
    results = Results()
    chosen = [each for each in MEASUREMENTS if set(each.part.split()) & set(parts)]
    for name, journal in JOURNALS.items():
        if set(journal.part.split()) & set(parts):
            print(name)
            results.add(journal.key, measure(journal, scratch / name, quick=quick))
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}")
        # The other way round each time, so that no one always runs on a machine warmed up by the same neighbour.
        for measurement in chosen[:: 1 if number % 2 == 0 else -1]:
            if measurement.rounds is not None and number >= measurement.rounds:
                continue
            folder = scratch / (measurement.journal or measurement.key.replace(" ", "-"))
            results.add(measurement.key, measure(measurement, folder, quick=quick))
            if measurement.journal is None:
                shutil.rmtree(folder, ignore_errors=True)
    return results


def main() -> None:
    chosen = chosen_options("python -m tests.benchmarks", "Figures beside raw baselines.", PARTS)
    rounds, parts, load = 1 if chosen.quick else chosen.rounds, chosen.part or list(PARTS), page.load_before()
    with tempfile.TemporaryDirectory(prefix="ml-dash-benchmarks-") as scratch:
        results = measure_all(Path(scratch), rounds, parts, quick=chosen.quick)
    for part in parts:
        rows = (row.cells(results) for row in PARTS[part])
        table = page.table(HEADS, [cells for cells in rows if cells is not None])
        text = f"{page.circumstances(rounds, load)}\n\n{table}"
        print(f"\n{part}: {text}")
        if chosen.write:
            page.write(f"measured {part}", text)


if __name__ == "__main__":
    main()
