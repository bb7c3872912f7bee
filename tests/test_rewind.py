"""A training that goes on from an earlier step: by itself, after a kill, or because `experiment.rewind` says so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

import ml_dash
from ml_dash import ConfigurationError, Experiment, ExperimentError
from ml_dash.state.supersessions import Supersession

PREFIX = "alice/ml/a"
KILLED_AT_15 = """
import os, signal, sys
from ml_dash import Experiment
experiment = Experiment(sys.argv[2], dash_root=sys.argv[1])
experiment.run.start()
for step in range(15):
    experiment.metrics("train").log(step=step, loss=1 / (step + 1))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    with Experiment(PREFIX, dash_root=tmp_path).run as experiment:
        yield experiment


def log(experiment: Experiment, steps: range, name: str = "train") -> None:
    for step in steps:
        experiment.metrics(name).log(step=step, loss=1 / (step + 1))


def steps(experiment: Experiment, name: str = "train", attempts: str = "latest") -> list[int]:
    return experiment.metrics(name).columns(attempts=attempts).get("step", [])


def killed_at_step_15(root: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_15, str(root), PREFIX], check=False)
    assert killed.returncode == -9


# --- killed and resumed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("says_so", [True, False])
def test_killed_at_15_resumed_at_10_run_to_20_is_20_rows_and_25_in_all(tmp_path: Path, says_so: bool) -> None:
    killed_at_step_15(tmp_path)
    with Experiment(PREFIX, dash_root=tmp_path).run as experiment:
        if says_so:
            experiment.rewind(step=9)
        log(experiment, range(10, 20))
        assert steps(experiment) == list(range(20))
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    train = run.metrics["train"]
    assert (len(train), train.count) == (20, 25)
    assert train.columns()["step"] == list(range(20))
    assert train.columns(attempts="all")["step"] == [*range(15), *range(10, 20)]
    assert train.summary()["loss"]["count"] == 20
    assert train.to_numpy()["step"].tolist() == list(range(20))


def test_the_history_tells_why_points_of_a_killed_attempt_do_not_count(tmp_path: Path) -> None:
    killed_at_step_15(tmp_path)
    with Experiment(PREFIX, dash_root=tmp_path).run as experiment:
        log(experiment, range(10, 20))
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    assert [session.reason for session in run.sessions] == ["lost", None]
    assert run.supersessions == (Supersession("2", "1", "step", 10, 14, False, ("train",)),)
    first, second = run.metrics["train"].attempts
    assert (first.name, first.count, first.latest, first.superseded_by) == ("1", 15, 10, ("2",))
    assert (second.name, second.count, second.latest, second.superseded_by) == ("2", 10, 10, ())
    assert (dict(first.steps), dict(second.steps)) == ({"step": (0, 14)}, {"step": (10, 19)})


def test_a_rewind_says_which_steps_the_next_attempt_goes_on_from_and_is_an_event_of_its_own(tmp_path: Path) -> None:
    killed_at_step_15(tmp_path)
    with Experiment(PREFIX, dash_root=tmp_path).run as experiment:
        experiment.rewind(step=9)
        log(experiment, range(12, 14))
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    assert run.metrics["train"].columns()["step"] == [*range(10), 12, 13]
    assert run.supersessions == (Supersession("2.1", "1", "step", 9, 14, True, ("train",)),)
    [rewind] = run.sessions[1].rewinds
    [event] = [each for each in ml_dash.events(PREFIX, dash_root=tmp_path) if each.type == "run.rewound"]
    assert (event.seq, event.data) == (rewind.seq, {"session": run.sessions[1].id, "steps": {"step": 9}})


# --- inside one session -------------------------------------------------------------------------------------


def test_a_session_that_rolls_back_after_a_spike_counts_each_step_once(experiment: Experiment) -> None:
    log(experiment, range(16))
    experiment.rewind(step=10)
    log(experiment, range(11, 21))
    assert steps(experiment) == list(range(21))
    assert steps(experiment, attempts="all") == [*range(16), *range(11, 21)]
    assert experiment.metrics("train").summary()["step"]["count"] == 21


def test_what_lay_above_the_checkpoint_does_not_count_even_if_nothing_is_logged_again(experiment: Experiment) -> None:
    log(experiment, range(16))
    log(experiment, range(16), "val")
    experiment.rewind(step=10)
    assert steps(experiment) == steps(experiment, "val") == list(range(11))
    log(experiment, range(11, 13), "train")
    assert steps(experiment, "val") == list(range(11))


def test_after_a_rewind_the_same_or_an_earlier_step_supersedes_too(experiment: Experiment) -> None:
    log(experiment, range(6))
    experiment.rewind(step=4)
    experiment.metrics("train").log(step=4, loss=0.0)
    experiment.metrics("val").log(step=0)
    assert experiment.metrics("train").columns() == {
        "step": [0, 1, 2, 3, 4],
        "loss": [1, 1 / 2, 1 / 3, 1 / 4, 0.0],
    }


def test_without_a_rewind_a_session_never_supersedes_its_own_points(experiment: Experiment) -> None:
    log(experiment, range(3))
    log(experiment, range(3))
    assert steps(experiment) == [0, 1, 2, 0, 1, 2]


def test_rewinding_again_and_again_leaves_the_last_way_only(experiment: Experiment, tmp_path: Path) -> None:
    log(experiment, range(10))
    experiment.rewind(step=5)
    log(experiment, range(6, 12))
    experiment.rewind(step=7)
    log(experiment, range(8, 10))
    assert steps(experiment) == list(range(10))
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    assert [attempt.name for attempt in run.attempts] == ["1", "1.1", "1.2"]
    assert [(each.count, each.latest) for each in run.metrics["train"].attempts] == [(10, 6), (6, 2), (2, 2)]
    assert [each.superseded_by for each in run.metrics["train"].attempts] == [("1.1",), ("1.2",), ()]


def test_a_run_at_an_event_before_the_rewind_shows_what_counted_then(experiment: Experiment, tmp_path: Path) -> None:
    log(experiment, range(10))
    experiment.flush()
    before = ml_dash.load(PREFIX, dash_root=tmp_path).seq
    experiment.rewind(step=2)
    experiment.flush()
    assert len(ml_dash.load(PREFIX, dash_root=tmp_path, at=before).metrics["train"]) == 10
    assert len(ml_dash.load(PREFIX, dash_root=tmp_path).metrics["train"]) == 3


# --- which points -------------------------------------------------------------------------------------------


def test_a_rewind_by_epoch_reaches_points_that_have_a_step_too(experiment: Experiment) -> None:
    for step in range(6):
        experiment.metrics("train").log(step=step, epoch=step // 2)
    experiment.metrics("val").log(epoch=0).log(epoch=1).log(epoch=2)
    experiment.rewind(epoch=1)
    assert steps(experiment) == [0, 1, 2, 3]
    assert experiment.metrics("val").columns()["epoch"] == [0, 1]


def test_a_rewind_by_step_leaves_points_that_have_none(experiment: Experiment) -> None:
    experiment.metrics("val").log(epoch=7).log(acc=0.5).log(step=None, acc=0.25).log(step=True, acc=0.1)
    experiment.rewind(step=0)
    assert len(experiment.metrics("val").columns()["acc"]) == 4


def test_a_rewind_by_several_fields_drops_what_is_above_any_of_them(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    train.log(step=5, epoch=1).log(step=15, epoch=1).log(step=5, epoch=2).log(step=10, epoch=1)
    experiment.rewind(step=10, epoch=1)
    assert train.columns() == {"step": [5, 10], "epoch": [1, 1]}


def test_a_rank_that_runs_at_the_same_time_is_not_rewound(experiment: Experiment, tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=tmp_path).run as other:
        log(other, range(5), "rank1")
        experiment.rewind(step=1)
        log(other, range(5), "rank1")
    assert steps(experiment, "rank1") == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]


def test_ranks_that_rewind_one_after_the_other_do_not_supersede_each_other(tmp_path: Path) -> None:
    ranks = [Experiment(PREFIX, dash_root=tmp_path) for _ in range(2)]
    for rank in ranks:
        rank.run.start()
        log(rank, range(5))
    for rank in ranks:
        rank.rewind(step=2)
        log(rank, range(3, 5))
    for rank in ranks:
        rank.run.complete()
    columns = ml_dash.load(PREFIX, dash_root=tmp_path).metrics["train"].columns()
    assert sorted(columns["step"]) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_numbers_of_numpy_are_steps(experiment: Experiment) -> None:
    log(experiment, range(5))
    experiment.rewind(step=numpy.int64(2))
    experiment.rewind(step=numpy.float32(1.5))
    assert steps(experiment) == [0, 1]


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "rewind.step=10"),
        ({"stp": 3}, "Did you mean 'step'"),
        ({"step": "3"}, "expected a number"),
        ({"step": True}, "expected a number"),
        ({"step": float("nan")}, "expected a number"),
        ({"epoch": None}, "expected a number"),
    ],
)
def test_a_rewind_that_says_no_step_is_refused(experiment: Experiment, given: dict[str, object], said: str) -> None:
    log(experiment, range(5))
    with pytest.raises(ConfigurationError, match=said):
        experiment.rewind(**given)  # type: ignore[arg-type]
    assert len(steps(experiment)) == 5


def test_only_an_open_experiment_is_rewound(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="not started"):
        Experiment(PREFIX, dash_root=tmp_path).rewind(step=1)
