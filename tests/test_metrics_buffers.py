"""Numbers that wait for their statistics: `metrics.buffer` and `summary_cache`."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.errors import ConfigurationError, ExperimentError
from ml_dash.metrics import MetricBuilder
from ml_dash.recording.aggregations import AGGREGATIONS, Accumulator

PREFIX = "alice/ml/run"


def points(builder: MetricBuilder) -> list[dict[str, Any]]:
    return [row["data"] for row in builder.read()["data"]]


# --- metrics.buffer -----------------------------------------------------------------------------------------


def test_a_summary_is_one_point_for_each_metric_and_clears_what_it_took(experiment: Experiment) -> None:
    train, evaluation, unnamed = map(experiment.metrics, ["train", "eval", None])
    assert train.buffer(loss=1, acc=0.5).buffer(loss=3) is train
    evaluation.buffer(loss=5)
    unnamed.buffer(loss=7)
    assert experiment.metrics.buffer.log_summary() is None
    experiment.metrics.buffer.log_summary()
    assert points(train) == [{"loss.mean": 2.0, "acc.mean": 0.5}]
    assert points(evaluation) == [{"loss.mean": 5.0}]
    assert points(unnamed) == [{"loss.mean": 7.0}]


def test_every_aggregation_has_its_own_field(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    for loss in (4.0, 1.0, 3.0, 2.0):
        train.buffer(loss=loss)
    experiment.metrics.buffer.log_summary(*AGGREGATIONS)
    [point] = points(train)
    expected = {
        "mean": 2.5,
        "std": math.sqrt(5 / 3),
        "min": 1.0,
        "max": 4.0,
        "count": 4,
        "median": 2.5,
        "sum": 10.0,
        "p50": 2.5,
        "p90": 3.7,
        "p95": 3.85,
        "p99": 3.97,
        "first": 4.0,
        "last": 2.0,
    }
    assert point == pytest.approx({f"loss.{name}": value for name, value in expected.items()})
    assert type(point["loss.count"]) is int


def test_one_value_has_no_spread(experiment: Experiment) -> None:
    experiment.metrics("train").buffer(loss=3)
    experiment.metrics.buffer.log_summary("std", "p99", "median")
    assert points(experiment.metrics("train")) == [{"loss.std": 0.0, "loss.p99": 3.0, "loss.median": 3.0}]


def test_an_unknown_aggregation_is_an_error_before_anything_is_cleared(experiment: Experiment) -> None:
    train = experiment.metrics("train").buffer(loss=1)
    with pytest.raises(ConfigurationError, match=r"Unsupported aggregation: 'p42'.*p90") as caught:
        experiment.metrics.buffer.log_summary("mean", "p42")
    assert isinstance(caught.value, ValueError)
    assert experiment.metrics.buffer.peek("train") == {"loss": [1.0]}
    assert points(train) == []


def test_extra_fields_stand_in_each_point_and_a_time_is_its_time(experiment: Experiment) -> None:
    for name in ("train", "eval"):
        experiment.metrics(name).buffer(loss=1)
    experiment.metrics.buffer.log_summary("mean", step=3, note="x", _ts=2.5)
    for name in ("train", "eval"):
        assert points(experiment.metrics(name)) == [{"step": 3, "note": "x", "loss.mean": 1.0, "_ts": 2.5}]


def test_extra_fields_alone_make_no_point(experiment: Experiment) -> None:
    experiment.metrics.buffer.log_summary("mean", step=3)
    experiment.metrics("train").buffer(loss=None)
    experiment.metrics.buffer.log_summary("mean", step=4)
    assert experiment.metrics.list_all() == []


def test_none_and_nan_are_left_out(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    for loss in (None, 1, math.nan, 3):
        train.buffer(loss=loss, never=None)
    experiment.metrics.buffer.log_summary("mean", "count", "first", "last")
    assert points(train) == [{"loss.mean": 2.0, "loss.count": 2, "loss.first": 1.0, "loss.last": 3.0}]


def test_infinities_count(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    for loss in (1, math.inf, math.inf):
        train.buffer(loss=loss, both=loss).buffer(both=-loss)
    experiment.metrics.buffer.log_summary("mean", "max", "p99", "sum")
    [point] = points(train)
    assert point["loss.mean"] == point["loss.max"] == point["loss.p99"] == point["loss.sum"] == math.inf
    assert math.isnan(point["both.mean"])


def test_sums_beyond_a_double_are_infinite(experiment: Experiment) -> None:
    experiment.metrics("train").buffer(loss=1e308).buffer(loss=1e308)
    experiment.metrics.buffer.log_summary("sum", "mean", "std", "max")
    [point] = points(experiment.metrics("train"))
    assert (point["loss.sum"], point["loss.mean"], point["loss.max"]) == (math.inf, math.inf, 1e308)


@pytest.mark.parametrize("value", [True, "1", 1, 1.0])
def test_booleans_and_numeric_text_count_as_numbers(experiment: Experiment, value: Any) -> None:
    experiment.metrics("train").buffer(x=value)
    assert experiment.metrics.buffer.peek("train") == {"x": [1.0]}


def test_arrays_of_one_item_count_as_their_number(experiment: Experiment) -> None:
    numpy = pytest.importorskip("numpy")
    experiment.metrics("train").buffer(a=numpy.float32(0.5), b=numpy.array([2]), c=numpy.array(3.0))
    assert experiment.metrics.buffer.peek("train") == {"a": [0.5], "b": [2.0], "c": [3.0]}


@pytest.mark.parametrize("value", ["high", [1], {}, 1j, object(), 10**400])
def test_what_is_no_number_is_an_error_and_nothing_of_the_call_is_kept(experiment: Experiment, value: Any) -> None:
    train = experiment.metrics("train")
    with pytest.raises(ConfigurationError, match="Cannot buffer non-numeric value for 'acc'") as caught:
        train.buffer(loss=1, acc=value)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(ValueError, match="Cannot store non-numeric value for 'acc'"):
        train.summary_cache.store(loss=1, acc=value)
    assert experiment.metrics.buffer.peek("train") == train.summary_cache.peek() == {}


def test_peek_shows_the_newest_values_and_keeps_them(experiment: Experiment) -> None:
    train = experiment.metrics("train")
    for value in range(8):
        train.buffer(loss=value, acc=-value)
    experiment.metrics().buffer(x=1)
    buffer = experiment.metrics.buffer
    assert buffer.peek("train", limit=2) == {"loss": [6.0, 7.0], "acc": [-6.0, -7.0]}
    assert buffer.peek("train", "loss", "unknown") == {"loss": [3.0, 4.0, 5.0, 6.0, 7.0]}
    assert len(buffer.peek("train", limit=0)["loss"]) == 8
    assert buffer.peek(limit=1) == {"train/loss": [7.0], "train/acc": [-7.0], "(default)/x": [1.0]}
    assert buffer.peek("unknown") == {}


def test_buffers_persist_over_sessions_and_are_not_cleared_where_nothing_is_open(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX, dash_root=tmp_path)
    with experiment.run:
        train, metrics = experiment.metrics("train"), experiment.metrics
        train.buffer(loss=1)
        train.summary_cache.store(loss=1)
    with pytest.raises(ExperimentError, match="not started"):
        metrics.buffer.log_summary()
    with pytest.raises(ExperimentError, match="not started"):
        train.summary_cache.summarize()
    with experiment.run:
        experiment.metrics("train").buffer(loss=3)
        metrics.buffer.log_summary()
        train.summary_cache.summarize()
    assert [point["loss.mean"] for point in points(train)] == [2.0, 1.0]


# --- summary_cache ------------------------------------------------------------------------------------------


def test_a_summary_has_five_statistics_and_what_was_set(experiment: Experiment) -> None:
    cache = experiment.metrics("train").summary_cache
    assert cache is experiment.metrics("train").summary_cache
    for loss in (1, 2, 3):
        cache.store(loss=loss)
    cache.set(lr=0.1, epoch=0)
    cache.set(epoch=1, note="x")
    cache.summarize()
    expected = {"loss.mean": 2.0, "loss.min": 1.0, "loss.max": 3.0, "loss.count": 3, "loss.std": 1.0}
    assert points(experiment.metrics("train")) == [{"lr": 0.1, "epoch": 1, "note": "x", **expected}]


def test_a_summary_clears_values_and_what_was_set(experiment: Experiment) -> None:
    cache = experiment.metrics("train").summary_cache
    for loss in (1, 3):
        cache.store(loss=loss)
        cache.set(epoch=loss)
        cache.summarize()
    cache.summarize()
    found = points(experiment.metrics("train"))
    assert [(point["epoch"], point["loss.mean"], point["loss.count"]) for point in found] == [(1, 1.0, 1), (3, 3.0, 1)]


def test_a_summary_may_keep_both_for_the_next_one(experiment: Experiment) -> None:
    cache = experiment.metrics("train").summary_cache
    cache.store(loss=1)
    cache.set(epoch=1)
    cache.summarize(clear=False)
    cache.store(loss=3)
    cache.summarize(clear=False)
    found = points(experiment.metrics("train"))
    assert [(point["epoch"], point["loss.mean"], point["loss.count"]) for point in found] == [(1, 1.0, 1), (1, 2.0, 2)]


def test_what_was_set_makes_a_point_by_itself_and_nothing_makes_none(experiment: Experiment) -> None:
    cache = experiment.metrics("train").summary_cache
    cache.summarize()
    cache.store(loss=None)
    cache.summarize()
    cache.set(epoch=1)
    cache.summarize()
    assert points(experiment.metrics("train")) == [{"epoch": 1}]


def test_peek_into_a_cache_shows_the_newest_values_of_the_keys_asked_for(experiment: Experiment) -> None:
    cache = experiment.metrics("train").summary_cache
    for value in range(8):
        cache.store(loss=value, acc=-value)
    assert cache.peek("loss", limit=3) == {"loss": [5.0, 6.0, 7.0]}
    assert cache.peek(limit=1) == {"loss": [7.0], "acc": [-7.0]}
    assert len(cache.peek("acc", limit=0)["acc"]) == 8
    assert cache.peek("unknown") == {}


class Hostile:
    """Whatever it is asked, it fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    __str__ = __float__ = item = __repr__  # type: ignore[assignment]


def test_what_cannot_even_be_said_is_refused_all_the_same(experiment: Experiment) -> None:
    with pytest.raises(ConfigurationError, match="Hostile"):
        experiment.metrics("train").buffer(x=Hostile())
    with pytest.raises(ConfigurationError, match="Hostile"):
        experiment.metrics("train").log(x=1, _ts=Hostile())
    with pytest.raises(ConfigurationError, match="Hostile"):
        experiment.log("x", level=Hostile())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="Hostile"):
        experiment.params.set(Hostile())
    with pytest.raises(ConfigurationError, match="Hostile"):
        experiment.metrics(Hostile())  # type: ignore[arg-type]


# --- threads ------------------------------------------------------------------------------------------------


def test_values_added_while_others_are_taken_are_all_counted_once() -> None:
    accumulator: Accumulator[str] = Accumulator()
    done = threading.Event()

    def add() -> None:
        for number in range(5_000):
            accumulator.add("m", {"x": number})

    adders = [threading.Thread(target=add) for _ in range(3)]
    taken: list[float] = []

    def take() -> None:
        while not done.is_set():
            accumulator.peek()
            taken.extend(accumulator.take().get("m", {}).get("x", []))

    taker = threading.Thread(target=take)
    for thread in [*adders, taker]:
        thread.start()
    for thread in adders:
        thread.join()
    done.set()
    taker.join()
    taken.extend(accumulator.take().get("m", {}).get("x", []))
    assert sorted(taken) == sorted([float(number) for number in range(5_000)] * 3)
