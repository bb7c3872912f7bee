"""`ml-dash demo` does what README.md says of it, on a real training that is really killed."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import ml_dash
from ml_dash.reading.run_view import Run

from .conftest import COMMAND


@dataclass(frozen=True)
class Played:
    """What the demo printed and what it left."""

    text: str
    root: Path
    run: Run


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    root = tmp_path_factory.mktemp("demo")
    command = [*COMMAND, "demo", "--dash-root", str(root)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
    (summary,) = ml_dash.experiments("**", dash_root=root)
    return Played(ended.stdout, root, ml_dash.load(summary.prefix, dash_root=root))


def test_the_demo_kills_its_training_and_loses_nothing(played: Played) -> None:
    ends = [(str(session.status), session.reason) for session in played.run.sessions]
    assert ends == [("FAILED", "lost"), ("COMPLETED", None)]
    # One process and its three forked children, twice.
    assert [len(session.writers) for session in played.run.sessions] == [4, 4]
    assert re.search(r"lost +0\b", played.text), played.text
    assert ml_dash.verify(played.run.prefix, dash_root=played.root).ok


def test_a_resumed_fold_has_every_step_once_and_all_attempts_on_request(played: Played) -> None:
    for fold in (1, 2, 3, 4):
        train = played.run.metrics[f"fold-{fold}/train"]
        steps = list(train.columns()["step"])
        assert steps == list(range(len(steps)))
        assert len(train.columns(attempts="all")["step"]) > len(steps)
        assert played.run.metrics[f"fold-{fold}/validation"].columns()["accuracy"][-1] > 0.9
