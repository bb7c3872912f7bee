"""Values as cells of CSV and Parquet, so that each keeps its meaning.

    value                        CSV                                Parquet
    float                        shortest text that reads back      double
    NaN, ±infinity               NaN, inf, -inf                     double
    integer                      digits                             int64; beyond 64 bits, text
    True, False                  True, False                        bool
    text                         "quoted", always                   string
    missing, None                nothing                            null
    anything else                its JSON, "quoted"                 its JSON, a string

A column of integers and floats is double where that is exact, else text.  A column of text and something else, and one
of true or false and numbers, has text: numbers as CSV has them, anything else as JSON.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import orjson

from ..clock import to_datetime
from ..facts.values import to_plain
from .event_lines import with_words

_INT64 = range(-(1 << 63), 1 << 63)
_EXACT = range(-(1 << 53), (1 << 53) + 1)


def csv_cell(value: Any) -> str:
    """A value between two commas."""
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value) if isfinite(value) else "NaN" if value != value else repr(value)
    if isinstance(value, int):
        return str(value) if value.bit_length() < 1024 else hex(value)
    return '"' + text_of(value).replace('"', '""') + '"'


def csv_line(cells: Iterable[str]) -> str:
    return ",".join(cells) + "\n"


def csv_name(name: str) -> str:
    """A column's name, quoted where it must be."""
    return csv_cell(name) if not name or any(character in name for character in ',"\r\n') else name


def text_of(value: Any) -> str:
    """Text as it is, numbers as CSV has them, anything else as JSON."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return csv_cell(value)
    plain, tags = to_plain(value)
    holder = with_words([plain], [[[0, *path], *rest] for path, *rest in tags])
    return orjson.dumps(holder[0]).decode()


def iso(time_us: int) -> str:
    return to_datetime(time_us).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class ColumnKind:
    """What types the values of a column have, met so far: which Parquet type holds them all."""

    kinds: set[type] = field(default_factory=set)
    low: int = 0
    high: int = 0

    def meet(self, values: Sequence[Any]) -> None:
        kinds = set(map(type, values))
        if int in kinds:
            integers = values if kinds == {int} else [value for value in values if type(value) is int]
            self.low, self.high = min(self.low, *integers), max(self.high, *integers)
        self.kinds |= kinds

    def arrow_type(self, pa: Any) -> Any:
        present = self.kinds - {type(None)}
        if present == {bool}:
            return pa.bool_()
        if present == {int} and self._within(_INT64):
            return pa.int64()
        if present == {float} or (present == {int, float} and self._within(_EXACT)):
            return pa.float64()
        return pa.string() if present else pa.null()

    def _within(self, bounds: range) -> bool:
        return self.low in bounds and self.high in bounds


def arrow_values(pa: Any, values: Sequence[Any], kind: Any) -> Any:
    """A column of that Arrow type."""
    if kind == pa.string():
        return pa.array([None if value is None else text_of(value) for value in values], kind)
    return pa.array(values, kind, from_pandas=False)
