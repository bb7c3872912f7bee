"""Where the server keeps everything: an object store, or a directory that is used as one.

 1. An object is written whole or not at all, and is never appended to.  `create` is the one call that decides races:
    of all who create the same path, in whatever process, exactly one succeeds and the others raise `Taken`.
 2. What `create` and `replace` have returned for survives power loss.  An object store promises that by itself; in a
    directory `store_folder.py` sees to it.
 3. A store says what it is in `ml-dash-store.json`.  A directory that has other things in it is not taken for one.

Reading is one code path for all kinds of stores.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from ..errors import ConfigurationError
from ..ids import new_id
from ..journal.disk import OPERATING_SYSTEM
from ..recording.extras import optional
from .store_folder import STAGING, StoreFolder

MARKER = "ml-dash-store.json"
STORE_FORMAT = "ml-dash-store"
STORE_VERSION = 1
LIST_ITEMS = 1000
WRITERS_MAX = 32
CHUNK_BYTES = 1024 * 1024
RETRY = {"max_retries": 4, "retry_timeout": timedelta(seconds=15)}
"""Clients try again by themselves: what takes longer than this is told to them."""
_SCHEMES = ("s3://", "s3a://", "gs://", "az://", "azure://", "abfs://", "abfss://")


class StoreError(Exception):
    """The store does not do as it is told: it cannot be reached, it is full, it allows nothing."""


class Taken(Exception):
    """`create`: the path holds an object already."""


class Missing(Exception):
    """There is no object at the path."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object; `tag` changes with its content where the store has such tags."""

    path: str
    size: int
    modified: datetime
    tag: str | None


class Store:
    """Objects by path.  Paths have `/` between their parts, none of which is empty, `.` or `..`."""

    def __init__(self, backend: Any, name: str, folder: StoreFolder | None = None) -> None:
        self._backend = backend
        self._folder = folder
        # They wait for the disk, and a file system syncs for all who wait at once.
        self._writers = ThreadPoolExecutor(WRITERS_MAX, "ml-dash-store") if folder is not None else None
        self.name = name
        """What people are told that it is."""
        self.id = new_id()

    @classmethod
    def open(cls, target: str | Path) -> Store:
        """The store at a directory, which is made where there is none, or at `s3://…`, `gs://…`, `az://…`.

        Raises ConfigurationError where there is something else, MissingExtraError without the extra `server`.
        """
        library = optional("obstore.store", "ml_dash[server]", "A server's store")
        text = str(target)
        if "://" in text:
            if not text.startswith(_SCHEMES):
                raise ConfigurationError(f"store {text!r:.200}: expected a directory, s3://…, gs://… or az://…")
            try:
                store = cls(library.from_url(text, retry_config=RETRY), text)
            except Exception as error:
                raise ConfigurationError(f"store {text!r:.200} cannot be opened: {_short(error)}") from error
        else:
            store = cls._in_folder(Path(text).expanduser().absolute())
        store._mark()
        return store

    @classmethod
    def _in_folder(cls, folder: Path) -> Store:
        library = optional("obstore.store", "ml_dash[server]", "A server's store")
        if folder.exists() and not folder.is_dir():
            raise ConfigurationError(f"store {str(folder)!r} is a file: expected a directory, or nothing yet")
        try:
            if is_foreign(folder):
                raise ConfigurationError(
                    f"store {str(folder)!r} is a directory with other things in it: expected a store, or a directory "
                    "that is empty or does not exist yet"
                )
            is_new = not folder.exists()
            if is_new:
                # Accounts are in it, and what people record: nobody else on this machine need read that.
                OPERATING_SYSTEM.make_folder(str(folder.parent))
                folder.mkdir(mode=0o700, exist_ok=True)
                OPERATING_SYSTEM.sync_folder(str(folder.parent))
            OPERATING_SYSTEM.make_folder(str(folder / STAGING))
            if is_new:
                # Who can log in to this machine could read past every token.
                folder.chmod(0o700)
            staged = StoreFolder(folder)
            staged.remove_abandoned()
        except OSError as error:
            raise ConfigurationError(
                f"store {str(folder)!r} cannot be written to: {error.strerror or error}. Choose a directory that you "
                "may write to, and that has space left"
            ) from error
        return cls(library.LocalStore(str(folder)), str(folder), staged)

    @classmethod
    def in_memory(cls) -> Store:
        """For tests: gone with the process."""
        return cls(optional("obstore.store", "ml_dash[server]", "A server's store").MemoryStore(), "memory")

    # -- writing -------------------------------------------------------------------------------------------------

    async def create(self, path: str, data: bytes) -> None:
        """Raises Taken where there is an object."""
        import obstore

        with _failing():
            try:
                if self._folder is not None:
                    await self._in_thread(partial(self._folder.write, path, data, is_new=True))
                else:
                    await obstore.put_async(self._backend, path, data, mode="create")
            except (FileExistsError, obstore.exceptions.AlreadyExistsError):
                raise Taken(path) from None

    async def replace(self, path: str, data: bytes) -> None:
        """Also where there is no object yet."""
        import obstore

        with _failing():
            if self._folder is not None:
                await self._in_thread(partial(self._folder.write, path, data, is_new=False))
            else:
                await obstore.put_async(self._backend, path, data, mode="overwrite", use_multipart=False)

    async def join(self, path: str, chunks: AsyncIterator[bytes]) -> None:
        """An object out of many pieces, never whole in memory; appears when all of it is there.

        What `chunks` raises is raised, and there is no object then.
        """
        import obstore

        with _failing():
            if self._folder is not None:
                await self._folder.join(path, chunks)
            else:
                writer = obstore.open_writer_async(self._backend, path, buffer_size=8 * CHUNK_BYTES, max_concurrency=2)
                # Closing it is what makes the object; a writer that is dropped leaves none.
                async for chunk in chunks:
                    await writer.write(chunk)
                await writer.close()

    async def settle(self, path: str) -> None:
        """Makes sure that an object which is there stays, whoever created it: that one may have been killed before it
        had synced the name."""
        if self._folder is not None:
            with _failing():
                await self._in_thread(partial(self._folder.settle, path))

    async def clear_up(self) -> None:
        """Removes what servers that were killed have left, which nobody reads."""
        if self._folder is not None:
            with _failing():
                await self._in_thread(self._folder.remove_abandoned)

    async def delete(self, paths: Iterable[str]) -> None:
        """Those that are gone already are passed over."""
        import obstore

        with _failing():
            for path in paths:
                with suppress(FileNotFoundError):
                    await obstore.delete_async(self._backend, path)

    # -- reading -------------------------------------------------------------------------------------------------

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes `start` to `end` of an object, fewer where it ends before.  Raises Missing."""
        import obstore

        with _failing():
            try:
                if end is None:
                    whole = await obstore.get_async(self._backend, path)
                    return bytes(await whole.bytes_async())[start:]
                if end <= start:
                    return b""
                return bytes(await obstore.get_range_async(self._backend, path, start=start, end=end))
            except FileNotFoundError:
                raise Missing(path) from None

    async def stream(self, path: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The same, in pieces of at most `CHUNK_BYTES`."""
        if end is None:
            found = await self.status(path)
            if found is None:
                raise Missing(path)
            end = found.size
        for at in range(start, end, CHUNK_BYTES):
            yield await self.read(path, at, min(at + CHUNK_BYTES, end))

    async def status(self, path: str) -> Found | None:
        import obstore

        with _failing():
            try:
                return _found(await obstore.head_async(self._backend, path))
            except FileNotFoundError:
                return None

    async def list(self, folder: str, after: str | None = None) -> list[Found]:
        """Every object below a folder whose path sorts behind `after`, in order of paths."""
        import obstore

        found: list[Found] = []
        with _failing():
            async for page in obstore.list(self._backend, folder, offset=after, chunk_size=LIST_ITEMS):
                found += map(_found, page)
        # Not every store knows where to begin.
        return sorted((each for each in found if after is None or each.path > after), key=lambda each: each.path)

    async def _in_thread(self, call: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writers, call)

    # -- the marker ----------------------------------------------------------------------------------------------

    def _mark(self) -> None:
        """Rule 3.  Raises ConfigurationError where a newer release made the store."""
        import obstore

        text = orjson.dumps({"format": STORE_FORMAT, "version": STORE_VERSION, "id": new_id()})
        try:
            if self._folder is not None:
                self._folder.write(MARKER, text, is_new=True)
            else:
                obstore.put(self._backend, MARKER, text, mode="create")
        except (FileExistsError, obstore.exceptions.AlreadyExistsError):
            pass
        except (OSError, obstore.exceptions.BaseError) as error:
            raise ConfigurationError(f"store {self.name!r:.200} cannot be written to: {_short(error)}") from error
        try:
            found = bytes(obstore.get(self._backend, MARKER).bytes())
        except (OSError, obstore.exceptions.BaseError) as error:
            raise ConfigurationError(f"store {self.name!r:.200} cannot be read: {_short(error)}") from error
        try:
            members = orjson.loads(found)
            is_known = members["format"] == STORE_FORMAT and members["version"] == STORE_VERSION
            self.id = str(members["id"])
        except (ValueError, KeyError, TypeError):
            is_known = False
        if not is_known:
            raise ConfigurationError(
                f"store {self.name!r:.200}: {MARKER} says {found[:200]!r}; this release knows version {STORE_VERSION}. "
                "Nothing was changed: upgrade ml_dash to serve it"
            )


@contextmanager
def _failing() -> Iterator[None]:
    """What the store, or the disk under it, refuses is raised as StoreError."""
    import obstore

    try:
        yield
    except (OSError, NotImplementedError, obstore.exceptions.BaseError) as error:
        raise StoreError(_short(error)) from error


def is_dash_root(folder: Path) -> bool:
    """Whether it holds journals as local runs record them, and is no store."""
    if not folder.is_dir() or (folder / MARKER).exists():
        return False
    return next(folder.glob("*/*/**/_journal"), None) is not None


def is_foreign(folder: Path) -> bool:
    """Whether the path is taken by something that is not a store: a file, or a directory with other things in it."""
    if not folder.exists():
        return False
    return not folder.is_dir() or not ((folder / MARKER).exists() or set(_names(folder)) <= {STAGING})


def _names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def _found(meta: Any) -> Found:
    return Found(meta["path"], meta["size"], meta["last_modified"], meta["e_tag"])


def _short(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:400]
