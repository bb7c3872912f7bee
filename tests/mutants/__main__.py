"""`python -m tests.mutants ml_dash/journal/chain.py --tests tests/journal`: which changes of a file nobody notices.

FILES…            which files to change
--tests PATH…     which tests may notice (tests/journal tests/writer tests/remote tests/property and tests/test_*.py)
--sample N        not more than N mutants of each file, drawn by --seed (all)
--seed S          (1)
--again FILE      only the mutants that FILE, the output of an earlier run, calls survivors
--processes P     how many at a time (2)
--processor-s T   how many seconds of tests to give a mutant (20)
--work DIR        where copies, results.jsonl and measurements go; those that are there are used (a temporary folder)

It needs `pip install coverage` and Python 3.11, and hours for all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .mutations import mutants
from .plugin import Plan

ROOT = Path(__file__).resolve().parents[2]
FAST = [
    "tests/journal",
    "tests/writer",
    "tests/remote",
    "tests/property",
    *sorted(map(str, ROOT.glob("tests/test_*.py"))),
]
# These look at the source, and so notice that it was changed at all.
ABOUT_THE_SOURCE = ["tests/test_layers.py", "tests/test_documents.py", "tests/journal/test_seeded_bugs.py"]
ABOUT_THE_SOURCE += ["tests/remote/test_seeded_bugs.py"]


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("files", nargs="+")
    parser.add_argument("--tests", nargs="+", default=FAST)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--again", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--processor-s", type=float, default=20.0)
    parser.add_argument("--work", type=Path)
    return parser.parse_args(arguments)


def chosen(given: argparse.Namespace) -> list[list[Any]]:
    """(file, start, new) of each mutant to run."""
    if given.again is not None:
        lines = map(json.loads, given.again.read_text(encoding="utf-8").splitlines())
        return [[each["file"], each["start"], each["new"]] for each in lines if each["result"] == "survived"]
    found = []
    for file in given.files:
        of = mutants((ROOT / file).read_bytes())
        if given.sample is not None and given.sample < len(of):
            of = random.Random(f"{given.seed} {file}").sample(of, given.sample)
        found += [[file, each.start, each.new.decode()] for each in of]
    return found


def copied(work: Path, name: str) -> Path:
    root = work / name
    if root.exists():
        shutil.rmtree(root)
    for folder in ("ml_dash", "tests", "spec", ".ci"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, root)
    return root


def started(plan: Plan, number: int, tests: Iterable[str]) -> subprocess.Popen[bytes]:
    path = Path(plan.work) / f"plan-{number}.json"
    path.write_text(json.dumps(asdict(plan)), encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": plan.root,
        "PYTHONDONTWRITEBYTECODE": "1",
        "CI": "1",
        "HYPOTHESIS_PROFILE": "seeded",
        "MUTANTS_PLAN": str(path),
    }
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "tests.mutants.plugin", "-p", "no:cacheprovider"]
    command += [f"--ignore={each}" for each in ABOUT_THE_SOURCE] + list(tests)
    with (Path(plan.work) / f"pytest-{number}.txt").open("wb") as output:
        return subprocess.Popen(command, cwd=plan.root, env=environment, stdout=output, stderr=output)


def main() -> int:
    given = parsed()
    work = (given.work or Path(tempfile.mkdtemp(prefix="ml-dash-mutants-"))).resolve()
    work.mkdir(parents=True, exist_ok=True)
    tests = [str(Path(each).resolve().relative_to(ROOT)) for each in given.tests]
    measured, results = work / "measured.json", work / "results.jsonl"
    if not measured.exists():
        print(f"measuring the tests, in {work}", flush=True)
        plan = Plan(str(copied(work, "measure")), str(work), str(measured), given.files)
        started(plan, 0, tests).wait()
        if not measured.exists():
            sys.exit(f"the tests could not be run: see {work / 'pytest-0.txt'}")
    wanted = chosen(given)
    print(f"{len(wanted)} mutants; results in {results}", flush=True)
    running = []
    for number in range(1, given.processes + 1):
        part = wanted[number - 1 :: given.processes]
        root = copied(work, f"copy-{number}")
        plan = Plan(str(root), str(work), str(measured), given.files, part, str(results), given.processor_s)
        running.append(started(plan, number, tests))
    for process in running:
        process.wait()
    report([json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()])
    return 0


def report(results: list[dict[str, Any]]) -> None:
    counted: dict[str, Counter[str]] = {}
    for each in results:
        counted.setdefault(each["file"], Counter())[each["result"]] += 1
        if each["result"] in ("survived", "uncovered"):
            print(f"{each['file']}:{each['line']}: {each['result']}: {each['what']}: {each['new']}")
    for file, of in sorted(counted.items()):
        print(f"{file}: {sum(of.values())} mutants, " + ", ".join(f"{of[kind]} {kind}" for kind in sorted(of)))


if __name__ == "__main__":
    sys.exit(main())
