"""Arguments by the names that upstream gives them, and calls with fewer or more of them than ours need."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash import Experiment


def test_files_take_the_argument_names_of_upstream(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    files = experiment.files
    assert files.upload(fpath=str(tmp_path / "a.txt"))["filename"] == "a.txt"
    assert files("m").upload(fpath=str(tmp_path / "a.txt"), to="b.txt")["path"] == "/m"
    assert files("m").save(content={"a": 1}, to="c.json")["filename"] == "c.json"
    assert files("m").save_text(content="x", to="d.txt")["sizeBytes"] == 1
    assert files("m").save_blob(data=b"x", to="e.bin")["sizeBytes"] == 1
    assert files.download(path="m/b.txt", to=str(tmp_path / "out.txt")) == str(tmp_path / "out.txt")
    assert files("m").download(pattern="d.txt", to=str(tmp_path / "d.txt")) == str(tmp_path / "d.txt")
    assert files.delete(path="m/b.txt").keys() == {"id", "deletedAt"}
    assert len(files("m").delete(pattern="*")) == 3


def test_a_bindr_is_asked_for_by_its_name(experiment: Experiment) -> None:
    saved = experiment.files("m", bindrs=["arm"]).save_text("x", to="a.txt")
    assert experiment.bindrs(bindr_name="arm").list() == experiment.bindrs("arm").list() == [saved]


def test_two_names_of_one_argument_exclude_each_other(experiment: Experiment) -> None:
    with pytest.raises(TypeError, match="two names of one argument"):
        experiment.files.upload(fpath="a.txt", path="b.txt")


def test_a_video_is_a_frame_stack(experiment: Experiment) -> None:
    with pytest.raises(ValueError, match="frame_stack is empty"):
        experiment.files("videos").save_video(frame_stack=[], to="v.mp4")


def test_find_by_time_takes_the_neighborhood_size_of_upstream(experiment: Experiment) -> None:
    for time in range(4):
        experiment.tracks("pose").append(x=time, _ts=float(time))
    assert experiment.tracks("pose").slice(0.0, 3.0).findByTime(timestamp=2.5, neighborhood_size=3)["x"] == 2


def test_a_level_that_is_none_is_info(experiment: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    experiment.log("hello", level=None)
    assert [line["level"] for line in experiment.logs.read()] == ["info"]
    assert "[INFO] hello" in capsys.readouterr().out
