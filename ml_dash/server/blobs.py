"""Content of saved files: by owner and SHA-256, whole or in parts, never whole in memory.

1. What is found under a hash has that hash: it is computed here, of what was really received, before the content gets
   its name.
2. Parts are objects of their own, so that an upload goes on where it was interrupted, on any server; a part that is
   there stays.  Joining them is done anew from the parts whenever it was not finished.
3. Content is shared among the experiments of an owner, and never across owners: whoever knows a hash learns nothing
   from other people's files.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from hashlib import sha256 as sha256_of

from ..remote.protocol import PART_BYTES
from .store import Found, Missing, Store

_PART_NAME = re.compile(r"([0-9]{15})")


class WrongHash(Exception):
    """The content has another hash: `found`."""

    def __init__(self, found: str) -> None:
        super().__init__(f"the content has the hash {found}")
        self.found = found


class Incomplete(Exception):
    """Parts are missing; `parts` are those that are there."""

    def __init__(self, parts: list[tuple[int, int]]) -> None:
        super().__init__("parts of the content are missing")
        self.parts = parts


class Blobs:
    """Of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._joining: dict[tuple[str, str, int], asyncio.Task[None]] = {}

    async def status(self, owner: str, checksum: str) -> Found | None:
        """What is there stays there: a client takes this for an acknowledgement."""
        found = await self._store.status(path_of(owner, checksum))
        if found is not None:
            await self._store.settle(found.path)
        return found

    def read(self, owner: str, checksum: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Raises Missing."""
        return self._store.stream(path_of(owner, checksum), start, end)

    async def put(self, owner: str, checksum: str, data: bytes) -> None:
        """All of the content.  Raises WrongHash."""
        found = (await asyncio.to_thread(sha256_of, data)).hexdigest()
        if found != checksum:
            raise WrongHash(found)
        if await self.status(owner, checksum) is None:
            await self._store.replace(path_of(owner, checksum), data)

    async def parts(self, owner: str, checksum: str) -> list[tuple[int, int]]:
        """Offset and size of each part that is there, in order."""
        folder = parts_of(owner, checksum)
        found = []
        for each in await self._store.list(folder):
            match = _PART_NAME.fullmatch(each.path.rpartition("/")[2])
            if match:
                found.append((int(match[1]), each.size))
        return found

    async def put_part(self, owner: str, checksum: str, offset: int, data: bytes) -> None:
        await self._store.replace(f"{parts_of(owner, checksum)}/{offset:015d}", data)

    async def complete(self, owner: str, checksum: str, size: int) -> None:
        """Joins the parts.  Raises Incomplete, or WrongHash, and then the parts are gone: they are of no use.

        Whoever asks again, because a large file took longer than it would wait, waits for the same work.  It goes on
        when nobody waits any more.
        """
        asked = owner, checksum, size
        joining = self._joining.get(asked)
        if joining is None:
            joining = self._joining[asked] = asyncio.create_task(self._complete(*asked))
            joining.add_done_callback(lambda _: self._joining.pop(asked, None))
        await asyncio.shield(joining)

    async def _complete(self, owner: str, checksum: str, size: int) -> None:
        if await self.status(owner, checksum) is not None:
            await self._remove_parts(owner, checksum)
            return
        parts = await self.parts(owner, checksum)
        reached = 0
        for offset, part_size in parts:
            if offset != reached or (part_size != PART_BYTES and offset + part_size != size):
                raise Incomplete(parts)
            reached += part_size
        if reached != size:
            raise Incomplete(parts)
        try:
            await self._store.join(path_of(owner, checksum), self._verified(owner, checksum, parts))
        except Missing:
            # Another server has joined them meanwhile.
            if await self.status(owner, checksum) is None:
                raise Incomplete(await self.parts(owner, checksum)) from None
        except WrongHash:
            await self._remove_parts(owner, checksum)
            raise
        await self._remove_parts(owner, checksum)

    # -- inside --------------------------------------------------------------------------------------------------

    async def _verified(self, owner: str, checksum: str, parts: list[tuple[int, int]]) -> AsyncIterator[bytes]:
        digest = sha256_of()
        for offset, size in parts:
            async for chunk in self._store.stream(f"{parts_of(owner, checksum)}/{offset:015d}", 0, size):
                await asyncio.to_thread(digest.update, chunk)
                yield chunk
        if digest.hexdigest() != checksum:
            raise WrongHash(digest.hexdigest())

    async def _remove_parts(self, owner: str, checksum: str) -> None:
        folder = parts_of(owner, checksum)
        await self._store.delete([each.path for each in await self._store.list(folder)])


def path_of(owner: str, checksum: str) -> str:
    return f"blobs/{owner}/{checksum[:2]}/{checksum}"


def parts_of(owner: str, checksum: str) -> str:
    return f"parts/{owner}/{checksum}"
