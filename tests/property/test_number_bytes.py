"""With NumPy loaded, base64 and 32-bit floats are read another way: the result must be the same, bit for bit."""

from __future__ import annotations

import sys
from array import array
from binascii import Error, a2b_base64, b2a_base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.facts.number_bytes import decode_base64, widen

LENGTHS = st.integers(12_200, 12_400)
SEEDS = st.integers(0, 2**32 - 1)


def bytes_of(length: int, seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(length)


@given(LENGTHS, SEEDS)
def test_base64_of_any_length_gives_its_bytes(length: int, seed: int) -> None:
    data = bytes_of(length, seed)
    assert decode_base64(b2a_base64(data, newline=False).decode()) == data


@given(LENGTHS, SEEDS, st.integers(0, 16_000), st.characters(max_codepoint=0x17F))
def test_text_that_is_no_base64_is_treated_as_python_treats_it(length: int, seed: int, at: int, odd: str) -> None:
    text = b2a_base64(bytes_of(length, seed), newline=False).decode()
    text = text[:at] + odd + text[at + 1 :]
    try:
        expected: object = a2b_base64(text)
    except (Error, ValueError) as error:
        with pytest.raises(type(error)):
            decode_base64(text)
    else:
        assert decode_base64(text) == expected


@given(st.lists(st.floats(width=32), max_size=20), st.integers(0, 400))
def test_singles_become_the_same_doubles(values: list[float], more: int) -> None:
    singles = array("f", values + [0.1] * more)
    assert widen(singles).tobytes() == array("d", singles.tolist()).tobytes()


def test_without_numpy_the_results_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b2a_base64(bytes_of(12_345, 0), newline=False).decode()
    singles = array("f", range(1000))
    expected = decode_base64(text), widen(singles)
    monkeypatch.delitem(sys.modules, "numpy")
    assert (decode_base64(text), widen(singles)) == expected
