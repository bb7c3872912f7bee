"""Forms of odd objects, and that no object at all makes the value policy raise."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import orjson
import pytest

from ml_dash.facts import value_forms, values
from ml_dash.facts.values import from_plain, to_plain

from .sameness import same
from .value_examples import Opaque, Tensor, Unspeakable, nested, through_json

# --- forms --------------------------------------------------------------------------------------------------


def test_plain_values_are_new_containers_without_tags() -> None:
    inner: list[Any] = [1]
    value = {"a": inner, "b": None}
    plain, tags = to_plain(value)
    inner.append(2)
    value["c"] = 1
    assert plain == {"a": [1], "b": None}
    assert tags == []


def test_a_row_keeps_its_length_and_a_payload_its_keys() -> None:
    row = [object(), float("nan"), Unspeakable(), (i for i in ()), "a"]
    assert len(to_plain(row)[0]) == 5
    assert list(to_plain(dict(zip("abcde", row, strict=True)))[0]) == list("abcde")


def test_a_generator_is_not_consumed() -> None:
    generator = (number for number in range(3))
    to_plain({"a": generator, "b": map(str, generator), "c": iter(generator)})
    assert list(generator) == [0, 1, 2]


def test_a_builtin_subclass_is_asked_nothing() -> None:
    class Liar(dict):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[Any]:
            raise AssertionError

        keys = items = values = __getitem__ = __len__ = __repr__ = __str__ = __iter__  # type: ignore[assignment]

    class Words(str):
        def __str__(self) -> str:
            raise AssertionError

        encode = isascii = replace = __repr__ = __len__ = __str__  # type: ignore[assignment]

    class Things(list):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[Any]:
            raise AssertionError

        copy = __len__ = __repr__ = __iter__  # type: ignore[assignment]

    plain, tags = to_plain([Words("é"), Things([1])])
    assert (plain, tags) == (["é", [1]], [])
    assert type(plain[0]) is str
    assert type(plain[1]) is list
    assert to_plain([Liar(a=1)])[1][0][1] == "repr"


@pytest.mark.parametrize("value", [Counter("aab"), defaultdict(list, a=2, b=1), OrderedDict(a=2, b=1)])
def test_subclasses_of_dict_become_dicts(value: dict[str, int]) -> None:
    assert same(through_json(value)[2], dict(value))


def test_numpy_scalars_of_every_type_have_a_form() -> None:
    for kind in {*map(np.dtype, np.sctypeDict.values())} - {np.dtype("M8")} | {np.dtype("M8[ns]")}:
        plain, tags = to_plain([np.zeros(1, dtype=kind)[0], np.zeros(2, dtype=kind), np.zeros((), dtype=kind)])
        assert "repr" not in {tag[1] for tag in tags}, (kind, plain)
        orjson.dumps(plain)


def test_an_array_of_objects_that_holds_itself_is_a_cycle() -> None:
    value = np.empty(1, dtype=object)
    value[0] = value
    assert to_plain([value]) == ([["<cycle>"]], [[[0, 0], "repr", "numpy.ndarray"]])


def test_one_object_in_two_places_is_no_cycle() -> None:
    shared = [1]
    assert to_plain({"a": shared, "b": [shared, shared]}) == ({"a": [1], "b": [[1], [1]]}, [])
    assert to_plain([shared, [[shared]], shared]) == ([[1], [[[1]]], [1]], [])
    assert to_plain([[[shared]], shared]) == ([[[[1]]], [1]], [])


def test_tensors_are_read_by_whichever_way_they_offer() -> None:
    class OnlyItem:
        def item(self) -> float:
            return 0.5

    class OnlyNumpy:
        def numpy(self) -> Any:
            return np.ones(2, dtype="float32")

    class NeedsGradient:
        shape = (2,)

        def tolist(self) -> list[float]:
            raise RuntimeError("needs its gradient")

        def numpy(self) -> Any:
            raise RuntimeError("needs its gradient")

        def detach(self) -> Tensor:
            return Tensor([0.5, 1.5])

    class Endless:
        def item(self) -> Endless:
            return self

    assert to_plain([OnlyItem(), OnlyNumpy(), NeedsGradient()]) == ([0.5, [1.0, 1.0], [0.5, 1.5]], [])
    assert to_plain([Endless()])[1][0][1] == "repr"


def test_a_large_tensor_is_described_without_being_read() -> None:
    class Large:
        shape = (2, value_forms.OBJECT_ITEMS_MAX)
        was_read = False

        def tolist(self) -> list[Any]:
            self.was_read = True
            return []

    tensor = Large()
    assert to_plain([tensor])[1][0][1] == "repr"
    assert not tensor.was_read


def test_a_collection_that_changes_while_it_is_read_is_read_again() -> None:
    class Restless(UserDict[str, int]):
        patience = 3

        def __iter__(self) -> Iterator[str]:
            self.patience -= 1
            if self.patience > 0:
                raise RuntimeError("dictionary changed size during iteration")
            return super().__iter__()

        def __getitem__(self, key: str) -> int:
            self.patience -= 1
            if self.patience == -1:
                raise KeyError(key)
            return self.data[key]

    restless = Restless()
    restless.data.update(a=1, b=2)
    assert to_plain([restless]) == ([{"a": 1, "b": 2}], [])


def test_a_mock_that_answers_to_every_name_is_described() -> None:
    plain, tags = to_plain([MagicMock(name="m", spec=["item"])])
    assert "MagicMock" in plain[0]
    assert tags[0][1] == "repr"


# --- never raises -------------------------------------------------------------------------------------------


class Growing(UserDict[str, Any]):
    """Makes up a new mapping whenever it is asked for what it holds."""

    def __getitem__(self, key: str) -> Any:
        return Growing({"more": 1})


class Rambling:
    def __repr__(self) -> str:
        return "\ud800" * 10_000


@dataclass
class Recursive:
    inner: Any = field(default=None)


def recursive_dataclass() -> Recursive:
    value = Recursive()
    value.inner = [value]
    return value


def hostile_values() -> list[Any]:
    """What even a test runner may not look at: made where it is needed."""

    def refuse(self: Any, *arguments: Any) -> Any:
        raise RuntimeError(*arguments)

    names = "__getattribute__ __repr__ __str__ __hash__ __len__ __iter__ __fspath__ __float__ __bool__ __eq__".split()
    members = {**dict.fromkeys(names, refuse), "__class__": property(refuse)}
    refusing = type("Refusing", (), members)
    metaclass = type("Metaclass", (type,), {**members, "__instancecheck__": refuse, "__subclasscheck__": refuse})
    refusing_type = metaclass("RefusingType", (), {})
    return [
        refusing(),
        refusing,
        type.__call__(refusing_type),
        refusing_type,
        Growing({"more": 1}),
        Rambling(),
        recursive_dataclass(),
        Decimal("sNaN"),
        Fraction(10**5000, 3),
        {10**5000: 1, Unspeakable(): 2},
        memoryview(b"abc")[::2],
        type("A", (), {"__module__": 7})(),
        np.array([Unspeakable(), None], dtype=object),
    ]


def test_a_hostile_object_is_said_somehow() -> None:
    for value in hostile_values():
        for each in (value, [value], {"a": {"b": value}}, (value,), nested_around(value, 80)):
            plain, tags = to_plain(each)
            text = orjson.dumps([plain, tags])
            assert len(text) < 200_000
            from_plain(*orjson.loads(text))


def nested_around(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def test_a_value_of_few_lists_and_endlessly_many_items_is_cut() -> None:
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    plain, tags = to_plain({"name": "a", "fields": {"x": value, "y": 1}})
    assert plain["name"] == "a"
    assert plain["fields"]["y"] == 1
    assert {tag[1] for tag in tags} == {"repr"}


def test_a_value_larger_than_the_bound_is_described_and_its_neighbours_stay() -> None:
    plain, tags = to_plain({"big": [0] * (values.ITEMS_MAX + 1), "small": [1]})
    assert plain["small"] == [1]
    assert plain["big"].startswith("[0, 0")
    assert tags == [[["big"], "repr", "builtins.list"]]


def test_near_the_end_of_the_stack_nothing_is_raised() -> None:
    refused: list[int] = []
    found: list[Any] = []

    def descend(level: int) -> int:
        try:
            deepest = descend(level + 1)
        except RecursionError:
            return level
        try:
            found.append(to_plain({"a": [Decimal(1), Opaque(), nested(100)]}))
        except RecursionError:
            refused.append(deepest - level)
        return deepest

    descend(0)
    assert max(refused, default=0) <= 12
    plain, tags = found[0]
    assert plain["a"].endswith("no stack left>")
    assert tags == [[["a"], "repr", "object"]]
    assert found[-1] == to_plain({"a": [Decimal(1), Opaque(), nested(100)]})


def test_tuples_that_are_keys_come_back_down_to_their_bound() -> None:
    key: Any = "end"
    for _ in range(values.KEY_DEPTH_MAX):
        key = (key, 1)
    assert same(through_json({key: 1})[2], {key: 1})
    for _ in range(3000):
        key = (key,)
    [(restored, value)] = through_json({key: 1})[2].items()
    assert value == 1
    assert "repr" in {tag[1] for tag in to_plain({key: 1})[1]}
    assert isinstance(restored, tuple)


def test_a_dict_that_another_thread_changes_is_said_somehow() -> None:
    shared: dict[Any, Any] = {"a": 1}
    mapping = UserDict(shared)
    ordered = OrderedDict(shared)
    queue = deque([1])
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for container in (shared, mapping.data, ordered):
                container[number % 50] = [number]
                container.pop((number * 7) % 50, None)
            queue.append(number)
            if len(queue) > 100:
                queue.clear()

    thread = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(300):
            orjson.dumps(to_plain({"shared": shared, "rest": [mapping, ordered, queue, shared.values()]}))
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_an_interrupt_goes_through() -> None:
    class Interrupting:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        to_plain([Interrupting()])


def test_nothing_is_imported_to_recognise_a_value() -> None:
    script = (
        "import sys; from ml_dash.facts.values import to_plain; to_plain([1, {'a': (2,)}, object()]);"
        "assert not {'numpy', 'pandas', 'torch', 'decimal', 'uuid', 'fractions', 'pathlib'} & set(sys.modules), 1"
    )
    subprocess.run([sys.executable, "-S", "-c", script], check=True, timeout=60)
