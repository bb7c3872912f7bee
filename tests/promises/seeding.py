"""F19: a bug that is easily made is put into a copy of the package, and the tests are to notice.

A bug is one replacement in one file.  The copy is made and tested in a folder of its own; the source stays as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FAILED = re.compile(r"^(?:FAILED|ERROR) tests/(\S+::\w+)", re.MULTILINE)
"""What cannot be collected has caught nothing: the source is broken, with or without the bug."""


@dataclass(frozen=True)
class Bug:
    """In `ml_dash/<file>`, `wrong` where `right` stands; some test of `tests` is to fail."""

    file: str
    right: str
    wrong: str
    tests: Sequence[str]

    def fits(self) -> bool:
        """Whether this is in the source, once.  If not, the bug has to be seeded anew."""
        return (ROOT / "ml_dash" / self.file).read_text(encoding="utf-8").count(self.right) == 1

    def caught_by(self, folder: Path) -> str | None:
        """The test that fails; None where nobody notices.  Uses an empty folder."""
        assert self.fits(), f"{self.right!r} is not in {self.file} any more: seed the bug anew"
        for name in ("ml_dash", "tests", "spec"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        path = folder / "ml_dash" / self.file
        path.write_text(path.read_text(encoding="utf-8").replace(self.right, self.wrong), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider"]
        command += [f"--basetemp={folder / 'scratch'}", *(f"tests/{test}" for test in self.tests)]
        environment = {**os.environ, "PYTHONPATH": str(folder), "HYPOTHESIS_PROFILE": "seeded"}
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        failed = _FAILED.search(ran.stdout)
        assert ran.returncode == (1 if failed else 0), ran.stdout[-2000:] + ran.stderr[-2000:]
        return failed[1] if failed else None
