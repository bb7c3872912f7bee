"""Wakes those who follow an experiment when this process has stored something of it.

What other processes store is found by looking: a bell only makes waiting shorter.  Whoever follows the same experiment
looks together, so that a thousand who watch one training cost the store no more than one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any

from ..clock import monotonic_s
from ..remote.protocol import Head


class Bell:
    """Used by one event loop."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

        self._looks: dict[str, tuple[float, asyncio.Task[list[Head]]]] = {}

    def ring(self, prefix: str) -> None:
        self._looks.pop(prefix, None)
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
                self._looks.pop(prefix, None)

    async def together(
        self, prefix: str, look: Callable[[], Coroutine[Any, Any, list[Head]]], age_s_max: float
    ) -> list[Head]:
        """What `look` finds, or what somebody else has found at most `age_s_max` ago, or is finding now.

        Never what was found, or began to be, before the last ring.
        """
        began_s, looking = self._looks.get(prefix, (0.0, None))
        if looking is None or (looking.done() and monotonic_s() - began_s > age_s_max):
            looking = asyncio.create_task(look())
            self._looks[prefix] = monotonic_s(), looking
        return await asyncio.shield(looking)
