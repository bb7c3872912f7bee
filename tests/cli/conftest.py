"""A folder with a few experiments, and the command line run on it as people and as pipes run it."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path

import pytest

from ml_dash import Experiment

COMMAND = [sys.executable, "-m", "ml_dash"]
Piped = Callable[..., "subprocess.CompletedProcess[str]"]
SEEN_S_MAX = 60.0


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dash root with a completed, a failed and a cancelled experiment."""
    root = tmp_path_factory.mktemp("recorded")
    with Experiment(
        "alice/mnist/baseline", dash_root=root, tags=["baseline", "small"], description="A first try", console=False
    ).run as experiment:
        experiment.params.set(lr=0.001, model={"depth": 50, "name": "resnet"})
        for step in range(20):
            experiment.metrics("train").log(step=step, loss=1 / (step + 1))
        experiment.metrics("odd").log(loss=float("nan"), best=float("-inf"))
        experiment.log("Training finished", accuracy=0.97)
    with pytest.raises(ValueError, match="diverged"), Experiment("alice/mnist/broken", dash_root=root).run:
        raise ValueError("diverged")
    cancelled = Experiment("bob/nlp/cancelled", dash_root=root)
    cancelled.run.start()
    cancelled.run.cancel()
    return root


@pytest.fixture
def piped(recorded: Path) -> Piped:
    """Runs `ml-dash` with its output in a pipe."""

    def run(*arguments: str, root: Path = recorded, code: int = 0) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [*COMMAND, *arguments],
            env=os.environ | {"ML_DASH_ROOT": str(root)},
            capture_output=True,
            text=True,
            timeout=SEEN_S_MAX,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended

    return run


def on_a_terminal(arguments: list[str], root: Path, columns: int) -> list[str]:
    """The lines that a person sees on a terminal that wide, colours taken out."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = os.environ | {"ML_DASH_ROOT": str(root), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    for name in ("COLUMNS", "NO_COLOR", "CI"):
        environment.pop(name, None)
    with subprocess.Popen(
        [*COMMAND, *arguments], env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = b""
        while select.select([ours], [], [], SEEN_S_MAX)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:
                # Linux says EIO once the last process has closed its side of a terminal.
                break
            if not part:
                break
            seen += part
        assert process.wait(SEEN_S_MAX) == 0, seen
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    return [line.rstrip("\r") for line in text.split("\n")]
