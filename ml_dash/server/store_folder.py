"""A directory that is used as an object store: an object appears whole, one creator wins, what has returned stays.

The library that speaks to object stores syncs nothing in a directory, so writing there is done here.

 1. Bytes go to a file below `.staging`, that is synced, then linked to its name, then the folder is synced: a name
    never shows bytes that could be lost.
 2. Who writes below `.staging` holds a lock on the file.  One that nobody holds was left by a server that was killed;
    it goes when a server starts and when a value is redacted, which may stand in it.
 3. Each folder on the way to an object is synced once: whoever made it may have been killed before its name was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ..clock import now_us, to_datetime
from ..errors import LockError
from ..ids import new_id
from ..journal.disk import OPERATING_SYSTEM, Disk
from ..journal.lock import hold_descriptor

STAGING = ".staging"
STAGING_AGE = timedelta(hours=6)
"""Where files cannot be locked, what is older there was left by a server that was killed."""


class StoreFolder:
    """Objects by their paths below `folder`, which exists.

    The calls wait for the disk, and raise OSError as it does.
    """

    def __init__(self, folder: Path, disk: Disk = OPERATING_SYSTEM) -> None:
        self.folder = folder
        self._disk = disk
        self._reached = {folder}

    def write(self, path: str, data: bytes, *, is_new: bool) -> None:
        """Raises FileExistsError where it `is_new` and there is an object, whose name is synced then."""
        descriptor, staged = self.stage()
        try:
            try:
                self._disk.write(descriptor, data)
                self._disk.sync_file(descriptor)
            except OSError:
                self._disk.remove(staged)
                raise
            self._publish(staged, path, is_new=is_new)
        finally:
            self._disk.close(descriptor)

    async def join(self, path: str, chunks: AsyncIterator[bytes]) -> None:
        """An object out of pieces, each written as it comes; what `chunks` raises leaves no object."""
        descriptor, staged = await asyncio.to_thread(self.stage)
        is_whole = False
        try:
            async for chunk in chunks:
                await asyncio.to_thread(self._disk.write, descriptor, chunk)
            await asyncio.to_thread(self._disk.sync_file, descriptor)
            is_whole = True
            await asyncio.to_thread(self._publish, staged, path, is_new=False)
        finally:
            self._disk.close(descriptor)
            if not is_whole:
                self._disk.remove(staged)

    def settle(self, path: str) -> None:
        """Rule 3, for an object that is there, whoever created it."""
        folder = (self.folder / path).parent
        self._sync_way_to(folder)
        self._disk.sync_folder(str(folder))

    def remove_abandoned(self) -> None:
        """Rule 2."""
        for name in self._disk.list_names(str(self.folder / STAGING)):
            path = str(self.folder / STAGING / name)
            try:
                descriptor = self._disk.open_append(path)
            except FileNotFoundError:
                continue
            try:
                if self._is_abandoned(descriptor, path):
                    self._disk.remove(path)
            finally:
                self._disk.close(descriptor)

    def stage(self) -> tuple[int, str]:
        """Rule 2: a new file, open and locked; its descriptor and its path."""
        while True:
            path = str(self.folder / STAGING / f"{new_id()}.new")
            descriptor = self._disk.create(path)
            try:
                if hold_descriptor(descriptor, path) and self._disk.same_file(descriptor, path):
                    return descriptor, path
            except LockError:
                return descriptor, path
            # Whoever clears up was here before the lock was.
            self._disk.close(descriptor)

    def _publish(self, staged: str, path: str, *, is_new: bool) -> None:
        """Rule 1."""
        final = self.folder / path
        try:
            self._sync_way_to(final.parent)
            if is_new:
                self._disk.publish(staged, str(final))
            else:
                self._disk.rename(staged, str(final))
        except FileExistsError:
            self._disk.remove(staged)
            # Whoever came first may not have synced the name yet, and the caller is about to rely on it.
            self._disk.sync_folder(str(final.parent))
            raise
        except OSError:
            self._disk.remove(staged)
            raise
        self._disk.sync_folder(str(final.parent))

    def _sync_way_to(self, folder: Path) -> None:
        """Rule 3."""
        if folder in self._reached:
            return
        self._disk.make_folder(str(folder))
        way = [folder]
        for above in folder.parents:
            self._disk.sync_folder(str(above))
            if above in self._reached:
                break
            way.append(above)
        self._reached.update(way)

    def _is_abandoned(self, descriptor: int, path: str) -> bool:
        try:
            return hold_descriptor(descriptor, path)
        except LockError:
            status, oldest = self._disk.status(path), to_datetime(now_us()) - STAGING_AGE
            return status is not None and datetime.fromtimestamp(status.modified_ns / 1e9, timezone.utc) < oldest
