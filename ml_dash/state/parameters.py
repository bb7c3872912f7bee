"""The flat view of parameters under dotted keys, kept free of contradictions.

Setting key `k` removes `k.…`, all that stood below it, and every proper ancestor of `k`, then sets it.  So no key is
ever an ancestor of another one, and the flat and the nested view always say the same.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Parameters:
    """A flat view under construction.  Setting costs the depth of the key, however many parameters there are."""

    def __init__(self, flat: Mapping[str, Any]) -> None:
        self.flat = dict(flat)
        self._below: dict[str, dict[str, None]] = {}
        for key in self.flat:
            self._enter(key)

    def set(self, key: str, value: Any) -> None:
        for ancestor in ancestors(key):
            if ancestor in self.flat:
                self._remove(ancestor)
        for descendant in list(self._below.get(key, ())):
            self._remove(descendant)
        if key not in self.flat:
            self._enter(key)
        self.flat[key] = value

    def _enter(self, key: str) -> None:
        for ancestor in ancestors(key):
            self._below.setdefault(ancestor, {})[key] = None

    def _remove(self, key: str) -> None:
        del self.flat[key]
        for ancestor in ancestors(key):
            below = self._below[ancestor]
            del below[key]
            if not below:
                del self._below[ancestor]


def ancestors(key: str) -> Iterator[str]:
    """`a.b.c` → `a`, `a.b`."""
    end = key.find(".")
    while end >= 0:
        yield key[:end]
        end = key.find(".", end + 1)
