"""What `run.started` says of the process: where it runs, on which code, with which packages.

Nothing here may fail a start or make it wait: what cannot be had within `GIT_TIMEOUT_S` is left out.  Environment
variables are never recorded; of the command line, secrets are masked (`secrets_mask.py`).
"""

from __future__ import annotations

import getpass
import os
import sys
from functools import lru_cache
from typing import Any

from .secrets_mask import mask_arguments

GIT_TIMEOUT_S = 1.0
PACKAGES_MAX = 1000
RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
"""The first that is a number counts.  The first two are global; LOCAL_RANK is what a launcher on one machine sets."""
_NO_HOOKS = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def describe_process() -> dict[str, Any]:
    """`host`, `pid` and `rank` of this process; `rank` is None outside a distributed job."""
    return {"host": os.uname().nodename, "pid": os.getpid(), "rank": rank()}


def user() -> str:
    """Who runs this process: a name, or a number where a container runs as somebody without one."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def rank() -> int | None:
    for name in RANK_VARIABLES:
        value = os.environ.get(name, "").strip()
        if value.isascii() and value.isdigit():
            return int(value)
    return None


def capture(script: str) -> dict[str, Any]:
    """The environment of the process whose script is `script` (a file, or a word where there is none)."""
    system = os.uname()
    return {
        "python": sys.version.partition(" ")[0],
        "platform": f"{system.sysname}-{system.release}-{system.machine}",
        "user": user(),
        "executable": sys.executable,
        "cwd": _working_folder(),
        "argv": mask_arguments(getattr(sys, "argv", []), os.environ),
        "git": _git_of(os.path.dirname(script) if os.path.isabs(script) else _working_folder()),
        "packages": _packages(),
    }


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        # It has been removed under the process.
        return None


@lru_cache(maxsize=1)
def _packages() -> dict[str, str]:
    """Installed distributions and their versions, from the names of their metadata folders (PEP 376, PEP 427): reading
    the metadata itself costs 100 times as much."""
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = os.listdir(folder or os.curdir)
        except OSError:
            continue
        for name in names:
            stem, suffix = os.path.splitext(name)
            package, dash, version = stem.partition("-")
            if suffix in (".dist-info", ".egg-info") and dash:
                found.setdefault(package, version.partition("-py")[0])
    return dict(sorted(found.items())[:PACKAGES_MAX])


@lru_cache(maxsize=1)
def _git_of(folder: str | None) -> dict[str, Any] | None:
    """Commit, branch (None when detached) and whether tracked files differ; None outside a work tree or without git.

    Asked once in a process: that is the code which was loaded.
    """
    if folder is None or not _is_in_work_tree(folder):
        return None
    import subprocess

    command = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        answer = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | _NO_HOOKS,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    lines = answer.decode("utf-8", "replace").splitlines()
    headers = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch."))
    commit, branch = headers.get("branch.oid"), headers.get("branch.head")
    return {
        "commit": None if commit == "(initial)" else commit,
        "dirty": any(not line.startswith("#") for line in lines),
        "branch": None if branch == "(detached)" else branch,
    }


def _is_in_work_tree(folder: str) -> bool:
    """Without starting git, which most scripts outside a work tree would otherwise pay for."""
    while True:
        if os.path.exists(os.path.join(folder, ".git")):
            return True
        above = os.path.dirname(folder)
        if above == folder:
            return False
        folder = above
