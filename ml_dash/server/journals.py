"""The journals of all experiments: what is stored of each, and how a batch is added.

Keeps promise P6 on the server's side.  A batch names the place where it begins, and the hash of the line before:

| it begins | and | answer |
|---|---|---|
| where the copy ends | goes on from the hash there, and verifies | stored |
| where the copy ends | the hash before it is another | `diverged` |
| inside of the copy | all its bytes are those that are stored | acknowledged, nothing stored |
| inside of the copy | its bytes are those that are stored, and go on behind it | what is new is verified and stored |
| inside of the copy | its bytes are others, or go on where a segment was sealed | `diverged` |
| behind the copy's end | | `stale`: the client asks where that is, and goes on from there |
| anywhere | it does not verify (`append.py`) | `invalid-chain` |

What this process believes about the end of a copy may be old; then the create-only put fails, it looks again, and the
same table decides.  So no server needs to know of another.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from ..clock import now_us
from ..journal.declarations import REDACTED_IN_BYTES, redaction_in
from ..journal.format import GENESIS_HASH, Previous
from ..remote.protocol import Head
from ..state.nouns import Redaction
from .append import (
    Batch,
    InvalidChain,
    Verified,
    header_of,
    masked,
    verify_continuation,
    verify_first,
    verify_next_segment,
)
from .bell import Bell
from .compaction import BELIEF_S
from .compaction_schedule import CompactionSchedule
from .copies import JOURNAL_FOLDER, Copy, first_of, hash_before, read_segment, stored_bytes
from .redacting import InvalidRedaction, carry_out, declare, fits, redactions_of
from .store import Missing, Store, Taken

INDEX = "index"
COPIES_MAX = 10_000
RACES_MAX = 32
"""So often in a row others may be first; each time one of them has stored something."""
SMALL_BYTES = 64 * 1024
"""Verifying more than this is left to a thread, so that other requests go on."""


class Stale(Exception):
    """The batch does not begin where the copy ends; `head` is where that is, None where nothing is stored."""

    def __init__(self, head: Head | None) -> None:
        super().__init__("the journal ends elsewhere")
        self.head = head


class Diverged(Exception):
    """The batch is of another lineage of the journal than what is stored."""

    def __init__(self, head: Head | None) -> None:
        super().__init__("the journal goes on differently here")
        self.head = head


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the copy ends now, how much of the batch was new, and whether it says that values were taken out."""

    head: Head
    lines: int
    events: int
    has_redacted: bool = False


class Journals:
    """Of one store; used by one event loop."""

    def __init__(self, store: Store, bell: Bell | None = None) -> None:
        self.store = store
        self.bell = bell if bell is not None else Bell()
        self._copies: OrderedDict[tuple[str, str], Copy] = OrderedDict()
        self._indexed: set[tuple[str, str]] = set()
        self.compaction = CompactionSchedule(store, lambda: self._copies.values())

    # -- looking -------------------------------------------------------------------------------------------------

    async def prefixes(self, below: str = "") -> dict[str, list[str]]:
        """The journals of every prefix below a folder of prefixes, by prefix; some may have nothing stored yet."""
        found: dict[str, list[str]] = {}
        for each in await self.store.list(f"{INDEX}/{below}" if below else INDEX):
            prefix, _, journal = each.path[len(INDEX) + 1 :].rpartition(f"/{JOURNAL_FOLDER}/")
            if prefix:
                found.setdefault(prefix, []).append(journal)
        return found

    async def heads(self, prefix: str) -> list[Head]:
        """Of every journal of an experiment; empty where there is none."""
        found = await self.store.list(f"{INDEX}/{prefix}/{JOURNAL_FOLDER}")
        heads = [await self.head(prefix, each.path.rpartition("/")[2]) for each in found]
        return [head for head in heads if head is not None]

    async def head(self, prefix: str, journal: str) -> Head | None:
        """Where the copy ends, as stored by whatever process; None where nothing is stored."""
        return (await self.fresh(prefix, journal)).head

    async def fresh(self, prefix: str, journal: str) -> Copy:
        copy = self._copy(prefix, journal)
        async with copy.lock:
            await copy.refresh(self.store)
        return copy

    async def segments(self, prefix: str, journal: str) -> dict[int, int]:
        """The bytes stored of each segment, oldest first."""
        return (await self.fresh(prefix, journal)).pieces.sizes()

    async def redactions(self, prefix: str, journal: str) -> list[Redaction]:
        """What is declared of lines.  Of bytes that were read before, at least what has been carried out in them."""
        return list((await self.fresh(prefix, journal)).redactions.values())

    def read(self, prefix: str, journal: str, segment: int, start: int, end: int) -> AsyncIterator[bytes]:
        """Bytes of a segment.  Raises Missing where they are not stored."""
        return read_segment(self.store, self._copy(prefix, journal), segment, start, end)

    async def place_of(self, prefix: str, journal: str, after: int) -> tuple[int, int]:
        """A place between two lines in front of which no event behind number `after` stands; near to it."""
        pieces = (await self.fresh(prefix, journal)).pieces
        low, high = 0, len(pieces)
        while high - low > 1:
            middle = (low + high) // 2
            try:
                first = await first_of(self.store, pieces[middle])
            except Missing:
                # It was joined with those before it.
                return pieces[low].segment, pieces[low].start
            low, high = (middle, high) if first <= after + 1 else (low, middle)
        return (pieces[low].segment, pieces[low].start) if pieces else (0, 0)

    # -- adding --------------------------------------------------------------------------------------------------

    async def append(self, prefix: str, journal: str, batch: Batch) -> Stored:
        """Raises Stale, Diverged or InvalidChain; nothing has been stored then."""
        copy = self._copy(prefix, journal)
        async with copy.lock:
            is_fresh = False
            for _ in range(RACES_MAX):
                if not is_fresh and not (copy.is_loaded and _is_young(copy) and _begins_at(copy.head, batch)):
                    await copy.refresh(self.store)
                    is_fresh = True
                try:
                    return await self._add(prefix, copy, batch)
                except (Stale, Diverged, InvalidChain):
                    if is_fresh:
                        raise
                except Missing:
                    # Another server has joined objects of a sealed segment.
                    copy.forget()
                except Taken:
                    pass
                await copy.refresh(self.store)
                is_fresh = True
            raise Stale(copy.head)

    async def _add(self, prefix: str, copy: Copy, batch: Batch) -> Stored:
        """One pass through the table, by what is known of the copy."""
        head = copy.head
        if head is None:
            if batch.offset > 0 or batch.before is not None:
                raise Stale(None)
            verified = await _in_thread(
                batch.data, verify_first, batch.data, copy.journal, batch.segment, copy.redactions
            )
            return await self._create(prefix, copy, batch, verified)
        place, end = (batch.segment, batch.offset), (head.segment, head.offset)
        if place == end:
            if batch.before is None:
                raise Stale(head)
            if batch.before != head.hash:
                raise Diverged(head)
            verified = await _in_thread(batch.data, verify_continuation, batch.data, head, copy.redactions)
            return await self._create(prefix, copy, batch, verified)
        if place < end:
            return await self._overlap(prefix, copy, head, batch)
        if batch.segment == head.segment or batch.offset > 0:
            raise Stale(head)
        return await self._next_segment(prefix, copy, head, batch)

    async def _next_segment(self, prefix: str, copy: Copy, head: Head, batch: Batch) -> Stored:
        header, _ = header_of(batch.data, copy.journal, batch.segment)
        accepted = header.previous
        if accepted is None:
            raise Diverged(head)
        if (accepted.segment, accepted.bytes) > (head.segment, head.offset):
            raise Stale(head)
        left_out = b""
        if (accepted.segment, accepted.bytes, accepted.last, accepted.hash) != _end_of(head):
            if accepted.segment != head.segment or accepted.bytes == head.offset:
                raise Diverged(head)
            left_out = await self._left_out(copy, head, accepted)
        elif batch.before not in (None, head.hash):
            raise Stale(head)
        try:
            verified = await _in_thread(
                batch.data, verify_next_segment, batch.data, head, batch.segment, copy.redactions, left_out
            )
        except InvalidChain:
            if left_out:
                # Two copies of one journal have gone on from the same place, each in its own way.
                raise Diverged(head) from None
            raise
        return await self._create(prefix, copy, batch, verified)

    async def _left_out(self, copy: Copy, head: Head, accepted: Previous) -> bytes:
        """The stored bytes behind what a header accepts.  Raises Diverged where no stored line ends there."""
        stored = await stored_bytes(self.store, copy, head.segment, 0, head.offset)
        line_start = stored.rfind(b"\n", 0, max(0, accepted.bytes - 1)) + 1
        line = stored[line_start : accepted.bytes]
        if not line.endswith(b',"hash":"%b"}\n' % accepted.hash.encode("ascii")):
            raise Diverged(head)
        return stored[accepted.bytes :]

    async def _overlap(self, prefix: str, copy: Copy, head: Head, batch: Batch) -> Stored:
        size = copy.pieces.size_of(batch.segment)
        if size is None or batch.offset >= size:
            raise Diverged(head)
        if not batch.data.endswith(b"\n"):
            raise InvalidChain("a batch is whole lines, and at least one", batch.offset)
        stored = await stored_bytes(
            self.store, copy, batch.segment, batch.offset, min(size, batch.offset + len(batch.data))
        )
        sent = batch.data[: len(stored)]
        if copy.redactions:
            before = await hash_before(self.store, copy, batch.segment, batch.offset)
            place = batch.segment, batch.offset, copy.journal, before, copy.redactions
            sent, stored = masked(sent, *place), masked(stored, *place)
        if sent != stored:
            raise Diverged(head)
        if len(batch.data) > len(stored):
            if batch.segment != head.segment:
                raise Diverged(head)
            rest = Batch(head.segment, head.offset, batch.data[len(stored) :], head.hash)
            return await self._add(prefix, copy, rest)
        has_redacted = REDACTED_IN_BYTES in batch.data
        if has_redacted:
            # Whoever stored it may have been killed before it followed what is declared there.
            await carry_out(self.store, copy, copy.redactions.values())
        return Stored(copy.head or head, 0, 0, has_redacted)

    async def _create(self, prefix: str, copy: Copy, batch: Batch, verified: Verified) -> Stored:
        """Raises Taken where another process was first."""
        await self._index(prefix, copy.journal)
        redactions: list[Redaction] = []
        data = batch.data
        before = copy.head.hash if copy.head is not None else GENESIS_HASH
        if REDACTED_IN_BYTES in data:
            redactions = [each for each in redactions_of(batch, copy) if await fits(self.store, copy, each, batch)]
            await declare(self.store, copy, redactions)
        if copy.redactions:
            data = masked(data, batch.segment, batch.offset, copy.journal, before, copy.redactions)
        path, believed_us = copy.next_path(), copy.checked_us
        await self.store.create(path, data)
        if now_us() - believed_us > BELIEF_S * 1_000_000:
            # The copy may have gone on long before, and then this object counts for nothing: look again.
            copy.forget()
            raise Taken(path)
        copy.add(verified.head, len(data))
        await carry_out(self.store, copy, redactions)
        self.bell.ring(prefix)
        self.compaction.grew(copy)
        assert copy.head is not None
        return Stored(copy.head, verified.lines, verified.events, bool(redactions))

    async def _index(self, prefix: str, journal: str) -> None:
        """Before the first object: what is stored is always found again."""
        if (prefix, journal) in self._indexed:
            return
        with suppress(Taken):
            await self.store.create(f"{INDEX}/{prefix}/{JOURNAL_FOLDER}/{journal}", b"")
        self._indexed.add((prefix, journal))

    # -- redacting -----------------------------------------------------------------------------------------------

    async def redact(self, prefix: str, journal: str, declarations: Iterable[object]) -> Head | None:
        """Stores declarations of redacted lines, and takes the values out of those that are stored.

        Lines that are still to come verify by them.  Raises InvalidRedaction, and nothing is stored then.
        """
        copy = self._copy(prefix, journal)
        async with copy.lock:
            await copy.refresh(self.store)
            redactions = []
            for each in declarations:
                redaction = redaction_in(each)
                if redaction is None:
                    raise InvalidRedaction("a declaration has the members of an `event.redacted`")
                if not await fits(self.store, copy, redaction, None):
                    raise InvalidRedaction(
                        f"segment {redaction.segment} has no line at byte {redaction.offset} that this could be about"
                    )
                redactions.append(redaction)
            if redactions:
                await self._index(prefix, journal)
            await declare(self.store, copy, redactions)
            await carry_out(self.store, copy, redactions)
            return copy.head

    # -- inside --------------------------------------------------------------------------------------------------

    def _copy(self, prefix: str, journal: str) -> Copy:
        key = prefix, journal
        copy = self._copies.get(key)
        if copy is None:
            copy = self._copies[key] = Copy.of(prefix, journal)
            while len(self._copies) > COPIES_MAX:
                oldest = next((each for each, known in self._copies.items() if not known.lock.locked()), None)
                if oldest is None or oldest == key:
                    break
                del self._copies[oldest]
        self._copies.move_to_end(key)
        return copy


def _begins_at(head: Head | None, batch: Batch) -> bool:
    """Whether a batch goes on from there, so that no look at the store is needed before it is created."""
    if head is None or batch.before != head.hash:
        return False
    is_next = batch.segment > head.segment and batch.offset == 0
    return is_next or (batch.segment, batch.offset) == (head.segment, head.offset)


def _is_young(copy: Copy) -> bool:
    return abs(now_us() - copy.checked_us) < BELIEF_S * 1_000_000 / 2


def _end_of(head: Head) -> tuple[int, int, int, str]:
    return head.segment, head.offset, head.next_seq - 1, head.hash


async def _in_thread(data: bytes, function: Callable[..., Verified], *arguments: object) -> Verified:
    return function(*arguments) if len(data) <= SMALL_BYTES else await asyncio.to_thread(function, *arguments)
