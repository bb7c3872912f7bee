"""The value policy: `spec/values.md`, line by line, and what comes back exactly."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest

from ml_dash.facts import value_forms, value_leaves, values
from ml_dash.facts.values import from_plain, to_plain

from .sameness import same
from .value_examples import EXAMPLES, MISSING_LIBRARIES, nested, through_json

SPEC = (Path(__file__).parents[1] / "spec/values.md").read_text(encoding="utf-8")


def lines_of(text: str, columns: int) -> list[list[str]]:
    """The cells of every table with so many columns, without heads."""
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if line[:1] == "|"
    ]
    return [row for row in rows if len(row) == columns and not row[0].startswith("---")]


def code(cell: str) -> str:
    return cell[1:-1] if cell.startswith("`") else cell


VALUE_LINES = [
    row
    for row in lines_of(SPEC, 5)
    if row[0] != "value" and not any(f"{name}." in row[1] for name in MISSING_LIBRARIES)
]
KINDS = [code(row[0]) for row in lines_of(SPEC, 4) if row[0] != "kind"]
BOUNDS = [row for row in lines_of(SPEC, 3) if row[0] != "bound"]


def matches(expected: str, found: str) -> bool:
    """`…` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), found, re.DOTALL) is not None


# --- the tables ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", VALUE_LINES, ids=lambda line: line[1])
def test_a_value_stands_and_comes_back_as_the_table_says(line: list[str]) -> None:
    _, example, json, kind, back = map(code, line)
    value = eval(example, EXAMPLES)
    text, tags, restored = through_json(value)
    assert matches(json, text), text
    kinds = {tag[1] for tag in tags}
    assert kind == "…" or (kind in kinds if kind else not kinds), tags
    if back != "…":
        expected = value if back == "=" else eval(back, EXAMPLES)
        assert same(restored, expected), restored


def test_every_kind_of_tag_is_in_the_table_and_has_an_example() -> None:
    known = {*value_leaves.RESTORE, *values._RESTORE_CONTAINER, "repr"}
    assert set(KINDS) == known
    assert {"inf"} | {code(line[3]) for line in VALUE_LINES} >= known


@pytest.mark.parametrize("line", BOUNDS, ids=lambda line: line[1])
def test_a_bound_is_what_the_table_says(line: list[str]) -> None:
    number, name = int(line[0].split()[0].replace(",", "")), code(line[1])
    assert getattr(values, name, None) or getattr(value_forms, name) == number
    assert number == getattr(values, name, None) or number == getattr(value_forms, name)


# --- exact --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 63, 64, 65, 66, 254, 255, 1024, 1025, 20_000])
def test_nesting_comes_back_at_any_depth(depth: int) -> None:
    text, _, restored = through_json(nested(depth))
    assert same(restored, nested(depth))
    assert max_depth(text) <= values.PLAIN_DEPTH_MAX + 2


def max_depth(json: str) -> int:
    depth = deepest = 0
    for character in json:
        depth += (character == "[") - (character == "]")
        deepest = max(deepest, depth)
    return deepest


def test_odd_values_below_the_deepest_level_come_back() -> None:
    value: Any = {"end": float("nan")}
    for level in range(200):
        value = {"a": [level, 2**70, {level: value, b"k": b"v"}], "\ud800": None, "b": {}}
    assert same(through_json(value)[2], value)


def test_a_dict_with_the_keys_of_a_tag_is_a_dict() -> None:
    value = {"items": [[1, 2]], "deep": [[], [[0, 0]]], "nan": None, "kind": "int", "path": [], "tags": [[[], "nan"]]}
    assert same(through_json(value)[2], value)


@pytest.mark.parametrize(("ordinary", "odd"), [(0.5, float("nan")), (1, 2**64), (1, -(2**63) - 1), ("a", "\ud800")])
@pytest.mark.parametrize("count", [0, 1, 14, 15, 16, 1000])
def test_one_odd_value_among_many_ordinary_ones_comes_back(ordinary: Any, odd: Any, count: int) -> None:
    value = [[ordinary] * count + [odd], dict.fromkeys(map(str, range(count)), ordinary) | {"odd": odd}]
    assert same(through_json(value)[2], value)


def test_two_nan_keys_stay_two() -> None:
    restored = through_json({float("nan"): 1, float("nan"): 2})[2]
    assert list(restored.values()) == [1, 2]


def test_a_moment_without_nanoseconds_keeps_its_offset_to_the_microsecond() -> None:
    zone = timezone(timedelta(hours=-3, minutes=30, seconds=7, microseconds=8))
    value = [datetime.max.replace(tzinfo=zone), datetime.min, time(23, 59, tzinfo=zone), timedelta.max, timedelta.min]
    assert same(through_json(value)[2], value)


def test_fifty_megabytes_in_one_value_come_back() -> None:
    value = "x" * 50_000_000
    assert through_json([value])[2] == [value]


def test_what_is_restored_leaves_the_plain_value_as_it_was() -> None:
    plain, tags = to_plain({"a": [1, b"x"], 2: nested(70)})
    before = orjson.dumps(plain)
    assert from_plain(plain, tags) == from_plain(plain, tags) == {"a": [1, b"x"], 2: nested(70)}
    assert orjson.dumps(plain) == before


def test_a_kind_that_is_not_known_leaves_the_plain_form() -> None:
    assert from_plain({"a": "1.10"}, [[["a"], "decimal", 2]]) == {"a": "1.10"}


@pytest.mark.parametrize(
    ("plain", "tags"),
    [
        ("x", [[[], "int"]]),
        ("x", [[["a"], "int"]]),
        ([1], [[[5], "nan"]]),
        ([1], [[["a"], "nan"]]),
        ({"a": 1}, [[["b"], "nan"]]),
        ([1], [[[0], "bytes"]]),
        (["2026-13-01"], [[[0], "date"]]),
        ([[1]], [[[0], "items"]]),
        ([[[{}, 1]]], [[[0], "items"]]),
        ([[[]]], [[[0], "deep", [[0, 0]]]]),
        ([[[], []]], [[[0], "deep", [[7, 0]]]]),
        ([1], [[[0], "deep"]]),
        ([1], [[]]),
        ([1], [7]),
        ([1], 7),
        ([[1, 2]], [[[0], "timedelta", 1, 2, 3]]),
        ([["1e999999", "x"]], [[[0], "complex"]]),
        (["9" * 10_000], [[[0], "int"]]),
    ],
)
def test_tags_that_do_not_fit_are_a_value_error(plain: Any, tags: Any) -> None:
    with pytest.raises(ValueError, match="tags do not fit"):
        from_plain(plain, tags)
