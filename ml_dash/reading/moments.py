"""Which event was the last at a given time, without folding anything.

Clocks may jump, and what a dead process left is committed hours later: only the times of the events themselves tell.
So segments are looked through from the newest back, and of most commits one time is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ..clock import from_datetime
from ..facts.codec import Block, CodecError, decode_events
from ..journal.chain import Position
from ..journal.chart import chart
from ..journal.folder import JournalFolder
from ..journal.format import CommitLine
from ..journal.leftovers import dead_writers, leftovers, try_drain
from ..journal.reader import JournalReader


def sequence_at(folder: JournalFolder, moment: datetime) -> int:
    """The last event, in order of sequence numbers, whose time is not after `moment`; 0 where there is none.

    A naive `moment` is local time.  Clocks may jump: events before it in order may be of a later time.  So segments are
    looked through from the newest back, to the first that has such an event, and nothing is folded.
    """
    moment_us = from_datetime(moment)
    for commits in _newest_first(folder):
        found = max((_last_by(moment_us, line) for line in commits), default=0)
        if found:
            return found
    return 0


def _newest_first(folder: JournalFolder) -> Iterator[Iterator[CommitLine]]:
    """The commits of each segment, or of some that only the header of the first allows to be read; then of those before
    it.  What dead writers left belongs to the newest."""
    dead = dead_writers(folder)
    if dead and try_drain(folder):
        dead = {}
    # From where a first segment without a header begins, only reading from the beginning finds out.
    beginnings = [None, *starts(folder)[1:]]
    end = None
    for start in reversed(beginnings):
        yield _between(folder, start, end, dead if end is None else {})
        end = start


def _between(
    folder: JournalFolder, start: Position | None, end: Position | None, dead: dict[str, list[int]]
) -> Iterator[CommitLine]:
    reader = JournalReader(folder, start)
    for line in reader.commits():
        if end is not None and line.segment >= end.segment:
            return
        yield line
    if dead:
        yield from leftovers(folder, dead, reader.next_seq)


def _last_by(moment_us: int, line: CommitLine) -> int:
    """The last event of a commit that is not of a later time; 0 where there is none."""
    last = -1
    blocks = decoded(line)
    if not blocks:
        # All that is known of its events is when they were committed.
        return line.last if line.time_us <= moment_us else 0
    for block in blocks:
        try:
            found = block.last_by(moment_us - line.time_us)
        except CodecError:
            found = block.positions[-1] if line.time_us <= moment_us else -1
        last = max(last, found)
    return 0 if last < 0 else line.first + last


def starts(folder: JournalFolder) -> list[Position]:
    """Where the segments that count begin, behind their headers."""
    reader, numbers = JournalReader(folder), folder.segment_numbers()
    headers = {number: found for number in numbers if (found := reader.header(number)) is not None}
    return [extent.start for extent in chart(numbers, headers) if extent.start is not None and not extent.is_dead]


def decoded(line: CommitLine) -> list[Block]:
    """The events of a commit; none where this release cannot decode them."""
    try:
        return decode_events(line.events, line.count)
    except CodecError:
        return []
