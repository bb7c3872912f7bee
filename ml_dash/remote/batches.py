"""Which bytes of a journal the server lacks, and how many of them to send at a time.

`place` is the decision table that turns "where the server's copy ends" into "what comes next".  Exactly one row
matches; *there* is the segment that the copy ends in, as it stands on this machine:

    there                        byte before the end          what comes next
    missing, newer than all      -                            BEYOND: this machine has lost what the server has
    missing or passed over       -                            DIVERGED: history went on without it
    shorter than the end         -                            BEYOND, or DIVERGED where a segment follows
    as long or longer            states another hash          DIVERGED
    as long or longer            states the copy's hash       GO ON: in this segment, or at the header of the next

The copy may end behind what the next header accepts here: that is so after a failed sync, and then the next segment
repeats the rest, which the server verifies.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ..journal.chart import Extent

BATCH_BYTES_MIN = 64 * 1024
BATCH_BYTES_START = 512 * 1024
FAST_S = 0.5
"""A full batch that was acknowledged within this is followed by one of twice the size."""
SLOW_S = 20.0
"""One that took longer is followed by one of half the size: whoever looks on wants to see something move."""
GAIN = 1.2
"""Where twice as much took less than twice as long, answers are what is slow, and more at a time is better."""


class Next(str, Enum):
    """What follows from where the server's copy ends."""

    GO_ON = "go on"
    BEYOND = "beyond"
    DIVERGED = "diverged"


def place(extents: Sequence[Extent], segment: int, offset: int, size: int | None, states_hash: bool) -> Next:
    """The table above.

    `size` is that of the file of `segment`, None where there is none; `states_hash` says whether the line before
    `offset` is there and states the hash that the server's copy ends in.
    """
    extent = next((each for each in extents if each.segment == segment), None)
    if size is None or extent is None:
        newest = max((each.segment for each in extents if each.header is not None), default=0)
        return Next.BEYOND if segment > newest else Next.DIVERGED
    if extent.is_dead or extent.header is None:
        return Next.DIVERGED
    if offset > size:
        return Next.DIVERGED if extent.is_sealed else Next.BEYOND
    return Next.GO_ON if states_hash else Next.DIVERGED


def living(extents: Sequence[Extent]) -> list[Extent]:
    """The segments that count, oldest first, also those that are missing though a header accepts a part of them."""
    return [each for each in extents if not each.is_dead]


def following(extents: Sequence[Extent], segment: int) -> Extent | None:
    """The segment that counts behind this one; behind 0, the first."""
    return next((each for each in living(extents) if each.segment > segment), None)


@dataclass(slots=True)
class BatchSize:
    """How many bytes to send at a time: few, so that little waits for a slow line; many, where they go fast.

    One line is sent whole, however long.
    """

    bytes_max: int
    bytes: int = BATCH_BYTES_START
    bytes_per_s: float = 0.0
    """Of the last full batch."""

    def acknowledged(self, sent_bytes: int, took_s: float) -> None:
        if took_s > SLOW_S:
            self._set(self.bytes // 2)
        elif sent_bytes * 2 > self.bytes:
            before, self.bytes_per_s = self.bytes_per_s, sent_bytes / max(took_s, 1e-6)
            if took_s < FAST_S or self.bytes_per_s > GAIN * before:
                self._set(self.bytes * 2)

    def refused(self) -> None:
        """No answer came in time, or it was too much."""
        self._set(self.bytes // 2)

    def _set(self, wanted: int) -> None:
        self.bytes = max(min(BATCH_BYTES_MIN, self.bytes_max), min(wanted, self.bytes_max))
