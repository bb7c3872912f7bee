"""Each program is run as its user runs it; what it recorded is read back, whole and by itself."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ml_dash
from ml_dash import Experiment

from . import robot, sweep

HERE = Path(__file__).resolve().parent


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HERE / script), *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def loaded(prefix: str, root: Path) -> Any:
    """The run, after looking whether its journal is whole: every event once, in order."""
    report = ml_dash.verify(prefix, dash_root=root)
    assert report.ok, report.damage
    assert [event.seq for event in ml_dash.events(prefix, dash_root=root)] == list(range(1, report.events + 1))
    return ml_dash.load(prefix, dash_root=root)


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_a_training_with_loader_workers_loses_no_sample_of_any_worker(start_method: str, tmp_path: Path) -> None:
    ended = run("training.py", "--start-method", start_method, "--dash-root", "runs", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    training = loaded("alice/scenarios/training", tmp_path / "runs")
    assert training.status == "COMPLETED"
    assert training.params["size"] == 64
    assert training.params["start_method"] == start_method

    samples = training.metrics["data"].columns("all")["index"]
    assert Counter(samples) == dict.fromkeys(range(64), 2), "every sample once an epoch, whoever made it"
    steps = training.metrics["train"].columns()
    assert steps["step"] == list(range(36)), "three workers with 21 or 22 samples make 18 batches an epoch"
    assert steps["epoch"] == [0] * 18 + [1] * 18
    epochs = training.metrics["epoch"].columns()
    assert epochs["loss.count"] == [18, 18]
    assert epochs["loss.max"] == [max(steps["loss"][:18]), max(steps["loss"][18:])]

    levels = Counter(line.level for line in training.logs)
    assert levels == {"warn": 16, "info": 2}
    assert ended.stdout.count("[WARN] a slow sample") == 16
    workers = {event.writer for event in ml_dash.events("alice/scenarios/training", dash_root=tmp_path / "runs")}
    assert len(workers) == 7, "the training and three workers in each of two epochs"
    assert len(training.sessions) == (1 if start_method == "fork" else 7)

    reader = Experiment("alice/scenarios/training", dash_root=str(tmp_path / "runs"))
    with reader.run:
        fetched = reader.files.download("checkpoints/epoch-1.pkl", to=str(tmp_path / "last.pkl"))
    assert isinstance(fetched, str)
    assert pickle.loads(Path(fetched).read_bytes())["epoch"] == 1


def test_cells_that_are_run_again_append_and_cells_without_a_name_make_a_new_run(tmp_path: Path) -> None:
    ended = run("notebook.py", "runs", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    root = tmp_path / "runs"

    started = loaded("alice/notebook/started", root)
    assert [session.status for session in started.sessions] == ["COMPLETED", "COMPLETED"]
    assert started.params == {"lr": 0.2}
    assert Counter(started.metrics["train"].columns("all")["step"]) == dict.fromkeys(range(5), 2)

    block = loaded("alice/notebook/block", root)
    assert [session.status for session in block.sessions] == ["FAILED", "COMPLETED"]
    assert block.sessions[0].error["type"] == "ValueError"
    assert "the loss diverged" in ended.stderr + ended.stdout, "the cell still shows what went wrong"
    assert block.metrics["train"].columns("all")["step"] == [0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert block.metrics["train"].columns("latest")["loss"] == [0.5 / (step + 1) for step in range(5)]

    nameless = [prefix for prefix in ended.stdout.split() if "/scratch/" in prefix]
    assert len(set(nameless)) == 2
    assert [loaded(prefix, root).metrics["train"].columns()["lr"] for prefix in nameless] == [[1.0], [2.0]]


def test_eight_processes_that_start_in_one_second_without_a_name_keep_their_own(tmp_path: Path) -> None:
    ended = run("sweep.py", "--dash-root", "runs", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    prefixes = ended.stdout.split()
    assert len(set(prefixes)) == sweep.PROCESSES
    summaries = ml_dash.experiments(dash_root=tmp_path / "runs", status="COMPLETED", tags=["sweep"])
    assert {summary.prefix for summary in summaries} == set(prefixes)
    seconds = {prefix.rsplit("/", 1)[0] for prefix in prefixes}
    assert len(seconds) < sweep.PROCESSES, "else nothing was tried here"

    rates = set()
    for prefix in prefixes:
        one = loaded(prefix, tmp_path / "runs")
        rate = one.params["lr"]
        rates.add(rate)
        columns = one.metrics["train"].columns()
        assert columns == {
            "step": list(range(sweep.POINTS)),
            "loss": [rate / (step + 1) for step in range(sweep.POINTS)],
        }
        assert [file.size_bytes for file in one.files] == [len(f"{rate}")]
    assert rates == {1.0 + number for number in range(sweep.PROCESSES)}


def test_a_robot_finds_what_its_joints_were_when_a_picture_was_taken(tmp_path: Path) -> None:
    ended = run("robot.py", "runs", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    reach = loaded("alice/robots/reach", tmp_path / "runs")
    assert reach.status == "COMPLETED"
    assert reach.params["control.gains"] == [1.0, 0.5]
    assert {name: len(reach.tracks[name]) for name in reach.tracks} == {
        "robot/joints": robot.STEPS, "camera/left": 20, "sensors/imu": robot.SENSOR_SAMPLES,
    }  # fmt: skip

    with Experiment("alice/robots/reach", dash_root=str(tmp_path / "runs")).run as reader:
        joints = reader.tracks("robot/joints").slice()
        assert len(joints) == robot.STEPS, "joints and torques of one moment are one row"
        pictures = reader.tracks("camera/left").list_entries()
        assert [entry["step"] for entry in pictures] == list(range(0, robot.STEPS, robot.CAMERA_EVERY))
        rows = joints.findByTime([entry["timestamp"] for entry in pictures])
        for entry, row in zip(pictures, rows, strict=True):
            assert row["timestamp"] == entry["timestamp"] == entry["step"] / 100
            expected = np.sin(np.arange(6) + entry["step"] / 100)
            assert row["q"] == expected.tolist()
            assert row["torque"] == (expected * 10).tolist()
            (saved,) = reader.files.download("camera/left/*" + entry["file"][-9:], to=str(tmp_path / "frames"))
            with Image.open(saved) as frame:
                assert np.array_equal(np.asarray(frame), robot.picture(entry["step"])), "PNG keeps every pixel"
        assert len(reader.bindrs("video").list()) == 20
        imu = reader.tracks("sensors/imu").read(start_timestamp=0.0, end_timestamp=0.1)
        assert [row["acceleration.z"] for row in imu["entries"]] == [-9.81] * 6
        assert reader.tracks("robot/joints").read(format="mocap")["metadata"]["frameCount"] == robot.STEPS
        episode = reader.metrics("episode").columns()
        assert (episode["step"], episode["_ts"]) == ([49, 99, 149, 199], [0.49, 0.99, 1.49, 1.99])
        assert [line["metadata"]["force"] for line in reader.logs.read(level="debug")] == [49.0, 99.0, 149.0, 199.0]
