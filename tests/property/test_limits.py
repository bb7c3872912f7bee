"""Limits on guessing, against the definition: never more than the burst and what has grown back since."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ml_dash.server.limits import Limit, Rate, client_key, take_all

TRIES = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 20, allow_nan=False)), max_size=60)


@given(TRIES, st.integers(1, 5), st.integers(1, 8))
def test_no_window_holds_more_tries_than_the_burst_and_what_grew_back(
    tries: list[tuple[str, float]], burst: int, burst_of_all: int
) -> None:
    each, everybody = Rate(burst, 3.0), Rate(burst_of_all, 1.0)
    limit = Limit(each, everybody)
    now_s = 1000.0
    taken: list[tuple[str, float]] = []
    for key, pause_s in tries:
        now_s += pause_s
        wait_s = limit.take(key, now_s)
        if wait_s == 0:
            taken.append((key, now_s))
        else:
            # It is enough to wait so long, and not much longer than needed.
            assert 0 < wait_s <= max(burst * each.interval_s, burst_of_all * everybody.interval_s)
            assert Limit.take(limit, key, now_s + wait_s + 1e-6) == 0
            taken.append((key, now_s + wait_s + 1e-6))
            now_s += wait_s + 1e-6
    for rate, chosen in [
        (everybody, [t for _, t in taken]),
        *((each, [t for k, t in taken if k == key]) for key in "abc"),
    ]:
        for first in range(len(chosen)):
            for last in range(first, len(chosen)):
                grown = (chosen[last] - chosen[first]) / rate.interval_s
                assert last - first + 1 <= rate.burst + grown + 1e-6


@given(st.lists(st.booleans(), min_size=1, max_size=100))
def test_a_try_that_is_given_back_never_was(right: list[bool]) -> None:
    limit = Limit(Rate(3, 1000.0), Rate(1000, 1000.0))
    wrong = 0
    for is_right in right:
        if limit.take("a", 0.0) > 0:
            assert wrong == 3
            continue
        if is_right:
            limit.give_back("a")
        else:
            wrong += 1
    assert wrong <= 3


def test_one_limit_that_refuses_costs_the_others_nothing() -> None:
    roomy, tight = Limit(Rate(10, 1000.0), Rate(100, 1000.0)), Limit(Rate(1, 1000.0), Rate(100, 1000.0))
    assert take_all([(roomy, "a"), (tight, "a")], 0.0) == 0
    assert all(take_all([(roomy, "a"), (tight, "a")], 0.0) > 0 for _ in range(50))
    assert [roomy.take("a", 0.0) == 0 for _ in range(10)] == [True] * 9 + [False]


def test_what_is_remembered_is_bounded_and_so_are_all_together() -> None:
    limit = Limit(Rate(1, 1000.0), Rate(20_000, 1000.0))
    taken = sum(limit.take(str(key), 0.0) == 0 for key in range(30_000))
    assert taken == 20_000
    assert len(limit._full_at_s) <= 10_000


def test_a_network_of_ipv6_is_one_client_and_what_is_no_address_is_one_too() -> None:
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff:1") != client_key("2001:db8:0:1::1")
    assert client_key("::ffff:10.0.0.1") == client_key("10.0.0.1") != client_key("10.0.0.2")
    assert client_key(None) == client_key("testclient") == "unknown"
