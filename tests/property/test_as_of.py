"""The as-of join against what looking at every pair gives, with NumPy and without, and against pandas."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.reading.as_of_rows import NONE, as_of_rows, take
from ml_dash.reading.typed_columns import TypedColumn

few = st.integers(-3, 3)
"""So that keys meet."""
numbers = st.floats(allow_nan=True) | few | few.map(float) | st.integers(-(1 << 70), 1 << 70)
anything = numbers | st.none() | st.booleans() | st.text(max_size=2)
typed = (
    st.lists(few | st.integers(-(1 << 54), 1 << 54), max_size=20)
    | st.lists(few.map(float) | st.floats(), max_size=20)
    | st.integers(0, 20).map(lambda count: list(range(count)))
)
columns = typed | st.lists(anything, max_size=20)
tolerances = st.none() | st.just(0) | few.map(abs) | st.floats(min_value=0)


@contextmanager
def numpy_there(is_there: bool) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if not is_there:
            patch.delitem(sys.modules, "numpy")
        yield


def column_of(values: Sequence[Any]) -> TypedColumn:
    column = TypedColumn()
    for start in range(0, len(values), 7):
        part = values[start : start + 7]
        column.extend(range(part[0], part[-1] + 1) if list(part) == list(range(len(part))) and len(part) > 2 else part)
    return column


def is_key(value: Any) -> bool:
    return type(value) in (int, float) and value == value


def is_near(left: Any, right: Any, within: float | None) -> bool:
    if within is None or left == right:
        return True
    try:
        return left - right <= within
    except OverflowError:
        return False


def by_looking_at_every_pair(left: Sequence[Any], right: Sequence[Any], within: float | None) -> list[int]:
    rows = []
    for key in left:
        best = NONE
        for row, other in enumerate(right):
            if is_key(key) and is_key(other) and other <= key and (best == NONE or other >= right[best]):
                best = row
        rows.append(best if best != NONE and is_near(key, right[best], within) else NONE)
    return rows


@pytest.mark.parametrize("with_numpy", [True, False])
@given(columns, columns, tolerances)
def test_each_row_gets_the_last_one_at_or_before_it(
    with_numpy: bool, left: list[Any], right: list[Any], within: float | None
) -> None:
    with numpy_there(with_numpy):
        rows = as_of_rows(column_of(left), column_of(right), within)
    assert list(rows) == by_looking_at_every_pair(left, right, within)


@pytest.mark.parametrize("with_numpy", [True, False])
@given(columns, st.data())
def test_what_is_taken_is_what_stands_there_and_of_its_type(
    with_numpy: bool, values: list[Any], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(NONE, len(values) - 1), max_size=20))
    with numpy_there(with_numpy):
        taken = take(column_of(values), array("q", rows))
    assert len(taken) == len(rows)
    assert repr(taken.to_list()) == repr([None if row == NONE else values[row] for row in rows])


@given(st.lists(few, max_size=20), st.lists(few, max_size=20), few.map(abs))
def test_pandas_joins_the_same_rows(left: list[int], right: list[int], within: int) -> None:
    left, right = sorted(left), sorted(right)
    frames = [pd.DataFrame({"key": np.array(keys, np.int64), "row": np.arange(len(keys))}) for keys in (left, right)]
    joined = pd.merge_asof(*frames, on="key", tolerance=within)
    expected = joined["row_y"].fillna(NONE).astype(int).tolist()
    assert list(as_of_rows(column_of(left), column_of(right), within)) == expected
