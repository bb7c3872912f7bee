"""Commits in order, from any position, also while others write.  Never takes the journal's lock, never blocks a writer.

What a reader yields:

 1. Every commit that continues the chain, in sequence order, each event once.
 2. Of the newest segment, nothing behind a torn tail: those bytes may still be on their way, or were never promised.
 3. Behind corrupt bytes, every commit that is valid by the hash which the line before it states.  What is missing in
    between is in `damage`.
 4. Redacted commits, with what stands in them instead.  What redacts a commit stands behind it, or was told by the
    server that the bytes come from: the first line that is not valid by its own hash makes the reader look.

A line that is not whole yet ends the reading without alarm; calling `commits()` again goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import JournalVersionError
from .chain import Position, end_of, find_journal, is_corrupt, islands, read_header, walk
from .chart import Extent, chart
from .damage import Damage, DamageKind
from .folder import JournalFolder
from .format import (
    FORMAT_VERSION,
    GENESIS_HASH,
    HASH_TAIL_BYTES,
    CommitLine,
    Declaration,
    Header,
    stated_hash,
)
from .identity import said_elsewhere
from .line_hashes import hashes_ahead
from .redacted_lines import RedactedLines
from .segment_file import SegmentFile, file_status, open_segment

if TYPE_CHECKING:
    from ..state.nouns import Redaction

CHUNK_BYTES = 4 * 1024 * 1024
HEADER_BYTES = 4 * 1024


class JournalReader:
    """Reads one journal.  `position` is behind the last commit read; `damage` is what was met on the way.

    `trusted(extent)` may answer with a position behind which the segment goes on without having been read.

    A segment opened after a failed sync repeats what was not durable, number for number, and a reader passes over what
    it has given already.  History may go on differently from there where the disk lost some of it: a commit that begins
    before `next_seq` and ends behind it is given whole.  With `on_rewind`, that is called with the first number that is
    repeated instead, and everything from there on is given again.

    What is known of `redactions` beforehand is applied even where the bytes have not been replaced yet.
    """

    def __init__(
        self,
        folder: JournalFolder,
        start: Position | None = None,
        trusted: Callable[[Extent], Position | None] | None = None,
        on_rewind: Callable[[int], None] | None = None,
        redactions: Iterable[Redaction] = (),
        *,
        looks_ahead: bool = True,
    ) -> None:
        self._folder = folder
        self._redacted = RedactedLines(folder, redactions, self._reader_from if looks_ahead else None)
        self._on_rewind = on_rewind
        self._trusted = trusted
        self._headers: dict[int, tuple[Header, Position]] = {}
        self._declared: set[Declaration] = set()
        self._damage: dict[tuple[int, int], Damage] = {}
        self._tails: list[Damage] = []
        self._inode: int | None = None
        self._given_seq = 1 if start is None else start.next_seq
        self.position = start
        self.segments: list[int] = []

    @property
    def next_seq(self) -> int:
        return 1 if self.position is None else self.position.next_seq

    @property
    def damage(self) -> list[Damage]:
        """Everything met so far that does not replay, declared or not."""
        known = [
            replace(each, declared=each.declared or each.declaration in self._declared)
            for each in self._damage.values()
        ]
        return [*known, *self._tails]

    def commits(self) -> Iterator[CommitLine]:
        """What has been committed since the last call, until the journal's end as it is now."""
        at = self.position
        first = 1 if at is None else at.segment
        self._tails = []
        self._redacted.forget()
        self.segments = [number for number in self._folder.segment_numbers() if number >= first]
        if at is not None and self._has_nothing_new(at):
            return
        # Headers do not change: each is read once, however often others append.
        headers = {number: found for number in self.segments if (found := self.header(number)) is not None}
        for extent in chart(self.segments, headers, first, None if at is None else at.journal or None):
            if extent.header is not None:
                self._declared.update(extent.header.declared)
            yield from self._read_extent(extent)

    def _has_nothing_new(self, at: Position) -> bool:
        status = file_status(self._folder, at.segment)
        if status is None:
            self._mark_gone(at, at.offset, self._given_seq, "no such file")
            return not self.segments
        if self._inode not in (None, status.inode) or status.size < at.offset:
            self._headers.clear()
            return False
        self._inode = status.inode
        return self.segments[-1:] == [at.segment] and status.size == at.offset

    def declare(self, declared: Iterable[Declaration]) -> None:
        """The caller has written a header that says so."""
        self._declared.update(declared)

    def advance(self, position: Position) -> None:
        """The caller has written up to `position` by itself, perhaps in a segment that it has just created."""
        here = self.position
        self.position = position
        self._given_seq = position.next_seq
        if here is None or here.segment != position.segment:
            self._inode = None
            for tail in self._tails:
                self._damage[tail.segment, tail.offset] = replace(tail, kind=DamageKind.DEAD, declared=True)
            self._tails = []

    def header(self, number: int) -> tuple[Header, Position] | None:
        """A segment's header and the position behind it; None where it has no valid one.

        Raises JournalVersionError for one that only a newer release can read.
        """
        found = self._headers.get(number)
        if found is not None:
            return found
        found = read_header(self._first_line(number))
        if found is not None and found[0].version > FORMAT_VERSION:
            raise JournalVersionError(
                f"journal {self._folder.path} is written in format version {found[0].version} (segment {number:08d}); "
                f"this release of ml_dash knows versions up to {FORMAT_VERSION}. Nothing was changed: upgrade ml_dash "
                "to read this journal or to write to it"
            )
        if found is None or found[0].segment != number:
            return None
        self._headers[number] = found
        return found

    def _first_line(self, number: int) -> bytes:
        try:
            opened = open_segment(self._folder, number)
        except FileNotFoundError:
            return b""
        with opened as file:
            size = HEADER_BYTES
            while b"\n" not in (data := file.read_at(0, size)) and len(data) == size:
                size *= 4
        return data

    def _reader_from(self, segment: int) -> JournalReader:
        """For `RedactedLines`."""
        header = self.header(segment)
        return JournalReader(self._folder, header[1] if header is not None else None, looks_ahead=False)

    # -- one segment ---------------------------------------------------------------------------------------------

    def _read_extent(self, extent: Extent) -> Iterator[CommitLine]:
        status = file_status(self._folder, extent.segment)
        if status is None:
            self._mark_hole(self._before_header(extent), extent, 0, b"")
            return
        if not extent.is_dead:
            self._trust(extent)
        with open_segment(self._folder, extent.segment) as file:
            if extent.is_fork:
                self._damage[extent.segment, 0] = self._second_history(extent, file.size)
            elif extent.is_dead:
                self._bury(extent.segment, 0, file.size)
            else:
                yield from self._read_open(extent, file, status.inode)
            self._note_troubles(extent.segment, file)

    def _trust(self, extent: Extent) -> None:
        if self._trusted is None or (self.position is not None and self.position.segment == extent.segment):
            return
        trusted = self._trusted(extent)
        if trusted is not None and trusted.next_seq >= self._given_seq:
            self.position = trusted
            self._given_seq = trusted.next_seq

    def _read_open(self, extent: Extent, file: SegmentFile, inode: int) -> Iterator[CommitLine]:
        size = file.size
        end = size if extent.accepted is None else min(extent.accepted.bytes, size)
        at, fence = self._entry(extent, file, size)
        seen_seq = self._given_seq
        if at.next_seq < self._given_seq and self._on_rewind is not None:
            self._given_seq = at.next_seq
            self._on_rewind(at.next_seq)
        if at.offset > 0:
            self.position = at
            self._inode = inode
            for line in self._lines(file, end):
                if self._is_new(line):
                    yield line
            at = self.position
        if at.offset == 0 or at.offset < end or not self._ends_as_accepted(at, extent):
            yield from self._read_behind_damage(extent, file, at, end)
        if at.offset < fence and extent.accepted is None:
            self._mark_gone(at, fence, seen_seq, "the end of what replays")
        if extent.accepted is not None:
            self._bury(extent.segment, extent.accepted.bytes, size)

    def _entry(self, extent: Extent, file: SegmentFile, size: int) -> tuple[Position, int]:
        """Where reading of this segment begins, and how much of it was durable when it was read before."""
        at = self.position
        fence = 0
        if at is not None and at.segment == extent.segment:
            fence = at.fence
            if extent.accepted is not None and at.offset > extent.accepted.bytes:
                # Opened after a failed sync, the next segment accepts less than what had been read, and repeats it.
                at = end_of(extent.accepted, at.journal, min(at.fence, extent.accepted.bytes))
            if self._stands(at, file, size):
                return at, 0
        return extent.start or self._before_header(extent), fence

    def _stands(self, at: Position, file: SegmentFile, size: int) -> bool:
        """Whether the line that `at` is behind is still there: a file that was replaced or cut under a live reader must
        not be gone on with, least of all be appended to."""
        start = max(0, at.offset - HASH_TAIL_BYTES - 1)
        tail = file.read_at(start, at.offset - start) if at.offset <= size else b""
        return tail.endswith(b"\n") and stated_hash(tail[:-1]) == at.hash

    def _before_header(self, extent: Extent) -> Position:
        at = self.position
        journal = extent.journal or ""
        if at is None:
            return Position(journal, extent.segment, 0, 1, GENESIS_HASH, 0)
        return Position(journal, extent.segment, 0, at.next_seq, at.hash, 0)

    def _is_new(self, line: CommitLine) -> bool:
        if line.last < self._given_seq:
            return False
        self._given_seq = line.last + 1
        return True

    def _ends_as_accepted(self, at: Position, extent: Extent) -> bool:
        return extent.accepted is None or (at.offset, at.hash) == (
            extent.accepted.bytes,
            extent.accepted.hash,
        )

    def _lines(self, file: SegmentFile, end: int) -> Iterator[CommitLine]:
        """Walks the chain from `position` to byte `end`, or to the first byte that does not continue it."""
        size = CHUNK_BYTES
        position = self.position
        assert position is not None
        while position.offset < end:
            data = file.read_at(position.offset, min(size, end - position.offset))
            reached = position.offset
            for line in walk(data, position, hashes_ahead(data, position.hash, position.journal)):
                self.position = position = position.after(line)
                yield self._redacted.patched(line) if self._redacted.are_known else line
            if position.offset > reached:
                size = CHUNK_BYTES
            elif (redacted := self._redacted.first_in(data, position)) is not None:
                self.position = position = position.after(redacted)
                yield redacted
            elif b"\n" in data or len(data) < size:
                return
            else:
                size *= 4

    # -- damage --------------------------------------------------------------------------------------------------

    def _read_behind_damage(self, extent: Extent, file: SegmentFile, at: Position, end: int) -> Iterator[CommitLine]:
        """Rules 2 and 3: the bytes from `at` to `end` do not continue the chain."""
        data = file.read_at(at.offset, end - at.offset)
        if not at.journal:
            at = replace(at, journal=find_journal(data, said_elsewhere(self._folder)) or "")
        if extent.accepted is None and not is_corrupt(data, at):
            kind = DamageKind.CORRUPT if extent.is_sealed else DamageKind.TORN
            damage = self._describe(kind, at, end, at.next_seq - 1, data)
            if extent.is_sealed:
                self._damage[at.segment, at.offset] = damage
            else:
                self._tails.append(damage)
            return
        hole = at
        for line in islands(data, at, at.next_seq, self._redacted.restored):
            if line.offset > hole.offset:
                self._mark_hole(hole, extent, line.offset, data[hole.offset - at.offset :], line.first - 1)
            hole = self.position = hole.after(line)
            if self._is_new(line):
                yield line
        if hole.offset < end or not self._ends_as_accepted(hole, extent):
            self._mark_hole(hole, extent, end, data[hole.offset - at.offset :])
        if extent.accepted is not None:
            self.position = end_of(extent.accepted, at.journal, hole.fence)
        else:
            self.position = Position(at.journal, at.segment, end, hole.next_seq, hole.hash, hole.fence)

    # -- what does not replay ------------------------------------------------------------------------------------

    def _mark_hole(self, hole: Position, extent: Extent, end: int, data: bytes, last_seq: int | None = None) -> None:
        if last_seq is None:
            last_seq = extent.accepted.last if extent.accepted is not None else hole.next_seq - 1
            end = extent.accepted.bytes if extent.accepted is not None else end
        damage = self._describe(DamageKind.CORRUPT, hole, end, last_seq, data)
        if extent.accepted is not None and hole.offset == extent.accepted.bytes:
            expected = f"a line with hash {extent.accepted.hash} before it, as the next segment's header says"
            damage = replace(damage, expected=expected, found=f"hash {hole.hash}")
        self._damage[hole.segment, hole.offset] = damage

    def _mark_gone(self, at: Position, fence: int, seen_seq: int, found: str) -> None:
        """Of a segment that was read before, durable bytes are not there any more."""
        expected = f"{fence} bytes that were read before, up to event {seen_seq - 1}"
        offset = 0 if found == "no such file" else at.offset
        first_seq, last_seq = at.next_seq, max(at.next_seq, seen_seq) - 1
        damage = Damage(
            DamageKind.CORRUPT, at.segment, offset, fence - offset, first_seq, last_seq, False, expected, found
        )
        self._damage.setdefault((at.segment, offset), damage)

    def _describe(self, kind: DamageKind, at: Position, end: int, last_seq: int, data: bytes) -> Damage:
        expected = f"a commit that begins with event {at.next_seq} and continues the hash chain"
        if at.offset == 0:
            expected = "the header of a segment"
        found = repr(data[:40])[1:] + ("…" if len(data) > 40 else "") if data else "nothing"
        return Damage(kind, at.segment, at.offset, end - at.offset, at.next_seq, last_seq, False, expected, found)

    def _note_troubles(self, segment: int, file: SegmentFile) -> None:
        """Of the file of an archived segment: what has changed in it without taking a byte of the segment away."""
        holes = [each for each in self._damage.values() if each.segment == segment and each.kind is DamageKind.CORRUPT]
        seq = self.next_seq
        for offset, size, found in file.troubles():
            end = offset + max(1, size)
            if any(each.offset < end and offset < each.offset + max(1, each.bytes) for each in holes):
                continue
            expected = "the archive as it was written"
            damage = Damage(DamageKind.ARCHIVE, segment, offset, size, seq, seq - 1, False, expected, found)
            self._damage.setdefault((segment, offset), damage)

    def _second_history(self, extent: Extent, size: int) -> Damage:
        assert extent.header is not None
        first = extent.header.first
        expected = "a segment that the next one goes on from"
        found = f"a second continuation of the journal from event {first} on"
        return Damage(DamageKind.CORRUPT, extent.segment, 0, size, first, first - 1, False, expected, found)

    def _bury(self, segment: int, offset: int, size: int) -> None:
        if size > offset:
            seq = self.next_seq
            self._damage[segment, offset] = Damage(
                DamageKind.DEAD, segment, offset, size - offset, seq, seq - 1, True, "nothing", "bytes not accepted"
            )
