"""Wakes those who follow an experiment when this process has stored something of it.

What other processes store is found by looking: a bell only makes waiting shorter.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict


class Bell:
    """Used by one event loop."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def ring(self, prefix: str) -> None:
        for each in self._waiting.pop(prefix, ()):
            if not each.done():
                each.set_result(None)

    def register(self, prefix: str) -> asyncio.Future[None]:
        """Done at the next ring.  Registered before a look, so that what is stored during it is not slept through."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[prefix].add(future)
        return future

    def forget(self, prefix: str, future: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(prefix)
        if waiting is not None:
            waiting.discard(future)
            if not waiting:
                del self._waiting[prefix]
