"""Commits' events: their bytes, the order of their blocks, and that nothing malformed gets through."""

from __future__ import annotations

import tracemalloc
from typing import Any

import orjson
import pytest

from ml_dash.facts.codec import EVENTS_MAX, Block, CodecError, decode_events, encode_events, events_of
from ml_dash.facts.events import Event
from ml_dash.facts.rows import Row, Shape, event_row, parse_rows, seal, stream_row

from .sameness import same

NAN = float("nan")
BASE_US = 1_000
TRAIN = Shape("metric.logged", True, "train", ("step", "loss"))
TRAIN_SHORT = Shape("metric.logged", True, "train", ("step",))
EVAL = Shape("metric.logged", True, "eval", ("step",))
LINE = Shape("log.written", False, None, ("message", "level", "metadata"))
EMPTY = Shape("metric.logged", True, None, ())
NONE = Shape("metric.logged", True, "None", ())
SHAPES = dict(enumerate((TRAIN, TRAIN_SHORT, EVAL, LINE, EMPTY, NONE)))


def stream(shape: Shape, *values: Any, time_us: int = BASE_US) -> bytes:
    number = next(number for number, each in SHAPES.items() if each is shape)
    return stream_row(time_us * 1000, number, shape, values)


def event(event_type: str, data: dict[str, Any], time_us: int = BASE_US) -> bytes:
    return event_row(time_us * 1000, event_type, data)


def rows_of(*bodies: bytes) -> list[Row]:
    return parse_rows(b"".join(map(seal, bodies)))


def encoded(*bodies: bytes) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = orjson.loads(encode_events(rows_of(*bodies), SHAPES, BASE_US))
    return blocks


def decoded(*bodies: bytes) -> list[Event]:
    rows = rows_of(*bodies)
    return events_of(decode_events(encode_events(rows, SHAPES, BASE_US), len(rows)), 1, BASE_US, "w", "s")


def payloads(*bodies: bytes) -> list[dict[str, Any]]:
    return [each.data for each in decoded(*bodies)]


# --- what stands where --------------------------------------------------------------------------------------


def test_a_commit_has_the_bytes_that_the_docstring_promises() -> None:
    bodies = [
        event("run.started", {"session": "s", "rank": None}, 990),
        *(stream(TRAIN, step, loss, time_us=991 + step) for step, loss in ((0, 0.5), (1, NAN))),
        stream(LINE, "hello", "info", None, time_us=1000),
        event("params.set", {"params": {"lr": NAN}}, 1001),
    ]
    assert encode_events(rows_of(*bodies), SHAPES, BASE_US) == (
        b'[{"type":"run.started","t":-10,"data":{"session":"s","rank":null}},'
        b'{"type":"metric.logged","name":"train","n":2,"at":1,"t":[-9,-8],"columns":{"step":[0,1],"loss":[0.5,null]},'
        b'"tags":[[["loss",1],"nan"]]},'
        b'{"type":"log.written","t":0,"data":{"message":"hello","level":"info","metadata":null}},'
        b'{"type":"params.set","t":1,"data":{"params":{"lr":null}},"tags":[[["params","lr"],"nan"]]}]'
    )


def test_runs_of_flat_events_have_no_name() -> None:
    [block] = encoded(stream(LINE, "a", "info", None), stream(LINE, "b", "info", {"k": 1}))
    assert "name" not in block
    assert payloads(stream(LINE, "a", "info", None), stream(LINE, "b", "info", {"k": 1})) == [
        {"message": "a", "level": "info", "metadata": None},
        {"message": "b", "level": "info", "metadata": {"k": 1}},
    ]


def test_interleaved_streams_keep_their_positions() -> None:
    bodies = [stream(TRAIN, 0, 0.5), stream(EVAL, 0), stream(TRAIN, 1, 0.5), stream(EVAL, 1)] * 20
    blocks = encoded(*bodies)
    assert [block["at"] for block in blocks] == [{"range": [0, 2]}, {"range": [1, 2]}]
    assert [each.data["name"] for each in decoded(*bodies)] == ["train", "eval"] * 40


def test_single_events_out_of_turn_keep_their_positions() -> None:
    # The run of "train" ends only with the commit, long after the log line behind it was written out.
    bodies = [stream(TRAIN, 0, 0.5), event("log.written", {"message": "odd"}), stream(EVAL, 3)]
    assert [each.type for each in decoded(*bodies)] == ["metric.logged", "log.written", "metric.logged"]
    assert [block["type"] for block in encoded(*bodies)] == ["metric.logged", "log.written", "metric.logged"]


def test_a_single_event_does_not_stand_behind_a_later_run_of_its_stream() -> None:
    bodies = [stream(EVAL, 0), stream(TRAIN, 1, 0.5), stream(TRAIN_SHORT, 2), stream(TRAIN_SHORT, 3)]
    assert [list(block.positions) for block in blocks_of(*bodies)] == [[0], [1], [2, 3]]
    assert [each.data["fields"]["step"] for each in decoded(*bodies)] == [0, 1, 2, 3]


def blocks_of(*bodies: bytes) -> list[Block]:
    rows = rows_of(*bodies)
    return decode_events(encode_events(rows, SHAPES, BASE_US), len(rows))


def test_an_event_of_a_stream_that_is_no_row_ends_its_run() -> None:
    odd = stream(TRAIN, 2, b"bytes")
    bodies = [stream(TRAIN, 0, 0.5), stream(TRAIN, 1, 0.5), odd, stream(TRAIN, 3, 0.5), stream(TRAIN, 4, 0.5)]
    assert [list(block.positions) for block in blocks_of(*bodies)] == [[0, 1], [2], [3, 4]]
    assert payloads(*bodies)[2] == {"name": "train", "fields": {"step": 2, "loss": b"bytes"}}


def test_a_log_line_that_is_no_row_ends_the_run_of_lines() -> None:
    odd = stream(LINE, "odd", "info", {1: 2})
    bodies = [stream(LINE, "a", "info", None), stream(LINE, "b", "info", None), odd, stream(LINE, "c", "info", None)]
    assert [list(block.positions) for block in blocks_of(*bodies)] == [[0, 1], [2], [3]]
    assert payloads(*bodies)[2]["metadata"] == {1: 2}


def test_no_run_reaches_across_an_event_that_is_not_columnar() -> None:
    bodies = [stream(TRAIN, 0, 0.5), stream(TRAIN, 1, 0.5), event("x", {}), stream(TRAIN, 2, 0.5)]
    assert [list(block.positions) for block in blocks_of(*bodies)] == [[0, 1], [2], [3]]


def test_a_metric_without_a_name_is_not_the_metric_none() -> None:
    bodies = [stream(EMPTY), stream(NONE), stream(EMPTY), stream(NONE)]
    assert [(block.named, block.name, block.count) for block in blocks_of(*bodies)] == [
        (True, None, 2),
        (True, "None", 2),
    ]
    assert [each["name"] for each in payloads(*bodies)] == [None, "None"] * 2


@pytest.mark.parametrize("count", [1, 2, 40])
def test_events_without_fields_are_counted(count: int) -> None:
    assert payloads(*[stream(EMPTY)] * count) == [{"name": None, "fields": {}}] * count


def test_values_that_are_no_finite_floats_come_back_in_short_and_in_long_runs() -> None:
    for count in (1, 2, 15, 16, 100):
        losses = [(NAN, float("inf"), 0.5, float("-inf"), None, -0.0)[index % 6] for index in range(count)]
        bodies = [stream(TRAIN, index, loss) for index, loss in enumerate(losses)]
        assert same([each["fields"]["loss"] for each in payloads(*bodies)], losses)


def test_a_value_that_only_just_fits_a_row_comes_back() -> None:
    # Recording writes rows of plain values without looking how deep they are.
    for depth in (60, 200, 251):
        deep: Any = 0.5
        for _ in range(depth):
            deep = [deep]
        row = orjson.dumps((BASE_US * 1000, 0, 1, deep))
        bodies = [row, stream(TRAIN, 2, NAN), stream(EVAL, 3), event("x", {"a": 1})]
        assert same(
            [each["fields"] for each in payloads(*bodies)[:2]], [{"step": 1, "loss": deep}, {"step": 2, "loss": NAN}]
        )
        assert payloads(row, row)[1] == {"name": "train", "fields": {"step": 1, "loss": deep}}


def test_times_come_back_to_the_microsecond_whatever_the_clock_did() -> None:
    times = [0, 1_700_000_000_000_000, 5, 5, 2**53, 1, *range(100)]
    bodies = [stream(TRAIN, 0, 0.5, time_us=time_us) for time_us in times]
    assert [each.time_us for each in decoded(*bodies)] == times
    [block] = blocks_of(*bodies)
    assert block.last_time_us(BASE_US) == 99


def test_field_names_may_be_the_names_of_members() -> None:
    shape = Shape("metric.logged", True, "columns", ("columns", "data", "at", "", "é", "a\nb", '"'))
    rows = rows_of(*(stream_row(0, 0, shape, tuple(range(index, index + 7))) for index in range(20)))
    blocks = decode_events(encode_events(rows, {0: shape}, 0), 20)
    expected = [dict(zip(shape.keys, range(index, index + 7), strict=True)) for index in range(20)]
    assert [each["fields"] for each in blocks[0].payloads()] == expected


def test_no_commit_is_written_without_events_or_with_more_than_are_read() -> None:
    row = rows_of(stream(EMPTY))
    for rows in ([], row * (EVENTS_MAX + 1)):
        with pytest.raises(ValueError, match="a commit holds between 1 and"):
            encode_events(rows, SHAPES, BASE_US)


# --- a part of a block --------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 15, 40])
def test_the_part_before_a_position_is_what_the_events_before_it_are(count: int) -> None:
    bodies = [
        each for index in range(count) for each in (stream(TRAIN, index, (NAN, 0.1)[index % 2]), stream(EVAL, index))
    ]
    events = decoded(*bodies)
    for position in range(2 * count + 2):
        parts = [part for block in blocks_of(*bodies) if (part := block.before(position)) is not None]
        assert same(events_of(parts, 1, BASE_US, "w", "s"), events[:position])


# --- what is refused ----------------------------------------------------------------------------------------

RUN = {"type": "m", "name": "a", "n": 2, "at": 0, "t": [0, 0], "columns": {"x": [1, 2]}}
ONE = {"type": "x", "t": 0, "data": {}}

MALFORMED: list[tuple[Any, int]] = [
    (7, 1),
    ({}, 1),
    ([], 1),
    ([7], 1),
    ([[]], 1),
    ([{}], 1),
    ([ONE], 0),
    ([ONE], 2),
    ([ONE, ONE], 1),
    ([{**ONE, "type": 7}], 1),
    ([{**ONE, "t": 0.5}], 1),
    ([{**ONE, "t": True}], 1),
    ([{**ONE, "t": None}], 1),
    ([{**ONE, "data": []}], 1),
    ([{**ONE, "data": None}], 1),
    ([{**ONE, "tags": 7}], 1),
    ([{**ONE, "tags": [[["a"], "nan"]]}], 1),
    ([{**ONE, "tags": [[[], "int"]]}], 1),
    ([{**ONE, "tags": [[[], "nan"]]}], 1),
    ([RUN], 1),
    ([RUN], 3),
    ([RUN, RUN], 4),
    ([RUN, {**RUN, "at": 1}, ONE], 5),
    ([{**RUN, "at": 1}, ONE], 3),
    ([{**RUN, "type": None}], 2),
    ([{**RUN, "name": 7}], 2),
    ([{**RUN, "n": 0}, ONE], 1),
    ([{**RUN, "n": -1}, ONE, ONE, ONE], 2),
    ([{**RUN, "n": 2.0}], 2),
    ([{**RUN, "n": True}], 1),
    ([{**RUN, "n": "2"}], 2),
    ([{**RUN, "n": 10**12}], 2),
    ([{**RUN, "at": -1}, ONE], 3),
    ([{**RUN, "at": 1}], 2),
    ([{**RUN, "at": 10**12}], 2),
    ([{**RUN, "at": [1, 0]}], 2),
    ([{**RUN, "at": [0, 0]}, ONE], 3),
    ([{**RUN, "at": [0, 5]}], 2),
    ([{**RUN, "at": [0, True]}], 2),
    ([{**RUN, "at": [0, 1.0]}], 2),
    ([{**RUN, "at": {"range": [1, -1]}}], 2),
    ([{**RUN, "at": {"range": [0, 0]}}], 2),
    ([{**RUN, "at": {"packed": "f4", "data": "AAAAAAAAgD8="}}], 2),
    ([{**RUN, "at": None}], 2),
    ([{**RUN, "columns": []}], 2),
    ([{**RUN, "columns": None}], 2),
    ([{**RUN, "tags": [7]}], 2),
    ([{**RUN, "tags": [[["x"], "nan"]]}], 2),
    ([{**RUN, "tags": [[["y", 0], "nan"]]}], 2),
    ([{**RUN, "tags": [[["x", 2], "nan"]]}], 2),
    ([{**RUN, "tags": [[["x", -1], "nan"]]}], 2),
    ([{**RUN, "tags": [[["x", "0"], "nan"]]}], 2),
    ([{**RUN, "tags": [[[["x"], 0], "nan"]]}], 2),
    ([{key: value for key, value in RUN.items() if key != "t"}], 2),
    ([{**RUN, "n": 10**12, "at": 0}], 10**12),
    ([ONE], 10**18),
]


@pytest.mark.parametrize(("blocks", "count"), MALFORMED, ids=str)
def test_a_malformed_commit_is_refused(blocks: Any, count: int) -> None:
    with pytest.raises(CodecError, match=f"a commit of {count} events cannot be decoded"):
        decode_events(orjson.dumps(blocks), count)


@pytest.mark.parametrize("data", [b"", b"[", b"[}", b"\xff", b"[" * 2000, b'[{"type":"x","t":0,"data":{"a":NaN}}]'])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_events(data, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"columns": {"x": [1]}},
        {"columns": {"x": 7}},
        {"columns": {"x": {"same": 1, "packed": "u1"}}},
        {"tags": [[["x", 0]]]},
        {"tags": [[["x", 0], "bytes"]]},
        {"tags": [[["x", 0, "deeper"], "nan"]]},
        {"tags": [[["x", 0], ["nan"]]]},
    ],
    ids=str,
)
def test_a_malformed_column_is_refused_when_it_is_asked_for(change: dict[str, Any]) -> None:
    [block] = decode_events(orjson.dumps([{**RUN, **change}]), 2)
    with pytest.raises(CodecError, match="column 'x' of 2 events cannot be decoded"):
        block.column("x")
    for ask in (block.check, lambda: list(block.payloads())):
        with pytest.raises(CodecError):
            ask()
    assert block.times_us(5) == [5, 5]


@pytest.mark.parametrize(
    "times", [[0], [0, 0.5], [0, "0"], [0, True], [0, None], 0, {"same": 0.5}, {"range": [0, "1"]}]
)
def test_malformed_times_are_refused_when_they_are_asked_for(times: Any) -> None:
    [block] = decode_events(orjson.dumps([{**RUN, "t": times}]), 2)
    with pytest.raises(CodecError, match="the times of 2 events cannot be decoded"):
        block.times_us(0)
    for ask in (block.check, lambda: block.before(1)):
        with pytest.raises(CodecError):
            ask()


def test_a_count_that_is_a_lie_reserves_no_memory() -> None:
    run = {**RUN, "n": 10**12, "t": {"range": [0, 0]}, "columns": {"x": {"same": 1}}}
    tracemalloc.start()
    try:
        for count in (2, 10**12):
            with pytest.raises(CodecError):
                decode_events(orjson.dumps([run]), count)
        with pytest.raises(CodecError):
            decode_events(orjson.dumps([{**run, "at": {"range": [0, 1]}}]), 10**12)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_what_a_later_release_adds_is_kept_and_does_no_harm() -> None:
    blocks = [
        {"type": "event.of_tomorrow", "t": 0, "data": {"a": 1}, "colour": "red"},
        {**RUN, "type": "run.of_tomorrow", "at": 1, "colour": "red", "tags": [[["x", 0], "kind of tomorrow", 1]]},
    ]
    events = events_of(decode_events(orjson.dumps(blocks), 3), 1, 0, "w", "s")
    assert [each.type for each in events] == ["event.of_tomorrow", "run.of_tomorrow", "run.of_tomorrow"]
    assert [each.data for each in events[1:]] == [{"name": "a", "fields": {"x": value}} for value in (1, 2)]
