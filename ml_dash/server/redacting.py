"""Redacted lines of a copy: which declarations are taken, where they stand, and how values leave what is stored.

1. A declaration is stored before a byte is replaced, and stays: whoever reads the bytes afterwards finds it.
2. It is taken where it is about the line at its place (the hashes tell), or where that line is still to come.
3. What is stored is replaced by what all declarations make of it, until nothing changes: two servers may replace one
   object at once, each without the other's patches.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from ..journal.chain import Position, read_header
from ..journal.declarations import declared_in
from ..journal.format import HASH_TAIL_BYTES, stated_hash
from ..state.nouns import Redaction
from .append import Batch, commits_in, is_about, masked
from .copies import Copy, encode_declaration, hash_before, stored_bytes
from .store import Store, Taken


class InvalidRedaction(Exception):
    """A declaration is not about a line as it is stored."""


async def fits(store: Store, copy: Copy, redaction: Redaction, batch: Batch | None) -> bool:
    """Whether it is about the line that is stored at its place, or that the batch has there.

    Of a line that is still to come nobody knows; it is looked at when it comes.
    """
    segment, start, end = redaction.segment, redaction.offset, redaction.offset + redaction.bytes
    size = copy.pieces.size_of(segment) or 0
    if end <= size:
        line = await stored_bytes(store, copy, segment, start, end)
        return is_about(line, redaction, await hash_before(store, copy, segment, start), copy.journal)
    if batch is not None and batch.segment == segment and batch.offset < start < end:
        at = start - batch.offset
        above = stated_hash(batch.data[max(0, at - HASH_TAIL_BYTES - 1) : at - 1])
        line = batch.data[at : end - batch.offset]
        return above is not None and is_about(line, redaction, above, copy.journal)
    return batch is None and start >= size


async def declare(store: Store, copy: Copy, redactions: Iterable[Redaction]) -> None:
    for each in redactions:
        data = encode_declaration(each)
        path = copy.redaction_path(data)
        with suppress(Taken):
            await store.create(path, data)
        copy.declare(path, data)
        await store.clear_up()


async def carry_out(store: Store, copy: Copy, redactions: Iterable[Redaction]) -> None:
    """Puts the patches into what is stored; all that are declared, whoever declared them, until nothing changes."""
    wanted = {(each.segment, each.offset) for each in redactions}
    while wanted:
        for piece in copy.pieces:
            if any(piece.segment == segment and piece.start <= at < piece.end for segment, at in wanted):
                stored = await store.read(piece.path)
                before = await hash_before(store, copy, piece.segment, piece.start)
                changed = masked(stored, piece.segment, piece.start, copy.journal, before, copy.redactions)
                if changed != stored:
                    await store.replace(piece.path, changed)
        known = dict(copy.redactions)
        await copy.refresh(store)
        # Another server may have replaced the same object a moment ago, without these patches or we without its.
        wanted = {place for place, each in copy.redactions.items() if known.get(place) != each}


def redactions_of(batch: Batch, copy: Copy) -> list[Redaction]:
    """What the events of a batch that verifies declare."""
    found = read_header(batch.data) if batch.offset == 0 else None
    if found is not None:
        start = found[1]
    else:
        head = copy.head
        assert head is not None
        start = Position(head.journal, head.segment, head.offset, head.next_seq, head.hash, 0)
    lines = commits_in(batch.data[start.offset - batch.offset :], start, copy.redactions)
    return [each for line in lines for each in declared_in(line)]
