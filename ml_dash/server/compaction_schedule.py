"""When the objects of journals are joined: as they grow, and by a sweep once they do not.

One journal at a time, and never so that anything depends on it: what fails is tried again the next time.  How they are
joined, and why nothing is lost by it, is told in `compaction.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

from ..clock import monotonic_s
from .compaction import JOIN_OBJECTS_MIN, LOOK_EVERY_OBJECTS, LOOK_INTERVAL_S, SWEEP_INTERVAL_S, compact
from .copies import Copy, DamagedCopy
from .redacting import carry_out
from .store import Missing, Store, StoreError


class CompactionSchedule:
    """Of one store; used by one event loop.  `copies` gives the copies that this process knows."""

    def __init__(self, store: Store, copies: Callable[[], Iterable[Copy]]) -> None:
        self._store = store
        self._copies = copies
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_sweeping = False
        self._turn = asyncio.Lock()

    def grew(self, copy: Copy) -> None:
        """An object more was stored: now and then, in the background, they are joined."""
        if len(copy.pieces) % LOOK_EVERY_OBJECTS == 0 and _is_due(copy):
            self._start(self._compact(copy))
        if not self._is_sweeping:
            self._is_sweeping = True
            self._start(self._sweep_for_ever())

    async def sweep(self) -> None:
        """Joins what has become old since, also of journals that nothing is added to any more."""
        for copy in list(self._copies()):
            if len(copy.pieces) > JOIN_OBJECTS_MIN and _is_due(copy):
                await self._compact(copy)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        # Of a task that nobody holds the event loop knows no more than a weak reference.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            await self.sweep()

    async def _compact(self, copy: Copy) -> None:
        # One at a time: it is of no hurry, and holds some MiB.
        async with self._turn, copy.lock:
            copy.looked_s = monotonic_s()
            # What fails here is tried again after so many objects more; nothing depends on it.
            with suppress(StoreError, Missing, DamagedCopy):
                if await compact(self._store, copy):
                    await carry_out(self._store, copy, copy.redactions.values())


def _is_due(copy: Copy) -> bool:
    return monotonic_s() - copy.looked_s >= LOOK_INTERVAL_S
