"""A journal's commits as they are stored: server-sent events.

    id: <journal>:<segment>:<offset>[,<journal>:<segment>:<offset>…]
    event: commit
    data: <the line>

The id says how far each journal of the experiment has been given, so that `Last-Event-ID` goes on from there, on any
server in front of the same store.  What this process stores is given at once, what another one does at the next look.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from ..clock import monotonic_s
from ..remote.protocol import KEEP_ALIVE_S, Head
from .library import Library
from .lines import Place, lines_behind

LAST_EVENT_ID_BYTES_MAX = 8192
_POSITION = re.compile(r"([0-9a-z]{1,64}):([0-9]{1,8}):([0-9]{1,12})")


class Follower:
    """One stream.  `journal` limits it to one journal of the experiment."""

    def __init__(
        self, library: Library, prefix: str, journal: str | None, poll_s: float, stopping: asyncio.Event
    ) -> None:
        self._library = library
        self._prefix = prefix
        self._journal = journal
        self._poll_s = poll_s
        self._stopping = stopping
        self._places: dict[str, Place] = {}
        self._after: dict[str, int] = {}

    def resume(self, last_event_id: str) -> bool:
        """Goes on behind the event with this id; False where it is none."""
        if len(last_event_id) > LAST_EVENT_ID_BYTES_MAX:
            return False
        matches = [_POSITION.fullmatch(each) for each in last_event_id.split(",")]
        for match in matches:
            if match is None:
                return False
            self._places[match[1]] = int(match[2]), int(match[3])
        return True

    async def start_after(self, head: Head, after: int) -> None:
        """Begins behind event `after` of a journal."""
        if head.journal not in self._places:
            self._places[head.journal] = await self._library.place_of(self._prefix, head.journal, after)
            self._after[head.journal] = after

    async def events(self) -> AsyncIterator[bytes]:
        """Ends when the server stops; whoever reads it stops by not asking for more."""
        yield b"retry: 1000\n\n"
        said_s = monotonic_s()
        while not self._stopping.is_set():
            rung = self._library.bell.register(self._prefix)
            try:
                async for event in self._new():
                    yield event
                    said_s = monotonic_s()
                if monotonic_s() - said_s >= KEEP_ALIVE_S:
                    yield b": still here\n\n"
                    said_s = monotonic_s()
                await self._wait(rung)
            finally:
                self._library.bell.forget(self._prefix, rung)

    async def _new(self) -> AsyncIterator[bytes]:
        bell = self._library.bell
        for head in await bell.together(self._prefix, self._heads, self._poll_s / 2):
            journal = head.journal
            if self._journal not in (None, journal):
                continue
            place = self._places.setdefault(journal, (0, 0))
            if place >= (head.segment, head.offset):
                continue
            async for line in lines_behind(self._library, self._prefix, head, place, self._after.get(journal, 0)):
                self._places[journal] = line.segment, line.end
                self._after[journal] = line.last
                yield b"id: %b\nevent: commit\ndata: %b\n\n" % (self._id(), line.data)
            self._places[journal] = head.segment, head.offset

    async def _heads(self) -> list[Head]:
        return await self._library.heads(self._prefix)

    def _id(self) -> bytes:
        given = (f"{journal}:{segment}:{offset}" for journal, (segment, offset) in sorted(self._places.items()))
        return ",".join(given).encode("ascii")

    async def _wait(self, rung: asyncio.Future[None]) -> None:
        stopping: asyncio.Future[Any] = asyncio.ensure_future(self._stopping.wait())
        try:
            waited: set[asyncio.Future[Any]] = {rung, stopping}
            await asyncio.wait(waited, timeout=self._poll_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
