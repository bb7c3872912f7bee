"""The shortcut of `metrics(name).log`: it is taken, and whatever it may not decide goes the long way."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import ConflictError, Experiment, ExperimentError
from ml_dash.facts.events import METRIC_DESCRIBED, METRIC_LOGGED
from ml_dash.metrics import MetricBuilder

from .writer.support import in_child

PREFIX = "alice/ml/run"


def open_shortcut(experiment: Experiment, name: str = "train") -> MetricBuilder:
    """A metric whose points `{i}` and `{x}` take the shortcut."""
    builder = experiment.metrics(name).log(i=0).log(x=0)
    assert is_open(builder)
    return builder


def is_open(builder: MetricBuilder) -> bool:
    return builder._shortcut({"i": 1})


def xs(builder: MetricBuilder) -> list[Any]:
    """All values of the field x, in order."""
    return [row["data"]["x"] for row in builder.read(limit=None)["data"] if "x" in row["data"]]


def test_points_of_known_fields_take_the_shortcut_and_come_back_as_they_were(experiment: Experiment) -> None:
    builder = open_shortcut(experiment)
    for x in (1, -2.5, "text", True, [1, {"a": 2}], 2**63):
        assert builder._shortcut({"x": x})
    assert xs(builder) == [0, 1, -2.5, "text", True, [1, {"a": 2}], 2**63]


def test_what_is_not_plain_goes_the_long_way_and_all_of_it_stands_in_order(experiment: Experiment) -> None:
    builder = open_shortcut(experiment)
    odd = [float("nan"), None, "null", 1 << 70, {1, 2}, 1j, object]
    for x in odd:
        assert not builder._shortcut({"x": x})
    for number, x in enumerate(odd):
        builder.log(x=number).log(x=x).log(**{f"new{number}": 1, "x": -number})
    found = xs(builder)
    assert found[1::3] == list(range(len(odd)))
    assert found[3::3] == [-number for number in range(len(odd))]
    assert found[2] != found[2], "NaN"
    assert found[5] is None
    assert found[8:12:3] == ["null", 1 << 70]
    assert is_open(builder)


def test_times_and_flushes_never_take_the_shortcut(experiment: Experiment) -> None:
    builder = open_shortcut(experiment).log(x=1, _ts=5).log(x=2, _ts=-1).log(x=3, _flush=True)
    assert not builder._shortcut({"x": 1, "_ts": 5})
    assert not builder._shortcut({"x": 1, "_flush": True})
    assert [row["data"].get("_ts") for row in builder.read(limit=None)["data"]][-3:] == [5.0, 5.0, None]


def test_each_thread_has_its_own_last_time_by_the_shortcut(experiment: Experiment) -> None:
    builder = open_shortcut(experiment)

    def elsewhere() -> None:
        builder.log(x=1, _ts=7)
        builder.log(x=2, _ts=-1)
        assert builder._shortcut({"x": 3})
        builder.log(x=4, _ts=-1)

    before = time.time()
    assert builder._shortcut({"x": 0})
    after = time.time()
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    builder.log(x=5, _ts=-1)
    times = {row["data"]["x"]: row["data"].get("_ts") for row in builder.read(limit=None)["data"] if "x" in row["data"]}
    assert times[2] == 7
    assert before <= times[5] <= after <= times[4]


def test_a_thread_that_is_held_back_takes_no_shortcut_and_others_lose_nothing(
    experiment: Experiment, tmp_path: Path
) -> None:
    builder = open_shortcut(experiment)
    with pytest.raises(KeyError), experiment.expect(experiment.seq):  # noqa: PT012
        builder.log(x=1).log(x=2)
        assert not builder._shortcut({"x": 3})
        thread = threading.Thread(target=lambda: builder.log(x=4).log(x=5))
        thread.start()
        thread.join()
        raise KeyError
    assert xs(builder) == [0, 4, 5]
    with pytest.raises(ConflictError), experiment.expect(1):
        builder.log(x=6)
    with experiment.expect(experiment.seq):
        builder.log(x=7).log(x=8)
    assert is_open(builder.log(x=9).log(x=10))
    assert xs(builder) == [0, 4, 5, 7, 8, 9, 10]


def test_a_closed_experiment_takes_nothing_and_an_open_one_goes_on(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX, dash_root=tmp_path, console=False)
    with experiment.run:
        builder = open_shortcut(experiment)
        shortcut = builder._shortcut
        builder._recorder.open_writer = builder._recorder.close()
        assert shortcut({"i": 1})
        writer = builder._recorder.close()
        assert not shortcut({"x": 1}), "it is closed before its spool has ended"
        builder._recorder.open_writer = writer
    assert not shortcut({"x": 1})
    with pytest.raises(ExperimentError, match="not started"):
        builder.log(x=1)
    with experiment.run:
        assert not shortcut({"x": 1})
        builder.log(x=2)
        assert builder._shortcut({"x": 3})
        assert xs(builder) == [0, 2, 3]
    assert (
        len({event.session for event in ml_dash.events(PREFIX, dash_root=tmp_path) if event.type == METRIC_LOGGED}) == 2
    )


def test_a_forked_child_records_into_its_own_spool(experiment: Experiment, tmp_path: Path) -> None:
    builder = open_shortcut(experiment)

    def child() -> None:
        assert not builder._shortcut({"x": 1})
        builder.log(x=1).log(x=2)
        assert builder._shortcut({"x": 3})

    assert in_child(child) == 0
    builder.log(x=4)
    experiment.flush()
    assert sorted(xs(builder)) == [0, 1, 2, 3, 4]
    logged = [event for event in ml_dash.events(PREFIX, dash_root=tmp_path) if event.type == METRIC_LOGGED]
    writers = {event.data["fields"]["x"]: event.writer for event in logged if "x" in event.data["fields"]}
    assert writers[1] == writers[3] != writers[4] == writers[0]


def test_a_description_that_comes_late_stands_before_the_next_point(experiment: Experiment, tmp_path: Path) -> None:
    builder = open_shortcut(experiment)
    experiment.metrics("train", description="loss of training")
    builder.log(x=1)
    experiment.flush()
    kinds = [event.type for event in ml_dash.events(PREFIX, dash_root=tmp_path)]
    assert kinds[-2:] == [METRIC_DESCRIBED, METRIC_LOGGED]
    assert is_open(builder)
