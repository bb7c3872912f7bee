"""A virtual environment for each peer, kept in a cache folder: two have one import name, and none is ours to need."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..page import ROOT
from .roster import Peer

INSTALL_S_MAX = 900
INSTALLED = "installed.json"


@dataclass(frozen=True, slots=True)
class Environment:
    """`problem` says why there is no Python, in the installer's words."""

    python: Path | None
    problem: str = ""


def environment_of(peer: Peer, cache: Path) -> Environment:
    """The peer's own Python, made if it is not there yet.  What comes from the checkout is installed anew each time."""
    folder = cache / peer.environment
    python = folder / "bin/python"
    wanted = json.dumps(peer.requirements)
    marker = folder / INSTALLED
    is_there = marker.exists() and marker.read_text(encoding="utf-8") == wanted
    if is_there and peer.requirements is not None:
        return Environment(python)
    try:
        if not is_there:
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(folder))
            _run(str(python), "-m", "pip", "install", "--quiet", *(peer.requirements or (str(ROOT),)))
        else:
            _run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", str(ROOT))
    except (subprocess.SubprocessError, OSError) as error:
        return Environment(None, _reason(error))
    marker.write_text(wanted, encoding="utf-8")
    return Environment(python)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S_MAX)


def _reason(error: BaseException) -> str:
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
    lines = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines()[-1:] or [str(error)]
    return lines[0]
