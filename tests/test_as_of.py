"""`run.table`: metrics and tracks side by side."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from math import isnan, nan
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash.errors import ConfigurationError, NotFoundError
from ml_dash.reading.run_view import Run

from .histories import EPOCH_US, Recorded, entry, point
from .journals import append, session

SECOND_US = 1_000_000
EPOCH_S = EPOCH_US / 1e6


def loaded(root: Path, *recorded: Recorded) -> Run:
    append(root / "a/b/c", *session("s1", list(recorded)))
    return ml_dash.load("a/b/c", dash_root=root)


def at(second: float) -> int:
    return EPOCH_US + round(second * SECOND_US)


def trained(root: Path) -> Run:
    return loaded(
        root,
        point("system/cpu", at(0.5), percent=10.0),
        point("train", at(0), step=0, loss=1.0),
        point("train", at(1), step=1, loss=0.5),
        point("system/cpu", at(2), percent=20.0),
        point("train", at(2), step=2, loss=nan),
        point("train", at(9), step=3, loss=0.1),
        entry("robot/pose", at(3), _ts=EPOCH_S + 1.5, x=1, y=[1, 2]),
        entry("robot/pose", at(3), _ts=EPOCH_S + 0.25, x=0),
    )


def test_each_row_of_the_first_stands_beside_the_last_of_every_other(tmp_path: Path) -> None:
    table = trained(tmp_path).table(["train", "system/cpu", "robot/pose"], on="time")
    columns = table.to_dict()
    assert isnan(columns["loss"].pop(2))
    assert columns == {
        "time": [EPOCH_S, EPOCH_S + 1, EPOCH_S + 2, EPOCH_S + 9],
        "step": [0, 1, 2, 3],
        "loss": [1.0, 0.5, 0.1],
        "system/cpu.percent": [None, 10.0, 20.0, 20.0],
        "robot/pose.x": [None, 0, 1, 1],
        "robot/pose.y": [None, None, [1, 2], [1, 2]],
    }
    assert (len(table), table.names) == (4, tuple(columns))
    assert repr(table) == "<Table of 'train', 'system/cpu', 'robot/pose' on 'time', 4 rows>"


@pytest.mark.parametrize("within", [1, 1.0, timedelta(seconds=1)])
def test_what_lies_further_back_than_is_asked_for_does_not_count(tmp_path: Path, within: Any) -> None:
    table = trained(tmp_path).table(["train", "system/cpu"], within=within)
    assert table.to_dict()["system/cpu.percent"] == [None, 10.0, 20.0, None]


def test_a_track_may_stand_first_in_order_of_time(tmp_path: Path) -> None:
    columns = trained(tmp_path).table(["robot/pose", "train"]).to_dict()
    assert columns["time"] == [EPOCH_S + 0.25, EPOCH_S + 1.5]
    assert (columns["x"], columns["train.loss"]) == ([0, 1], [1.0, 0.5])


def test_tables_may_be_joined_on_a_numeric_field(tmp_path: Path) -> None:
    run = loaded(
        tmp_path,
        *(point("train", at(step), step=step, loss=step / 2) for step in (3, 1, 2, 0)),
        point("eval", step=1, accuracy=0.1),
        point("eval", step=1, accuracy=0.2, note="again"),
        point("eval", accuracy=0.9),
        point("eval", step=nan, accuracy=0.8),
        point("train", step=None, loss=7.0),
        point("train", step="2", loss=8.0),
        entry("pose", _ts=1.0, step=2, x=5),
    )
    assert run.table(["train", "eval", "pose"], on="step").to_dict() == {
        "step": [3, 1, 2, 0, None, "2"],
        "loss": [1.5, 0.5, 1.0, 0.0, 7.0, 8.0],
        "eval.accuracy": [0.2, 0.2, 0.2, None, None, None],
        "eval.note": ["again", "again", "again", None, None, None],
        "pose._ts": [1.0, None, 1.0, None, None, None],
        "pose.x": [5, None, 5, None, None, None],
    }
    assert run.table(["train", "eval"], on="step", within=1).to_dict()["eval.accuracy"][:3] == [None, 0.2, 0.2]


def test_a_metric_stands_at_the_time_it_was_given(tmp_path: Path) -> None:
    run = loaded(
        tmp_path,
        point("a", at(5), _ts=10.0, value=1),
        point("a", at(6), _ts=20.0, value=2),
        point("a", at(7), value=3),
        entry("pose", at(0), _ts=15.0, x=1),
    )
    assert run.table(["a", "pose"]).to_dict() == {
        "time": [10.0, 20.0, EPOCH_S + 7],
        "value": [1, 2, 3],
        "pose.x": [None, 1, 1],
    }


def test_a_field_that_is_called_time_is_kept(tmp_path: Path) -> None:
    run = loaded(tmp_path, point("a", at(1), time=7))
    assert run.table("a").to_dict() == {"time": [EPOCH_S + 1], "a.time": [7]}


def test_points_that_a_later_attempt_logged_again_are_left_out(tmp_path: Path) -> None:
    steps = {"s1": range(4), "s2": range(2, 5)}
    for name, logged in steps.items():
        points = [point("train", at(10 * (name == "s2") + step), step=step, who=name) for step in logged]
        append(tmp_path / "a/b/c", *session(name, points))
    run = ml_dash.load("a/b/c", dash_root=tmp_path)
    assert run.table("train", on="step").to_dict()["who"] == ["s1", "s1", "s2", "s2", "s2"]
    assert len(run.table("train", on="step", attempts="all")) == 7


def test_a_metric_without_points_has_no_columns(tmp_path: Path) -> None:
    described = Recorded("metric.described", {"name": "empty", "description": "nothing yet"})
    run = loaded(tmp_path, point("a", at(1), value=1), described)
    assert run.table(["a", "empty"]).to_dict() == {"time": [EPOCH_S + 1], "value": [1]}
    assert run.table(["empty", "a"]).to_dict() == {"time": [], "a.value": []}
    assert run.table(["empty", "a"], on="value").to_dict() == {"value": []}


def test_the_table_is_of_the_moment_that_the_run_was_loaded_at(tmp_path: Path) -> None:
    trained(tmp_path)
    run = ml_dash.load("a/b/c", dash_root=tmp_path, at=4)
    assert run.table(["train", "system/cpu"]).to_dict()["system/cpu.percent"] == [None, 10.0]


def test_libraries_get_it_with_their_own_missing_values(tmp_path: Path) -> None:
    table = trained(tmp_path).table(["train", "system/cpu", "robot/pose"])
    assert str(table.to_numpy()["system/cpu.percent"].tolist()) == "[nan, 10.0, 20.0, 20.0]"
    frame = table.to_pandas()
    assert list(frame.columns) == list(table.names)
    assert frame["robot/pose.x"].dtype == "Int64"
    assert table.to_polars()["system/cpu.percent"].to_list() == [None, 10.0, 20.0, 20.0]
    assert table.to_arrow().column("robot/pose.x").to_pylist() == [None, 0, 1, 1]


def test_one_name_for_a_metric_and_a_track_is_told_apart_by_the_view(tmp_path: Path) -> None:
    run = loaded(tmp_path, point("a", at(1), value=1), entry("a", at(1), _ts=EPOCH_S, x=2), point("b", at(2), y=3))
    with pytest.raises(ConfigurationError, match="a metric and a track"):
        run.table(["b", "a"])
    assert run.table(["b", run.tracks["a"]]).to_dict()["a.x"] == [2]
    assert run.table([run.metrics["a"], "b"]).to_dict()["value"] == [1]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda run: run.table(["train"], how="inner"), "how='inner'"),
        (lambda run: run.table(["train"], on=3), "on=3"),
        (lambda run: run.table([]), "no metric and no track is named"),
        (lambda run: run.table(["train", "train"]), "'train' is named twice"),
        (lambda run: run.table(["train"], on="stepp"), "has no field 'stepp' to join on: its fields are step, loss"),
        (lambda run: run.table(["train", "system/cpu"], on="step"), "'system/cpu' has no field 'step'"),
        (lambda run: run.table(["train"], within=-1), "within=-1"),
        (lambda run: run.table(["train"], within=nan), "within=nan"),
        (lambda run: run.table(["train"], within=True), "within=True"),
        (lambda run: run.table(["train"], on="step", within=timedelta(1)), "a number in the unit of 'step'"),
        (lambda run: run.table(["train"], attempts="newest"), "attempts='newest'"),
    ],
)
def test_what_cannot_be_joined_is_refused_with_what_can_be(
    tmp_path: Path, call: Callable[[Run], object], expected: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        call(trained(tmp_path))
    assert expected in str(raised.value)


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="'system/cpu'"):
        trained(tmp_path).table(["train", "system/cpus"])


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    run = loaded(tmp_path, point("a", at(1), **{"b.c": 1}), point("b", at(1), c=2))
    with pytest.raises(ConfigurationError, match=r"'b\.c'"):
        run.table(["a", "b"]).to_dict()
