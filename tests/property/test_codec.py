"""Whatever is recorded, in whatever order, comes back from the bytes of a commit; and nothing else is believed."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.facts.codec import CodecError, decode_events, encode_events, events_of
from ml_dash.facts.columns import check_column, decode_column, encode_column, encode_integers, last_value
from ml_dash.facts.events import COLUMNAR_TYPES
from ml_dash.facts.rows import Shape, define, definition_row, event_row, parse_rows, seal, stream_row, valid_length

from ..sameness import same
from .value_strategies import EXACT, JSON, TEXTS

# --- columns ------------------------------------------------------------------------------------------------

PLAIN_LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=3)


def long_lists(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Columns on both sides of the length from which they are packed; few values, often repeated."""
    return st.lists(values, min_size=1, max_size=40) | st.lists(values, min_size=1, max_size=3).map(
        lambda few: few * 12
    )


def evenly(first: int, step: int, count: int) -> list[int]:
    return [first + step * index for index in range(count)]


INTEGER_COLUMNS = (
    long_lists(st.integers(-(2**63), 2**64 - 1))
    | long_lists(st.integers(-300, 300))
    | st.builds(
        lambda base, few: [base + each for each in few], st.integers(-(2**62), 2**63), long_lists(st.integers(0, 9))
    )
    | st.builds(evenly, st.integers(-(2**62), 2**62), st.integers(-(2**40), 2**40), st.integers(1, 40))
)
COLUMNS = (
    INTEGER_COLUMNS
    | long_lists(st.floats())
    | long_lists(st.floats(width=32))
    | long_lists(st.sampled_from([0.0, -0.0]))
    | long_lists(st.booleans())
    | long_lists(st.text(max_size=2))
    | long_lists(PLAIN_LEAVES)
    | long_lists(JSON)
)


def bits(values: Any) -> list[Any]:
    return [array("d", [value]).tobytes() if type(value) is float else value for value in values]


@given(COLUMNS)
def test_a_column_comes_back_bit_for_bit(values: list[Any]) -> None:
    column = encode_column(values)
    if isinstance(column, dict):
        column = orjson.loads(orjson.dumps(column))
    decoded = list(decode_column(column, len(values)))
    assert same(bits(decoded), bits(values))
    assert same(bits([last_value(column, len(values))]), bits(values[-1:]))


@given(INTEGER_COLUMNS, st.integers(-(2**62), 2**62))
def test_integers_relative_to_a_base_come_back(values: list[int], base: int) -> None:
    relative = [value - base for value in values]
    if max(relative) < 2**64 and min(relative) >= -(2**63):
        column = orjson.loads(orjson.dumps(encode_integers(values, base)))
        assert same(list(decode_column(column, len(values))), relative)


@given(
    st.dictionaries(
        st.sampled_from("same range packed delta first data".split()), JSON | st.sampled_from(["u1", "f8", "AA=="])
    )
    | JSON,
    st.integers(0, 20),
)
def test_a_column_of_any_form_is_decoded_or_a_value_error(column: Any, count: int) -> None:
    with suppress(ValueError):
        last_value(column, count)
    assert refuses(lambda: check_column(column, count), ValueError) == refuses(
        lambda: decode_column(column, count), ValueError
    )


def refuses(ask: Callable[[], object], error: type[Exception]) -> bool:
    try:
        ask()
    except error:
        return True
    return False


# --- spools -------------------------------------------------------------------------------------------------

TIMES = st.integers(0, 2**62) | st.integers(10**18, 10**18 + 10**9)
SHAPES = [
    Shape("metric.logged", True, "a", ("step", "loss")),
    Shape("metric.logged", True, "a", ("step",)),
    Shape("metric.logged", True, None, ("step", "loss")),
    Shape("metric.logged", True, "None", ()),
    Shape("track.appended", True, "a", ("_ts", "pose")),
    Shape("log.written", False, None, ("message", "level", "metadata")),
]
ORDINARY = st.floats() | st.integers(-5, 5) | st.sampled_from([None, "a", "info", True])


@st.composite
def stream_events(draw: st.DrawFn) -> tuple[int, str, dict[str, Any], bytes]:
    number = draw(st.integers(0, len(SHAPES) - 1))
    shape, time_ns = SHAPES[number], draw(TIMES)
    values = [draw(ORDINARY | EXACT) if draw(st.integers(0, 9)) == 0 else draw(ORDINARY) for _ in shape.keys]
    return time_ns, shape.type, shape.payload(values), stream_row(time_ns, number, shape, tuple(values))


@st.composite
def other_events(draw: st.DrawFn) -> tuple[int, str, dict[str, Any], bytes]:
    time_ns, event_type = draw(TIMES), draw(st.sampled_from(["params.set", "metric.logged", "log.written", "new.type"]))
    data = draw(st.dictionaries(st.sampled_from("abc"), EXACT, max_size=2))
    if event_type == "metric.logged":
        data = {
            "name": draw(st.sampled_from(["a", None, "\ud800"])),
            "fields": draw(st.dictionaries(TEXTS, EXACT, max_size=2)),
        }
    return time_ns, event_type, data, event_row(time_ns, event_type, data)


EVENTS = st.lists(stream_events(), max_size=40) | st.lists(
    stream_events() | stream_events() | other_events(), max_size=12
)
DEFINITIONS = b"".join(seal(definition_row(number, shape)) for number, shape in enumerate(SHAPES))


@given(EVENTS, st.data())
def test_a_cut_or_a_flipped_bit_ends_a_spool_before_its_row(events: list[Any], data: st.DataObject) -> None:
    rows = [seal(body) for *_, body in events]
    spool = DEFINITIONS + b"".join(rows)
    assert valid_length(spool) == len(spool)
    place = data.draw(st.integers(0, len(spool) - 1))
    damaged = bytearray(spool)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    whole = spool.rfind(b"\n", 0, place) + 1
    assert valid_length(spool[:place]) == whole
    assert valid_length(bytes(damaged)) == whole


# --- commits ------------------------------------------------------------------------------------------------


def commit(events: list[Any], base_us: int) -> bytes:
    rows = parse_rows(DEFINITIONS + b"".join(seal(body) for *_, body in events))
    shapes = dict(define(row) for row in rows if row[0] is None)
    return encode_events([row for row in rows if row[0] is not None], shapes, base_us)


@given(EVENTS.filter(len), TIMES)
def test_every_event_comes_back_at_its_place(events: list[Any], base_ns: int) -> None:
    base_us = base_ns // 1000
    blocks = decode_events(commit(events, base_us), len(events))
    found = events_of(blocks, 1, base_us, "w", "s")
    assert [each.seq for each in found] == list(range(1, len(events) + 1))
    for each, (time_ns, event_type, data, _) in zip(found, events, strict=True):
        assert (each.type, each.time_us) == (event_type, time_ns // 1000)
        assert same(each.data, data)
    for block in blocks:
        assert block.last_time_us(base_us) == block.times_us(base_us)[-1]


@given(EVENTS.filter(len))
def test_blocks_may_be_folded_one_after_the_other(events: list[Any]) -> None:
    blocks = decode_events(commit(events, 0), len(events))
    assert [block.positions[0] for block in blocks] == sorted(block.positions[0] for block in blocks)
    for earlier, later in pairwise(blocks):
        if later.type not in COLUMNAR_TYPES or earlier.type not in COLUMNAR_TYPES:
            assert earlier.positions[-1] < later.positions[0]
    streams: dict[Any, list[int]] = {}
    for block in blocks:
        name = block.name if block.data is None else block.data.get("name")
        streams.setdefault((block.type, name), []).extend(block.positions)
    assert all(positions == sorted(positions) for positions in streams.values())


@given(EVENTS.filter(len), st.integers(0, 41))
def test_the_beginning_of_a_commit_is_the_events_before(events: list[Any], position: int) -> None:
    blocks = decode_events(commit(events, 0), len(events))
    parts = [part for block in blocks if (part := block.before(position)) is not None]
    expected = events_of(blocks, 1, 0, "w", "s")[:position]
    assert same(events_of(parts, 1, 0, "w", "s"), expected)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value."""
    for key, child in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(child, (dict, list)):
            yield from places(child)


@given(EVENTS.filter(len), st.data())
def test_a_changed_commit_is_read_or_refused_by_name(events: list[Any], data: st.DataObject) -> None:
    blocks = orjson.loads(commit(events, 0))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(list(places(blocks)) or [(blocks, 0)]))
        if data.draw(st.booleans()):
            holder[key] = data.draw(JSON | st.sampled_from([0, 1, -1, 10**12, [], {}, None, "n", {"range": [0, 1]}]))
        elif isinstance(holder, dict):
            del holder[key]
        else:
            holder.insert(key, holder[key])
        if not blocks:
            break
    count = len(events) + data.draw(st.sampled_from([0, 0, 0, 1, -1]))
    try:
        decoded = decode_events(orjson.dumps(blocks), count)
    except CodecError:
        return
    positions = sorted(position for block in decoded for position in block.positions)
    assert positions == list(range(count))
    for block in decoded:
        with suppress(CodecError):
            block.last_time_us(0)
        with suppress(CodecError):
            block.before(1)
        is_refused = refuses(lambda each=block: [each.times_us(0), *each.payloads()], CodecError)
        assert refuses(block.check, CodecError) == is_refused
