"""What runs and says nothing is told from what is known to live."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.cli.commands import answer
from ml_dash.reading import silence

PREFIX = "alice/ml/silent"


@pytest.fixture
def vanished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dash root as it is of a machine that is gone: the journal of an open session, and no writer's spool."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(silence, "SILENT_AFTER_S", 0.0)
    with Experiment(PREFIX, dash_root="live", console=False).run as experiment:
        experiment.metrics("train").log(step=1)
        experiment.flush()
        shutil.copytree("live", "gone", ignore=shutil.ignore_patterns("spool"))
        assert ml_dash.load(PREFIX, dash_root="live").silent_since is None
        assert ml_dash.experiments(dash_root="live")[0].silent_since is None
    return tmp_path / "gone"


def test_a_session_of_a_vanished_machine_is_running_and_silent(vanished: Path) -> None:
    run = ml_dash.load(PREFIX, dash_root=vanished)
    [summary] = ml_dash.experiments(dash_root=vanished)
    assert (run.status, summary.status) == ("RUNNING", "RUNNING")
    assert run.silent_since == summary.silent_since == run.updated


def test_what_has_ended_and_what_is_past_is_not_silent(vanished: Path) -> None:
    assert ml_dash.load(PREFIX, dash_root="live").silent_since is None
    assert ml_dash.load(PREFIX, dash_root=vanished, at=1).silent_since is None


def test_a_short_silence_is_not_told(vanished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENT_AFTER_S", 600.0)
    run = ml_dash.load(PREFIX, dash_root=vanished)
    assert run.silent_since is None
    assert run.updated is not None
    assert silence.silent_since(run.status, run.updated - timedelta(seconds=601)) is not None


def test_show_and_list_say_so(
    vanished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(["show", PREFIX, "--dash-root", str(vanished)]) == 0
    assert "RUNNING, silent for" in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert answer(["list", "--dash-root", str(vanished)]) == 0
    assert ", silent for" in capsys.readouterr().out
