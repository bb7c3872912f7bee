"""A folder of local journals, served as it is: nothing is set up, and no batch is taken.

What is served of a journal is what a client would ship of it: of each segment the header and the commits up to what the
next header accepts, of the newest one those that are valid.  Journals of other machines that were pulled are served,
too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from ..errors import MlDashError, PrefixError
from ..journal.chart import Extent, chart
from ..journal.declarations import Place, add_to, declared_in, told
from ..journal.disk import OPERATING_SYSTEM
from ..journal.folder import FILES, JournalFolder
from ..journal.reader import JournalReader
from ..journal.segment_file import open_segment
from ..prefix import parse_prefix
from ..reading.listing import Pattern, prefixes_below
from ..remote.mirror import journals_below
from ..remote.protocol import Head
from ..state.nouns import Redaction
from .bell import Bell
from .store import CHUNK_BYTES, Missing


@dataclass(slots=True)
class Watched:
    """A journal that was looked at: it is read on from where it was read to."""

    reader: JournalReader
    lock: Lock
    time_us: int = 0
    redactions: dict[Place, Redaction] = field(default_factory=dict)
    declarations: int = 0


class DashRoot:
    """The journals below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bell = Bell()
        self._watched: dict[str, Watched] = {}

    async def prefixes(self, below: str = "") -> dict[str, list[str]]:
        return await asyncio.to_thread(self._prefixes, below)

    async def heads(self, prefix: str) -> list[Head]:
        found = await asyncio.to_thread(self._journals, prefix)
        return [head for head, _ in found.values()]

    async def head(self, prefix: str, journal: str) -> Head | None:
        found = await asyncio.to_thread(self._journals, prefix)
        return found[journal][0] if journal in found else None

    async def segments(self, prefix: str, journal: str) -> dict[int, int]:
        return await asyncio.to_thread(self._segments, prefix, journal)

    async def redactions(self, prefix: str, journal: str) -> list[Redaction]:
        return await asyncio.to_thread(self._redactions, prefix, journal)

    async def read(self, prefix: str, journal: str, segment: int, start: int, end: int) -> AsyncIterator[bytes]:
        found = (await asyncio.to_thread(self._journals, prefix)).get(journal)
        folder = self.folder_of(prefix) if found is None else found[1]
        try:
            file = await asyncio.to_thread(open_segment, folder, segment)
        except FileNotFoundError:
            raise Missing(folder.segment_path(segment)) from None
        with file:
            for at in range(start, end, CHUNK_BYTES):
                yield await asyncio.to_thread(file.read_at, at, min(CHUNK_BYTES, end - at))

    async def read_content(self, path: Path, start: int, end: int) -> AsyncIterator[bytes]:
        """Bytes of a file.  Raises Missing."""
        try:
            descriptor = await asyncio.to_thread(OPERATING_SYSTEM.open_read, str(path))
        except FileNotFoundError:
            raise Missing(str(path)) from None
        try:
            for at in range(start, end, CHUNK_BYTES):
                yield await asyncio.to_thread(OPERATING_SYSTEM.read_at, descriptor, at, min(CHUNK_BYTES, end - at))
        finally:
            OPERATING_SYSTEM.close(descriptor)

    async def place_of(self, prefix: str, journal: str, after: int) -> tuple[int, int]:
        return await asyncio.to_thread(self._place_of, prefix, journal, after)

    def folder_of(self, prefix: str) -> JournalFolder:
        return JournalFolder(self.root.joinpath(*parse_prefix(prefix).segments), prefix=prefix)

    def content_path(self, owner: str, checksum: str) -> Path | None:
        """The file with the content of a saved file, in whichever experiment of the owner it is."""
        for prefix in prefixes_below(self.root, (owner,)):
            path = self.root.joinpath(*prefix.split("/"), FILES, checksum[:2], checksum)
            if path.is_file():
                return path
        return None

    # -- in a thread ---------------------------------------------------------------------------------------------

    def _prefixes(self, below: str) -> dict[str, list[str]]:
        found = {}
        for prefix in prefixes_below(self.root, Pattern.parse(below or "**").fixed):
            with suppress(PrefixError, MlDashError, OSError):
                journals = self._journals(prefix)
                if journals:
                    found[prefix] = list(journals)
        return found

    def _journals(self, prefix: str) -> dict[str, tuple[Head, JournalFolder]]:
        """By their ids."""
        folder = self.folder_of(prefix)
        if not folder.exists():
            return {}
        found = ((self._head(each), each) for each in journals_below(folder))
        return {head.journal: (head, each) for head, each in found if head is not None}

    def _head(self, folder: JournalFolder) -> Head | None:
        watched = self._watched.setdefault(folder.path, Watched(JournalReader(folder), Lock()))
        with watched.lock:
            for line in watched.reader.commits():
                watched.time_us = line.time_us
                declared = declared_in(line)
                watched.declarations += len(declared)
                add_to(watched.redactions, declared)
            from_elsewhere = told(folder)
            add_to(watched.redactions, from_elsewhere)
            at = watched.reader.position
            if at is None or not at.journal:
                return None
            header = watched.reader.header(at.segment)
            time_us = watched.time_us or (header[0].time_us if header is not None else 0)
            count = watched.declarations + len(from_elsewhere)
            return Head(at.journal, at.segment, at.offset, at.next_seq, at.hash, time_us, count)

    def _redactions(self, prefix: str, journal: str) -> list[Redaction]:
        found = self._journals(prefix).get(journal)
        if found is None:
            return []
        # What was declared since by bytes that the journal's end does not show yet is read by the next look.
        watched = self._watched[found[1].path]
        with watched.lock:
            return list(watched.redactions.values())

    def _segments(self, prefix: str, journal: str) -> dict[int, int]:
        found = self._journals(prefix).get(journal)
        if found is None:
            return {}
        head, folder = found
        sizes = {}
        for extent in _extents(folder):
            if not extent.is_dead and extent.segment <= head.segment:
                sizes[extent.segment] = extent.accepted.bytes if extent.accepted is not None else head.offset
        return sizes

    def _place_of(self, prefix: str, journal: str, after: int) -> tuple[int, int]:
        known = self._journals(prefix).get(journal)
        extents = [] if known is None else _extents(known[1])
        begun = [each for each in extents if not each.is_dead and each.header is not None]
        found = [each.segment for each in begun if each.header is not None and each.header.first <= after + 1]
        return (found[-1] if found else begun[0].segment if begun else 0), 0


def _extents(folder: JournalFolder) -> list[Extent]:
    reader, numbers = JournalReader(folder), folder.segment_numbers()
    headers = {number: found for number in numbers if (found := reader.header(number)) is not None}
    return chart(numbers, headers)
