"""Objects that the examples of `spec/values.md` are made of, by name in EXAMPLES; and the way there and back."""

from __future__ import annotations

import enum
from argparse import Namespace
from array import array
from collections import ChainMap, OrderedDict, deque, namedtuple
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from importlib.util import find_spec
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import orjson

from ml_dash.facts.values import from_plain, to_plain

MISSING_LIBRARIES = {name for name, module in (("pd", "pandas"), ("pl", "polars")) if find_spec(module) is None}


class Text(str):
    pass


class Number(int):
    pass


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 2


class Opaque:
    def __repr__(self) -> str:
        return "<an opaque object>"


class Loss(enum.Enum):
    CUSTOM = Opaque()


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


class BrokenMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise RuntimeError("broken")

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "<a broken mapping>"


Pair = namedtuple("Pair", "left right")


@dataclass
class Point:
    x: int
    y: Any


class AttrsLike:
    """What attrs makes of a class, as far as we look."""

    __attrs_attrs__ = (SimpleNamespace(name="x"),)

    def __init__(self, x: int) -> None:
        self.x = x


class PydanticLike:
    """What a pydantic model can do, as far as we look."""

    model_fields = ("x",)

    def __init__(self, x: int) -> None:
        self.x = x

    def model_dump(self) -> dict[str, int]:
        return {"x": self.x}


class Tensor:
    """What a torch tensor that needs its gradient can do, as far as we look."""

    def __init__(self, values: Any) -> None:
        self._values = np.array(values)
        self.shape = self._values.shape

    def detach(self) -> Tensor:
        return self

    cpu = detach

    def item(self) -> Any:
        return self._values.item()

    def numpy(self) -> Any:
        return self._values


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def cyclic() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


NAMES = (
    *(Namespace, array, ChainMap, OrderedDict, deque, date, datetime, time, timedelta, timezone, Decimal, Fraction),
    *(PurePosixPath, SimpleNamespace, UUID, ZoneInfo),
    *(
        AttrsLike,
        BrokenMapping,
        Color,
        Level,
        Loss,
        Number,
        Opaque,
        Pair,
        Point,
        PydanticLike,
        Tensor,
        Text,
        Unspeakable,
    ),
    *(cyclic, nested),
)
EXAMPLES = {"np": np, **{each.__name__: each for each in NAMES}}
for _name, _module in (("pd", "pandas"), ("pl", "polars")):
    if _name not in MISSING_LIBRARIES:
        EXAMPLES[_name] = __import__(_module)


def through_json(value: Any) -> tuple[str, list[Any], Any]:
    """The JSON text and tags of a value, and what comes back from them."""
    plain, tags = to_plain(value)
    text = orjson.dumps([plain, tags])
    read, read_tags = orjson.loads(text)
    return orjson.dumps(plain).decode(), tags, from_plain(read, read_tags)
