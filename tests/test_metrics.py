"""Metrics: points of any fields, names of any text, times as the user has them, and every way of reading them."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import ConfigurationError, ExperimentError, StorageError
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.writer import Writer
from ml_dash.metrics import MetricBuilder, Metrics
from ml_dash.opening.recorder import Recorder

from .writer.faults import FULL, FaultyDisk

PREFIX = "alice/ml/run"


def points(builder: MetricBuilder) -> list[dict[str, Any]]:
    return [row["data"] for row in builder.read(limit=None)["data"]]


# --- builders -----------------------------------------------------------------------------------------------


def test_a_name_gives_the_same_builder_each_time(experiment: Experiment) -> None:
    metrics = experiment.metrics
    assert metrics("train") is metrics("train", description="later") is experiment.metrics("train")
    assert metrics("train") is not metrics("eval")
    assert metrics() is metrics(None)


def test_log_and_flush_give_back_what_they_were_called_on(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    assert train.log(a=1).flush().log(a=2) is train
    assert experiment.metrics.log(a=1).flush() is experiment.metrics


def test_an_integer_names_the_metric_of_its_digits(experiment: Experiment) -> None:
    for layer in range(3):
        experiment.metrics(layer).log(norm=layer)
    assert experiment.metrics(2) is experiment.metrics("2")
    assert points(experiment.metrics("2")) == [{"norm": 2}]


@pytest.mark.parametrize("name", [3.5, b"train", ["train"], {"a": 1}])
def test_a_name_that_is_no_text_is_refused(experiment: Experiment, name: Any) -> None:
    with pytest.raises(ConfigurationError, match="metric's name is text"):
        experiment.metrics(name)


@pytest.mark.parametrize(
    "name", ["train/loss", "a.b", "", "None", "with space", "ключ 🎲", "\ud800", "../x", "x" * 300]
)
def test_a_name_of_any_text_keeps_its_points_to_itself(experiment: Experiment, name: str) -> None:
    experiment.metrics(name).log(loss=1).log(loss=2)
    experiment.metrics("train").log(loss=3)
    experiment.metrics.log(loss=4)
    assert points(experiment.metrics(name)) == [{"loss": 1}, {"loss": 2}]
    assert points(experiment.metrics(None)) == [{"loss": 4}]
    assert {entry["name"] for entry in experiment.metrics.list_all()} == {name, "train", None}


def test_what_a_metric_is_described_as_first_counts(experiment: Experiment) -> None:
    train = experiment.metrics("train", description="first", tags=["a"])
    train.log(loss=1)
    experiment.metrics("train", description="second", tags=["b"], metadata={"unit": "nats"}).log(loss=2)
    stats = train.stats()
    assert (stats["description"], stats["tags"], stats["metadata"]) == ("first", ["a"], {"unit": "nats"})


def test_a_description_in_a_loop_is_recorded_once(experiment: Experiment, tmp_path: Path) -> None:
    for step in range(3):
        experiment.metrics("train", description="training", tags="one").log(step=step)
    experiment.flush()
    described = [event.data for event in ml_dash.events(PREFIX, dash_root=tmp_path) if event.type == "metric.described"]
    assert described == [{"name": "train", "description": "training", "tags": ["one"]}]


def test_a_description_of_any_kind_does_not_raise(experiment: Experiment) -> None:
    experiment.metrics("train", description=3, tags=[1, None], metadata="unit").log(loss=1)  # type: ignore[arg-type]
    stats = experiment.metrics("train").stats()
    assert (stats["description"], stats["tags"], stats["metadata"]) == ("3", ["1", "None"], {"metadata": "unit"})


def test_a_builder_goes_on_over_sessions_and_its_indices_with_it(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX, dash_root=tmp_path)
    with experiment.run:
        train = experiment.metrics("train", description="kept").log(loss=1)
    with experiment.run:
        train.log(loss=2)
        assert [(row["index"], row["data"]) for row in train.read()["data"]] == [(0, {"loss": 1}), (1, {"loss": 2})]
    assert train.stats()["description"] == "kept"


def test_a_kept_builder_reads_on_after_the_end_but_records_no_more(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX, dash_root=tmp_path)
    with experiment.run:
        train = experiment.metrics("train").log(loss=1)
        metrics = experiment.metrics
    for record in (
        lambda: train.log(loss=2),
        lambda: metrics.log(a=1),
        lambda: metrics.log(train={"a": 1}),
        train.flush,
    ):
        with pytest.raises(ExperimentError, match="not started"):
            record()
    assert points(train) == [{"loss": 1}]
    assert train.columns() == {"loss": [1]}


# --- log ----------------------------------------------------------------------------------------------------


def test_fields_are_free_from_point_to_point(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    train.log(epoch=0, loss=0.5).log(loss=None, note="x").log(flag=True, self=1, name="n", fields=2)
    assert points(train) == [
        {"epoch": 0, "loss": 0.5},
        {"loss": None, "note": "x"},
        {"flag": True, "self": 1, "name": "n", "fields": 2},
    ]
    assert [type(value) for point in points(train) for value in point.values()][:2] == [int, float]


def test_nan_infinities_and_large_integers_come_back(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    for value in (math.nan, math.inf, -math.inf, -0.0, 2**63, -(10**400), 5e-324):
        train.log(value=value)
    found = [point["value"] for point in points(train)]
    assert list(map(repr, found)) == ["nan", "inf", "-inf", "-0.0", repr(2**63), repr(-(10**400)), "5e-324"]


def test_numpy_scalars_become_the_same_numbers(experiment: Experiment) -> None:
    numpy = pytest.importorskip("numpy")
    train = experiment.metrics("train")
    train.log(a=numpy.float64(0.1), b=numpy.float32(0.5), c=numpy.int64(3), d=numpy.bool_(True), e=numpy.arange(2))
    [point] = points(train)
    assert point == {"a": 0.1, "b": 0.5, "c": 3, "d": True, "e": [0, 1]}
    assert [type(value) for value in point.values()] == [float, float, int, bool, list]


def test_a_value_of_any_kind_never_raises(experiment: Experiment) -> None:
    class Obscure:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

        __float__ = __str__ = __repr__  # type: ignore[assignment]

    loop: list[Any] = []
    loop.append(loop)
    train = experiment.metrics("train")
    train.log(obscure=Obscure(), loop=loop, kind=Obscure, function=len, bytes=b"x", **{"\ud800": 1})
    [point] = points(train)
    assert point["bytes"] == b"x"
    assert point["\ud800"] == 1
    assert "Obscure" in point["obscure"]


def test_a_point_without_fields_counts(experiment: Experiment) -> None:
    experiment.metrics("train").log().log(a=1)
    assert points(experiment.metrics("train")) == [{}, {"a": 1}]


def test_a_dict_of_a_named_metric_is_a_value(experiment: Experiment) -> None:
    experiment.metrics("train").log(per_class={"cat": 0.5, "dog": 0.25})
    assert points(experiment.metrics("train")) == [{"per_class": {"cat": 0.5, "dog": 0.25}}]
    assert [entry["name"] for entry in experiment.metrics.list_all()] == ["train"]


def test_flush_is_no_field(experiment: Experiment) -> None:
    experiment.metrics("train").log(loss=1, _flush=True)
    experiment.metrics.log(epoch=1, train={"loss": 2}, _flush=True)
    assert points(experiment.metrics("train")) == [{"loss": 1}, {"epoch": 1, "loss": 2}]
    assert points(experiment.metrics()) == [{"epoch": 1}]
    assert experiment.durable_seq == 4


# --- metrics.log --------------------------------------------------------------------------------------------


def test_scalars_go_to_the_unnamed_metric_and_into_each_named_point(experiment: Experiment) -> None:
    experiment.metrics.log(epoch=3, train={"loss": 0.1}, eval={"loss": 0.2, "epoch": 9})
    assert points(experiment.metrics()) == [{"epoch": 3}]
    assert points(experiment.metrics("train")) == [{"epoch": 3, "loss": 0.1}]
    assert points(experiment.metrics("eval")) == [{"epoch": 9, "loss": 0.2}]


def test_dicts_alone_make_no_unnamed_point(experiment: Experiment) -> None:
    experiment.metrics.log(train={"loss": 0.1})
    assert [entry["name"] for entry in experiment.metrics.list_all()] == ["train"]


def test_logging_nothing_records_nothing(experiment: Experiment) -> None:
    experiment.metrics.log().log(_flush=True).log(_ts=1).log(_ts=None)
    assert experiment.metrics.list_all() == []


def test_keys_of_a_dict_that_are_no_text_become_text(experiment: Experiment) -> None:
    experiment.metrics.log(train={1: 0.5, None: 2})
    assert points(experiment.metrics("train")) == [{"1": 0.5, "None": 2}]


# --- _ts ----------------------------------------------------------------------------------------------------


def test_a_time_that_is_given_is_kept_exactly_among_the_fields(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    for value in (0, 1.1, 1e9 + 1e-7, "2.5", True):
        train.log(a=1, _ts=value)
    assert [point["_ts"] for point in points(train)] == [0.0, 1.1, 1e9 + 1e-7, 2.5, 1.0]


def test_without_a_time_there_is_no_such_field(experiment: Experiment) -> None:
    experiment.metrics("train").log(a=1).log(a=2, _ts=None)
    assert points(experiment.metrics("train")) == [{"a": 1}, {"a": 2}]


def test_minus_one_takes_the_last_time_of_any_metric_or_track(experiment: Experiment) -> None:
    experiment.metrics("a").log(x=1, _ts=5.5)
    experiment.metrics("b").log(x=2, _ts=-1)
    experiment.metrics("c").log(x=3, _ts=-1.0)
    experiment.tracks("arm").append(q=1, _ts=7.25)
    experiment.metrics.log(x=4, c={"y": 5}, _ts=-1)
    assert [point["_ts"] for name in ("b", "c", None) for point in points(experiment.metrics(name))] == [
        5.5,
        5.5,
        7.25,
        7.25,
    ]
    experiment.tracks("leg").append(q=1, _ts=-1)
    assert [entry["timestamp"] for entry in experiment.tracks("leg").read()["entries"]] == [7.25]


def test_minus_one_takes_the_time_of_a_point_that_was_given_none(experiment: Experiment) -> None:
    before = time.time()
    experiment.metrics("a").log(x=1)
    after = time.time()
    experiment.metrics("b").log(x=2, _ts=-1).log(x=3, _ts=-1)
    first, second = [point["_ts"] for point in points(experiment.metrics("b"))]
    assert before <= first == second <= after


def test_minus_one_with_no_time_before_in_this_thread_is_an_error(experiment: Experiment) -> None:
    failures: list[Exception] = []

    def inherit() -> None:
        try:
            experiment.metrics("train").log(a=1, _ts=-1)
        except ConfigurationError as error:
            failures.append(error)

    experiment.metrics("train").log(a=1, _ts=3)
    thread = threading.Thread(target=inherit)
    thread.start()
    thread.join()
    [failure] = failures
    assert isinstance(failure, ValueError)
    assert "_ts=-1" in str(failure)
    assert len(points(experiment.metrics("train"))) == 1


@pytest.mark.parametrize("value", ["soon", [1], math.nan, math.inf, 10**400, 1j])
def test_a_time_that_is_no_number_of_seconds_is_an_error_before_anything_is_recorded(
    experiment: Experiment, value: Any
) -> None:
    for record in (experiment.metrics("train").log, experiment.metrics.log):
        with pytest.raises(ConfigurationError, match="_ts="):
            record(a=1, _ts=value)
    with pytest.raises(ValueError, match="_ts="):
        experiment.metrics.log(epoch=1, train={"a": 1}, _ts=value)
    assert experiment.metrics.list_all() == []


# --- read ---------------------------------------------------------------------------------------------------


def test_a_page_of_points_says_where_it_lies(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    for step in range(10):
        train.log(step=step)
    page = train.read(start_index=3, limit=4)
    assert [(row["index"], row["data"]["step"]) for row in page["data"]] == [(3, 3), (4, 4), (5, 5), (6, 6)]
    assert {key: page[key] for key in page if key != "data"} == {
        "startIndex": 3,
        "endIndex": 6,
        "total": 4,
        "hasMore": True,
    }
    assert train.read(start_index=6, limit=4)["hasMore"] is False
    assert all(set(row) == {"index", "data", "createdAt"} for row in page["data"])


def test_a_metric_without_points_reads_empty(experiment: Experiment) -> None:
    expected = {"data": [], "startIndex": 5, "endIndex": 4, "total": 0, "hasMore": False}
    assert experiment.metrics("unknown").read(start_index=5) == expected


def test_ten_thousand_points_can_be_had_at_once(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    for step in range(10_050):
        train.log(step=step)
    assert len(train.read()["data"]) == 1000
    page = train.read(limit=10_000)
    assert (page["total"], page["endIndex"], page["hasMore"]) == (10_000, 9_999, True)


def test_what_was_just_logged_is_there_to_be_read(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    for step in range(20):
        train.log(step=step)
        assert train.read(start_index=step)["data"][0]["data"] == {"step": step}


def test_points_of_threads_are_all_kept(experiment: Experiment) -> None:
    def log(number: int) -> None:
        for step in range(200):
            experiment.metrics("train").log(thread=number, step=step)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = points(experiment.metrics("train"))
    for number in range(4):
        assert [point["step"] for point in found if point["thread"] == number] == list(range(200))


def test_sessions_that_begin_while_threads_log_lose_and_mix_up_nothing(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX, dash_root=tmp_path)
    with experiment.run:
        builders = [experiment.metrics(f"m{number}").log(number=number) for number in range(3)]
    logged = [1, 1, 1]
    stop = threading.Event()

    def log(number: int) -> None:
        while not stop.wait(0.0002):
            try:
                builders[number].log(number=number)
                logged[number] += 1
            except ExperimentError:
                continue

    threads = [threading.Thread(target=log, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        with experiment.run:
            experiment.flush()
    stop.set()
    for thread in threads:
        thread.join()
    for number, builder in enumerate(builders):
        assert points(builder) == [{"number": number}] * logged[number]


# --- stats, list_all, summary -------------------------------------------------------------------------------


def test_stats_give_counts_as_text_and_times_of_the_first_and_the_last_point(experiment: Experiment) -> None:
    train = experiment.metrics("train", description="d", tags=["a"], metadata={"unit": "nats"})
    experiment.metrics("other").log(x=1)
    for step in range(20):
        train.log(step=step)
    stats, rows = train.stats(), train.read()["data"]
    assert (stats["name"], stats["totalDataPoints"]) == ("train", "20")
    assert (stats["description"], stats["tags"], stats["metadata"]) == ("d", ["a"], {"unit": "nats"})
    assert (stats["createdAt"], stats["updatedAt"]) == (rows[0]["createdAt"], rows[-1]["createdAt"])


def test_an_answer_can_be_changed_without_changing_the_metric(experiment: Experiment) -> None:
    train = experiment.metrics("train", tags=["a"], metadata={"units": ["nats"]}).log(loss=[1])
    for answer in (train.stats(), train.list_all()[0]):
        answer["tags"].append("b")
        answer.get("metadata", {"units": []})["units"].append("bits")
    train.columns()["loss"][0].append(2)
    train.summary()["loss"]["last"].append(3)
    assert (train.stats()["tags"], train.stats()["metadata"]) == (["a"], {"units": ["nats"]})
    assert train.columns() == {"loss": [[1]]}


def test_stats_of_a_metric_without_points_count_none(experiment: Experiment) -> None:
    stats = experiment.metrics("unknown", description="soon").stats()
    assert (stats["totalDataPoints"], stats["createdAt"], stats["description"]) == ("0", None, "soon")


def test_any_builder_lists_every_metric(experiment: Experiment) -> None:
    experiment.metrics("b", tags=["x"]).log(loss=1).log(loss=2)
    experiment.metrics("a").log(loss=1)
    experiment.metrics.log(loss=1)
    listed = experiment.metrics("a").list_all()
    assert listed == experiment.metrics.list_all()
    assert [(entry["name"], entry["totalDataPoints"], entry["tags"]) for entry in listed] == [
        ("b", "2", ["x"]),
        ("a", "1", []),
        (None, "1", []),
    ]
    assert all(entry["createdAt"] for entry in listed)
    assert len({entry["metricId"] for entry in listed}) == 3


def test_a_summary_gives_each_field_and_the_steps_of_its_extremes(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    for step, loss in enumerate([0.5, 0.25, math.nan, 2.0]):
        train.log(step=step, loss=loss, note="x")
    summary = train.summary()
    assert summary["loss"] == {
        "count": 3,
        "last": 2.0,
        "min": 0.25,
        "max": 2.0,
        "mean": 2.75 / 3,
        "min_step": 1,
        "max_step": 3,
    }
    assert (summary["note"]["count"], summary["note"]["last"], summary["note"]["mean"]) == (0, "x", None)


# --- columns ------------------------------------------------------------------------------------------------


def test_columns_are_as_long_as_there_are_points(experiment: Experiment) -> None:
    train = experiment.metrics("train").log(step=0, loss=0.5).log(step=1).log(loss=0.25, note="x")
    assert train.columns() == {"step": [0, 1, None], "loss": [0.5, None, 0.25], "note": [None, None, "x"]}
    assert experiment.metrics("unknown").columns() == {}


def test_columns_give_the_latest_attempt_or_all_of_them(tmp_path: Path) -> None:
    for first in (0, 2):
        with Experiment(PREFIX, dash_root=tmp_path).run as experiment:
            for step in range(first, first + 4):
                experiment.metrics("train").log(step=step, attempt=first)
            train = experiment.metrics("train")
    assert train.columns() == {"step": [0, 1, 2, 3, 4, 5], "attempt": [0, 0, 2, 2, 2, 2]}
    assert train.columns(attempts="all")["step"] == [0, 1, 2, 3, 2, 3, 4, 5]
    assert train.summary()["attempt"]["count"] == 6
    assert train.summary(attempts="all")["attempt"]["count"] == 8
    with pytest.raises(ConfigurationError, match="latest"):
        train.columns(attempts="first")


def test_columns_can_be_had_from_each_library(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    for step in range(5):
        train.log(step=step, loss=1 / (step + 1))
    expected = train.columns()
    assert {key: array.tolist() for key, array in train.to_numpy().items()} == expected
    for library, export in [("pandas", train.to_pandas), ("polars", train.to_polars), ("pyarrow", train.to_arrow)]:
        pytest.importorskip(library)
        frame = export()
        found = frame.to_pydict() if library == "pyarrow" else {name: frame[name].to_list() for name in frame.columns}
        assert found == expected


# --- flush --------------------------------------------------------------------------------------------------


def test_a_flush_that_the_disk_refuses_does_not_end_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = FaultyDisk()
    folder = JournalFolder(tmp_path / PREFIX, disk)
    writer, recorder = Writer(folder), Recorder()
    recorder.open(folder, writer)
    metrics = Metrics(recorder)
    disk.failing.update((*FULL, "sync_data"))
    assert metrics.log(epoch=1).flush() is metrics
    assert metrics("train").log(loss=1).flush().log(loss=2, _flush=True) is metrics("train")
    with pytest.raises(StorageError):
        writer.flush()
    assert capsys.readouterr().err.count("[ml-dash] WARNING") == 1
    disk.failing.clear()
    metrics.flush()
    assert points(metrics("train")) == [{"loss": 1}, {"loss": 2}]
    writer.close()
