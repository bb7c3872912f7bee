"""Which lines of a segment are valid, and which of its bytes are not.

A `Chain` walks the bytes of one segment from a known position.  It stops at the first byte that does not continue
the chain; `torn_or_corrupt` then tells the two reasons apart.

*Torn*: the bytes lie at or beyond every fence carried by a valid commit.  They were never promised to anyone: a
process died while it wrote them, or power failed before they were synced.  *Corrupt*: they lie below such a fence,
or below what the next segment's header accepts.  They were durable once, and have changed since.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .format import CommitLine, Header, decode_commit, decode_header, stated_hash


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two lines of a segment, and what the chain is there."""

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
    """The position behind a header line, newline included.  A header is synced before the first commit is written."""
    return Position(header.journal, header.segment, header_bytes, header.first, header.hash, header_bytes)


def read_header(data: bytes) -> tuple[Header, Position] | None:
    """The header that `data`, a segment from its first byte, begins with; None where it has no valid one."""
    end = data.find(b"\n")
    if end < 0:
        return None
    header = decode_header(data[:end])
    return None if header is None else (header, start_of(header, end + 1))


def walk(data: bytes, start: Position) -> Iterator[CommitLine]:
    """The valid commits in `data`, the bytes of a segment from `start.offset` on; ends at the first that is not."""
    base = start.offset
    previous_hash, expected, at = start.hash, start.next_seq, 0
    while (end := data.find(b"\n", at)) >= 0:
        line = decode_commit(data[at:end], previous_hash, start.journal, start.segment, base + at)
        if line is None or line.first != expected or line.count < 1:
            return
        yield line
        previous_hash, expected, at = line.hash, line.first + line.count, end + 1


def islands(data: bytes, start: Position, next_seq: int) -> Iterator[CommitLine]:
    """The commits behind damage that are valid by the hash which the line before them states.

    `data` starts at the damage.  `next_seq` is the number that the chain had reached: a commit that repeats history
    is not accepted, and neither is one of another journal, because the journal's id is hashed into every line.
    """
    base = start.offset
    previous_hash, at = None, 0
    while (end := data.find(b"\n", at)) >= 0:
        text = data[at:end]
        if previous_hash is not None:
            line = decode_commit(text, previous_hash, start.journal, start.segment, base + at)
            if line is not None and line.first >= next_seq and line.count >= 1:
                yield line
                next_seq = line.first + line.count
        previous_hash, at = stated_hash(text), end + 1


def is_corrupt(data: bytes, start: Position) -> bool:
    """Whether the bytes from `start.offset` on, which do not continue the chain, were durable once.

    They were if they lie below a fence.  The fence of a commit never lies behind that commit, so only the commits
    behind the damage can tell; each of them is valid by itself.
    """
    return any(line.fence > start.offset for line in islands(data, start, start.next_seq))
