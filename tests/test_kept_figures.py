"""Figures at a glance are those of the points that count."""

from __future__ import annotations

from pathlib import Path

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.cli.commands import answer

PREFIX = "alice/ml/kept"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Steps 0 to 9 with a spike at 8, and again from 5 on; another metric that was logged once."""
    with Experiment(PREFIX, dash_root=tmp_path, console=False).run as experiment:
        for step in range(10):
            experiment.metrics("train").log(step=step, loss=99.0 if step == 8 else 1.0)
        experiment.metrics("once").log(best=3)
    with Experiment(PREFIX, dash_root=tmp_path, console=False).run as experiment:
        for step in range(5, 8):
            experiment.metrics("train").log(step=step, loss=0.5)
    return tmp_path


def test_kept_figures_are_those_of_the_columns(root: Path) -> None:
    run = ml_dash.load(PREFIX, dash_root=root)
    kept = run.kept_state.metrics["train"]
    columns = run.metrics["train"].columns()
    assert columns["step"] == list(range(8))
    assert (kept.count, kept.fields["loss"].count) == (8, 8)
    assert (kept.fields["loss"].max, kept.fields["loss"].sum) == (max(columns["loss"]), sum(columns["loss"]))
    assert run.state.metrics["train"].fields["loss"].max == 99.0
    assert run.kept_state.metrics["once"] is run.state.metrics["once"]


def test_list_and_show_give_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--dash-root", str(root)]
    assert answer(["list", "--columns", "train.loss:max,train.loss:count,once.best", *where]) == 0
    assert capsys.readouterr().out.split() == ["1.0", "8", "3"]
    assert answer(["show", PREFIX, *where]) == 0
    shown = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("train\tloss"))
    assert shown.split("\t")[2:6] == ["8", "0.5", "0.5", "1"]


def test_figures_of_the_past_are_those_of_then(root: Path) -> None:
    first = next(e.seq for e in ml_dash.events(PREFIX, dash_root=root) if e.type == "run.completed")
    assert ml_dash.load(PREFIX, dash_root=root, at=first).kept_state.metrics["train"].fields["loss"].max == 99.0
