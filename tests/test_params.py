"""Parameters: what `set` makes of its arguments, what `get` and `history` say of them afterwards."""

from __future__ import annotations

import math
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import ConfigurationError, ExperimentError
from ml_dash.params import ParametersBuilder

PREFIX = "alice/ml/run"


def events_set(experiment: Experiment, root: Path) -> list[dict[str, Any]]:
    experiment.flush()
    return [event.data["params"] for event in ml_dash.events(PREFIX, dash_root=root) if event.type == "params.set"]


# --- set ----------------------------------------------------------------------------------------------------


def test_parameters_merge_key_by_key_and_the_last_write_wins(experiment: Experiment) -> None:
    experiment.params.set(lr=0.1, model={"depth": 50, "width": 8})
    experiment.params.set(lr=0.01, model={"depth": 18})
    assert experiment.params.get() == {"lr": 0.01, "model.depth": 18, "model.width": 8}


def test_log_is_another_name_for_set_and_both_can_be_chained(experiment: Experiment) -> None:
    assert experiment.params.set(a=1).log(b=2) is experiment.params
    assert experiment.params.get() == {"a": 1, "b": 2}


def test_one_call_is_one_event_whatever_it_sets(experiment: Experiment, tmp_path: Path) -> None:
    experiment.params.set({"a": 1}, b={"c": 2, "d": {}})
    assert events_set(experiment, tmp_path) == [{"a": 1, "b.c": 2, "b.d": {}}]


def test_setting_nothing_records_nothing(experiment: Experiment, tmp_path: Path) -> None:
    assert experiment.params.set() is experiment.params
    experiment.params.set({})
    assert events_set(experiment, tmp_path) == []


def test_parameters_are_empty_when_nothing_was_set(experiment: Experiment) -> None:
    assert experiment.params.get() == experiment.params.get(flatten=False) == {}


@pytest.mark.parametrize(
    "value", [None, True, 2**53 + 1, 2**63, -(10**400), 1e-320, -0.0, "", "ключ 🎲", [1, [2, {"x": None}]], {}]
)
def test_a_value_comes_back_as_it_went_in(experiment: Experiment, value: Any) -> None:
    experiment.params.set(value=value)
    found = experiment.params.get()["value"]
    assert (found, type(found), repr(found)) == (value, type(value), repr(value))


def test_nan_and_infinities_come_back(experiment: Experiment) -> None:
    experiment.params.set(nan=math.nan, bounds=[-math.inf, math.inf])
    found = experiment.params.get()
    assert math.isnan(found["nan"])
    assert found["bounds"] == [-math.inf, math.inf]


def test_dicts_inside_lists_are_not_flattened(experiment: Experiment) -> None:
    experiment.params.set(layers=[{"width": 8}, {"width": 4}])
    assert experiment.params.get() == {"layers": [{"width": 8}, {"width": 4}]}


def test_a_tuple_comes_back_as_a_list(experiment: Experiment) -> None:
    experiment.params.set(betas=(0.9, 0.999))
    assert experiment.params.get("betas") == [0.9, 0.999]


def test_an_empty_dict_stays_visible(experiment: Experiment) -> None:
    experiment.params.set(extra={}, model={"head": {}})
    assert experiment.params.get() == {"extra": {}, "model.head": {}}
    assert experiment.params.get(flatten=False) == {"extra": {}, "model": {"head": {}}}


@pytest.mark.parametrize("key", ["a-b", "a b", "train/loss", "a..b", ".a", "a.", "", "self", "_x", "ключ"])
def test_a_key_of_any_characters_is_kept(experiment: Experiment, key: str) -> None:
    experiment.params.set(**{key: 1})
    assert experiment.params.get() == {key: 1}


def test_keys_that_are_no_text_become_text(experiment: Experiment) -> None:
    experiment.params.set(schedule={10: 0.1, None: 0.2, (1, 2): 0.3})
    assert experiment.params.get() == {"schedule.10": 0.1, "schedule.None": 0.2, "schedule.(1, 2)": 0.3}


def test_a_value_replaces_the_subtree_below_it(experiment: Experiment) -> None:
    experiment.params.set(a={"x": 1, "y": {"z": 2}}, ab=0)
    experiment.params.set(a=3)
    assert experiment.params.get() == {"ab": 0, "a": 3}
    assert experiment.params.get(flatten=False) == {"ab": 0, "a": 3}


def test_a_subtree_replaces_the_value_above_it(experiment: Experiment) -> None:
    experiment.params.set(a=3)
    experiment.params.set(**{"a.x.y": 1})
    assert experiment.params.get() == {"a.x.y": 1}
    assert experiment.params.get(flatten=False) == {"a": {"x": {"y": 1}}}


def test_of_keys_that_exclude_each_other_in_one_call_the_later_one_counts(experiment: Experiment) -> None:
    experiment.params.set({"a.x": 1, "a": 2}, **{"a.x": 3})
    experiment.params.set({"b.x": 1, "b": {"x.y": 2, "x": 3}})
    assert experiment.params.get() == {"a.x": 3, "b.x": 3}


def test_a_value_without_a_plain_form_becomes_its_text_and_costs_no_earlier_parameter(experiment: Experiment) -> None:
    class Obscure:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

    experiment.params.set(lr=0.1)
    experiment.params.set(odd=Obscure(), sink=sys.stdout, name="x")
    found = experiment.params.get()
    assert (found["lr"], found["name"]) == (0.1, "x")
    assert "Obscure" in found["odd"]
    assert "TextIO" in found["sink"] or "EncodedFile" in found["sink"]


def test_numpy_scalars_and_arrays_become_plain_numbers(experiment: Experiment) -> None:
    numpy = pytest.importorskip("numpy")
    experiment.params.set(lr=0.1)
    experiment.params.set(seed=numpy.int64(7), scale=numpy.float32(0.5), mean=numpy.array([1.0, 2.0]))
    assert experiment.params.get() == {"lr": 0.1, "seed": 7, "scale": 0.5, "mean": [1.0, 2.0]}


def test_a_file_given_as_a_parameter_stays_usable(experiment: Experiment, tmp_path: Path) -> None:
    with open(tmp_path / "notes.txt", "w") as file:
        experiment.params.set(file=file, options={"log": file})
        file.write("still open")
    assert (tmp_path / "notes.txt").read_text() == "still open"


def test_what_is_changed_after_the_call_is_not_recorded(experiment: Experiment) -> None:
    layers = [1, 2]
    experiment.params.set(layers=layers)
    layers.append(3)
    assert experiment.params.get("layers") == [1, 2]


@pytest.mark.parametrize("source", [3, "lr", None, [1, 2], object, len])
def test_a_source_without_names_is_refused_with_the_way_to_give_one(experiment: Experiment, source: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"params\.set\(lr=0\.001\)"):
        experiment.params.set(source)
    assert experiment.params.get() == {}


def test_threads_and_handles_merge_their_parameters(experiment: Experiment, tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=tmp_path).run as other:
        threads = [
            threading.Thread(target=handle.params.set, kwargs={f"key{number}": number})
            for number, handle in enumerate([experiment, other] * 8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        experiment.flush()
        assert other.params.get() == experiment.params.get() == {f"key{number}": number for number in range(16)}


# --- get ----------------------------------------------------------------------------------------------------


def test_one_value_is_had_by_its_key_and_a_group_by_the_key_above_it(experiment: Experiment) -> None:
    experiment.params.set(lr=0.1, model={"depth": 50, "head": {"width": 8}})
    assert experiment.params.get("lr") == 0.1
    assert experiment.params.get("model.depth") == 50
    assert experiment.params.get("model") == {"depth": 50, "head": {"width": 8}}


def test_a_key_that_is_not_there_gives_the_default(experiment: Experiment) -> None:
    experiment.params.set(model={"depth": 50})
    assert experiment.params.get("mod", "default") == "default"
    assert experiment.params.get("model.depth.x") is None


def test_flatten_may_be_given_by_position(experiment: Experiment) -> None:
    experiment.params.set(model={"depth": 50})
    assert experiment.params.get(True) == {"model.depth": 50}
    assert experiment.params.get(False) == {"model": {"depth": 50}}


def test_an_answer_can_be_changed_without_changing_the_parameters(experiment: Experiment) -> None:
    experiment.params.set(layers=[1, [2]], extra={})
    for answer in (experiment.params.get(), experiment.params.get(flatten=False)):
        answer["layers"][1].append(3)
        answer["extra"]["x"] = 1
        answer["new"] = True
    experiment.params.get("layers").append(4)
    assert experiment.params.get() == {"layers": [1, [2]], "extra": {}}


def test_a_kept_builder_reads_on_after_the_end_but_records_no_more(tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=tmp_path).run as experiment:
        params = experiment.params.set(a=1)
    assert params.get() == {"a": 1}
    with pytest.raises(ExperimentError, match="not started"):
        params.set(a=2)
    with experiment.run:
        assert params.set(b=2).get() == {"a": 1, "b": 2}


# --- history ------------------------------------------------------------------------------------------------


def test_every_change_of_a_parameter_stays_in_history(experiment: Experiment) -> None:
    for lr in (0.1, 0.01, 0.01):
        experiment.params.set(lr=lr, other=1)
    history = experiment.params.history("lr")
    assert [value for _, _, value in history] == [0.1, 0.01, 0.01]
    assert [seq for seq, _, _ in history] == sorted({seq for seq, _, _ in history})
    assert all(moment.tzinfo is not None for _, moment, _ in history)


def test_history_names_the_event_that_set_the_value(experiment: Experiment, tmp_path: Path) -> None:
    experiment.log("before")
    experiment.params.set(lr=0.1)
    [(seq, moment, _)] = experiment.params.history("lr")
    event = next(event for event in ml_dash.events(PREFIX, dash_root=tmp_path) if event.seq == seq)
    assert (event.type, event.data, event.time) == ("params.set", {"params": {"lr": 0.1}}, moment)


def test_the_history_of_a_group_shows_what_stood_below_it(experiment: Experiment) -> None:
    experiment.params.set(model={"depth": 50})
    experiment.params.set(model={"width": 8})
    experiment.params.set(lr=1)
    experiment.params.set(model="resnet")
    values = [value for _, _, value in experiment.params.history("model")]
    assert values == [{"depth": 50}, {"depth": 50, "width": 8}, "resnet"]
    assert [value for _, _, value in experiment.params.history("model.depth")] == [50]


def test_history_goes_over_sessions(tmp_path: Path) -> None:
    for lr in (1, 2):
        with Experiment(PREFIX, dash_root=tmp_path).run as experiment:
            experiment.params.set(lr=lr)
            history = experiment.params.history("lr")
    assert [value for _, _, value in history] == [1, 2]


# --- flatten_dict, unflatten_dict ---------------------------------------------------------------------------


def test_flatten_dict_and_unflatten_dict_are_each_others_inverse() -> None:
    nested = {"a": {"b": 1, "c": {"d": [1, {"e": 2}]}}, "f": None, "g": {}}
    flat = {"a.b": 1, "a.c.d": [1, {"e": 2}], "f": None, "g": {}}
    assert ParametersBuilder.flatten_dict(nested) == flat
    assert ParametersBuilder.unflatten_dict(flat) == nested


def test_flatten_dict_takes_a_parent_key_and_a_separator() -> None:
    assert ParametersBuilder.flatten_dict({"a": {"b": 1}}, "top", sep="/") == {"top/a/b": 1}
    assert ParametersBuilder.unflatten_dict({"top/a.b": 1}, sep="/") == {"top": {"a.b": 1}}


def test_unflatten_dict_leaves_the_dicts_of_the_caller_alone() -> None:
    own: dict[str, Any] = {}
    assert ParametersBuilder.unflatten_dict({"a": own, "a.b": 1}) == {"a": {"b": 1}}
    assert own == {}


def test_a_dict_a_thousand_levels_deep_is_flattened() -> None:
    nested: dict[str, Any] = {"leaf": 1}
    for _ in range(900):
        nested = {"k": nested}
    [(key, value)] = ParametersBuilder.flatten_dict(nested).items()
    assert (key.count("."), value) == (900, 1)


def test_a_value_a_thousand_deep_is_read_back(experiment: Experiment, tmp_path: Path) -> None:
    value: Any = 1
    for depth in range(1500):
        value = [value] if depth % 2 else {"a": value}
    experiment.params.set(deep=[value])
    live = experiment.params.get()["deep"]
    [(_, _, past)] = experiment.params.history("deep")
    stored = ml_dash.load(PREFIX, dash_root=tmp_path).params["deep"]
    for found in (live, past, stored, experiment.params.get("deep")):
        levels, [found] = 0, found
        while found != 1:
            found = found["a"] if isinstance(found, dict) else found[0]
            levels += 1
        assert levels == 1500


def test_what_is_read_may_be_changed_and_the_state_stays(experiment: Experiment) -> None:
    experiment.params.set(layers=[{"width": [1, 2]}])
    experiment.params.get()["layers"][0]["width"].append(3)
    experiment.params.get("layers").append(4)
    assert experiment.params.get("layers") == [{"width": [1, 2]}]
