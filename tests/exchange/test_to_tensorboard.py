"""What is exported for TensorBoard, read back by TensorBoard's own code and by its server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import ml_dash
from ml_dash import Experiment

from .support import PREFIX, counts, import_one, same, values

EVERYTHING = {"scalars": 0, "images": 0, "tensors": 0}


@pytest.fixture(scope="module")
def logdir(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logdir")
    ml_dash.export(PREFIX, to=folder, format="tensorboard", dash_root=recorded)
    return folder


@pytest.fixture(scope="module")
def accumulator(logdir: Path) -> EventAccumulator:
    found = EventAccumulator(str(logdir), size_guidance=EVERYTHING)
    found.Reload()
    return found


def test_scalars_have_their_values_steps_and_wall_times(accumulator: EventAccumulator, recorded: Path) -> None:
    columns = ml_dash.load(PREFIX, dash_root=recorded).metrics["train"].columns()
    found = accumulator.Scalars("train/loss")
    assert [scalar.step for scalar in found] == columns["step"]
    assert [scalar.value for scalar in found] == [float(np.float32(loss)) for loss in columns["loss"]]
    times = {
        event.data["fields"]["step"]: event.time_us
        for event in ml_dash.events(PREFIX, dash_root=recorded)
        if event.type == "metric.logged" and event.data["name"] == "train"
    }
    assert [round(scalar.wall_time * 1e6) for scalar in found] == [times[scalar.step] for scalar in found]


def test_nan_and_infinities_and_booleans_are_scalars(accumulator: EventAccumulator) -> None:
    assert same([each.value for each in accumulator.Scalars("odd/values/v")], [float("nan"), np.inf, -np.inf])
    assert [(each.step, each.value) for each in accumulator.Scalars("odd/values/ok")] == [(0, 1.0), (1, 0.0)]
    assert [each.value for each in accumulator.Scalars("z")] == [1.0]


def test_parameters_status_texts_and_images_are_there(accumulator: EventAccumulator) -> None:
    def plugin(tag: str) -> HParamsPluginData:
        return HParamsPluginData.FromString(accumulator.SummaryMetadata(tag).plugin_data.content)

    hparams = plugin("_hparams_/session_start_info").session_start_info.hparams
    assert hparams["lr"].number_value == 0.1
    assert hparams["flag"].bool_value is True
    assert (hparams["optimizer"].string_value, hparams["sizes"].string_value) == ("adam", "[1,2]")
    assert plugin("_hparams_/session_end_info").session_end_info.status == 1
    (image,) = accumulator.Images("img/x.png")
    assert (image.width, image.height) == (8, 8)
    assert accumulator.Tensors("logs/warn/text_summary")[0].tensor_proto.string_val == [b"hello"]


def test_what_tensorboard_cannot_say_is_counted(recorded: Path, tmp_path: Path) -> None:
    (report,) = ml_dash.export(PREFIX, to=tmp_path, format="tensorboard", dash_root=recorded, attempts="all")
    left_out = report.left_out
    assert left_out["track entry"] == 2
    # Of the odd metric: two texts that are not None, one of them mixed, and two empty ones; ten notes of the training.
    assert left_out["text"] == 1 + 2 + 2 + 10
    assert left_out["value of type list"] == 1
    assert report.counts["points"] == 30 + 3 + 1
    assert any("unnamed metric" in note for note in report.notes)


@pytest.fixture(scope="module")
def server(logdir: Path) -> Iterator[str]:
    """A real TensorBoard."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--port", "0", "--load_fast", "false"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        address = next(match[0] for line in process.stderr if (match := re.search(r"http://\S+/", line)))
        yield address
        process.terminate()
        process.stderr.read()


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_a_real_tensorboard_shows_scalars_and_hyperparameters(server: str, recorded: Path) -> None:
    assert set(ask(f"{server}data/plugin/scalars/tags")["."]) >= {"train/loss", "odd/values/v", "z"}
    points = ask(f"{server}data/plugin/scalars/scalars?run=.&tag={quote('train/loss', '')}")
    columns = ml_dash.load(PREFIX, dash_root=recorded).metrics["train"].columns()
    assert [step for _, step, _ in points] == columns["step"]
    assert [value for _, _, value in points] == [float(np.float32(loss)) for loss in columns["loss"]]
    experiment = ask(f"{server}data/plugin/hparams/experiment", {"experimentName": "", "hparamsLimit": 0})
    assert {info["name"] for info in experiment["hparamInfos"]} >= {"lr", "model.depth", "optimizer", "sizes", "flag"}
    asked = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "startIndex": 0, "sliceSize": 10}
    (group,) = ask(f"{server}data/plugin/hparams/session_groups", {**asked, "colParams": []})["sessionGroups"]
    assert group["hparams"]["lr"] == 0.1


def test_what_comes_back_from_tensorboard_has_every_scalar_step_time_and_text(logdir: Path, tmp_path: Path) -> None:
    report = import_one(logdir, tmp_path)
    assert report.left_out == {}
    found = values(tmp_path)
    assert found["train", "step"] == list(range(25))
    assert same(found["odd/values", "v"], [float("nan"), np.inf, -np.inf])
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    assert (run.status, run.description, run.params["lr"]) == ("COMPLETED", "A *first* try", 0.1)
    assert [(line.level, line.message) for line in run.logs] == [("warn", "hello")]
    assert [(file.path, file.content_type) for file in run.files] == [("/img/x.png", "image/png")]


def test_a_point_whose_own_time_is_another_than_that_of_recording_is_counted(tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=tmp_path / "root", console=False).run as run:
        run.metrics("m").log(step=0, x=1.0, _ts=1.5)
        run.metrics("m").log(step=1, x=1.0, _ts=time.time())
    (report,) = ml_dash.export(PREFIX, to=tmp_path / "out", format="tensorboard", dash_root=tmp_path / "root")
    assert report.left_out == {"_ts that is not the time of recording": 1}


def test_two_series_never_share_a_tag(tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=tmp_path / "root", console=False).run as run:
        run.metrics("a").log(**{"step": 0, "b/c": 1.0})
        run.metrics("a/b").log(step=0, c=2.0)
    (report,) = ml_dash.export(PREFIX, to=tmp_path / "out", format="tensorboard", dash_root=tmp_path / "root")
    assert any("'a/b/c_'" in note for note in report.notes)
    import_one(tmp_path / "out", tmp_path / "back")
    assert counts(tmp_path / "back") == {("a/b", "step"): 1, ("a/b", "c"): 1, ("a/b", "c_"): 1}


def test_exporting_again_with_force_replaces_the_file_and_doubles_nothing(recorded: Path, tmp_path: Path) -> None:
    for _ in range(2):
        ml_dash.export(PREFIX, to=tmp_path, format="tensorboard", dash_root=recorded, force=True)
    assert len(list(tmp_path.iterdir())) == 1
