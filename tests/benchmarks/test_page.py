"""A table is replaced alone; whatever else stands on the page stays byte for byte."""

from __future__ import annotations

import pytest

from . import page
from .__main__ import PARTS
from .growth.tables import PARTS as GROWTH_PARTS
from .peers.roster import OURS, PEERS
from .peers.tables import HEADS, figure, rows
from .rows import Results

BOTH = "a\n<!-- one: begin -->\nold\n<!-- one: end -->\nb\n<!-- two: begin -->\nkept\n<!-- two: end -->\nc\n"


def test_only_what_stands_between_the_marks_changes() -> None:
    assert page.replaced(BOTH, "one", "new") == BOTH.replace("old", "new")


def test_replacing_twice_is_replacing_once() -> None:
    assert page.replaced(page.replaced(BOTH, "two", "new"), "two", "new") == page.replaced(BOTH, "two", "new")


SWAPPED = "a\n<!-- one: end -->\nold\n<!-- one: begin -->\nb\n"


@pytest.mark.parametrize("broken", [BOTH.replace("<!-- one: end -->", ""), BOTH + BOTH, SWAPPED, ""])
def test_a_page_without_its_marks_once_each_in_order_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match=r"expected <!-- one: begin -->"):
        page.replaced(broken, "one", "new")


@pytest.mark.parametrize(
    "name",
    ["peers", *(f"measured {part}" for part in PARTS), *(f"growth {part.name}" for part in GROWTH_PARTS)],
)
def test_the_page_has_a_place_for_every_table(name: str) -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.replaced(text, name, "new") != text


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (0.00213, "0.0021"), (0.5, "0.50"), (1.7249, "1.72"), (25.44, "25.4"), (364_720.4, "364,720")],
)
def test_figures_have_three_digits_that_matter(value: float, written: str) -> None:
    assert figure(value) == written


def test_a_peer_stands_beside_us_with_its_ratio() -> None:
    results = Results()
    results.add(OURS.key, {"returned": 900, "killed_lost": 0, "four_per_s": 500_000, "four_lost": 0, "four_points": 10})
    results.add(
        PEERS[1].key, {"returned": 90, "killed_lost": 30, "four_per_s": 20_000, "four_lost": 4, "four_points": 10}
    )
    ours, peer = rows(PEERS[:2], {PEERS[1].key: "0.11.0"}, results, {})
    assert len(ours) == len(peer) == len(HEADS)
    assert peer[0] == "ml-dash 0.11.0"
    assert ours[-2:] == ["0 of 900", "500,000, 0 of 10"]
    assert peer[-2:] == ["30 of 90", "20,000 (1/25), 4 of 10"]


def test_a_peer_that_fails_is_named_with_the_reason() -> None:
    missing, failing = PEERS[1], PEERS[2]
    failures = {missing.key: "does not install, no such release", f"{failing.key} killed": "unreadable"}
    first, second = rows([missing, failing], {}, Results(), failures)
    assert len(first) == len(second) == len(HEADS)
    assert first[2] == "not measured: does not install, no such release"
    assert second[-2] == "failed: unreadable"
