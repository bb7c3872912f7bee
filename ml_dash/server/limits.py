"""How often somebody may be wrong: guesses of passwords and codes are few, whoever makes them and however many join in.

 1. A try is paid for before it is looked at, so that a thousand guesses at once are no more than one after the other;
    one that was right is given back.
 2. Each limit holds for one key (a client, an owner) and, larger, for all together: more addresses give no more
    guesses than that.
 3. What is remembered is bounded, whatever arrives.

Every process counts for itself: n servers in front of one store allow n times as much.  The tries of one login are
counted in the store, for all of them (`device.py`).

Pure: no I/O.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

KEYS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` tries at once, then one every `interval_s`."""

    burst: int
    interval_s: float


class Limit:
    """Tries by key, and by all keys together."""

    def __init__(self, for_each: Rate, for_all: Rate) -> None:
        self._for_each = for_each
        self._for_all = for_all
        # When a key's tries are all back, by the theory of the generic cell rate algorithm; oldest use first.
        self._full_at_s: OrderedDict[str, float] = OrderedDict()
        self._all_full_at_s = 0.0

    def take(self, key: str, now_s: float) -> float:
        """Takes one try: 0.  Where none is left: after how many seconds there is one."""
        own_wait_s = _wait_s(self._full_at_s.get(key, 0.0), self._for_each, now_s)
        wait_s = max(own_wait_s, _wait_s(self._all_full_at_s, self._for_all, now_s))
        if wait_s <= 0:
            self._full_at_s[key] = max(self._full_at_s.get(key, 0.0), now_s) + self._for_each.interval_s
            self._full_at_s.move_to_end(key)
            self._all_full_at_s = max(self._all_full_at_s, now_s) + self._for_all.interval_s
            if len(self._full_at_s) > KEYS_MAX:
                self._full_at_s.popitem(last=False)
        return max(0.0, wait_s)

    def give_back(self, key: str) -> None:
        """The try that was taken did no harm."""
        if key in self._full_at_s:
            self._full_at_s[key] -= self._for_each.interval_s
        self._all_full_at_s -= self._for_all.interval_s


def _wait_s(full_at_s: float, rate: Rate, now_s: float) -> float:
    return max(full_at_s, now_s) + rate.interval_s - now_s - rate.burst * rate.interval_s


def take_all(limits: Iterable[tuple[Limit, str]], now_s: float) -> float:
    """Takes one try of each, or of none: then after how many seconds it is worth another one."""
    taken: list[tuple[Limit, str]] = []
    for limit, key in limits:
        wait_s = limit.take(key, now_s)
        if wait_s > 0:
            for each, own in taken:
                each.give_back(own)
            return wait_s
        taken.append((limit, key))
    return 0.0


def client_key(address: str | None) -> str:
    """An address as the one client that it is: who has one address of IPv6 has all of its network's 2^64."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
