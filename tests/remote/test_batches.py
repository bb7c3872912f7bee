"""Where the server's copy ends on this machine: one row of the table for every case; and how much to send."""

from __future__ import annotations

from itertools import product

import pytest

from ml_dash.journal.chain import Position
from ml_dash.journal.chart import Extent
from ml_dash.journal.format import Header, Previous
from ml_dash.remote.backoff import PAUSE_S_MAX, RETRY_AFTER_S_MAX, pause_s, retry_after_s
from ml_dash.remote.batches import BATCH_BYTES_MIN, BATCH_BYTES_START, BatchSize, Next, following, place

HASH = "0" * 64
JOURNAL = "k10wb0emz0000000j1"


def extent(number: int, *, dead: bool = False, accepted: int | None = None, has_header: bool = True) -> Extent:
    header = Header(1, JOURNAL, number, 1, 0, None, (), HASH) if has_header else None
    start = Position(JOURNAL, number, 200, 1, HASH, 200) if has_header else None
    previous = Previous(number, accepted, 5, HASH) if accepted is not None else None
    return Extent(number, JOURNAL, header, start, previous, dead, accepted is not None)


SEALED, NEWEST = extent(1, accepted=1000), extent(2)


@pytest.mark.parametrize(
    ("extents", "segment", "size", "states_hash", "expected"),
    [
        ([SEALED, NEWEST], 2, 600, True, Next.GO_ON),
        ([SEALED, NEWEST], 2, 600, False, Next.DIVERGED),
        ([SEALED, NEWEST], 2, 400, False, Next.BEYOND),
        ([SEALED, NEWEST], 3, None, False, Next.BEYOND),
        ([SEALED, NEWEST], 1, 1000, True, Next.GO_ON),
        ([SEALED, NEWEST], 1, 400, False, Next.DIVERGED),
        ([extent(2)], 1, None, False, Next.DIVERGED),
        ([SEALED, NEWEST], 2, None, False, Next.DIVERGED),
        ([], 1, None, False, Next.BEYOND),
        ([extent(1, dead=True), extent(2)], 1, 600, True, Next.DIVERGED),
        ([extent(1, has_header=False), extent(2)], 1, 600, True, Next.DIVERGED),
    ],
)
def test_what_follows_from_where_the_copy_ends(
    extents: list[Extent], segment: int, size: int | None, states_hash: bool, expected: Next
) -> None:
    assert place(extents, segment, 500, size, states_hash) is expected


def test_nothing_but_the_same_line_at_the_same_place_lets_shipping_go_on() -> None:
    kinds = (extent(1), extent(1, accepted=1000), extent(1, dead=True), extent(1, has_header=False))
    for here, size, states_hash in product(kinds, (None, 400, 600), (True, False)):
        found = place([here, extent(2)], 1, 500, size, states_hash)
        may_go_on = states_hash and size == 600 and not here.is_dead and here.header is not None
        assert (found is Next.GO_ON) == may_go_on, (here, size, states_hash)


def test_dead_segments_are_passed_over() -> None:
    extents = [extent(1, dead=True), extent(2, accepted=900), extent(3, dead=True), extent(4)]
    assert [following(extents, number).segment for number in (0, 2)] == [2, 4]  # type: ignore[union-attr]
    assert following(extents, 4) is None


def test_batches_grow_where_it_goes_fast_and_shrink_where_it_does_not() -> None:
    size = BatchSize(4_000_000)
    start = size.bytes
    size.acknowledged(start, 0.1)
    assert size.bytes == 2 * start
    size.acknowledged(10, 0.1)
    assert size.bytes == 2 * start, "a batch that was not full says nothing"
    size.acknowledged(size.bytes, 100.0)
    assert size.bytes == start
    size.refused()
    assert size.bytes == start // 2
    for _ in range(20):
        size.refused()
    assert size.bytes == BATCH_BYTES_MIN
    for _ in range(20):
        size.acknowledged(size.bytes, 0.01)
    assert size.bytes == 4_000_000


def test_where_every_answer_takes_long_more_is_sent_at_a_time() -> None:
    size = BatchSize(4_000_000)
    for _ in range(10):
        size.acknowledged(size.bytes, 5.0)
    assert size.bytes == 4_000_000


def test_where_the_line_is_slow_batches_stay_small() -> None:
    size = BatchSize(4_000_000)
    for _ in range(10):
        size.acknowledged(size.bytes, size.bytes / 50_000)
    assert size.bytes <= 1_048_576


def test_what_goes_through_in_a_second_is_known_of_the_last_full_batch() -> None:
    size = BatchSize(4_000_000)
    size.acknowledged(size.bytes, 4.0)
    assert size.bytes_per_s == BATCH_BYTES_START / 4


def test_pauses_grow_to_a_bound_and_never_agree() -> None:
    longest = [pause_s(failures, 1.0) for failures in range(1, 12)]
    assert longest == sorted(longest)
    assert longest[-1] == PAUSE_S_MAX
    assert pause_s(5, 0.0) < pause_s(5, 0.5) < pause_s(5, 1.0)
    assert pause_s(10_000, 0.0) == PAUSE_S_MAX / 2


def test_what_the_server_asks_for_is_waited_at_least_and_not_for_ever() -> None:
    assert pause_s(1, 0.0, asked_s=7.0) == 7.0
    assert pause_s(1, 0.0, asked_s=10.0**9) == RETRY_AFTER_S_MAX
    assert pause_s(20, 0.0, asked_s=0.0) == PAUSE_S_MAX / 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("9" * 30, 999_999_999.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 97.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, expected: float | None) -> None:
    assert retry_after_s(value, 784_111_680_000_000) == expected
