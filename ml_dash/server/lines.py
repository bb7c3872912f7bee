"""Commit lines of a journal, from a place on, as they are stored."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..remote.protocol import Head
from .copies import FORMAT_START
from .library import Library

_COMMIT_NUMBERS = re.compile(rb'\{"first":([0-9]{1,19}),"count":([0-9]{1,19}),')

Place = tuple[int, int]
"""A segment, and an offset between two lines of it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A commit, without its newline, which ends at byte `end` of its segment."""

    segment: int
    end: int
    last: int
    data: bytes


async def lines_behind(library: Library, prefix: str, head: Head, place: Place, after: int) -> AsyncIterator[Line]:
    """The commits between a place and the end of a journal that hold events behind number `after`.

    Where a segment repeats what the one before it may have lost, an event is given once.
    """
    journal = head.journal
    for segment, size in (await library.segments(prefix, journal)).items():
        if segment < place[0] or segment > head.segment:
            continue
        offset = place[1] if segment == place[0] else 0
        # What was stored after `head` was looked at is for the next look.
        end = min(size, head.offset) if segment == head.segment else size
        waiting = b""
        async for chunk in library.read(prefix, journal, segment, offset, end):
            *whole, waiting = (waiting + chunk).split(b"\n") if waiting else chunk.split(b"\n")
            for data in whole:
                offset += len(data) + 1
                numbers = _COMMIT_NUMBERS.match(data)
                if numbers is None or data.startswith(FORMAT_START):
                    continue
                last = int(numbers[1]) + int(numbers[2]) - 1
                if last > after:
                    after = last
                    yield Line(segment, offset, last, data)
