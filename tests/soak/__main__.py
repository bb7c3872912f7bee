"""`python -m tests.soak --minutes 10`: everything at once, compared at the end; exit code 1 where anything is wrong.

--minutes N    how long processes record (1)
--seed S       which choices are made; given again they are made again, at other moments
--writers W    how many writers at a time (6)
--keep DIR     where all of it stays; else a temporary folder, which stays where something is wrong
--write FILE   appends the report to a page
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--write", type=Path)
    return parser.parse_args(arguments)


def out_of_reach(home: Path) -> None:
    """Nothing of who runs this decides anything, or is touched."""
    for name in [name for name in os.environ if name.startswith("ML_DASH_")]:
        del os.environ[name]
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    os.environ["ML_DASH_CONFIG_DIR"] = str(home / "configuration")
    for name in ("STATE", "CACHE", "DATA"):
        os.environ[f"XDG_{name}_HOME"] = str(home / name.lower())


def main() -> int:
    given = parsed()
    home = given.keep or Path(tempfile.mkdtemp(prefix="ml-dash-soak-"))
    home.mkdir(parents=True, exist_ok=True)
    if any(home.iterdir()):
        sys.exit(f"{home} is not empty: expected a folder of its own for this soak")
    out_of_reach(home)
    # Only now: what the package reads from the environment is set.
    from .conductor import Conductor
    from .ending import compare
    from .report import report, unbounded

    # Also then nothing is left behind: no process, and no file system mounted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    conductor = Conductor(home, given.seed, given.writers, lambda line: print(line, flush=True))
    try:
        conductor.run(given.minutes * 60)
        print("all have ended; comparing", flush=True)
        compared = compare(conductor.world)
        for what in unbounded(conductor.processes.measured):
            conductor.world.violation("measured", what)
    finally:
        conductor.close()
    violations = conductor.world.violations()
    command = f"python -m tests.soak --minutes {given.minutes:g} --seed {given.seed} --writers {given.writers}"
    text = report(
        command, given.minutes * 60, conductor.counts, compared, conductor.processes.measured, violations, str(home)
    )
    print(text)
    if given.write is not None:
        with given.write.open("a", encoding="utf-8") as page:
            page.write(f"\n{text}")
    if not violations and given.keep is None:
        shutil.rmtree(home)
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
