"""Columns as NumPy, pandas, Polars or Arrow have them, through those libraries' own constructors.

A column of one kind is handed over without copying a value.  What a column becomes:

    values                                   NumPy              pandas             Arrow and Polars
    floats; floats and integers ≤ 2**53      float64            float64            double
    integers of at most 64 bits              int64              int64, Int64       int64
    true and false                           bool               bool, boolean      bool
    text                                     object             object             string
    anything else, of one kind               object             object             what Arrow infers
    anything else                            object             object             string: the JSON text of each value

A value that is missing, or None, is NaN in a float column of NumPy and pandas, `pd.NA` in `Int64` and `boolean`, None
in an object column, and null in Arrow and Polars.  A NaN that was logged stays NaN everywhere.  A number is never
rounded: where no type of a library holds it, the column becomes one of objects (NumPy, pandas) or of text (Arrow,
Polars).

The libraries are optional, `pip install 'ml_dash[analysis]'`, and load when they are first asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import orjson

from ..facts.values import to_plain
from ..recording.extras import optional
from .typed_columns import Gap, Piece, TypedColumn

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars
    import pyarrow

_EXACT = range(-(1 << 53), (1 << 53) + 1)
"""Integers that a double holds, with all between them."""
_INT64 = range(-(1 << 63), 1 << 63)


def library(name: str) -> Any:
    """An optional library.  Raises MissingExtraError, a ConfigurationError, where it is not installed."""
    return optional(name, "ml_dash[analysis]", "exporting columns")


def to_numpy(columns: Mapping[str, TypedColumn]) -> dict[str, numpy.ndarray]:
    """One-dimensional arrays of equal length."""
    library("numpy")
    return {key: _numpy_column(column) for key, column in columns.items()}


def to_pandas(columns: Mapping[str, TypedColumn]) -> pandas.DataFrame:
    """A frame of one row a point."""
    pd = library("pandas")
    arrays = {key: _pandas_column(pd, column) for key, column in columns.items()}
    frame: pandas.DataFrame = pd.DataFrame(arrays, copy=False)
    return frame


def to_arrow(columns: Mapping[str, TypedColumn]) -> pyarrow.Table:
    """A table of one row a point."""
    pa = library("pyarrow")
    return pa.table({key: _arrow_column(pa, column) for key, column in columns.items()})


def to_polars(columns: Mapping[str, TypedColumn]) -> polars.DataFrame:
    """A frame of one row a point, on the memory of an Arrow table."""
    frame: polars.DataFrame = library("polars").from_arrow(to_arrow(columns))
    return frame


def _kinds(column: TypedColumn) -> set[type]:
    """The types of the values; NoneType stands for missing ones too."""
    kinds: set[type] = set()
    for piece in column.pieces:
        if isinstance(piece, list):
            kinds.update(map(type, piece))
        elif isinstance(piece, Gap):
            kinds.add(type(None))
        else:
            kinds.add(float if isinstance(piece, array) and piece.typecode == "d" else int)
    return kinds


def _number_type(column: TypedColumn) -> type | None:
    """`float`, `int` or `bool` if one of them holds every value that is there; None if only objects do."""
    present = _kinds(column) - {type(None)}
    if present == {bool}:
        return bool
    # Only a list has integers of more than 64 bits.
    if present == {int} and all(_within(piece, _INT64) for piece in column.pieces if isinstance(piece, list)):
        return int
    if present == {float} or (present == {int, float} and all(_within(piece, _EXACT) for piece in column.pieces)):
        return float
    return None


def _within(piece: Piece, bounds: range) -> bool:
    """Whether all integers of a piece lie within bounds."""
    if isinstance(piece, Gap) or (isinstance(piece, array) and piece.typecode == "d"):
        return True
    integers: Sequence[int] = piece
    if isinstance(piece, list):
        integers = [value for value in piece if type(value) is int]
    elif isinstance(piece, range):
        integers = (piece[0], piece[-1])
    return not integers or (min(integers) in bounds and max(integers) in bounds)


def _numpy_column(column: TypedColumn) -> Any:
    np = import_module("numpy")
    kind = _number_type(column)
    if kind is None or (kind is not float and type(None) in _kinds(column)):
        return np.fromiter(column, dtype=object, count=len(column))
    return _numbers(column, kind)


def _numbers(column: TypedColumn, kind: type) -> Any:
    """An array of float64, int64 or bool; missing values are NaN, or 0 where the type has none."""
    np = import_module("numpy")
    dtype = {float: np.float64, int: np.int64, bool: np.bool_}[kind]
    filler = float("nan") if kind is float else 0
    parts = [_part(np, piece, dtype, filler) for piece in column.pieces]
    if not parts:
        return np.empty(0, dtype)
    # The only piece is a view of the column's own memory.
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _part(np: Any, piece: Piece, dtype: Any, filler: float) -> Any:
    if isinstance(piece, array):
        return np.frombuffer(piece, dtype=piece.typecode).astype(dtype, copy=False)
    if isinstance(piece, range):
        return np.arange(piece.start, piece.stop, piece.step, dtype=dtype)
    if isinstance(piece, Gap):
        return np.full(piece.count, filler, dtype)
    return np.fromiter((filler if value is None else value for value in piece), dtype=dtype, count=len(piece))


def _missing(column: TypedColumn) -> Any:
    """A mask, True where a value is missing."""
    np = import_module("numpy")
    parts = []
    for piece in column.pieces:
        if isinstance(piece, list):
            parts.append(np.fromiter((value is None for value in piece), dtype=bool, count=len(piece)))
        else:
            parts.append(np.full(len(piece), isinstance(piece, Gap)))
    return np.concatenate(parts)


def _pandas_column(pd: Any, column: TypedColumn) -> Any:
    kind = _number_type(column)
    if kind in (int, bool) and type(None) in _kinds(column):
        nullable = pd.arrays.IntegerArray if kind is int else pd.arrays.BooleanArray
        return nullable(_numbers(column, kind), _missing(column))
    values = _numpy_column(column)
    # Without its dtype said aloud pandas would guess what the objects are.
    return pd.Series(values, dtype=object) if values.dtype == object else values


def _arrow_column(pa: Any, column: TypedColumn) -> Any:
    library("numpy")
    kind = _number_type(column)
    if kind is not None:
        return pa.array(_numbers(column, kind), mask=_missing(column) if type(None) in _kinds(column) else None)
    present = _kinds(column) - {type(None)}
    # Arrow would round integers among floats, and refuses most other mixtures.
    if len(present) <= 1 and not present & {int, float}:
        try:
            return pa.array(column.to_list())
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            return pa.array(map(_json_text, column), pa.string())
    return pa.array(map(_json_text, column), pa.string())


def _json_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return orjson.dumps(to_plain(value)[0]).decode("utf-8")
