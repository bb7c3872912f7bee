"""`python -m tests.promises.branches`: how much of each layer the tests run, by branches; reported, not chased.

    coverage run -m pytest -n 0 TESTS && coverage combine --append && python -m tests.promises.branches --write

The layers are those of spec/layers.md, down to the journal; of what is above, the tests are whole programs.  Reads the
file `.coverage`; with --write the table of spec/coverage.md is made from it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .page import BEGIN, END, ROOT

PAGE = ROOT / "spec/coverage.md"
LAYERS = {1: "1, ground", 2: "2, facts, fold and columns: pure", 3: "3, journal"}
WORTH_A_LINE = 95.0


def measured() -> dict[str, dict[str, Any]]:
    """What `coverage json` says of each file, by its path below `ml_dash`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", str(path)], cwd=ROOT, check=True)
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
    return {str(Path(name).relative_to("ml_dash")): each["summary"] for name, each in files.items()}


def files_of(layer: int) -> list[str]:
    """The entries of its row; one that ends in `/` stands for all below."""
    text = (ROOT / "spec/layers.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {layer} \|.*\| (.*) \|$", text, re.MULTILINE)
    assert row is not None
    return re.findall(r"`([^`]+)`", row[1])


def percent(summaries: list[dict[str, Any]]) -> tuple[int, int, float]:
    """Branches run, branches there are, and the share; where there is none all of them ran."""
    ran, there = (sum(each[key] for each in summaries) for key in ("covered_branches", "num_branches"))
    return ran, there, 100 * ran / there if there else 100.0


def table(files: dict[str, dict[str, Any]]) -> str:
    lines = ["| layer | branches | run | files below 95 % |", "|---|---|---|---|"]
    for layer, title in LAYERS.items():
        entries = files_of(layer)
        own = {
            name: summary
            for name, summary in files.items()
            if any(name == entry or (entry.endswith("/") and name.startswith(entry)) for entry in entries)
        }
        _, there, share = percent(list(own.values()))
        below = [(name, percent([summary])[2]) for name, summary in sorted(own.items())]
        named = ", ".join(f"`{name}` {each:.0f} %" for name, each in below if each < WORTH_A_LINE)
        lines.append(f"| {title} | {there:,} | {share:.1f} % | {named} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.promises.branches", description="Branches run, by layers.")
    parser.add_argument("--write", action="store_true")
    found = table(measured())
    print(found)
    if parser.parse_args().write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{found}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
