"""Rows: their text, what becomes of odd values, and that no damaged one is taken for valid."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import orjson
import pytest

from ml_dash.facts.rows import (
    Row,
    Shape,
    count_events,
    define,
    definition_row,
    event_row,
    length_of_events,
    parse_rows,
    seal,
    stream_row,
    tags_of,
    time_of,
    valid_length,
)
from ml_dash.facts.values import from_plain

METRIC = Shape("metric.logged", True, "train", ("step", "loss"))
LINE = Shape("log.written", False, None, ("message", "level", "metadata"))
NAN = float("nan")


def parsed(*bodies: bytes) -> list[Row]:
    return parse_rows(b"".join(map(seal, bodies)))


def test_each_kind_of_row_has_its_text() -> None:
    assert definition_row(0, METRIC) == b'[null,"define",0,"metric.logged",true,"train",["step","loss"]]'
    assert definition_row(1, LINE) == b'[null,"define",1,"log.written",false,null,["message","level","metadata"]]'
    assert stream_row(5000, 0, METRIC, (1, 0.5)) == b"[5000,0,1,0.5]"
    assert stream_row(5000, 0, METRIC, (1, NAN)) == b'[5000,-1,{"1":"nan"},1,null]'
    assert stream_row(5000, 0, METRIC, (None, float("-inf"))) == b'[5000,-1,{"1":"-inf"},null,null]'
    assert event_row(5000, "run.completed", {"session": "a"}) == b'[5000,"run.completed",{"session":"a"}]'
    assert event_row(5000, "x", {"a": NAN}) == b'[5000,"x",{"a":null},[[["a"],"nan"]]]'


def test_a_stream_row_whose_values_need_tags_is_an_event_of_that_stream() -> None:
    named = stream_row(5000, 0, METRIC, (date(2026, 1, 2), [NAN]))
    expected = {"name": "train", "fields": {"step": "2026-01-02", "loss": [None]}}
    tags = [[["fields", "step"], "date"], [["fields", "loss", 0], "nan"]]
    assert orjson.loads(named) == [5000, "metric.logged", expected, tags]
    flat = stream_row(5000, 1, LINE, ("a", "info", {1: 2}))
    expected = {"message": "a", "level": "info", "metadata": [[1, 2]]}
    assert orjson.loads(flat) == [5000, "log.written", expected, [[["metadata"], "items"]]]


def test_numbers_of_numpy_stay_in_the_stream() -> None:
    assert stream_row(5000, 0, METRIC, (np.int64(3), np.float32(0.5))) == b"[5000,0,3,0.5]"
    assert stream_row(5000, 0, METRIC, (np.int64(3), np.float32("nan"))) == b'[5000,-1,{"1":"nan"},3,null]'


@pytest.mark.parametrize("keys", [(1,), (None,), ("\ud800",), (b"a",), (("a",),), (type("S", (str,), {})("a"),)])
def test_a_shape_whose_names_are_no_json_strings_is_refused(keys: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        definition_row(0, Shape("metric.logged", True, "a", keys))
    with pytest.raises(TypeError):
        definition_row(0, Shape("metric.logged", True, keys[0] if keys[0] is not None else 7, ("a",)))


def test_an_event_with_odd_names_comes_back() -> None:
    data = {"name": "\ud800", "fields": {1: "a", "\udfff": NAN}}
    [row] = parsed(event_row(5999, "metric.logged", data))
    assert (time_of(row), row[1]) == (5, "metric.logged")
    restored = from_plain(row[2], tags_of(row))
    assert repr(restored) == repr(data)


def test_a_definition_gives_its_shape_again() -> None:
    shapes = [METRIC, LINE, Shape("track.appended", True, "a/b", ()), Shape("x", False, None, ('"', "\n", "é", "null"))]
    rows = parsed(*(definition_row(number, shape) for number, shape in enumerate(shapes)))
    assert [define(row) for row in rows] == list(enumerate(shapes))


SPOOL = b"".join(
    seal(body)
    for body in (
        definition_row(0, METRIC),
        stream_row(1000, 0, METRIC, (1, 0.1)),
        stream_row(2000, 0, METRIC, (2, NAN)),
        event_row(3000, "x", {"a": 'null,"define",\n', "b": [[None, "define"]]}),
        definition_row(1, LINE),
        stream_row(4000, 1, LINE, ("hé", "info", None)),
    )
)
ENDS = [index + 1 for index, byte in enumerate(SPOOL) if byte == ord("\n")]


def test_a_torn_spool_is_valid_up_to_its_last_whole_row() -> None:
    assert valid_length(SPOOL) == len(SPOOL)
    for length in range(len(SPOOL) + 1):
        whole = max((end for end in ENDS if end <= length), default=0)
        for torn in (SPOOL[:length], SPOOL[:length] + bytes(100), SPOOL[:length] + b"\xff\x00\n"):
            assert valid_length(torn) == whole


def test_a_flipped_bit_ends_what_is_valid_before_its_row() -> None:
    for bit in range(8 * len(SPOOL)):
        damaged = bytearray(SPOOL)
        damaged[bit // 8] ^= 1 << bit % 8
        whole = max((end for end in ENDS if end <= bit // 8), default=0)
        assert valid_length(bytes(damaged)) == whole, (bit // 8, damaged[bit // 8])


@pytest.mark.parametrize("sum_of_row", [b"0%d", b"+%d", b" %d", b"%d.0", b"0x%x", b"%d "])
def test_a_sum_that_reads_the_same_is_not_the_same(sum_of_row: bytes) -> None:
    number, _, body = SPOOL[: ENDS[0]].partition(b",")
    assert valid_length(sum_of_row % int(number) + b"," + body) == 0


def test_definitions_do_not_count_as_events() -> None:
    assert count_events(SPOOL) == 4
    assert count_events(b"") == 0
    assert [length_of_events(SPOOL, count) for count in range(5)] == [0, ENDS[1], ENDS[2], ENDS[3], ENDS[5]]
    kinds = [row[0] is None for row in parse_rows(SPOOL)]
    assert kinds == [True, False, False, False, True, False]
