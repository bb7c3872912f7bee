"""The flat and the nested view of parameters never disagree, for any sequence of sets."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ml_dash import Experiment
from ml_dash.recording.param_forms import flatten, unflatten
from ml_dash.state.parameters import Parameters

from ..examples import examples

# Few and short, so that keys meet, contain each other, and are empty.
parts = st.sampled_from(["a", "b", "c", "", "a b"])
dotted = st.lists(parts, min_size=1, max_size=3).map(".".join)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.lists(st.integers())
)
values = st.recursive(leaves, lambda inner: st.dictionaries(dotted, inner, max_size=3), max_leaves=6)
changes = st.dictionaries(dotted, values, max_size=3)


class Model:
    """What parameters are, said in the plainest way: a tree; each write replaces what stands in its way."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}

    def set(self, path: list[str], value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                self.set([*path, *key.split(".")], inner)
            return
        branch = self.tree
        for part in path[:-1]:
            if not isinstance(branch.get(part), Branch):
                branch[part] = Branch()
            branch = branch[part]
        branch[path[-1]] = value


class Branch(dict[str, Any]):
    """Told apart from a dict that is a value, which is always empty."""


def leaves_of(tree: dict[str, Any], above: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part, value in tree.items():
        key = part if above is None else f"{above}.{part}"
        found |= leaves_of(value, key) if isinstance(value, Branch) else {key: value}
    return found


def without_empty_branches(tree: dict[str, Any]) -> dict[str, Any]:
    """A branch whose last leaf has been replaced is no longer there."""
    return unflatten(leaves_of(tree))


def apply(model: Model, change: dict[str, Any]) -> None:
    for key, value in change.items():
        model.set(key.split("."), value)


@given(st.lists(changes, max_size=6))
def test_both_views_are_what_a_tree_says_after_any_sequence_of_sets(sequence: list[dict[str, Any]]) -> None:
    model, params = Model(), Parameters({})
    for change in sequence:
        apply(model, change)
        for key, value in flatten(change).items():
            params.set(key, value)
        assert params.flat == leaves_of(model.tree)
        assert unflatten(params.flat) == without_empty_branches(model.tree)
        assert flatten(unflatten(params.flat)) == params.flat


@examples(12)
@given(st.lists(changes, max_size=6))
def test_an_experiment_shows_both_views_of_that_tree(sequence: list[dict[str, Any]]) -> None:
    model = Model()
    with tempfile.TemporaryDirectory() as folder, Experiment("alice/ml/run", dash_root=Path(folder)).run as experiment:
        for change in sequence:
            experiment.params.set(change)
            apply(model, change)
            flat = experiment.params.get()
            assert flat == leaves_of(model.tree)
            assert experiment.params.get(flatten=False) == without_empty_branches(model.tree)
            assert {key: experiment.params.get(key) for key in flat} == flat


@given(st.recursive(leaves, lambda inner: st.dictionaries(parts, inner, max_size=3), max_leaves=10))
def test_unflatten_undoes_flatten(value: Any) -> None:
    nested = {"top": value}
    assert unflatten(flatten(nested)) == nested
    assert unflatten(flatten(nested, separator="/"), separator="/") == nested


class Anything:
    def __init__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)


objects = st.recursive(
    leaves | st.sampled_from([object(), len, int, Anything, float("nan")]),
    lambda inner: (
        st.dictionaries(st.text(max_size=2) | st.integers() | st.none(), inner, max_size=3)
        | st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.sampled_from(["x", "_y", "z"]), inner, max_size=3).map(Anything)
    ),
    max_leaves=8,
)


@examples(12)
@given(st.lists(st.dictionaries(st.text(max_size=3), objects, max_size=3), max_size=8))
def test_recording_any_object_never_raises_and_costs_no_earlier_parameter(sequence: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder, Experiment("alice/ml/run", dash_root=Path(folder)).run as experiment:
        expected = Parameters({})
        for number, params in enumerate(sequence):
            group = {f"group {number}": params}
            experiment.params.set(group)
            for key in flatten(group):
                expected.set(key, None)
            assert set(experiment.params.get()) == set(expected.flat)
            assert flatten(experiment.params.get(flatten=False)) == experiment.params.get()
