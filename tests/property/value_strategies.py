"""Values to search with: what Python and the value policy share exactly, and what JSON can say."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from hypothesis import strategies as st


def wrapped(value: Any, depth: int) -> Any:
    for level in range(depth):
        value = [value] if level % 3 else {level: value, "a": level}
    return value


ZONES = st.none() | st.builds(
    timezone, st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59))
)
TEXTS = st.text(st.characters(), max_size=8) | st.sampled_from(
    ["", "\ud800", "\\ud800", "\\\\\udfff", "é", "null", "nan"]
)
INTEGERS = (
    st.integers()
    | st.integers(-(2**66), 2**66)
    | st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**63) - 1])
    | st.sampled_from([400, 617, 4000]).map(lambda digits: 10**digits)
)
EXACT_LEAVES = (
    st.none()
    | st.booleans()
    | INTEGERS
    | st.floats()
    | st.sampled_from([-0.0, 5e-324])
    | TEXTS
    | st.binary(max_size=8)
    | st.complex_numbers()
    | st.datetimes(timezones=ZONES)
    | st.dates()
    | st.times(timezones=ZONES)
    | st.timedeltas()
)
KEYS = st.recursive(EXACT_LEAVES, lambda keys: st.tuples(keys, keys), max_leaves=3)
EXACT = st.recursive(
    EXACT_LEAVES,
    lambda values: (
        st.lists(values, max_size=4)
        | st.dictionaries(TEXTS, values, max_size=4)
        | st.dictionaries(KEYS, values, max_size=3)
        | st.builds(wrapped, values, st.integers(1, 80))
    ),
    max_leaves=12,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=2), values, max_size=3),
    max_leaves=8,
)
