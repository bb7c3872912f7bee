"""Any value comes back as it was or in its plain form, and none makes the policy raise."""

from __future__ import annotations

import enum
from collections import ChainMap, UserDict, UserList, deque
from contextlib import suppress
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from ml_dash.facts.values import from_plain, to_plain

from ..sameness import same
from .value_strategies import EXACT, EXACT_LEAVES, JSON, TEXTS, wrapped


def through_json(value: Any) -> Any:
    return from_plain(*orjson.loads(orjson.dumps(to_plain(value))))


@given(EXACT)
def test_what_python_and_json_share_comes_back_exactly(value: Any) -> None:
    assert same(through_json(value), value)


@given(EXACT)
def test_plain_values_are_shallow_and_tags_lie_outside(value: Any) -> None:
    plain, tags = to_plain(value)
    depth, layer = 0, [plain]
    while layer := [
        child
        for each in layer
        if isinstance(each, (list, dict))
        for child in (each.values() if isinstance(each, dict) else each)
    ]:
        depth += 1
    assert depth <= 64 + 2 + 8
    for path, *_ in tags:
        place = plain
        for step in path:
            place = place[step]
    assert len({orjson.dumps(path) for path, *_ in tags}) == len(tags)


class Colour(enum.Enum):
    RED = "red"
    ODD = object()


class Raising:
    """Raises, from its repr or from what makes it look like something it is not."""

    def __init__(self, error: type[Exception], names: list[str]) -> None:
        self._error, self._names = error, names

    def __getattr__(self, name: str) -> Any:
        raise self._error(name)

    def __repr__(self) -> str:
        raise self._error


def raising(error: type[Exception], names: list[str]) -> Any:
    def refuse(self: Any, *arguments: Any) -> Any:
        raise error

    return type("Raising", (), {**dict.fromkeys(names, refuse), "__repr__": refuse})()


MEMBERS = "__fspath__ tolist item detach numpy shape keys __len__ __iter__ __getitem__ model_dump model_fields".split()
ODD_LEAVES = (
    EXACT_LEAVES
    | st.builds(
        raising, st.sampled_from([ValueError, RecursionError, MemoryError, KeyError]), st.sets(st.sampled_from(MEMBERS))
    )
    | st.sampled_from([*Colour, object(), len, Colour, Raising, ..., range(3), slice(1), iter([]), (i for i in ())])
    | st.builds(
        lambda dtype, value: np.dtype(dtype).type(value), st.sampled_from("?bBhHiIqQefdgFDG"), st.integers(0, 1)
    )
    | st.builds(
        lambda dtype, shape: np.zeros(shape, dtype), st.sampled_from("?bHqefdgDGOUSV"), st.sampled_from([(), 0, (2, 1)])
    )
    | st.builds(np.float32, st.floats(width=32))
    | st.builds(
        lambda number, unit: np.datetime64(number, unit),
        st.integers(-(2**62), 2**62),
        st.sampled_from("Y M D h m s us ns".split()),
    )
)


def containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(values, max_size=3)
    dicts = st.dictionaries(TEXTS | st.integers() | st.sampled_from([*Colour, PurePosixPath("a")]), values, max_size=3)
    return (
        lists
        | dicts
        | st.builds(tuple, lists)
        | st.builds(deque, lists)
        | st.builds(UserList, lists)
        | st.builds(UserDict, dicts)
        | st.builds(ChainMap, dicts)
        | st.builds(lambda value: SimpleNamespace(a=value), values)
        | st.builds(object_array, lists)
        | st.builds(wrapped, values, st.integers(1, 80))
        | st.builds(looped, lists)
        | st.sets(EXACT_LEAVES, max_size=3)
        | st.frozensets(EXACT_LEAVES, max_size=3)
    )


def object_array(values: list[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value
    return array


def looped(values: list[Any]) -> list[Any]:
    values.append(values)
    return values


@given(st.recursive(ODD_LEAVES, containers, max_leaves=10))
@example(np.longdouble("1e4000"))
def test_no_value_makes_the_policy_raise_and_its_plain_form_is_stable(value: Any) -> None:
    restored = through_json(value)
    assert same(through_json(restored), restored)


PATHS = st.lists(st.integers(-1, 3) | st.text(max_size=2) | JSON, max_size=3)
KINDS = st.sampled_from(
    "nan inf -inf int surrogates bytes complex datetime date time timedelta items deep repr x".split()
)
TAGS = st.lists(st.tuples(PATHS, KINDS, JSON).map(list) | st.tuples(PATHS, KINDS).map(list) | JSON, max_size=4)


@given(JSON, TAGS)
def test_tags_of_any_form_fit_or_are_a_value_error(plain: Any, tags: Any) -> None:
    before = orjson.dumps(plain)
    with suppress(ValueError):
        from_plain(plain, tags)
    assert orjson.dumps(plain) == before
