"""With pybase64, or with NumPy loaded, base64 and 32-bit floats are read another way: the result must be the same, bit
for bit."""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode
from binascii import b2a_base64
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.facts import number_bytes
from ml_dash.facts.columns import check_column, decode_column
from ml_dash.facts.number_bytes import check_base64, decode_base64, widen

LENGTHS = st.one_of(st.integers(0, 300), st.integers(12_200, 12_400))
SEEDS = st.integers(0, 2**32 - 1)
WAYS = ("pybase64", "numpy", "python")


@contextmanager
def reading_by(way: str) -> Iterator[None]:
    """Only this one of the three ways is there."""
    with pytest.MonkeyPatch.context() as patch:
        if way != "pybase64":
            patch.setattr(number_bytes, "_library", lambda: None)
        if way == "python":
            patch.delitem(sys.modules, "numpy")
        yield


def bytes_of(length: int, seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(length)


def test_pybase64_is_what_decodes_here() -> None:
    assert number_bytes._library() is not None


@pytest.mark.parametrize("way", WAYS)
@given(LENGTHS, SEEDS)
def test_base64_of_any_length_gives_its_bytes(way: str, length: int, seed: int) -> None:
    data = bytes_of(length, seed)
    text = b2a_base64(data, newline=False).decode()
    with reading_by(way):
        assert decode_base64(text) == data
        check_base64(text, length)


@pytest.mark.parametrize("way", WAYS)
@given(LENGTHS, SEEDS, st.integers(0, 16_400), st.characters(max_codepoint=0x17F))
def test_a_column_whose_text_is_no_base64_is_refused_whoever_decodes_it(
    way: str, length: int, seed: int, at: int, odd: str
) -> None:
    text = b2a_base64(bytes_of(length, seed), newline=False).decode()
    column = {"packed": "u1", "data": text[: at % (len(text) + 1)] + odd + text[at % (len(text) + 1) + 1 :]}
    try:
        expected: object = list(b64decode(column["data"], validate=True))
    except ValueError:
        expected = None
    with reading_by(way):
        if expected is None or len(expected) != length:
            for read in (decode_column, check_column):
                with pytest.raises(ValueError, match=r"."):
                    read(column, length)
        else:
            check_column(column, length)
            assert list(decode_column(column, length)) == expected


@given(st.lists(st.floats(width=32), max_size=20), st.integers(0, 400))
def test_singles_become_the_same_doubles(values: list[float], more: int) -> None:
    singles = array("f", values + [0.1] * more)
    assert widen(singles).tobytes() == array("d", singles.tolist()).tobytes()


def test_without_numpy_singles_become_the_same_doubles() -> None:
    singles = array("f", range(1000))
    expected = widen(singles)
    with reading_by("python"):
        assert widen(singles) == expected
