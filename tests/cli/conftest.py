"""A folder with a few experiments, and the command line run on it as people and as pipes run it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ml_dash import Experiment, correct
from ml_dash.cli.commands import answer, group

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


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dash root with two runs to compare, and one that failed, was resumed, and was corrected."""
    root = tmp_path_factory.mktemp("trained")
    for name, lr, tags in (("slow", 0.01, ["small"]), ("fast", 0.1, ["small", "best"])):
        with Experiment(
            f"alice/mnist/{name}", dash_root=root, tags=tags, metadata={"seed": lr}, console=False
        ).run as run:
            run.params.set(lr=lr, model={"depth": 50})
            for step in range(40):
                run.metrics("train").log(step=step, loss=2 - lr * step / 4, accuracy=lr * step / 4)
            run.flush()
            run.params.set(lr=lr / 10)
            run.tracks("arm").append(x=1.0)
            run.files("models").save_text(name, to="best.txt")
            run.files().save_text("the same", to="notes.txt")
            run.log("lowered the learning rate", level="warn")
    broken = Experiment("alice/nlp/resumed", dash_root=root, console=False)
    broken.run.start()
    broken.params.set(lr=10, optimizer="adam")
    broken.metrics("train").log(step=0, loss=float("nan"))
    broken.run.fail("loss is nan")
    with Experiment("alice/nlp/resumed", dash_root=root, console=False).run as run:
        run.params.set(lr=0.5, optimizer={"name": "sgd"})
        for step in range(10):
            run.metrics("train").log(step=step, loss=1.5)
    correct("alice/nlp/resumed", 3, {"loss": 9.0}, reason="overflow", dash_root=root)
    return root


@dataclass(frozen=True)
class Answer:
    """What a command printed, and how it ended."""

    text: str
    code: int

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.text.splitlines()]

    @property
    def json(self) -> Any:
        return json.loads(self.text)


Asked = Callable[..., Answer]


@pytest.fixture
def asked(trained: Path) -> Asked:
    """Runs `ml-dash` on `trained` in this process, as in a pipe; raises what ends it with a message."""

    def run(*arguments: str, root: Path = trained) -> Answer:
        ended = CliRunner().invoke(
            group, list(arguments), env={"ML_DASH_ROOT": str(root)}, catch_exceptions=False, standalone_mode=False
        )
        return Answer(ended.stdout, ended.exit_code or ended.return_value or 0)

    return run


@pytest.fixture
def piped(recorded: Path) -> Piped:
    """Runs `ml-dash` on `recorded` in this process, as in a pipe, to its very end: with its messages and exit code."""

    def run(*arguments: str, root: Path = recorded, code: int = 0) -> subprocess.CompletedProcess[str]:
        with CliRunner(env={"ML_DASH_ROOT": str(root)}).isolation() as (stdout, stderr, _):
            ended_with = answer(list(arguments))
            sys.stdout.flush()
            sys.stderr.flush()
            said, complained = (stream.getvalue().decode() for stream in (stdout, stderr))
        assert ended_with == code, said + complained
        return subprocess.CompletedProcess(["ml-dash", *arguments], ended_with, said, complained)

    return run


def on_a_terminal(arguments: list[str], root: Path, columns: int, code: int = 0) -> list[str]:
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
        assert process.wait(SEEN_S_MAX) == code, seen
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    # What a spinner has shown before is overwritten.
    return [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
