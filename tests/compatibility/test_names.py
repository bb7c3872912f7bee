"""What experiments are called by code written for upstream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import ml_dash
from ml_dash import RUN, Experiment
from ml_dash.errors import PrefixError

FIELDS = ("project", "user", "prefix", "debug", "timestamp", "readme")


@pytest.fixture(autouse=True)
def defaults_are_put_back() -> Iterator[None]:
    counter = RUN.job_counter
    yield
    for name in FIELDS:
        delattr(RUN, name)
    RUN.job_counter = counter


def test_a_project_makes_a_prefix_of_a_name_alone(tmp_path: Path) -> None:
    with Experiment(project="my-project", prefix="my-experiment", user="alice", dash_root=str(tmp_path)).run as opened:
        opened.params.set(lr=0.1)
    assert (opened.prefix, opened.owner, opened.project, opened.name) == (
        "alice/my-project/my-experiment", "alice", "my-project", "my-experiment",
    )  # fmt: skip
    assert ml_dash.load("alice/my-project/my-experiment", dash_root=tmp_path).params == {"lr": 0.1}


def test_a_project_of_run_does_so_too_and_may_name_its_owner() -> None:
    RUN.project = "team/vision"
    assert Experiment("baseline").prefix == "team/vision/baseline"
    moved = Experiment("alice/ml/old")
    moved.run.prefix = "{EXP.name}-2"
    assert moved.prefix == "team/vision/old-2"


def test_a_whole_prefix_stands_whatever_the_project_is() -> None:
    assert Experiment("alice/ml/run", project="other").prefix == "alice/ml/run"


def test_without_a_project_a_name_alone_is_refused() -> None:
    with pytest.raises(PrefixError, match="one part only"):
        Experiment("my-experiment")


def test_the_prefix_may_come_from_the_older_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASH_PREFIX", "old/variable/x")
    assert Experiment().prefix == "old/variable/x"
    monkeypatch.setenv("ML_DASH_PREFIX", "new/variable/x")
    assert Experiment().prefix == "new/variable/x"


def test_fields_that_mean_nothing_here_can_be_set_and_read() -> None:
    assert RUN.debug is False
    RUN.debug = True
    assert Experiment("a/b").run.debug is True
    assert Experiment("a/b/{timestamp}", timestamp="t1").prefix == "a/b/t1"
    assert RUN.timestamp == RUN.datetime_str
