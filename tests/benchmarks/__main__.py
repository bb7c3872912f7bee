"""`python -m tests.benchmarks`: measures us and the baselines in turn and prints the table of design figures.

--part NAME  only this one of recording, reading, list and shipping; repeatable
--rounds N   how often everything is measured (2); figures are medians
--quick      small sizes, one round: only to see that everything runs
--write      puts the table into spec/performance.md
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from .past_rows import READING
from .rows import JOURNALS, MEASUREMENTS, PARTS, RECORDING, Measurement, Results
from .shipping_rows import SHIPPING

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "spec/performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def measure(measurement: Measurement, folder: Path, *, quick: bool) -> dict[str, float]:
    """Runs one measurement in a process of its own."""
    size = measurement.quick_size if quick else measurement.size
    command = [sys.executable, "-m", "tests.benchmarks.measures", measurement.measure, measurement.recorder]
    done = subprocess.run([*command, str(folder), str(size)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
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


def table(results: Results) -> str:
    lines = ["| what | target | measured | ratio, memory | met |", "|---|---|---|---|---|"]
    for row in (*RECORDING, *READING, *SHIPPING):
        cells = row.cells(results)
        if cells is not None:
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def machine(rounds: int) -> str:
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace"))
    return (
        f"{os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), Linux {platform.release()}, "
        f"Python {platform.python_version()}; medians of {rounds} rounds, all rows measured in turn."
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Figures beside raw baselines.")
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    rounds = 1 if chosen.quick else chosen.rounds
    with tempfile.TemporaryDirectory(prefix="ml-dash-benchmarks-") as scratch:
        results = measure_all(Path(scratch), rounds, chosen.part or PARTS, quick=chosen.quick)
    text = f"{machine(rounds)}\n\n{table(results)}"
    print(f"\n{text}")
    if chosen.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
