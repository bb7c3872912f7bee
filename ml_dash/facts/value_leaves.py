"""Values without parts: what JSON says of each, the kind of its tag, and the way back.

The kinds are permanent.  `spec/values.md` is the table.

Pure: no I/O.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from math import isfinite
from typing import Any

INTEGER_MIN, INTEGER_MAX = -(1 << 63), (1 << 64) - 1
"""What orjson writes and reads as an integer."""
DECIMAL_BITS_MAX = 2048
"""Longer integers stand in hexadecimal: Python may refuse to write or read more than 640 decimal digits."""
CHECKED_AT_ONCE_MIN = 16

Leaf = tuple[Any, ...]
"""The plain form, then the kind of its tag and what that needs, if it has one."""


def odd_places(items: list[Any]) -> list[int]:
    """The indices of those items that JSON may not be able to say as they are."""
    kinds = set(map(type, items)) if len(items) >= CHECKED_AT_ONCE_MIN else ()
    if kinds == {float} and all(map(isfinite, items)):
        return []
    if kinds == {int} and min(items) >= INTEGER_MIN and max(items) <= INTEGER_MAX:
        return []
    if kinds == {str} and all(map(str.isascii, items)):
        return []
    odd = []
    for index, item in enumerate(items):
        kind = type(item)
        if kind is float:
            if isfinite(item):
                continue
        elif kind is int:
            if INTEGER_MIN <= item <= INTEGER_MAX:
                continue
        elif kind is str:
            if item.isascii():
                continue
        elif kind is bool or item is None:
            continue
        odd.append(index)
    return odd


def has_plain_keys(container: dict[Any, Any]) -> bool:
    """Whether all keys are strings that JSON can say."""
    return all(type(key) is str and (key.isascii() or len(_str_leaf(key)) == 1) for key in container)


def float_leaf(value: float) -> Leaf:
    if isfinite(value):
        return (value,)
    return None, "nan" if value != value else "inf" if value > 0 else "-inf"


def _same(value: Any) -> Leaf:
    return (value,)


def _int_leaf(value: int) -> Leaf:
    if INTEGER_MIN <= value <= INTEGER_MAX:
        return (value,)
    return str(value) if value.bit_length() <= DECIMAL_BITS_MAX else hex(value), "int"


def _str_leaf(value: str) -> Leaf:
    if value.isascii():
        return (value,)
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode(), "surrogates"
    return (value,)


def _datetime_leaf(value: datetime) -> Leaf:
    return (value.isoformat(), "datetime", 1) if value.fold else (value.isoformat(), "datetime")


def _time_leaf(value: time) -> Leaf:
    return (value.isoformat(), "time", 1) if value.fold else (value.isoformat(), "time")


LEAVES: dict[type, Callable[[Any], Leaf]] = {
    bool: _same,
    type(None): _same,
    float: float_leaf,
    int: _int_leaf,
    str: _str_leaf,
    bytes: lambda value: (b2a_base64(value, newline=False).decode("ascii"), "bytes"),
    complex: lambda value: ([repr(value.real), repr(value.imag)], "complex"),
    datetime: _datetime_leaf,
    date: lambda value: (value.isoformat(), "date"),
    time: _time_leaf,
    timedelta: lambda value: ([value.days, value.seconds, value.microseconds], "timedelta"),
}
"""By exact type: a subclass may say anything of itself."""


# Python reads an offset of less than a second as none.
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{6}))?)?$")


def _restore_moment(kind: type[datetime] | type[time], text: str, fold: int) -> datetime | time:
    match = _OFFSET.search(text)
    if match is None:
        return kind.fromisoformat(text).replace(fold=fold)
    hours, minutes, seconds, microseconds = (int(digits or 0) for digits in match.groups()[1:])
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=microseconds)
    zone = timezone(-offset if match[1] == "-" else offset)
    return kind.fromisoformat(text[: match.start()]).replace(fold=fold, tzinfo=zone)


def _restore_surrogates(text: str) -> str:
    return re.sub(r"\\(\\|u[0-9a-f]{4})", lambda match: chr(int(match[1][1:], 16)) if match[1] != "\\" else "\\", text)


RESTORE: dict[str, Callable[..., Any]] = {
    # A new object each: two NaN may be two keys of one dict.
    "nan": lambda _: float("nan"),
    "inf": lambda _: float("inf"),
    "-inf": lambda _: float("-inf"),
    "int": lambda text: int(text, 16) if "x" in text else int(text),
    "surrogates": _restore_surrogates,
    "bytes": a2b_base64,
    "complex": lambda parts: complex(float(parts[0]), float(parts[1])),
    "datetime": lambda text, fold=0: _restore_moment(datetime, text, fold),
    "date": date.fromisoformat,
    "time": lambda text, fold=0: _restore_moment(time, text, fold),
    "timedelta": lambda parts: timedelta(*parts),
}
