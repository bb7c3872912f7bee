"""Columns: which form is chosen, that every value comes back, and that nothing else is accepted."""

from __future__ import annotations

import struct
from array import array
from binascii import a2b_base64
from typing import Any

import numpy as np
import orjson
import pytest

from ml_dash.facts.columns import PACK_COUNT_MIN, decode_column, encode_column, encode_integers, last_value

from .sameness import same

N = PACK_COUNT_MIN

FORMS = [
    (["list"], [0.1] * (N - 1)),
    (["list"], [*range(N - 1)]),
    (["list"], [1, 1.0] * N),
    (["list"], [True, 1] * N),
    (["list"], [0.5] * N + [None]),
    (["list"], ["a", "b"] * N),
    (["list"], [True, False] * N),
    (["list"], [[1]] * N),
    (["list"], [-1, 2**64 - 1] * N),
    (["same"], ["a"] * N),
    (["same"], [True] * N),
    (["same"], [None] * N),
    (["same"], [0.1] * N),
    (["same"], [-0.0] * N),
    (["packed", "f4"], [0.0, -0.0] * N),
    (["packed", "f4"], [0.5, 0.25] * N),
    (["packed", "f8"], [0.1, 0.25] * N),
    (["packed", "f8"], [0.5] * N + [0.1]),
    (["packed", "f4"], [float("nan"), float("inf")] * N),
    (["packed", "f4"], [float("nan")] * N),
    (["packed", "f4"], [float("inf")] * N),
    (["packed", "f8"], [0.5] * N + [1e300]),
    (["range"], [7] * N),
    (["range"], [*range(5, 5 + N)]),
    (["range"], [*range(0, -3 * N, -3)]),
    (["range"], [2**64 - 1] * N),
    (["packed", "u1"], [0, 255] * N),
    (["packed", "u2"], [0, 256] * N),
    (["packed", "u4"], [0, 65536] * N),
    (["packed", "i1"], [-128, 127] * N),
    (["packed", "i2"], [-128, 128] * N),
    (["packed", "u8"], [0, 2**64 - 1] * N),
    (["packed", "i8"], [-(2**63), 2**63 - 1] * N),
    (["delta", "u1"], [10**6 + number * number for number in range(N)]),
    (["delta", "i1"], [10**6, 10**6 + 127] * N),
    (["delta", "u4"], [2**63 + number**4 * 100 for number in range(2 * N)]),
]


@pytest.mark.parametrize(("form", "values"), FORMS, ids=lambda each: str(each)[:40])
def test_a_column_stands_in_the_smallest_form_and_comes_back(form: list[str], values: list[Any]) -> None:
    column = encode_column(values)
    found = ["list"] if isinstance(column, list) else [*column][:1]
    if found[0] in ("packed", "delta"):
        found.append(column[found[0]])
    assert found == form
    if isinstance(column, dict):
        column = orjson.loads(orjson.dumps(column))
    assert same(list(decode_column(column, len(values))), values)
    assert same(last_value(column, len(values)), values[-1])


@pytest.mark.parametrize("base", [0, 1_700_000_000_000_000, -5])
@pytest.mark.parametrize("count", [1, N - 1, N, 100])
@pytest.mark.parametrize("step", [lambda n: 3 * n, lambda n: n * n, lambda n: (-1) ** n * 2**40, lambda n: 0])
def test_integers_are_said_relative_to_a_base(base: int, count: int, step: Any) -> None:
    values = [base + step(number) for number in range(count)]
    column = orjson.loads(orjson.dumps(encode_integers(values, base)))
    assert list(decode_column(column, count)) == [value - base for value in values]


def test_every_bit_of_a_packed_double_comes_back() -> None:
    bits = [0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001, 0x8000000000000000, 1, 0x3FB999999999999A]
    data = b"".join(struct.pack("=Q", each) for each in bits * N)
    values = array("d", data)
    assert decode_column(encode_column(values), len(values)).tobytes() == data  # type: ignore[attr-defined]


def test_floats_are_decoded_to_doubles_that_numpy_takes_as_they_stand() -> None:
    for values in ([0.5, 0.25] * N, [0.1, 0.2] * N, [0.1] * N):
        decoded = decode_column(encode_column(values), len(values))
        assert np.asarray(decoded).dtype == np.float64
        assert np.frombuffer(decoded, dtype=np.float64).tolist() == values  # type: ignore[call-overload]


def test_numbers_are_little_endian() -> None:
    assert a2b_base64(encode_column([258, 0] * N)["data"]) == b"\x02\x01\x00\x00" * N


MALFORMED = [
    (7, 1),
    (None, 1),
    ("ab", 2),
    ([1], 2),
    ([], 1),
    ({}, 1),
    ({"other": 1}, 1),
    ({"packed": "f2", "data": ""}, 0),
    ({"packed": ["f8"], "data": ""}, 0),
    ({"packed": "f8"}, 1),
    ({"packed": "f8", "data": None}, 1),
    ({"packed": "f8", "data": "AAAA"}, 1),
    ({"packed": "u1", "data": "AA=="}, 2),
    ({"packed": "u1", "data": "A!=="}, 1),
    ({"packed": "u1", "data": "A A=="}, 1),
    ({"packed": "u1", "data": "AA==\n"}, 1),
    ({"packed": "u1", "data": "éé=="}, 1),
    ({"packed": "u1", "data": "===="}, 3),
    ({"packed": "u1", "data": "AA==AAAA"}, 6),
    ({"packed": "u1", "data": "AA=="}, 10**12),
    ({"delta": "u1", "data": "AA=="}, 2),
    ({"delta": "f8", "first": 0, "data": "AAAAAAAAAAA="}, 2),
    ({"delta": "u1", "first": 0.5, "data": "AA=="}, 2),
    ({"delta": "u1", "first": True, "data": "AA=="}, 2),
    ({"delta": "u1", "first": 0, "data": ""}, 10**12),
    ({"delta": "u1", "first": 0, "data": ""}, 0),
    ({"range": [0]}, 1),
    ({"range": [0, 1, 2]}, 1),
    ({"range": [0.0, 1]}, 1),
    ({"range": [0, True]}, 1),
    ({"range": 7}, 1),
    ({"range": ["0", "1"]}, 1),
]


@pytest.mark.parametrize(("column", "count"), MALFORMED, ids=str)
def test_a_malformed_column_is_a_value_error(column: Any, count: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_column(column, count)
    if not isinstance(column, list):
        with pytest.raises(ValueError, match=r"."):
            last_value(column, count)


def test_a_column_of_many_like_values_is_made_without_a_list() -> None:
    assert isinstance(decode_column({"range": [0, 2]}, 10**12), range)
