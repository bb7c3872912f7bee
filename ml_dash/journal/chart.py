"""Which segments of a journal count, and how much of each: read from the headers alone.

The newest valid header says what it accepts of the segment before it, that one's header what it accepts of the one
before, and so on.  A segment that is passed over on this way is *dead*: its header was never whole, or damage or a
second history have come between.

A header of another journal is no header here: the id that most headers name is the journal's.

Pure: no I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .chain import Position
from .format import Header, Previous


@dataclass(frozen=True, slots=True)
class Extent:
    """A segment, and what of it counts.

    `journal` is the id of the journal, None where no header says it.  `header` and `start`, the position behind it, are
    None where the segment has no valid one.  `accepted` is what the header of the next segment accepts; None where
    there is no such header, and then all that replays counts.
    """

    segment: int
    journal: str | None
    header: Header | None
    start: Position | None
    accepted: Previous | None
    is_dead: bool
    is_sealed: bool
    """Whether a segment with a valid header follows, so that this one is never appended to again."""

    @property
    def is_fork(self) -> bool:
        """Whether this is part of a second history: a whole header of this journal that no other one leads to."""
        return self.is_dead and self.header is not None


def chart(
    numbers: Sequence[int], headers: Mapping[int, tuple[Header, Position]], first: int = 1, journal: str | None = None
) -> list[Extent]:
    """The extents of the segments from `first` on, oldest first: those in `numbers` (ascending), and those that are not
    there although a header accepts a part of them.

    `headers` are the valid ones, `journal` is the id of the journal where it is known.
    """
    if journal is None and headers:
        journal = Counter(headers[number][0].journal for number in sorted(headers)).most_common(1)[0][0]
    own = {number: found for number, found in headers.items() if found[0].journal == journal}
    newest = max(own, default=0)
    accepted: dict[int, Previous | None] = {number: None for number in numbers if number > newest}
    number, previous = newest, None
    while number >= first:
        accepted[number] = previous
        if number in own:
            previous = own[number][0].previous
            number = previous.segment if previous is not None else 0
        else:
            number, previous = max((each for each in numbers if each < number), default=0), None
    extents = []
    for number in sorted({*numbers, *accepted}):
        header, start = own.get(number, (None, None))
        is_dead, is_sealed = number not in accepted, number < newest
        extents.append(Extent(number, journal, header, start, accepted.get(number), is_dead, is_sealed))
    return extents
