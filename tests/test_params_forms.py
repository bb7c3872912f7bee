"""What can be given as parameters, and which keys it becomes."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import logging
import subprocess
import sys
import threading
import types
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pydantic
import pytest
from omegaconf import OmegaConf
from params_proto import proto

from ml_dash.recording.param_forms import CYCLE, flatten, members


@dataclasses.dataclass
class Optimizer:
    lr: float = 0.1
    betas: list[float] = dataclasses.field(default_factory=lambda: [0.9, 0.999])


@dataclasses.dataclass(frozen=True, slots=True)
class Training:
    epochs: int
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)


@attrs.define
class AttrsConfig:
    epochs: int
    lr: float = 0.1
    tags: list[str] = attrs.field(factory=list)


class PydanticConfig(pydantic.BaseModel):
    epochs: int
    optimizer: Optimizer = Optimizer()
    token: pydantic.SecretStr = pydantic.SecretStr("hunter2")
    internal: int = pydantic.Field(default=1, exclude=True)


class Base:
    seed = 3
    lr = 1.0


class Plain(Base):
    lr = 0.1
    path = Path("/data")
    _private = "hidden"
    kind: int

    # This is how simulators write their configurations.
    class env:
        num_envs = 4096

        class noise:
            level = 0.5

    def method(self) -> None: ...

    @property
    def doubled(self) -> float:
        raise AssertionError("a property is no parameter")

    @staticmethod
    def static() -> None: ...

    @classmethod
    def factory(cls) -> None: ...


class Instance(Base):
    def __init__(self) -> None:
        self.lr = 0.2
        self.name = "run"
        self._cache = object()
        self.nested = types.SimpleNamespace(a=1)


class Slots:
    __slots__ = ("_hidden", "a", "unset")

    def __init__(self) -> None:
        self.a = 1
        self._hidden = 2


class Talking:
    def __init__(self) -> None:
        self.lr = 0.1
        self.layers = [1, 2]

    def __repr__(self) -> str:
        return "Talking(lr=0.1)"


class Pretrained:
    """As the configurations of transformers: a repr of its own, `to_dict`, and attributes of all kinds."""

    def __init__(self) -> None:
        self.hidden_size = 8
        self.device = object()

    def to_dict(self) -> dict[str, Any]:
        return {}

    def __repr__(self) -> str:
        return "Pretrained {…}"


class LikeAMapping:
    """As ml_collections' ConfigDict, which is no Mapping."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def keys(self) -> Any:
        return self._fields.keys()

    def items(self) -> Any:
        return self._fields.items()

    def __iter__(self) -> Any:
        return iter(self._fields)

    def __getitem__(self, key: str) -> Any:
        return self._fields[key]


@proto
class ProtoConfig(Base):
    lr: float = 0.1
    epochs: int = 3

    def method(self) -> None: ...


@proto.cli
def configured(lr: float = 0.1, epochs: int = 3) -> None: ...


Point = namedtuple("Point", "x y")
OPTIMIZER = {"lr": 0.1, "betas": [0.9, 0.999]}

FORMS: list[tuple[str, Any, dict[str, Any]]] = [
    ("dict", {"a": {"b": 1}}, {"a.b": 1}),
    ("ordered dict", OrderedDict(a=1), {"a": 1}),
    ("defaultdict", defaultdict(int, a=1), {"a": 1}),
    ("any Mapping", UserDict(a=UserDict(b=1)), {"a.b": 1}),
    ("like a mapping", LikeAMapping(a=LikeAMapping(b=1)), {"a.b": 1}),
    ("dataclass", Optimizer(), OPTIMIZER),
    ("dataclass with slots", Training(5), {"epochs": 5, "optimizer.lr": 0.1, "optimizer.betas": [0.9, 0.999]}),
    ("dataclass class", Optimizer, OPTIMIZER),
    ("class with a field without default", Training, {"optimizer.lr": 0.1, "optimizer.betas": [0.9, 0.999]}),
    ("attrs", AttrsConfig(5), {"epochs": 5, "lr": 0.1, "tags": []}),
    ("attrs class", AttrsConfig, {"lr": 0.1, "tags": []}),
    ("Namespace", argparse.Namespace(a=argparse.Namespace(b=1), c=2), {"a.b": 1, "c": 2}),
    ("SimpleNamespace", types.SimpleNamespace(a=1), {"a": 1}),
    ("named tuple", Point(1, 2), {"x": 1, "y": 2}),
    (
        "plain class with inherited attributes and nested classes",
        Plain,
        {"seed": 3, "lr": 0.1, "path": Path("/data"), "env.num_envs": 4096, "env.noise.level": 0.5},
    ),
    ("instance", Instance(), {"seed": 3, "lr": 0.2, "name": "run", "nested.a": 1}),
    ("instance with slots", Slots(), {"a": 1}),
    ("instance with a repr and plain attributes", Talking(), {"lr": 0.1, "layers": [1, 2]}),
    ("params-proto class", ProtoConfig, {"seed": 3, "lr": 0.1, "epochs": 3}),
    ("params-proto instance", ProtoConfig(), {"seed": 3, "lr": 0.1, "epochs": 3}),
    ("params-proto function", configured, {"lr": 0.1, "epochs": 3}),
]


@pytest.mark.parametrize(("value", "expected"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS])
def test_what_holds_named_values_is_opened(value: Any, expected: dict[str, Any]) -> None:
    assert flatten(value) == expected
    assert flatten({"cfg": value}) == {f"cfg.{key}": inner for key, inner in expected.items()}


def test_a_pydantic_model_is_opened_without_what_it_excludes_or_hides() -> None:
    flat = flatten(PydanticConfig(epochs=3))
    assert {key: flat[key] for key in flat if key != "token"} == {
        "epochs": 3,
        "optimizer.lr": 0.1,
        "optimizer.betas": [0.9, 0.999],
    }
    assert "hunter2" not in str(flat["token"])
    assert set(flatten(PydanticConfig)) == {"optimizer.lr", "optimizer.betas", "token"}


def test_an_assignment_to_a_params_proto_class_counts() -> None:
    @proto
    class Config:
        lr: float = 0.1

    Config.lr = 0.5
    assert flatten(Config) == {"lr": 0.5}


def test_params_proto_of_version_2_is_opened() -> None:
    # It reads the command line when a class is made.
    script = (
        "from params_proto.v2 import ParamsProto, Proto\n"
        "from ml_dash.recording.param_forms import flatten\n"
        "class Args(ParamsProto):\n"
        "    lr = Proto(0.3, help='learning rate')\n"
        "    epochs: int = 3\n"
        "class More(Args):\n"
        "    seed = 7\n"
        "Args.lr = 0.5\n"
        "print(flatten(Args), sorted(flatten(More()).items()))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "{'lr': 0.5, 'epochs': 3} [('epochs', 3), ('lr', 0.5), ('seed', 7)]\n"


def test_omegaconf_values_are_resolved_and_those_that_cannot_be_stand_as_they_are_written() -> None:
    config = OmegaConf.create(
        {"a": {"lr": 0.1, "same": "${a.lr}", "missing": "???", "lost": "${nowhere}"}, "l": [1, 2]}
    )
    flat = flatten(config)
    assert list(flat.pop("l")) == [1, 2]
    assert flat == {"a.lr": 0.1, "a.same": 0.1, "a.missing": "???", "a.lost": "${nowhere}"}


def test_a_mapping_whose_items_fail_loses_only_those() -> None:
    class Failing(UserDict[str, int]):
        def __getitem__(self, key: str) -> int:
            if key == "bad":
                raise RuntimeError("gone")
            return super().__getitem__(key)

    assert flatten(Failing(good=1, bad=2)) == {"good": 1, "bad": "<RuntimeError>"}


def test_objects_inside_lists_are_opened_in_place() -> None:
    assert flatten({"layers": [Talking(), {"x": Talking()}, (1, Slots())]}) == {
        "layers": [{"lr": 0.1, "layers": [1, 2]}, {"x": {"lr": 0.1, "layers": [1, 2]}}, [1, {"a": 1}]]
    }


def test_a_class_that_is_only_referred_to_is_its_name() -> None:
    class Config:
        optimizer = Optimizer

    assert flatten(Config) == {"optimizer": f"{__name__}.Optimizer"}


def test_a_configuration_with_a_repr_of_its_own_is_opened_if_it_can_say_itself_as_a_dict() -> None:
    assert set(flatten(Pretrained())) == {"hidden_size", "device"}


class Speaking:
    """A configuration with a repr of its own and an attribute that is no plain data."""

    def __init__(self) -> None:
        self.lr = 0.1
        self.device = object()

    def __repr__(self) -> str:
        return "Speaking(lr=0.1)"


def test_an_object_with_a_repr_of_its_own_is_opened_where_it_is_given_as_the_parameters() -> None:
    assert set(flatten(Speaking())) == {"lr", "device"}
    assert list(flatten({"cfg": Speaking()})) == ["cfg"]


class Color(enum.Enum):
    RED = 1


def generator() -> Any:
    yield 1


class CallableObject:
    def __init__(self) -> None:
        self.weight = 1

    def __call__(self) -> None: ...


class OptimizerAtWork:
    def __init__(self) -> None:
        self.param_groups = [{"lr": 0.1}]

    def state_dict(self) -> dict[str, Any]:
        return {}


class WithSelf:
    def __init__(self) -> None:
        self.me = self
        self.lr = 0.1


VALUES: list[Callable[[], Any]] = [
    lambda: 3,
    lambda: "text",
    lambda: Path("/x"),
    lambda: Color.RED,
    lambda: Color,
    lambda: int,
    lambda: len,
    lambda: object(),
    lambda: ValueError("x"),
    lambda: sys,
    lambda: sys.stdout,
    lambda: threading.Lock(),
    lambda: threading.current_thread(),
    lambda: logging.getLogger("x"),
    lambda: argparse.ArgumentParser(),
    lambda: generator(),
    lambda: CallableObject(),
    lambda: OptimizerAtWork(),
    lambda: {1, 2},
    lambda: [1, 2],
]


@pytest.mark.parametrize("make", VALUES)
def test_a_value_and_a_thing_at_work_are_not_opened(make: Callable[[], Any]) -> None:
    value = make()
    assert members(value) is None
    assert list(flatten({"v": value})) == ["v"]


def test_what_contains_itself_is_cut() -> None:
    loop: dict[str, Any] = {"x": 1}
    loop["again"] = {"deeper": loop}
    items: list[Any] = [loop]
    items.append(items)
    assert flatten(loop) == {"x": 1, "again.deeper": CYCLE}
    assert flatten({"l": items}) == {"l": [{"x": 1, "again": {"deeper": CYCLE}}, CYCLE]}
    assert flatten(WithSelf()) == {"me": CYCLE, "lr": 0.1}


def test_an_object_that_makes_up_another_one_whenever_it_is_asked_comes_to_an_end() -> None:
    class Endless:
        __slots__ = ("_depth",)

        def keys(self) -> list[str]:
            return ["deeper"]

        def items(self) -> list[tuple[str, Any]]:
            return [("deeper", Endless())]

        def __iter__(self) -> Any:
            return iter(["deeper"])

        def __getitem__(self, key: str) -> Any:
            return Endless()

    assert len(flatten(Endless())) == 1
