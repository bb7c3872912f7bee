"""The folder in which a server reads the journals of its store: copies of them, merged journals, and kept states.

All of it can be brought again, and nothing is acknowledged by it.  It outlives the process, so a value that is redacted
must leave it too:

 1. Before a redaction is acknowledged, `take_out` has removed what was merged of that experiment, replaced the value in
    the copies, and removed the states; in this order.  The mark of a copy, which says how many redactions have been
    taken out of it, comes behind all of that, so a server that is killed amidst does it again.
 2. Who was reading meanwhile may keep a state from before.  So it is waited for, and the states are removed again.
    What it has found is not answered: it reads once more.
 3. A redaction that another server has carried out, or one that was killed then, is found whenever the experiment is
    read, and else by a look at all that is in the folder: when a server starts, and every `LOOK_INTERVAL_S` from then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from ..journal.folder import JournalFolder
from ..reading.bringing import Forks, bring_lineage
from ..reading.listing import prefixes_below
from ..reading.merging import MERGED
from ..reading.origins import WITHOUT, as_one, others
from ..remote.mirror import Mirror, journals_below
from ..remote.protocol import Head
from ..state.redactions import declaration
from .library import Library

LOOK_INTERVAL_S = 600.0
CALL_TIMEOUT_S = 300.0
T = TypeVar("T")


class LoopSource:
    """The journals of a library, for threads; `loop` is the one that the library is used by."""

    def __init__(self, library: Library, loop: asyncio.AbstractEventLoop) -> None:
        self._library = library
        self._loop = loop

    def journals(self, prefix: str) -> list[Head]:
        return self._call(self._library.heads(prefix))

    def read(self, prefix: str, journal: str, segment: int, offset: int) -> Iterator[bytes]:
        size = self._call(self._library.segments(prefix, journal)).get(segment, 0)
        if size <= offset:
            return
        chunks = self._library.read(prefix, journal, segment, offset, size)
        while (chunk := self._call(_next(chunks))) is not None:
            yield chunk

    def redactions(self, prefix: str, journal: str) -> list[dict[str, Any]]:
        return [declaration(each) for each in self._call(self._library.redactions(prefix, journal))]

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_TIMEOUT_S)


async def _next(chunks: Any) -> bytes | None:
    found: bytes | None = await anext(chunks, None)
    return found


class Cache:
    """Of one store, in `root`; used by any thread.  Several processes may use the same folder."""

    def __init__(self, library: Library, root: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._root = root
        self._mirror = Mirror(root, LoopSource(library, loop))
        self._forks: Forks = {}
        self._merging = Lock()

    def home(self, prefix: str) -> JournalFolder:
        return JournalFolder(self._root.joinpath(*prefix.split("/")), prefix=prefix)

    def prefixes(self) -> list[str]:
        return prefixes_below(self._root)

    # -- reading -------------------------------------------------------------------------------------------------

    def journals(self, prefix: str) -> list[JournalFolder]:
        """Those of an experiment as the store has them now."""
        return bring_lineage(self._mirror, prefix, self._forks)

    def merged(self, prefix: str, journals: list[JournalFolder]) -> JournalFolder:
        with self._merging:
            return as_one(self.home(prefix), journals, are_caches=True)

    def merged_without(self, journals: list[JournalFolder], journal: str) -> JournalFolder | None:
        with self._merging:
            return others(journals[0], journals, journal, are_caches=True)

    # -- redacting -----------------------------------------------------------------------------------------------

    def is_behind(self, prefix: str) -> bool:
        """Whether something here holds what is redacted in the store."""
        return self._mirror.is_behind(prefix)

    def take_out(self, prefix: str) -> None:
        """Rule 1.  Raises OSError, and what the library raises."""
        home = self.home(prefix)
        if not home.exists():
            return
        # Who merges at this moment may have read what is not replaced yet.
        with self._merging:
            for folder in self._merged_below(home):
                for name in home.disk.list_folders(folder):
                    home.disk.remove_tree(f"{folder}/{name}")
            self._mirror.take_out(prefix)
        self.forget_states(prefix)

    def forget_states(self, prefix: str) -> None:
        """Rule 2."""
        home = self.home(prefix)
        for folder in journals_below(home):
            home.disk.remove(folder.checkpoint_path)
        for merged in self._merged_below(home):
            for name in home.disk.list_folders(merged):
                home.disk.remove(JournalFolder(Path(merged, name)).checkpoint_path)

    def _merged_below(self, home: JournalFolder) -> list[str]:
        """The folders with generations of merged journals (`reading/merging.py`)."""
        without = f"{home.path}/{WITHOUT}"
        return [f"{home.path}/{MERGED}", *(f"{without}/{each}" for each in home.disk.list_folders(without))]


async def look_for_redactions(cache: Cache, take_out: Callable[[str], Awaitable[None]]) -> None:
    """Rule 3, once.  What fails is looked at again the next time."""
    for prefix in await asyncio.to_thread(cache.prefixes):
        # Whatever is wrong with one experiment, the others are looked at.
        with suppress(Exception):
            if await asyncio.to_thread(cache.is_behind, prefix):
                await take_out(prefix)
