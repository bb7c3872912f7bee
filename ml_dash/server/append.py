"""Whether a batch of lines goes on from where a journal's copy ends: decided on bytes alone.

A batch is a stretch of one segment, from byte `offset` on.  It verifies if and only if

 1. it is whole lines, at least one;
 2. at offset 0 its first line is a header that is valid (`spec/journal.md`), of this journal and this segment, and
    accepts exactly what is stored, or less of the newest segment if what it leaves out is repeated (rule 4); behind
    offset 0 no line is a header;
 3. every other line is a commit that is valid behind the line before it, redacted ones included where that has been
    declared;
 4. where a header accepts less than is stored, because the disk failed to sync the rest, the commits that follow it
    are those that it leaves out, one for one: the same events under the same numbers.

So bytes that are torn, dead or damaged are in no batch that verifies.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..journal.chain import Position, end_of, start_of, walk
from ..journal.format import (
    FORMAT_VERSION,
    HASH_TAIL_BYTES,
    CommitLine,
    Header,
    decode_header,
    decode_redacted,
    patched,
    stated_hash,
)
from ..remote.protocol import Head
from ..state.nouns import Redaction

Redactions = Mapping[tuple[int, int], Redaction]
"""By the segment and the offset of the line; of several declarations of one line, the last."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a client wants to add: bytes of a segment from `offset` on.

    `before` is the hash of the line that the client believes to be before it; None: nothing is stored, it believes.
    """

    segment: int
    offset: int
    data: bytes
    before: str | None


class InvalidChain(Exception):
    """The batch does not verify; `offset` is the place in the segment from which on it does not."""

    def __init__(self, detail: str, offset: int) -> None:
        super().__init__(detail)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Verified:
    """A batch that verifies: how many `lines` and `events` it has, and where the journal ends behind it."""

    lines: int
    events: int
    head: Head


def header_of(data: bytes, journal: str, segment: int) -> tuple[Header, int]:
    """The header that a batch at offset 0 begins with, and its length.  Raises InvalidChain (rules 1 and 2)."""
    _check_whole(data, 0)
    end = data.find(b"\n")
    header = decode_header(data[:end])
    if header is None:
        raise InvalidChain("a segment begins with a header that is valid; this does not", 0)
    if header.version > FORMAT_VERSION:
        raise InvalidChain(
            f"the journal is written in format version {header.version}; this server knows versions up to "
            f"{FORMAT_VERSION}: upgrade ml_dash there",
            0,
        )
    if header.journal != journal or header.segment != segment:
        raise InvalidChain(f"the header is that of segment {header.segment} of journal {header.journal}", 0)
    return header, end + 1


def verify_first(data: bytes, journal: str, segment: int, redactions: Redactions) -> Verified:
    """Of a journal of which nothing is stored."""
    header, length = header_of(data, journal, segment)
    if header.previous is not None:
        raise InvalidChain(
            f"the header goes on from segment {header.previous.segment}, of which nothing is stored here: begin there",
            0,
        )
    return _verified(data, length, start_of(header, length), header.time_us, redactions)


def verify_next_segment(data: bytes, head: Head, segment: int, redactions: Redactions, left_out: bytes) -> Verified:
    """Of a batch that begins a segment.  `left_out` are the stored bytes behind what its header accepts (rule 4).

    The caller has looked at what the header accepts: that it ends in a line that is stored.
    """
    header, length = header_of(data, head.journal, segment)
    accepted = header.previous
    assert accepted is not None
    if left_out:
        repeated = walk(data[length:], start_of(header, length))
        reached = accepted.bytes
        for line in walk(left_out, end_of(accepted, head.journal)):
            again = next(repeated, None)
            if again is None or _facts(again) != _facts(line):
                break
            reached = line.end
        if reached != accepted.bytes + len(left_out):
            raise InvalidChain("the header leaves out events that are stored, and they are not repeated behind it", 0)
    return _verified(data, length, start_of(header, length), header.time_us, redactions)


def verify_continuation(data: bytes, head: Head, redactions: Redactions) -> Verified:
    """Of a batch that goes on in the segment in which the copy ends."""
    _check_whole(data, head.offset)
    at = Position(head.journal, head.segment, head.offset, head.next_seq, head.hash, 0)
    return _verified(data, 0, at, head.time_us, redactions)


def masked(data: bytes, segment: int, offset: int, journal: str, before: str, redactions: Redactions) -> bytes:
    """Whole lines of a segment from `offset` on, `before` being the hash before them, with the patches in every line
    whose redaction is declared.

    A declaration that is not about the line as it stands, or does not say what it becomes, changes nothing.
    """
    changed = data
    for redaction in redactions.values():
        start, end = redaction.offset - offset, redaction.offset - offset + redaction.bytes
        if redaction.segment != segment or start < 0 or end > len(data):
            continue
        above = stated_hash(data[max(0, start - HASH_TAIL_BYTES - 1) : start - 1]) if start > 0 else before
        line = data[start:end]
        if above is not None and is_about(line, redaction, above, journal):
            changed = changed[:start] + patched(line, redaction.patches) + changed[end:]
    return changed


def is_about(line: bytes, redaction: Redaction, before: str, journal: str) -> bool:
    """Whether a line, newline included, is the one that a declaration is about, before or after it was patched."""
    return line.endswith(b"\n") and decode_redacted(line[:-1], redaction, before, journal) is not None


def _verified(data: bytes, length: int, start: Position, time_us: int, redactions: Redactions) -> Verified:
    """`length` bytes, the header if there is one, are verified already."""
    lines, events, at = int(length > 0), 0, start
    for line in commits_in(data[length:] if length else data, start, redactions):
        lines, events = lines + 1, events + line.count
        time_us, at = line.time_us, at.after(line)
    if at.offset - start.offset + length != len(data):
        raise InvalidChain(
            f"at byte {at.offset} of segment {at.segment} expected a commit that begins with event {at.next_seq} and "
            "continues the hash chain",
            at.offset,
        )
    return Verified(lines, events, Head(at.journal, at.segment, at.offset, at.next_seq, at.hash, time_us))


def commits_in(data: bytes, start: Position, redactions: Redactions) -> Iterator[CommitLine]:
    """Every valid commit from `start` on, up to the first line that is none (rule 3)."""
    base = start.offset
    while True:
        for line in walk(data[start.offset - base :] if start.offset > base else data, start):
            start = start.after(line)
            yield line
        redaction = redactions.get((start.segment, start.offset))
        end = data.find(b"\n", start.offset - base)
        if redaction is None or end < 0:
            return
        found = decode_redacted(data[start.offset - base : end], redaction, start.hash, start.journal)
        if found is None or found.first != start.next_seq or found.count < 1:
            return
        start = start.after(found)
        yield found


def _check_whole(data: bytes, offset: int) -> None:
    if not data.endswith(b"\n"):
        raise InvalidChain("a batch is whole lines, and at least one", offset)


def _facts(line: CommitLine) -> tuple[object, ...]:
    """What a repeated commit has in common with the one that it repeats."""
    return line.first, line.count, line.time_us, line.writer, line.session, line.counter, line.events
