"""Whole programs as users of upstream write them: what they print, what they are answered, what can be read later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ml_dash
from ml_dash import Experiment, OperationMode, ml_dash_experiment


def program(text: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text], cwd=cwd, capture_output=True, text=True, timeout=60
    )


# --- what is printed ----------------------------------------------------------------------------------------


def test_a_program_prints_its_log_lines_and_nothing_else(tmp_path: Path) -> None:
    ended = program(
        """
from ml_dash import Experiment

with Experiment(prefix="alice/my-project/my-experiment", dash_root=".dash").run as experiment:
    experiment.log("Training started")
    experiment.log("slow", level="WARN", step=3, lr=0.1)
    experiment.logs.debug("shapes", metadata={"x": [1, 2]})
    experiment.logs.error("lost", code=None)
    experiment.params.set(learning_rate=0.001)
    experiment.metrics("train").log(loss=0.5, epoch=1)
    experiment.files.save_text("x", to="a.txt")
    experiment.tracks("pose").append(x=1.0)
    experiment.flush()
""",
        tmp_path,
    )
    assert ended.stdout == "[INFO] Training started\n[WARN] slow [step=3, lr=0.1]\n[DEBUG] shapes [x=[1, 2]]\n"
    assert ended.stderr == "[ERROR] lost [code=None]\n"
    assert ended.returncode == 0


def test_the_ready_made_experiment_takes_the_prefix_that_is_set_before_it_starts(tmp_path: Path) -> None:
    ended = program(
        """
from ml_dash.auto_start import dxp
from ml_dash import RUN

RUN.prefix = "alice/auto/{now:%Y}"
with dxp.run:
    dxp.log("Training started", level="info")
    dxp.params.set(learning_rate=0.001, batch_size=32)
    for epoch in range(10):
        dxp.metrics("train").log(loss=1 / (epoch + 1), epoch=epoch)
print(dxp.run.prefix)
""",
        tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    run = ml_dash.load(ended.stdout.split()[-1], dash_root=tmp_path / ".dash")
    assert (run.owner, run.project, run.status) == ("alice", "auto", "COMPLETED")
    assert run.metrics["train"].columns()["epoch"] == list(range(10))


# --- beginning and end --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "status"), [(None, "COMPLETED"), (KeyboardInterrupt, "CANCELLED"), (ValueError, "FAILED")]
)
def test_a_training_under_manual_control_ends_as_it_says(tmp_path: Path, raised: Any, status: str) -> None:
    experiment = Experiment(prefix="alice/ml/training", dash_root=str(tmp_path))
    assert experiment.run.start() is experiment
    try:
        experiment.params.set(learning_rate=0.001)
        if raised is not None:
            raise raised
        experiment.run.complete()
    except KeyboardInterrupt:
        experiment.run.cancel()
    except Exception:
        experiment.run.fail()
    run = ml_dash.load("alice/ml/training", dash_root=tmp_path)
    assert run.status == status
    assert run.params == {"learning_rate": 0.001}


def test_an_experiment_that_was_ended_inside_its_block_stays_as_it_was_ended(tmp_path: Path) -> None:
    with Experiment("alice/ml/stopped", dash_root=str(tmp_path)).run as experiment:
        experiment.log("early stop")
        experiment.run.cancel()
    assert ml_dash.load("alice/ml/stopped", dash_root=tmp_path).status == "CANCELLED"


def test_a_decorated_function_gets_the_experiment_and_gives_what_it_returns(tmp_path: Path) -> None:
    @ml_dash_experiment(prefix="alice/ml/decorated", dash_root=str(tmp_path), tags=["d"])
    def train_model(epochs: int, experiment: Any = None) -> str:
        """Trains."""
        for epoch in range(epochs):
            experiment.metrics("train").log(loss=0.5, epoch=epoch)
        return "Training complete!"

    assert (train_model(3), train_model(epochs=2)) == ("Training complete!", "Training complete!")
    assert (train_model.__name__, train_model.__doc__) == ("train_model", "Trains.")
    run = ml_dash.load("alice/ml/decorated", dash_root=tmp_path)
    assert run.metrics["train"].columns("all")["epoch"] == [0, 1, 2, 0, 1]
    assert list(run.tags) == ["d"]


def test_resuming_continues_indices_sequence_numbers_and_parameters(tmp_path: Path) -> None:
    for part in range(3):
        with Experiment("alice/ml/long", dash_root=str(tmp_path), tags=["a"] if not part else None).run as experiment:
            experiment.log(f"part {part}")
            experiment.params.set(**{f"part{part}": part, "last": part})
            experiment.metrics("train").log(loss=1.0 - part, part=part)
            page = experiment.metrics("train").read(start_index=0, limit=10)
            assert [point["index"] for point in page["data"]] == list(range(part + 1))
            assert [line["sequenceNumber"] for line in experiment.logs.read()] == list(range(part + 1))
            assert experiment.data is not None
            assert experiment.data["tags"] == ["a"]
    assert experiment.mode is OperationMode.LOCAL
    assert ml_dash.load("alice/ml/long", dash_root=tmp_path).params == {"part0": 0, "part1": 1, "part2": 2, "last": 2}


# --- what calls answer --------------------------------------------------------------------------------------


def test_metrics_are_answered_as_there(experiment: Experiment) -> None:
    train = experiment.metrics("train", description="losses", tags=["loss"])
    for epoch in range(3):
        assert experiment.metrics("train").log(loss=0.5, epoch=epoch) is train
    page = train.read(start_index=1, limit=1)
    (point,) = page.pop("data")
    assert page == {"startIndex": 1, "endIndex": 1, "total": 1, "hasMore": True}
    assert isinstance(point.pop("createdAt"), str)
    assert point == {"index": 1, "data": {"loss": 0.5, "epoch": 1}}
    stats = train.stats()
    assert (stats["name"], stats["totalDataPoints"], stats["description"]) == ("train", "3", "losses")
    experiment.metrics.log(epoch=3, train={"loss": 0.1}, eval={"loss": 0.2})
    listed = {each["name"]: each["totalDataPoints"] for each in train.list_all()}
    assert listed == {"train": "4", None: "1", "eval": "1"}
    assert experiment.metrics("nothing").read() == {
        "data": [], "startIndex": 0, "endIndex": -1, "total": 0, "hasMore": False,
    }  # fmt: skip


def test_buffers_make_one_point_a_series(experiment: Experiment) -> None:
    for loss in (1.0, 2.0, 3.0):
        experiment.metrics("train").buffer(loss=loss, accuracy=loss / 10)
        experiment.metrics("eval").buffer(loss=loss * 2)
    experiment.metrics.buffer.log_summary("mean", "std", "p50", "last")
    (train,) = experiment.metrics("train").read()["data"]
    (evaluation,) = experiment.metrics("eval").read()["data"]
    assert train["data"]["loss.mean"] == train["data"]["loss.p50"] == 2.0
    assert (train["data"]["loss.std"], train["data"]["accuracy.last"]) == (1.0, 0.3)
    assert evaluation["data"]["loss.mean"] == 4.0
    experiment.metrics.buffer.log_summary()
    assert experiment.metrics("train").read()["total"] == 1


def test_parameters_are_answered_as_there(experiment: Experiment) -> None:
    class Optimizer:
        name = "adam"
        lr = 0.001
        _hidden = 1

        def step(self) -> None: ...

    answer = experiment.params.set(model={"layers": [64, 32], "dropout": None}, optimizer=Optimizer).log(seed=1)
    assert answer.get() == {
        "model.layers": [64, 32], "model.dropout": None, "optimizer.name": "adam", "optimizer.lr": 0.001, "seed": 1,
    }  # fmt: skip
    assert answer.get(flatten=False)["model"] == {"layers": [64, 32], "dropout": None}


def test_synchronized_tracks_share_the_time_of_the_first(experiment: Experiment) -> None:
    for step in range(20):
        experiment.tracks("robot/position").append(step=step, x=0.1 * step)
        experiment.tracks("camera/left").append(width=640, _ts=-1)
        experiment.tracks("sensors/lidar").append(ranges=np.array([1.5, 2.0]), _ts=-1)
    assert experiment.tracks.flush() is None
    position = experiment.tracks("robot/position").list_entries()
    times = [entry["timestamp"] for entry in position]
    assert sorted(set(times)) == times
    for topic in ("camera/left", "sensors/lidar"):
        assert [entry["timestamp"] for entry in experiment.tracks(topic).list_entries()] == times
    between = (times[5] + times[6]) / 2
    assert experiment.tracks("sensors/lidar").slice(times[0], times[-1]).findByTime([between])[0] == {
        "timestamp": times[5], "ranges": [1.5, 2.0],
    }  # fmt: skip


def test_files_are_answered_as_there(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("weights")
    saved = experiment.files("models", tags=["best"], metadata={"epoch": 3}).upload(str(tmp_path / "model.txt"))
    assert (saved["path"], saved["filename"], saved["sizeBytes"]) == ("/models", "model.txt", 7)
    assert (saved["tags"], saved["metadata"], saved["contentType"]) == (["best"], {"epoch": 3}, "text/plain")
    assert experiment.files("models").list() == experiment.files.list("*.txt") == [saved]
    assert experiment.files("model.txt").exists()
    assert experiment.files("models/model.txt").read_text() == "weights"
    assert experiment.files("models/model.txt").download(to=str(tmp_path / "copy.txt")) == str(tmp_path / "copy.txt")
    again = experiment.files("models").save_text("better", to="model.txt")
    assert again["id"] != saved["id"]
    assert experiment.files("models").list() == [again]
    copy = experiment.files().duplicate(again, to="models/latest.txt")
    assert copy["checksum"] == again["checksum"]
    assert experiment.files("models/latest.txt").delete()["id"] == copy["id"]
    with pytest.raises(ValueError, match="latest"):
        experiment.files("models/latest.txt").download()
    assert not experiment.files("models/latest.txt").exists()


def test_pictures_are_files(experiment: Experiment) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    frames = experiment.files("frames")
    assert frames.save_image(pixels, to="frame.png")["contentType"] == "image/png"
    assert frames.save_image(pixels, to="frame.jpg", quality=85)["contentType"] == "image/jpeg"
    assert frames.save(pixels, to="auto.png")["filename"] == "auto.png"
    assert [file["filename"] for file in frames.list()] == ["frame.png", "frame.jpg", "auto.png"]
