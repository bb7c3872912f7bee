"""One field of many events, as JSON: a list of values in as few bytes as their type allows.

A column of `n` values stands in one of five forms.  Whatever the form, decoding gives back the same values of
the same types, bit for bit: NaN payloads and -0.0 included, and `1` never becomes `1.0`.

 1. a list                                        any values, any number of them; the only form below 16 values
 2. `{"same": value}`                             all values are the same
 3. `{"range": [first, step]}`                    integers that count up or down evenly
 4. `{"packed": dtype, "data": base64}`           numbers of one type, little-endian
 5. `{"delta": dtype, "first": n, "data": base64}`  integers whose differences fit a smaller type

`dtype` is one of `f4 f8 i1 i2 i4 i8 u1 u2 u4 u8`.  `f4` stands only for doubles that a 32-bit float holds exactly,
and is read back as doubles.  Floats that JSON cannot say stand as null in form 1, with a tag outside the column.

Pure: no I/O.
"""

from __future__ import annotations

import sys
from array import array
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from itertools import accumulate, islice
from operator import sub
from typing import Any

PACK_COUNT_MIN = 16
"""Shorter columns stay lists: they are what people read with `less`, and packing them saves nothing."""

_TYPECODES = {
    "f4": "f",
    "f8": "d",
    "i1": "b",
    "i2": "h",
    "i4": "i",
    "i8": "q",
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
}
_BYTES = {"f4": 4, "f8": 8, "i1": 1, "i2": 2, "i4": 4, "i8": 8, "u1": 1, "u2": 2, "u4": 4, "u8": 8}
_SIGNED = (("i1", 1 << 7), ("i2", 1 << 15), ("i4", 1 << 31), ("i8", 1 << 63))
_UNSIGNED = (("u1", 1 << 8), ("u2", 1 << 16), ("u4", 1 << 32), ("u8", 1 << 64))

Column = Sequence[Any]
"""What decoding gives: a list, a range or an array."""


def encode_column(values: Sequence[Any]) -> Any:
    """The JSON form of a column.  Non-finite floats stay floats inside form 1: the caller tags them."""
    if len(values) < PACK_COUNT_MIN:
        return list(values)
    kinds = set(map(type, values))
    if kinds == {float}:
        return _encode_floats(values)
    if kinds == {int}:
        return _encode_integers(values)
    # Only one type may count as "the same": 1 == True == 1.0, and they must not become each other.
    if len(kinds) == 1 and kinds <= {str, bool, type(None)} and values.count(values[0]) == len(values):
        return {"same": values[0]}
    return list(values)


def decode_column(column: Any, count: int) -> Column:
    """The values of a column.  Raises ValueError when it is none of the five forms, or not `count` long."""
    if isinstance(column, list):
        values: Column = column
    elif not isinstance(column, dict):
        raise ValueError(f"a column is a list or an object, not {type(column).__name__}")
    elif "packed" in column:
        values = _unpack(column["packed"], column["data"])
    elif "delta" in column:
        differences = _unpack(column["delta"], column["data"])
        values = list(accumulate(differences, initial=column["first"]))
    elif "range" in column:
        first, step = column["range"]
        values = range(first, first + step * count, step) if step else [first] * count
    elif "same" in column:
        values = [column["same"]] * count
    else:
        raise ValueError(f"unknown column form with members {sorted(column)}")
    if len(values) != count:
        raise ValueError(f"a column of {count} values holds {len(values)}")
    return values


def last_value(column: Any, count: int) -> Any:
    """The last of the `count` values of a column, without decoding the others where its form allows that.

    Raises ValueError as `decode_column` does, where it has to look.
    """
    if isinstance(column, list):
        return column[-1]
    if "delta" in column:
        return column["first"] + sum(_unpack(column["delta"], column["data"]))
    return decode_column(column, count)[-1]


def _encode_floats(values: Sequence[float]) -> dict[str, Any]:
    doubles = array("d", values)
    singles = array("f", doubles[:8])
    # Most losses are 32-bit floats on their way through Python; asking the first eight makes the check nearly free.
    if array("d", singles).tobytes() == doubles[:8].tobytes():
        singles = array("f", doubles)
        if array("d", singles).tobytes() == doubles.tobytes():
            return {"packed": "f4", "data": _pack(singles)}
    return {"packed": "f8", "data": _pack(doubles)}


def _encode_integers(values: Sequence[int]) -> dict[str, Any] | list[int]:
    first = values[0]
    differences = list(map(sub, islice(values, 1, None), values))
    low, high = min(differences), max(differences)
    if low == high:
        return {"range": [first, low]}
    delta_type = _integer_type(low, high)
    value_type = _integer_type(min(values), max(values))
    if value_type is None:
        return list(values)
    if delta_type is not None and _BYTES[delta_type] < _BYTES[value_type]:
        return {
            "delta": delta_type,
            "first": first,
            "data": _pack(array(_TYPECODES[delta_type], differences)),
        }
    return {"packed": value_type, "data": _pack(array(_TYPECODES[value_type], values))}


def _integer_type(low: int, high: int) -> str | None:
    if low >= 0:
        return next((name for name, bound in _UNSIGNED if high < bound), None)
    return next((name for name, bound in _SIGNED if -bound <= low and high < bound), None)


def _pack(numbers: array[Any]) -> str:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return b2a_base64(numbers, newline=False).decode("ascii")


def _unpack(dtype: str, text: str) -> array[Any]:
    typecode = _TYPECODES.get(dtype)
    if typecode is None:
        raise ValueError(f"unknown column type {dtype!r}, expected one of {' '.join(_TYPECODES)}")
    numbers = array(typecode)
    numbers.frombytes(a2b_base64(text))
    if sys.byteorder == "big":
        numbers.byteswap()
    return array("d", numbers) if typecode == "f" else numbers
