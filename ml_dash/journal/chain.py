"""Which lines of a segment are valid, and which of its bytes are not.

`walk` follows the bytes of one segment from a known position and stops at the first byte that does not continue the
chain; `is_corrupt` then tells the two reasons for that apart.

*Torn*: the bytes lie at or beyond every fence carried by a valid commit.  They were never promised to anyone: a
process died while it wrote them, or power failed before they were synced.  *Corrupt*: they lie below such a fence,
or below what the next segment's header accepts.  They were durable once, and have changed since.

Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

from .format import (
    JOURNAL_ID_OFFSET,
    CommitLine,
    Header,
    Previous,
    commit_within,
    decode_commit,
    decode_header,
    looks_like_commit,
    stated_hash,
)

JOURNAL_ID_CHARACTERS = b"0123456789abcdefghijklmnopqrstuvwxyz"
JOURNAL_ID_LENGTH = 18
FIND_JOURNAL_PAIRS_MAX = 4
HEADER_SEARCH_BYTES = 64 * 1024
_STATED_ID = re.compile(rb'"journal":"([0-9a-z]{%d})"' % JOURNAL_ID_LENGTH)

Restored = Callable[[bytes, str, str, int, int], CommitLine | None]
"""Of a line that is not valid by its own hash: line, hash before it, journal, segment, offset → the redacted commit."""


@dataclass(slots=True)
class Position:
    """A place between two lines of a segment, and what the chain is there.

    Nobody changes one.  It is not frozen because a reader makes one for each commit, and a frozen one costs three times
    as much.
    """

    journal: str
    segment: int
    offset: int
    next_seq: int
    hash: str
    fence: int
    """The highest byte length of this segment that a commit in it says is synced."""

    def after(self, line: CommitLine) -> Position:
        fence = line.fence if line.fence > self.fence else self.fence
        return Position(self.journal, self.segment, line.end, line.first + line.count, line.hash, fence)

    def with_fence(self, fence: int) -> Position:
        return self if fence <= self.fence else replace(self, fence=fence)


def start_of(header: Header, header_bytes: int) -> Position:
    """The position behind a header line, newline included.  A segment gets its name only after its header is synced."""
    return Position(header.journal, header.segment, header_bytes, header.first, header.hash, header_bytes)


def end_of(accepted: Previous, journal: str, fence: int = 0) -> Position:
    """The position behind what a header accepts of the segment before it."""
    return Position(journal, accepted.segment, accepted.bytes, accepted.last + 1, accepted.hash, fence)


def read_header(data: bytes) -> tuple[Header, Position] | None:
    """The header that `data`, a segment from its first byte, begins with; None where it has no valid one."""
    end = data.find(b"\n")
    if end < 0:
        return None
    header = decode_header(data[:end])
    return None if header is None else (header, start_of(header, end + 1))


def walk(data: bytes, start: Position, hashes: Iterable[str | None] = ()) -> Iterator[CommitLine]:
    """The valid commits in `data`, the bytes of a segment from `start.offset` on; ends at the first that is not.

    `hashes` are those of the lines, as far as they have been computed ahead (`line_hashes.py`).
    """
    base = start.offset
    previous_hash, expected, at = start.hash, start.next_seq, 0
    ahead = iter(hashes)
    while (end := data.find(b"\n", at)) >= 0:
        line = commit_within(data, at, end, previous_hash, start.journal, start.segment, base + at, next(ahead, None))
        if line is None or line.first != expected or line.count < 1:
            return
        yield line
        previous_hash, expected, at = line.hash, line.first + line.count, end + 1


def islands(data: bytes, start: Position, next_seq: int, restored: Restored | None = None) -> Iterator[CommitLine]:
    """The commits behind damage that are valid by the hash which the line before them states.

    `data` starts at the damage.  `next_seq` is the number that the chain had reached: a commit that repeats history
    is not accepted, and neither is one of another journal, because the journal's id is hashed into every line.
    `restored` tells a redacted commit from a damaged one.
    """
    base = start.offset
    previous_hash, at = None, 0
    while (end := data.find(b"\n", at)) >= 0:
        text = data[at:end]
        if previous_hash is not None:
            line = decode_commit(text, previous_hash, start.journal, start.segment, base + at)
            if line is None and restored is not None:
                line = restored(text, previous_hash, start.journal, start.segment, base + at)
            if line is not None and line.first >= next_seq and line.count >= 1:
                yield line
                next_seq = line.first + line.count
        previous_hash, at = stated_hash(text), end + 1


def is_corrupt(data: bytes, start: Position) -> bool:
    """Whether the bytes from `start.offset` on, which do not continue the chain, were durable once.

    They were if they lie below a fence.  The fence of a commit never lies behind that commit, so only the commits
    behind the damage can tell; each of them is valid by itself.  Where a segment has no valid header, whatever looks
    like a commit tells: nothing is written to a segment whose header is not durable, and with the header the journal's
    id may have been lost, by which the commits were valid.
    """
    if start.offset == 0:
        return any(looks_like_commit(line) for line in data.split(b"\n")[1:])
    return any(line.fence > start.offset for line in islands(data, start, start.next_seq))


def find_journal(data: bytes, elsewhere: Iterable[str] = ()) -> str | None:
    """The id of the journal whose commits stand in `data`, a segment from its first byte with a damaged header.

    The bytes where the header states it, or those with one of them replaced, as the damage may be just there; what is
    called so further on, as bytes in front of it may have come or gone; or what is said `elsewhere`, as the header may
    be gone.  A commit confirms it by its hash.
    """
    moved = [found[1] for found in _STATED_ID.finditer(data, 0, HEADER_SEARCH_BYTES)]
    moved += [journal.encode("ascii", "replace") for journal in elsewhere]
    stated = data[JOURNAL_ID_OFFSET : JOURNAL_ID_OFFSET + JOURNAL_ID_LENGTH]
    pairs = islice(filter(lambda pair: looks_like_commit(pair[1]), _adjacent(data)), FIND_JOURNAL_PAIRS_MAX)
    for above_hash, commit in pairs:
        for candidate in chain(moved, _one_byte_off(stated)):
            journal = candidate.decode("ascii", "replace")
            if journal.isascii() and decode_commit(commit, above_hash, journal, 0, 0) is not None:
                return journal
    return None


def _adjacent(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Each whole line that has one before it which states a hash: that hash, and the line."""
    previous_hash, at = None, 0
    while (end := data.find(b"\n", at)) >= 0:
        if previous_hash is not None:
            yield previous_hash, data[at:end]
        previous_hash, at = stated_hash(data[at:end]), end + 1


def _one_byte_off(text: bytes) -> Iterator[bytes]:
    yield text
    for place in range(len(text)):
        for character in JOURNAL_ID_CHARACTERS:
            yield text[:place] + bytes((character,)) + text[place + 1 :]
