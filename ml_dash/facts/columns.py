"""One field of many events, as JSON: a list of values in as few bytes as their type allows.

A column of `n` values stands in one of five forms.  Whatever the form, decoding gives back the same values of
the same types, bit for bit: NaN payloads and -0.0 included, and `1` never becomes `1.0`.

 1. a list                                        any values, any number of them; the only form below 16 values
 2. `{"same": value}`                             all values are the same string, boolean, null or finite float
 3. `{"range": [first, step]}`                    integers that count up or down evenly, or (step 0) do not change
 4. `{"packed": dtype, "data": base64}`           numbers of one type, little-endian
 5. `{"delta": dtype, "first": n, "data": base64}`  integers whose `n - 1` differences fit a smaller type

`dtype` is one of `f4 f8 i1 i2 i4 i8 u1 u2 u4 u8`, in form 5 one of integers.  `f4` stands only for doubles that a
32-bit float holds exactly, and is read back as doubles.  Base64 is the standard alphabet, padded, without line breaks.
Floats that JSON cannot say stand as null in form 1, with a tag outside the column.

Pure: no I/O.
"""

from __future__ import annotations

import sys
from array import array
from binascii import b2a_base64
from collections.abc import Sequence
from itertools import accumulate, islice
from math import isfinite
from operator import sub
from struct import pack, unpack
from typing import Any

from .number_bytes import check_base64, decode_base64, widen

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
_INTEGER_BYTES = {dtype: size for dtype, size in _BYTES.items() if not dtype.startswith("f")}
_SIGNED = (("i1", 1 << 7), ("i2", 1 << 15), ("i4", 1 << 31), ("i8", 1 << 63))
_UNSIGNED = (("u1", 1 << 8), ("u2", 1 << 16), ("u4", 1 << 32), ("u8", 1 << 64))
_SINGLES_TRIED = 8

Column = Sequence[Any]
"""What decoding gives: a list, a range (integers) or an array (integers or doubles)."""


def encode_column(values: Sequence[Any]) -> Any:
    """The JSON form of a column.  Non-finite floats stay floats inside form 1: the caller tags them."""
    count = len(values)
    if count < PACK_COUNT_MIN:
        return list(values)
    kind = type(values[0])
    # Only values of one type may be packed or "the same": 1 == True == 1.0, and they must not become each other.
    if list(map(type, values)).count(kind) != count:
        return list(values)
    if kind is float:
        return _encode_floats(values)
    if kind is int:
        return encode_integers(values)
    if kind in (str, bool, type(None)) and values.count(values[0]) == count:
        return {"same": values[0]}
    return list(values)


def decode_column(column: Any, count: int) -> Column:
    """The values of a column.  Raises ValueError when it is none of the five forms, or not `count` long."""
    try:
        values = column if isinstance(column, list) else _decode(column, count)
    except (TypeError, LookupError, ArithmeticError) as error:
        raise ValueError(f"a column is none of the forms there are: {error!r}") from error
    if len(values) != count:
        raise ValueError(f"a column of {count} values holds {len(values)}")
    return values


def check_column(column: Any, count: int) -> None:
    """Raises ValueError where `decode_column` does; three times as fast where numbers are packed."""
    if not isinstance(column, dict) or not ("packed" in column or "delta" in column):
        decode_column(column, count)
        return
    try:
        if "packed" in column:
            check_base64(column["data"], _BYTES[column["packed"]] * count)
        else:
            _integer(column["first"])
            check_base64(column["data"], _INTEGER_BYTES[column["delta"]] * (count - 1))
    except (TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"a column is none of the forms there are: {error!r}") from error


def last_value(column: Any, count: int) -> Any:
    """The last of the `count` values of a column, without decoding the others where its form allows that.

    Raises ValueError as `decode_column` does, where it has to look, and where there is none.
    """
    try:
        if isinstance(column, dict) and "delta" in column:
            return _integer(column["first"]) + sum(_differences(column, count))
        return decode_column(column, count)[-1]
    except (TypeError, LookupError) as error:
        raise ValueError(f"a column is none of the forms there are: {error!r}") from error


def never_falls(column: Any) -> bool:
    """Whether it is seen without decoding that no value is below the one before it; `first` is then the least."""
    return (
        isinstance(column, dict)
        and "packed" not in column
        and column.get("delta") in ("u1", "u2", "u4", "u8")
        and type(column.get("first")) is int
    )


def _decode(column: Any, count: int) -> Column:
    if not isinstance(column, dict):
        raise ValueError(f"a column is a list or an object, not {type(column).__name__}")
    if "packed" in column:
        return _unpack(column["packed"], column["data"], count)
    if "delta" in column:
        return list(accumulate(_differences(column, count), initial=_integer(column["first"])))
    if "range" in column:
        first, step = map(_integer, column["range"])
        return range(first, first + step * count, step) if step else [first] * count
    if "same" in column:
        value = column["same"]
        return array("d", (value,)) * count if type(value) is float else [value] * count
    raise ValueError(f"unknown column form with members {sorted(column)}")


# -- numbers -----------------------------------------------------------------------------------------------------


def _encode_floats(values: Sequence[float]) -> dict[str, Any]:
    count = len(values)
    doubles = pack(f"<{count}d", *values)
    if values[0] == values[-1] and doubles == doubles[:8] * count and isfinite(values[0]):
        return {"same": values[0]}
    # Most losses are 32-bit floats on their way through Python; asking the first few makes the check nearly free.
    if _as_singles(values[:_SINGLES_TRIED], doubles) and (singles := _as_singles(values, doubles)):
        return _packed("f4", singles)
    return _packed("f8", doubles)


def _as_singles(values: Sequence[float], doubles: bytes) -> bytes | None:
    """The values as 32-bit floats, if that changes no bit of them; `doubles` are these values and perhaps more."""
    count = len(values)
    try:
        singles = pack(f"<{count}f", *values)
    except OverflowError:
        return None
    return singles if pack(f"<{count}d", *unpack(f"<{count}f", singles)) == doubles[: 8 * count] else None


def encode_integers(values: Sequence[int], base: int = 0) -> Any:
    """The JSON form of a column of `value - base` for each of these integers."""
    count = len(values)
    first, last = values[0], values[-1]
    if count < PACK_COUNT_MIN:
        return [value - base for value in values]
    step, remainder = divmod(last - first, count - 1)
    if remainder == 0 and (values.count(first) == count if step == 0 else _is_range(values, first, step)):
        return {"range": [first - base, step]}
    differences = list(map(sub, islice(values, 1, None), values))
    least = min(differences)
    low, high = (first, last) if least >= 0 else (min(values), max(values))
    value_type = _integer_type(low - base, high - base)
    if value_type is None:
        return [value - base for value in values]
    delta_type = _integer_type(least, max(differences))
    if delta_type is not None and _BYTES[delta_type] < _BYTES[value_type]:
        data = pack(f"<{count - 1}{_TYPECODES[delta_type]}", *differences)
        return {"delta": delta_type, "first": first - base, "data": _text(data)}
    shifted = [value - base for value in values] if base else values
    return _packed(value_type, pack(f"<{count}{_TYPECODES[value_type]}", *shifted))


def _is_range(values: Sequence[int], first: int, step: int) -> bool:
    # Looking at one value first makes this nearly free where it is not one.
    return values[1] - first == step and list(range(first, first + step * len(values), step)) == list(values)


def _integer_type(low: int, high: int) -> str | None:
    if low >= 0:
        return next((name for name, bound in _UNSIGNED if high < bound), None)
    return next((name for name, bound in _SIGNED if -bound <= low and high < bound), None)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"expected an integer, found {type(value).__name__}")
    return value


def _differences(column: dict[str, Any], count: int) -> Sequence[int]:
    if column["delta"] not in _INTEGER_BYTES:
        raise ValueError(f"unknown type of differences {column['delta']!r:.100}")
    return _unpack(column["delta"], column["data"], count - 1)


# -- bytes -------------------------------------------------------------------------------------------------------


def _packed(dtype: str, data: bytes) -> dict[str, Any]:
    return {"packed": dtype, "data": _text(data)}


def _text(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")


def _unpack(dtype: str, text: str, count: int) -> array[Any]:
    typecode = _TYPECODES.get(dtype)
    if typecode is None:
        raise ValueError(f"unknown column type {dtype!r:.100}, expected one of {' '.join(_TYPECODES)}")
    size = _BYTES[dtype] * count
    # Python ignores what is no base64; text of just this length that gives so many bytes has nothing else in it.
    if len(text) != (size + 2) // 3 * 4:
        raise ValueError(f"{count} numbers of type {dtype} are {(size + 2) // 3 * 4} characters, not {len(text)}")
    data = decode_base64(text)
    if len(data) != size:
        raise ValueError(f"{count} numbers of type {dtype} are {size} bytes, not {len(data)}")
    numbers = array(typecode, data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return widen(numbers) if typecode == "f" else numbers
