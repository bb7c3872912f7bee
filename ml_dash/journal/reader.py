"""Commits in order, from any position, also while others write.  Never takes the journal's lock, never blocks a writer.

What a reader yields:

 1. Every commit that continues the chain, in sequence order, each event once.
 2. Of the newest segment, nothing behind a torn tail: those bytes may still be on their way, or were never promised.
 3. Behind corrupt bytes, every commit that is valid by the hash which the line before it states.  What is missing in
    between is in `damage`.

A line that is not whole yet ends the reading without alarm; calling `commits()` again goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ..errors import JournalVersionError
from .chain import Position, is_corrupt, islands, read_header, walk
from .damage import Damage, DamageKind
from .folder import JournalFolder
from .format import FORMAT_VERSION, GENESIS_HASH, CommitLine, Declaration, Header, Previous

CHUNK_BYTES = 4 * 1024 * 1024
HEADER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Extent:
    """A segment, and what of it the next header accepts; None where there is no such header: all that replays counts."""

    segment: int
    header: Header | None
    start: Position | None
    accepted: Previous | None
    dead: bool

    @property
    def is_sealed(self) -> bool:
        return self.accepted is not None


class JournalReader:
    """Reads one journal.  `position` is behind the last commit read; `damage` is what was met on the way.

    `trusted(extent)` may answer with a position behind which the segment goes on without having been read.
    A segment opened after a failed sync repeats what was not durable, number for number; a reader passes over what it
    has seen.  With `on_rewind`, that is called with the first repeated number instead, and the repeats are yielded.
    """

    def __init__(
        self,
        folder: JournalFolder,
        start: Position | None = None,
        trusted: Callable[[Extent], Position | None] | None = None,
        on_rewind: Callable[[int], None] | None = None,
    ) -> None:
        self._folder = folder
        self._on_rewind = on_rewind
        self._trusted = trusted
        self._declared: set[Declaration] = set()
        self._damage: dict[tuple[int, int], Damage] = {}
        self._tails: list[Damage] = []
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
        if self._nothing_new():
            return
        self._tails = []
        for extent in self._chart():
            if self.position is None or extent.segment >= self.position.segment:
                yield from self._read_extent(extent)

    def _nothing_new(self) -> bool:
        if self.position is None:
            return False
        segment = self.position.segment
        if self._folder.disk.exists(self._folder.segment_path(segment + 1)):
            return False
        status = self._folder.disk.status(self._folder.segment_path(segment))
        return status is not None and status.size == self.position.offset

    # -- which bytes count ---------------------------------------------------------------------------------------

    def _chart(self) -> list[Extent]:
        """Follows the newest valid header back through what each header accepts of the segment before it."""
        first = 1 if self.position is None else self.position.segment
        numbers = self.segments = [number for number in self._folder.segment_numbers() if number >= first]
        headers = {number: found for number in numbers if (found := self.header(number)) is not None}
        for header, _ in headers.values():
            self._declared.update(header.declared)
        newest = max(headers, default=0)
        # Segments behind the newest valid header: one whose header is torn, or one whose header is damaged.
        accepted: dict[int, Previous | None] = {number: None for number in numbers if number > newest}
        number, previous = newest, None
        while number >= first:
            accepted[number] = previous
            if number in headers:
                previous = headers[number][0].previous
                number = previous.segment if previous is not None else 0
            else:
                number, previous = max((each for each in numbers if each < number), default=0), None
        return [
            Extent(number, *headers.get(number, (None, None)), accepted.get(number), dead=number not in accepted)
            for number in sorted({*numbers, *accepted})
        ]

    def restart(self, position: Position) -> None:
        """Goes on from `position`, the start of a segment that the caller has just created."""
        self.position = position
        self.segments.append(position.segment)
        self._tails = []

    def header(self, number: int) -> tuple[Header, Position] | None:
        """A segment's header and the position behind it; None where it has no valid one."""
        disk = self._folder.disk
        descriptor = disk.open_read(self._folder.segment_path(number))
        try:
            size = HEADER_BYTES
            while b"\n" not in (data := disk.read_at(descriptor, 0, size)) and len(data) == size:
                size *= 4
        finally:
            disk.close(descriptor)
        found = read_header(data)
        if found is not None and found[0].version > FORMAT_VERSION:
            raise JournalVersionError(
                f"journal {self._folder.path} is written in format version {found[0].version}; this release of ml_dash "
                f"knows versions up to {FORMAT_VERSION}. Nothing was changed: upgrade ml_dash to read it or to write to it"
            )
        if found is not None and found[0].segment != number:
            return None
        return found

    # -- one segment ---------------------------------------------------------------------------------------------

    def _read_extent(self, extent: Extent) -> Iterator[CommitLine]:
        status = self._folder.disk.status(self._folder.segment_path(extent.segment))
        if status is None:
            gone = self._entry(extent)
            self._mark_hole(gone, extent, 0, b"")
            return
        if extent.dead:
            self._bury(extent.segment, 0, status.size)
            return
        trusted = self._trusted(extent) if self._trusted is not None else None
        if trusted is not None and trusted.next_seq >= self.next_seq:
            self.position = trusted
        descriptor = self._folder.disk.open_read(self._folder.segment_path(extent.segment))
        try:
            yield from self._read_open(extent, descriptor)
        finally:
            self._folder.disk.close(descriptor)

    def _entry(self, extent: Extent) -> Position:
        """Where reading of this segment begins."""
        if self.position is not None and self.position.segment == extent.segment:
            return self.position
        if extent.start is not None:
            return extent.start
        journal = self.position.journal if self.position is not None else ""
        return Position(journal, extent.segment, 0, self.next_seq, GENESIS_HASH, 0)

    def _read_open(self, extent: Extent, descriptor: int) -> Iterator[CommitLine]:
        size = self._folder.disk.size_of(descriptor)
        end = size if extent.accepted is None else min(extent.accepted.bytes, size)
        before, seen_seq = self.position, self.next_seq
        self.position = at = self._entry(extent)
        if at.next_seq < seen_seq and self._on_rewind is not None:
            self._on_rewind(at.next_seq)
            seen_seq = at.next_seq
        if at.offset > 0:
            for line in self._lines(descriptor, end):
                if line.first >= seen_seq:
                    yield line
        if self.position.offset < end or not self._ends_as_accepted(self.position, extent):
            yield from self._read_behind_damage(extent, descriptor, end, before)
        if extent.accepted is not None:
            self._bury(extent.segment, extent.accepted.bytes, size)

    def _ends_as_accepted(self, at: Position, extent: Extent) -> bool:
        return extent.accepted is None or (at.offset, at.hash) == (
            extent.accepted.bytes,
            extent.accepted.hash,
        )

    def _lines(self, descriptor: int, end: int) -> Iterator[CommitLine]:
        """Walks the chain from `position` to byte `end`, or to the first byte that does not continue it."""
        size = CHUNK_BYTES
        position = self.position
        assert position is not None
        while position.offset < end:
            data = self._folder.disk.read_at(descriptor, position.offset, min(size, end - position.offset))
            reached = position.offset
            for line in walk(data, position):
                self.position = position = position.after(line)
                yield line
            if position.offset > reached:
                size = CHUNK_BYTES
            elif b"\n" in data or len(data) < size:
                return
            else:
                size *= 4

    def _read_behind_damage(
        self, extent: Extent, descriptor: int, end: int, before: Position | None
    ) -> Iterator[CommitLine]:
        """Rules 2 and 3: the bytes from `position` to `end` do not continue the chain."""
        assert self.position is not None
        data = self._folder.disk.read_at(descriptor, self.position.offset, end - self.position.offset)
        at = self._named(self.position, data)
        if not extent.is_sealed and not is_corrupt(data, at):
            self._tails.append(self._describe(DamageKind.TORN, at, end, at.next_seq - 1, data))
            # A segment whose header is torn holds nothing: the journal still ends in the one before it.
            self.position = at if at.offset > 0 else before
            return
        hole = at
        for line in islands(data, at, at.next_seq):
            if line.offset > hole.offset:
                self._mark_hole(hole, extent, line.offset, data[hole.offset - at.offset :], line.first - 1)
            hole = self.position = hole.after(line)
            yield line
        if hole.offset < end or not self._ends_as_accepted(hole, extent):
            self._mark_hole(hole, extent, end, data[hole.offset - at.offset :])
        if extent.accepted is not None:
            end, next_seq, end_hash = extent.accepted.bytes, extent.accepted.last + 1, extent.accepted.hash
            self.position = Position(at.journal, at.segment, end, next_seq, end_hash, hole.fence)
        else:
            self.position = Position(at.journal, at.segment, end, hole.next_seq, hole.hash, hole.fence)

    def _named(self, at: Position, data: bytes) -> Position:
        """With the journal's id, which is hashed into every line, where damage took the header that says it."""
        if at.journal:
            return at
        stated = data[:HEADER_BYTES].partition(b'"journal":"')[2].partition(b'"')[0]
        if not (stated.isalnum() and stated.isascii()):
            return at
        return replace(at, journal=stated.decode("ascii"))

    # -- what does not replay ------------------------------------------------------------------------------------

    def _mark_hole(self, hole: Position, extent: Extent, end: int, data: bytes, last_seq: int | None = None) -> None:
        if last_seq is None:
            last_seq = extent.accepted.last if extent.accepted is not None else hole.next_seq - 1
            end = extent.accepted.bytes if extent.accepted is not None else end
        self._damage[hole.segment, hole.offset] = self._describe(DamageKind.CORRUPT, hole, end, last_seq, data)

    def _describe(self, kind: DamageKind, at: Position, end: int, last_seq: int, data: bytes) -> Damage:
        expected = f"a commit that begins with event {at.next_seq} and continues the hash chain"
        if at.offset == 0:
            expected = "the header of a segment"
        found = repr(data[:40])[1:] + ("…" if len(data) > 40 else "") if data else "nothing"
        return Damage(kind, at.segment, at.offset, end - at.offset, at.next_seq, last_seq, False, expected, found)

    def _bury(self, segment: int, offset: int, size: int) -> None:
        if size > offset:
            last_seq = self.next_seq - 1
            self._damage[segment, offset] = Damage(
                DamageKind.DEAD,
                segment,
                offset,
                size - offset,
                last_seq + 1,
                last_seq,
                True,
                "nothing",
                "bytes not accepted",
            )
