"""What is stored of one journal, and where: the server's copy.

Of the lines of a journal every batch that was accepted is one object.  Its name says what it goes on from: the segment
and the offset in it at which the copy ended before,

    journals/<prefix>/_journal/<journal>/<segment, 8 digits>-<offset, 12 digits>.jsonl

so that there is exactly one name under which a copy can go on, and creating it decides every race: also the one between
a batch that goes on in a segment and one that opens the next.  The first batch goes on from segment 0, offset 0.  The
bytes are those of the segment, nothing else; an object that begins with a header begins a segment.

Objects are read in the order of their names.  One that begins before the place that was reached is passed over: its
bytes have been joined with those of its neighbours (`compaction.py`), and it is about to be deleted.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import inf

import orjson

from ..clock import now_us
from ..journal.chain import read_header
from ..journal.declarations import redaction_in
from ..journal.format import GENESIS_HASH, HASH_TAIL_BYTES, stated_hash
from ..remote.protocol import Head
from ..state.nouns import Redaction
from ..state.redactions import declaration
from .pieces import Piece, Pieces, path_of, place_of
from .store import Found, Missing, Store, StoreError

JOURNAL_FOLDER = "_journal"
TAIL_BYTES = 64 * 1024
LISTINGS_MAX = 4
LISTING_PAUSE_S = 0.05
FORMAT_START = b'{"format":'
_REDACTION_NAME = re.compile(r"redaction-[0-9a-f]{64}\.json")
_COMMIT_NUMBERS = re.compile(rb'\{"first":([0-9]{1,19}),"count":([0-9]{1,19}),"time":(-?[0-9]{1,19}),')
_HEADER_FIRST = re.compile(rb',"first":([0-9]{1,19}),')
_STATED = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n')
_STATED_BYTES = len(b',"hash":""}\n') + 64


class DamagedCopy(Exception):
    """What is stored does not fit together; nothing is answered from it."""


@dataclass(slots=True)
class Copy:
    """What this process knows of a copy.  Others may have stored more since: `refresh` looks."""

    folder: str
    journal: str
    pieces: Pieces
    head: Head | None = None
    redactions: dict[tuple[int, int], Redaction] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    is_loaded: bool = False
    checked_us: int = 0
    """When it was known for sure that the copy ends at `head`, by the wall clock."""
    looked_s: float = -inf
    """When it was last looked at for objects to join, by the monotonic clock."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever changes this object or the store's."""

    @classmethod
    def of(cls, prefix: str, journal: str) -> Copy:
        folder = folder_of(prefix, journal)
        return cls(folder, journal, Pieces(folder))

    def next_path(self) -> str:
        """The one name under which the copy can go on."""
        return path_of(self.folder, *self._end())

    def add(self, head: Head, size: int) -> None:
        """This process has stored the object `next_path()`, behind which the copy ends at `head`."""
        self.pieces.append(self._end(), head.segment, head.offset - size, head.offset)
        self.head = replace(head, redactions=len(self.declared))
        self.checked_us = now_us()

    async def refresh(self, store: Store) -> None:
        """Looks for what other processes have stored.  Only under `lock`.  Raises DamagedCopy."""
        known = len(self.pieces)
        for attempt in range(LISTINGS_MAX):
            checked_us = now_us()
            found = await store.list(self.folder, after=self.pieces[-1].path if self.pieces else None)
            try:
                await self._add_listed(store, found)
                break
            except (DamagedCopy, Missing):
                # A listing is no snapshot: it may show an object and not the one before, both made meanwhile.  Or what
                # is known of was joined since.
                if attempt + 1 == LISTINGS_MAX:
                    raise
                self.forget()
                if attempt:
                    await asyncio.sleep(LISTING_PAUSE_S)
        if len(self.pieces) != known:
            # Where it ends is an acknowledgement to whoever had no answer.
            try:
                await store.settle(self.pieces[-1].path)
            except StoreError:
                self.forget()
                raise
        await self._read_redactions(store, found)
        if self.pieces and (self.head is None or not self._is_head_of(self.pieces[-1])):
            self.head = await self._read_head(store, self.pieces[-1])
        if self.head is not None:
            self.head = replace(self.head, redactions=len(self.declared))
        self.is_loaded, self.checked_us = True, checked_us

    def forget(self) -> None:
        """Objects that were joined are not where they were."""
        self.pieces, self.head, self.is_loaded = Pieces(self.folder), None, False

    # -- inside --------------------------------------------------------------------------------------------------

    def _end(self) -> tuple[int, int]:
        return (self.head.segment, self.head.offset) if self.head is not None else (0, 0)

    def _is_head_of(self, last: Piece) -> bool:
        return self.head is not None and (self.head.segment, self.head.offset) == (last.segment, last.end)

    async def _add_listed(self, store: Store, found: Sequence[Found]) -> None:
        objects = [(each, place) for each in found if (place := place_of(each.path)) is not None and each.size > 0]
        for number, (each, place) in enumerate(objects):
            if place < self.pieces.end:
                continue
            if place != self.pieces.end:
                raise DamagedCopy(f"{each.path}: what is stored before it ends at {self.pieces.end}, not there")
            if number + 1 < len(objects):
                # It is behind this one, and its name says in which segment that ends.
                segment: int | None = objects[number + 1][1][0]
            else:
                segment = await _segment_begun(store, each)
            if segment is None or segment == place[0]:
                self.pieces.append(place, place[0], place[1], place[1] + each.size)
            else:
                self.pieces.append(place, segment, 0, each.size)

    async def _read_head(self, store: Store, last: Piece) -> Head:
        """From the last line of the last object: it was verified when it was stored."""
        size, want = last.end - last.start, TAIL_BYTES
        while True:
            start = max(0, size - want)
            data = await store.read(last.path, start, size)
            cut = data.rfind(b"\n", 0, len(data) - 1) + 1
            if cut > 0 or start == 0:
                return self._head_from(data[cut:], last)
            want *= 8

    def _head_from(self, line: bytes, last: Piece) -> Head:
        stated = _STATED.fullmatch(line, max(0, len(line) - _STATED_BYTES))
        numbers = _COMMIT_NUMBERS.match(line)
        if stated is not None and numbers is not None:
            first, count, time_us = map(int, numbers.groups())
            return Head(self.journal, last.segment, last.end, first + count, stated[1].decode("ascii"), time_us)
        found = read_header(line)
        if found is None:
            raise DamagedCopy(f"{last.path} does not end in a line of a journal")
        header, start = found
        return Head(self.journal, last.segment, last.end, start.next_seq, start.hash, header.time_us)

    async def _read_redactions(self, store: Store, found: Sequence[Found]) -> None:
        names = {each.path for each in found if _REDACTION_NAME.fullmatch(each.path.rpartition("/")[2])}
        for path in sorted(names - self.declared):
            self.declare(path, await store.read(path))

    def declare(self, path: str, data: bytes) -> None:
        """A stored declaration.  A later one of the same line has the patches of those before it, and more."""
        self.declared.add(path)
        redaction = redaction_in(orjson.loads(data))
        if redaction is None:
            return
        place = redaction.segment, redaction.offset
        known = self.redactions.get(place)
        if known is None or len(known.patches) < len(redaction.patches):
            self.redactions[place] = redaction

    def redaction_path(self, declaration: bytes) -> str:
        return f"{self.folder}/redaction-{sha256(declaration).hexdigest()}.json"


async def read_segment(store: Store, copy: Copy, segment: int, start: int, end: int) -> AsyncIterator[bytes]:
    """Bytes of a stored segment, piece by piece.

    An object that was joined with its neighbours meanwhile is looked for anew.  Raises Missing where it is not found.
    """
    at, is_fresh = start, False
    while at < end:
        piece = copy.pieces.at(segment, at)
        try:
            if piece is None:
                raise Missing(f"{copy.folder}: byte {at} of segment {segment}")
            async for chunk in store.stream(piece.path, at - piece.start, min(end, piece.end) - piece.start):
                at, is_fresh = at + len(chunk), False
                yield chunk
        except Missing:
            if is_fresh:
                raise
            async with copy.lock:
                copy.forget()
                await copy.refresh(store)
            is_fresh = True


async def first_of(store: Store, piece: Piece) -> int:
    """The number of the first event in an object, or that it would have."""
    data = await store.read(piece.path, 0, min(piece.end - piece.start, TAIL_BYTES))
    numbers = _COMMIT_NUMBERS.match(data)
    if numbers is not None:
        return int(numbers[1])
    found = _HEADER_FIRST.search(data)
    if found is None:
        raise DamagedCopy(f"{piece.path} does not begin with a line of a journal")
    return int(found[1])


async def stored_bytes(store: Store, copy: Copy, segment: int, start: int, end: int) -> bytes:
    # The lock of the copy is held: nothing moves meanwhile but by another process, and then this raises Missing.
    parts = []
    while start < end:
        piece = copy.pieces.at(segment, start)
        if piece is None:
            break
        parts.append(await store.read(piece.path, start - piece.start, min(end, piece.end) - piece.start))
        start = piece.end
    return b"".join(parts)


async def hash_before(store: Store, copy: Copy, segment: int, offset: int) -> str:
    if offset == 0:
        return GENESIS_HASH
    tail = await stored_bytes(store, copy, segment, max(0, offset - HASH_TAIL_BYTES - 1), offset)
    return stated_hash(tail[:-1]) or GENESIS_HASH


def folder_of(prefix: str, journal: str) -> str:
    return f"journals/{prefix}/{JOURNAL_FOLDER}/{journal}"


def encode_declaration(redaction: Redaction) -> bytes:
    """The payload of the `event.redacted` that it comes from; the same for everybody."""
    return orjson.dumps(declaration(redaction), option=orjson.OPT_SORT_KEYS)


async def _segment_begun(store: Store, each: Found) -> int | None:
    """The number of the segment that an object begins; None where it goes on in one."""
    start = await store.read(each.path, 0, min(each.size, TAIL_BYTES))
    if not start.startswith(FORMAT_START):
        return None
    want = TAIL_BYTES
    while (found := read_header(start)) is None and want < each.size:
        want *= 8
        start = await store.read(each.path, 0, min(each.size, want))
    if found is None:
        raise DamagedCopy(f"{each.path} begins with a header that is not valid")
    return found[0].segment
