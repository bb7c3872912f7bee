"""What was recorded a moment ago, read back in every way there is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.metrics import MetricBuilder

PREFIX = "alice/ml/run"


def losses(metric: MetricBuilder) -> list[float]:
    return [point["data"]["loss"] for point in metric.read()["data"]]


def test_two_objects_of_one_prefix_read_what_the_other_has_just_logged(tmp_path: Path) -> None:
    first = Experiment(PREFIX, dash_root=str(tmp_path)).run.start()
    second = Experiment(PREFIX, dash_root=str(tmp_path)).run.start()
    metrics = [first.metrics("train"), second.metrics("train")]
    for step in range(20):
        metrics[step % 2].log(loss=step)
        assert losses(metrics[0]) == losses(metrics[1]) == list(range(step + 1))
    first.params.set(lr=0.1)
    assert second.params.get() == {"lr": 0.1}
    saved = second.files.save_text("x", to="a.txt")
    assert first.files.list() == [saved]
    second.run.complete()
    metrics[0].log(loss=20)
    assert losses(metrics[1]) == list(range(21)), "reading goes on after the end"
    first.run.complete()


def test_an_open_experiment_is_loaded_with_all_that_this_process_has_logged(tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=str(tmp_path)).run as experiment:
        for step in range(5):
            experiment.metrics("train").log(loss=step)
            experiment.log(f"step {step}")
            run = ml_dash.load(PREFIX, dash_root=tmp_path)
            assert run.status == "RUNNING"
            assert run.metrics["train"].columns()["loss"] == list(range(step + 1))
            assert len(run.logs) == step + 1
            events = list(ml_dash.events(PREFIX, dash_root=tmp_path))
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert events[-1].type == "log.written"
            assert ml_dash.verify(PREFIX, dash_root=tmp_path).events == len(events)
        experiment.tags = ["late"]
        assert [each.prefix for each in ml_dash.experiments(dash_root=tmp_path, tags=["late"])] == [PREFIX]


def test_an_object_that_was_never_started_says_what_another_one_has_just_recorded(tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=str(tmp_path)).run as experiment:
        experiment.description = "about"
        other = Experiment(PREFIX, dash_root=str(tmp_path))
        assert other.status == "RUNNING"
        assert other.data is not None
        assert other.data["description"] == "about"
        assert other.id == experiment.id


def test_what_is_loaded_is_had_by_the_keys_under_which_it_is_read_while_recording(tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=str(tmp_path)).run as experiment:
        experiment.log("hello", level="warn", step=3)
        experiment.log("bye")
        experiment.files("m", tags=["best"]).save_text("x", to="a.txt")
        lines, files = experiment.logs.read(), experiment.files.list()
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    assert [dict(line) for line in run.logs] == lines
    assert [dict(file) for file in run.files] == files
    assert run.logs[0]["message"] == run.logs[0].message == "hello"
    assert run.files[0]["sizeBytes"] == run.files[0].size_bytes == 1
    with pytest.raises(KeyError):
        run.logs[0]["text"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_that_only_reads_neither_waits_nor_writes(tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=str(tmp_path)).run as experiment:
        experiment.metrics("train").log(loss=1)
        experiment.flush()
        child = os.fork()
        if not child:
            seen = ml_dash.load(PREFIX, dash_root=tmp_path).metrics["train"].columns()["loss"] == losses(
                experiment.metrics("train")
            )
            sys.stdout.flush()
            os._exit(0 if seen else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(ml_dash.load(PREFIX, dash_root=tmp_path).sessions) == 1
    assert [each.type for each in ml_dash.events(PREFIX, dash_root=tmp_path)].count("writer.joined") == 0
