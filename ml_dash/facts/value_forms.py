"""What odd objects amount to: one step from any Python object towards str, number, list and dict.

`spec/values.md` is the table of these forms.  Nothing is imported to recognise an object: numpy, torch and the like are
known by the names of their types or by what their types can do.  Only what the *type* has counts: a mock or a lazy
module answers to any attribute of the instance.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MappingView, Sequence, Set
from dataclasses import fields
from datetime import date, datetime, time, timedelta
from enum import Enum
from itertools import islice
from math import prod
from reprlib import Repr
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from .value_leaves import LEAVES

TEXT_CHARACTERS_MAX = 1000
OBJECT_ITEMS_MAX = 1 << 20
"""Arrays, tables and foreign collections with more items become their repr: opening them would stop the training."""
SNAPSHOTS_MAX = 16


class NoFormError(Exception):
    """The policy has no form for a value: it becomes its repr."""


def simpler(value: Any) -> Any:
    """What `value`, of a type that values.py does not know, amounts to.  Raises NoFormError or what its code does."""
    kind = type(value)
    for base in kind.__mro__:
        form = _BY_TYPE.get(base)
        if form is None:
            form = _BY_NAME.get(f"{base.__module__}.{base.__qualname__}")
        if form is not None:
            return form(value)
    for members, form in _BY_MEMBER:
        if all(hasattr(kind, member) for member in members):
            return form(value)
    for interface, form in _BY_INTERFACE:
        if issubclass(kind, interface):
            return form(value)
    raise NoFormError


def describe(value: Any) -> str:
    """A bounded repr, whatever the object does when asked for it."""
    try:
        if isinstance(value, (type, FunctionType, BuiltinFunctionType, MethodType)):
            text = ".".join(filter(None, (value.__module__, value.__qualname__)))
        else:
            text = _REPR.repr(value)
        text = str.encode(text, "utf-8", "backslashreplace").decode()
        return text if len(text) <= TEXT_CHARACTERS_MAX else text[: TEXT_CHARACTERS_MAX - 1] + "…"
    except Exception as error:
        return f"<{type_name(value)}, whose repr raised {type_name(error)}>"


def type_name(value: Any) -> str:
    """`module.qualified_name` of the type, whatever its metaclass does."""
    kind = type(value)
    try:
        name = f"{type.__getattribute__(kind, '__module__')}.{type.__getattribute__(kind, '__qualname__')}"
        return name.encode("utf-8", "backslashreplace").decode()[:TEXT_CHARACTERS_MAX]
    except Exception:
        return "object"


def _bounded_repr() -> Repr:
    bounded = Repr()
    bounded.maxstring = bounded.maxother = TEXT_CHARACTERS_MAX
    bounded.maxlong = 100
    return bounded


_REPR = _bounded_repr()


def _enum(value: Enum) -> Any:
    inner = value.value
    if type(inner) in LEAVES or type(inner) in (list, dict):
        return inner
    try:
        return simpler(inner)
    except Exception:
        return value.name


def _tuple(value: tuple[Any, ...]) -> Any:
    names = getattr(type(value), "_fields", None)
    items = list(tuple.__iter__(value))
    return dict(zip(names, items, strict=True)) if isinstance(names, tuple) else items


def _set(value: Any) -> list[Any]:
    """Sorted where it can be, so that equal sets look equal."""
    items = _snapshot(value)
    try:
        return sorted(items)
    except Exception:
        return sorted(items, key=lambda item: (type_name(item), describe(item)))


def _snapshot(values: Any) -> list[Any]:
    """The items of a finite collection, also while another thread changes it."""
    count = len(values)
    if count > OBJECT_ITEMS_MAX and not isinstance(values, (set, frozenset)):
        raise NoFormError
    for _ in range(SNAPSHOTS_MAX):
        try:
            return list(islice(values, count))
        except RuntimeError:  # changed size during iteration
            count = len(values)
    raise NoFormError


def _mapping(value: Mapping[Any, Any]) -> dict[Any, Any]:
    for _ in range(SNAPSHOTS_MAX):
        try:
            return {key: value[key] for key in _snapshot(value)}
        except (KeyError, RuntimeError) as error:  # a key that was there is gone
            changed = error
    raise NoFormError from changed


def _datetime(value: datetime) -> datetime:
    moment = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
    return datetime(*moment, value.tzinfo, fold=value.fold)


def _pandas_datetime(value: Any) -> Any:
    return value.isoformat() if value.nanosecond else _datetime(value)


def _pandas_timedelta(value: Any) -> Any:
    return value.isoformat() if value.nanoseconds else _timedelta(value)


def _timedelta(value: timedelta) -> timedelta:
    return timedelta(value.days, value.seconds, value.microseconds)


def _pandas_table(value: Any) -> dict[Any, Any]:
    if value.size > OBJECT_ITEMS_MAX or not value.columns.is_unique:
        raise NoFormError
    return {name: value[name].tolist() for name in value.columns}


def _polars_table(value: Any) -> Any:
    if value.height * value.width > OBJECT_ITEMS_MAX:
        raise NoFormError
    return value.to_dict(as_series=False)


def _numpy_number(value: Any) -> Any:
    """Python's own number: the same value, except that of a long double it is the nearest one."""
    if value.dtype.kind in "Mm":
        return _numpy_moment(str(value))
    if value.dtype.kind == "c":
        return complex(float(value.real), float(value.imag))
    if value.dtype.kind == "f":
        return float(value)
    if value.dtype.names is not None:
        return {name: value[name] for name in value.dtype.names}
    return value.item()


def _numpy_moment(text: str) -> str | None:
    return None if text == "NaT" else text


def _numpy_array(value: Any) -> Any:
    if value.size > OBJECT_ITEMS_MAX:
        raise NoFormError
    if value.dtype.names is not None:
        return {name: value[name] for name in value.dtype.names}
    if value.ndim == 0:
        number = value[()]
        return value.tolist() if isinstance(number, type(value)) else number  # a masked one stays an array
    if value.dtype.kind in "Mm":  # in nanoseconds, `tolist` would give bare integers
        return _nested(value.astype(str).tolist(), value.ndim)
    return value.tolist()


def _nested(texts: Any, depth: int) -> Any:
    return [_nested(each, depth - 1) for each in texts] if depth else _numpy_moment(texts)


def _array_like(value: Any) -> Any:
    """Tensors of torch, jax, tensorflow, cupy, mlx…: an item where they have no dimensions, else nested lists."""
    shape = getattr(value, "shape", None)
    if shape is not None and prod(shape) > OBJECT_ITEMS_MAX:
        raise NoFormError
    is_scalar = shape is None or len(shape) == 0
    for step in _ARRAY_STEPS_SCALAR if is_scalar else _ARRAY_STEPS:
        try:
            nearer = step(value)
        except Exception:  # bfloat16 has no numpy form, a tensor that needs its gradient no direct one, …
            continue
        if type(nearer) is not type(value):
            return nearer
    raise NoFormError


_ARRAY_STEPS: tuple[Callable[[Any], Any], ...] = (
    lambda value: value.tolist(),
    lambda value: value.detach().cpu().numpy(),
    lambda value: value.numpy(),
)
_ARRAY_STEPS_SCALAR: tuple[Callable[[Any], Any], ...] = (lambda value: value.item(), *_ARRAY_STEPS)


def _instance_members(names: str) -> Callable[[Any], dict[str, Any]]:
    """The form of objects whose type lists its fields in `names`."""
    return lambda value: {field.name: getattr(value, field.name) for field in getattr(type(value), names)}


_BY_TYPE: dict[type, Callable[[Any], Any]] = {
    Enum: _enum,
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    complex: lambda value: complex(float(value.real), float(value.imag)),
    bytes: lambda value: b"".join((value, b"")),
    bytearray: bytes,
    memoryview: memoryview.tobytes,
    datetime: _datetime,
    date: lambda value: date(value.year, value.month, value.day),
    time: lambda value: time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold),
    timedelta: _timedelta,
    dict: dict.copy,
    list: list.copy,
    tuple: _tuple,
    set: _set,
    frozenset: _set,
}
_BY_NAME: dict[str, Callable[[Any], Any]] = {
    "decimal.Decimal": str,
    "fractions.Fraction": str,
    "uuid.UUID": str,
    "array.array": _snapshot,
    "collections.deque": _snapshot,
    "argparse.Namespace": lambda value: vars(value).copy(),
    "types.SimpleNamespace": lambda value: vars(value).copy(),
    "numpy.generic": _numpy_number,
    "numpy.ndarray": _numpy_array,
    "pandas._libs.missing.C_NAType": lambda _: None,
    "pandas._libs.tslibs.nattype._NaT": lambda _: None,
    "pandas._libs.tslibs.timestamps._Timestamp": _pandas_datetime,
    "pandas._libs.tslibs.timedeltas._Timedelta": _pandas_timedelta,
    "pandas.core.frame.DataFrame": _pandas_table,
    "pandas.DataFrame": _pandas_table,
    "polars.dataframe.frame.DataFrame": _polars_table,
    "polars.series.series.Series": _snapshot,
}
_BY_MEMBER: tuple[tuple[tuple[str, ...], Callable[[Any], Any]], ...] = (
    (("__dataclass_fields__",), lambda value: {field.name: getattr(value, field.name) for field in fields(value)}),
    (("__attrs_attrs__",), _instance_members("__attrs_attrs__")),
    (("model_dump", "model_fields"), lambda value: value.model_dump()),
    (("__fspath__",), lambda value: value.__fspath__()),
    (("tolist",), _array_like),
    (("detach", "cpu"), _array_like),
    (("numpy",), _array_like),
    (("item",), _array_like),
)
_BY_INTERFACE: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (Mapping, _mapping),
    (MappingView, _snapshot),
    (Set, _set),
    (Sequence, _snapshot),
)
