"""Bytes of a journal that do not replay: where, how many, which events they held, and whether that is known.

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .format import CommitLine, Declaration


class DamageKind(str, Enum):
    """Why bytes do not replay."""

    TORN = "torn"
    """The end of the newest segment, never promised to anyone.  The next writer opens a new segment behind it."""
    DEAD = "dead"
    """Bytes that a later header does not accept: a torn tail of the past, healed by declaration."""
    UNREADABLE = "unreadable"
    """Whole and unchanged, but this release does not know what it says: a newer one wrote it."""
    ARCHIVE = "archive"
    """The file of an archived segment has changed, and still every byte of the segment can be had from it."""
    CORRUPT = "corrupt"
    """Bytes that were durable, and have changed or gone since.  They refuse writing until they are declared."""
    ABSENT = "absent"
    """What a fork has from its parent is not there: the parent was removed, replaced or cut.  It refuses nothing."""


@dataclass(frozen=True, slots=True)
class Damage:
    """`bytes` bytes of segment `segment` from `offset` on.

    `first_seq` to `last_seq` are the events that are missing because of them, as far as their neighbours tell;
    `last_seq < first_seq` where none is known to be missing.  A cut file misses 0 bytes at its end.  `prefix` is the
    experiment that the bytes are in where that is not the one that is read, but one that it was forked from; the events
    are numbered as the fork counts.
    """

    kind: DamageKind
    segment: int
    offset: int
    bytes: int
    first_seq: int
    last_seq: int
    declared: bool
    expected: str
    found: str
    prefix: str | None = None

    @property
    def declaration(self) -> Declaration:
        return Declaration(self.segment, self.offset, self.bytes)

    @property
    def refuses_writing(self) -> bool:
        return self.kind is DamageKind.CORRUPT and not self.declared and self.prefix is None


def unreadable(line: CommitLine, found: str) -> Damage:
    """A commit that the chain vouches for, but whose events do not decode."""
    expected = "events that this release of ml_dash can decode"
    place = line.segment, line.offset, line.end - line.offset
    return Damage(DamageKind.UNREADABLE, *place, line.first, line.last, False, expected, found)
