"""`python -m tests.promises [P1 …]`: runs the tests of the promises and counts what they tried, and what they found.

--campaign        the long ones, and all of what an ordinary run tries a share of (`tests/examples.py`)
--reports FOLDER  keeps the reports there, and counts those of earlier runs too: a campaign may be run in parts
--count           runs nothing, only counts what is in the folder
--write           puts the rows into the table of spec/promises.md
-- …              what follows is for pytest, such as `-k "chaos and [3]"`

All promises where none is named; a test of two promises runs once.  Exit code 1 where one is violated.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from .page import ROOT, belongs, chosen, row, sections, title, write
from .reports import read_reports


def run_pytest(arguments: list[str], *, campaign: bool, **options: object) -> subprocess.CompletedProcess[str]:
    profile = {"HYPOTHESIS_PROFILE": "campaign"} if campaign else {}
    # By one process: the statistics of Hypothesis are in no report of several.
    command = [sys.executable, "-m", "pytest", "-n", "0", "-m", "" if campaign else "not campaign", *arguments]
    environment = {**os.environ, **profile}
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, **options)  # type: ignore[call-overload]


def collect(names: list[str], *, campaign: bool) -> list[str]:
    """Every test that there is of those named, with its parameters."""
    ran = run_pytest(["--collect-only", "-q", "-o", "addopts=", *names], campaign=campaign, stdout=subprocess.PIPE)
    return [line for line in ran.stdout.splitlines() if "::" in line]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.promises", description="The promises, counted.")
    parser.add_argument("promises", nargs="*", metavar="P1")
    parser.add_argument("--campaign", action="store_true")
    parser.add_argument("--reports", type=Path)
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--write", action="store_true")
    own, more = sys.argv[1:], []
    if "--" in own:
        own, more = own[: own.index("--")], own[own.index("--") + 1 :]
    asked = parser.parse_args(own)
    if unknown := set(asked.promises) - set(sections()):
        parser.error(f"there is no promise {', '.join(sorted(unknown))}: expected some of {', '.join(sections())}")
    promises = [each for each in asked.promises or sections() if chosen(each, campaign=asked.campaign)]
    names = list(dict.fromkeys(name for each in promises for name in chosen(each, campaign=asked.campaign)))
    with tempfile.TemporaryDirectory(prefix="ml-dash-promises-") as scratch:
        reports = (asked.reports or Path(scratch)) / ("campaign" if asked.campaign else "ordinary")
        reports.mkdir(parents=True, exist_ok=True)
        if not asked.count:
            now = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
            run_pytest([f"--junit-xml={reports / now}.xml", *names, *more], campaign=asked.campaign)
        outcomes = read_reports(sorted(reports.glob("*.xml")))
    collected = collect(names, campaign=asked.campaign)
    found = {
        title(each, campaign=asked.campaign): row(each, campaign=asked.campaign, collected=collected, outcomes=outcomes)
        for each in promises
    }
    print("\n".join(found.values()))
    if asked.write:
        write(found)
    sys.exit(any(outcome.is_violation for test, outcome in outcomes.items() if belongs(test, names)))


if __name__ == "__main__":
    main()
