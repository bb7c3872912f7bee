"""The bytes of a journal on this machine that may travel: raw, in whole lines, valid and durable.

1. What is sent was verified: every line continues the hash chain, as `journal/format.py` says.  Events are not
   decoded.
2. What is sent survives a power failure of this machine: the server must never have what this machine lacks.  Bytes
   beyond every fence are synced first; of a segment of which a sync has failed, nothing beyond the fence travels.
3. Torn and dead bytes are left out.  At damage the way ends: what lies behind it continues a chain that the server
   could not verify.  `blocked` says where, whether the damage is declared or not.
4. Of a redacted line the declaration travels before the line (`Batch.redactions`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..facts.events import FILE_SAVED
from ..journal.chain import Position, is_corrupt, walk
from ..journal.chart import Extent, chart
from ..journal.declarations import REDACTED_IN_BYTES, Place, add_to, declared_in, told
from ..journal.folder import JournalFolder
from ..journal.format import HASH_TAIL_BYTES, SEGMENT_BYTES_MAX, CommitLine, decode_redacted, stated_hash
from ..journal.reader import JournalReader
from ..journal.segment_file import SegmentFile, open_segment
from ..state.nouns import Redaction
from .batches import Next, following, living, place
from .protocol import Head

READ_BYTES = 256 * 1024
"""At a time: a short burst, because training shares the interpreter's lock."""
_SAVED = b'"type":"%b"' % FILE_SAVED.encode("ascii")


@dataclass(frozen=True, slots=True)
class Batch:
    """Bytes of one segment that continue what the server has.

    `after` is the hash that they continue, None at the beginning; `end` is behind them.  `names_files` says that an
    event among them may name content of saved files.  `redactions` must be declared before.
    """

    segment: int
    offset: int
    data: bytes
    after: str | None
    end: Position
    names_files: bool
    redactions: tuple[Redaction, ...]


@dataclass(frozen=True, slots=True)
class Blocked:
    """Damage at which the way ends."""

    segment: int
    offset: int
    what: str


class LocalBytes:
    """Of the journal in `folder`, which may be written to by anyone meanwhile.  Used by one thread at a time.

    Raises OSError as it comes from the disk, and JournalVersionError for what only a newer release can read.
    """

    def __init__(self, folder: JournalFolder) -> None:
        self._folder = folder
        self._disk = folder.disk
        self._reader = JournalReader(folder)
        self._extents: list[Extent] = []
        self._file: SegmentFile | None = None
        self._open_segment = 0
        self._named_segment = 0
        self._redactions: dict[Place, Redaction] = {}
        self._declaring: JournalReader | None = None
        self.blocked: Blocked | None = None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._open_segment = None, 0

    # -- what there is -------------------------------------------------------------------------------------------

    @property
    def journal(self) -> str | None:
        """The journal's id, as `look` has found it; None where no header says it yet."""
        return next((each.journal for each in self._extents if each.header is not None), None)

    def look(self) -> None:
        """Finds out which segments there are now, and how much of each counts."""
        numbers = self._folder.segment_numbers()
        headers = {number: found for number in numbers if (found := self._reader.header(number)) is not None}
        self._extents = chart(numbers, headers)

    def bytes_behind(self, at: Position | None) -> int:
        """How many bytes count behind a position, as far as can be told without reading them."""
        segment, offset = (at.segment, at.offset) if at is not None else (0, 0)
        return sum(
            max(0, self._end_of(extent) - (offset if extent.segment == segment else 0))
            for extent in living(self._extents)
            if extent.segment >= segment
        )

    def locate(self, head: Head) -> tuple[Next, Position]:
        """Where the server's copy ends is here, and what comes next."""
        size = self._size(head.segment)
        states_hash = size is not None and head.offset <= size and self._hash_before(head) == head.hash
        at = Position(head.journal, head.segment, head.offset, head.next_seq, head.hash, 0)
        return place(self._extents, head.segment, head.offset, size, states_hash), at

    def newest_end(self) -> Position | None:
        """Behind the last valid line of the newest segment that counts; None where there is none."""
        extent = next((each for each in reversed(living(self._extents)) if each.start is not None), None)
        if extent is None or extent.start is None:
            return None
        self._open(extent.segment)
        return self._lines(extent, extent.start, SEGMENT_BYTES_MAX)[1]

    # -- what comes next -----------------------------------------------------------------------------------------

    def after(self, at: Position | None, bytes_max: int) -> Batch | None:
        """The next bytes behind a position, at least one line, at most `bytes_max` where that is more than one.

        None where there is nothing more that may travel: `blocked` says if damage is the reason.
        """
        self.blocked = None
        extent = self._extent_at(at)
        if extent is None or self.blocked is not None:
            return None
        assert extent.start is not None
        self._open(extent.segment)
        is_at_header = at is None or at.segment != extent.segment
        start = at if at is not None and not is_at_header else extent.start
        first_byte = 0 if is_at_header else start.offset
        pieces, end, redactions = self._lines(extent, start, bytes_max)
        pieces, end = self._only_durable(extent, start, pieces, end)
        if is_at_header:
            pieces.insert(0, self._opened.read_at(0, start.offset))
        if not pieces:
            if extent.is_sealed and extent.accepted is None:
                # History goes on, but the segment that said how is missing or damaged.
                self._block_at(following(self._extents, extent.segment))
            return None
        data = b"".join(pieces)
        after = at.hash if at is not None else None
        return Batch(
            extent.segment, first_byte, data, after, end, _SAVED in data, (*redactions, *self._declared_in(data, start))
        )

    def _extent_at(self, at: Position | None) -> Extent | None:
        """The segment that the bytes behind a position are in."""
        if at is None:
            found = following(self._extents, 0)
        else:
            here = next((each for each in self._extents if each.segment == at.segment), None)
            is_over = here is not None and here.accepted is not None and at.offset >= here.accepted.bytes
            found = following(self._extents, at.segment) if is_over else here
        if found is None or found.header is not None:
            return found
        if self._size(found.segment) is None or found.accepted is not None:
            self._block_at(found)
        return None

    def _block_at(self, extent: Extent | None) -> None:
        if extent is not None and extent.header is None:
            is_there = self._size(extent.segment) is not None
            self.blocked = Blocked(extent.segment, 0, "no valid header" if is_there else "no file")

    def _lines(self, extent: Extent, start: Position, bytes_max: int) -> tuple[list[bytes], Position, list[Redaction]]:
        """The valid lines from `start` on, up to `bytes_max` but at least one; where they end; redactions of any."""
        end_byte, size, at = self._end_of(extent), READ_BYTES, start
        pieces: list[bytes] = []
        redactions: list[Redaction] = []
        while at.offset < end_byte and at.offset - start.offset < bytes_max:
            data = self._opened.read_at(at.offset, min(size, end_byte - at.offset))
            reached, is_full = at, False
            for line in walk(data, at):
                is_full = at.offset > start.offset and line.end - start.offset > bytes_max
                if is_full:
                    break
                at = at.after(line)
            if at.offset > reached.offset:
                pieces.append(data[: at.offset - reached.offset])
                size = READ_BYTES
            elif (restored := self._restored(data, at)) is not None:
                pieces.append(data[: restored[0].end - at.offset])
                redactions.append(restored[1])
                at = at.after(restored[0])
            elif b"\n" in data or len(data) < size:
                if not pieces:
                    self._stop_at(extent, at, data, end_byte)
                is_full = True
            else:
                size *= 4
            if is_full:
                break
        return pieces, at, redactions

    def _stop_at(self, extent: Extent, at: Position, data: bytes, end_byte: int) -> None:
        """Rule 3: tells damage from a line that is still being written."""
        if extent.accepted is None:
            rest = self._opened.read_at(at.offset, end_byte - at.offset)
            if not is_corrupt(rest, at):
                return
        self.blocked = Blocked(extent.segment, at.offset, f"{data[:40]!r} does not continue the hash chain")

    # -- durable -------------------------------------------------------------------------------------------------

    def _only_durable(
        self, extent: Extent, start: Position, pieces: list[bytes], end: Position
    ) -> tuple[list[bytes], Position]:
        """Rule 2."""
        if self._named_segment < extent.segment:
            self._disk.sync_folder(self._folder.path)
            self._named_segment = extent.segment
        if extent.accepted is not None or end.offset <= end.fence:
            return pieces, end
        try:
            self._opened.sync()
        except OSError:
            return self._up_to_fence(start, pieces, end.fence)
        if self._disk.exists(self._folder.unsynced_path(extent.segment)):
            return self._up_to_fence(start, pieces, end.fence)
        return pieces, end

    def _up_to_fence(self, start: Position, pieces: list[bytes], fence: int) -> tuple[list[bytes], Position]:
        data, at = b"".join(pieces), start
        for line in walk(data, start):
            if line.end > fence:
                break
            at = at.after(line)
        kept = data[: at.offset - start.offset]
        return [kept] if kept else [], at

    # -- redacted lines ------------------------------------------------------------------------------------------

    def _restored(self, data: bytes, at: Position) -> tuple[CommitLine, Redaction] | None:
        """The redacted line that `data` begins with, and what declares it."""
        end = data.find(b"\n")
        if end < 0 or stated_hash(data[:end]) is None:
            return None
        for is_looked_for in (False, True):
            if is_looked_for:
                self._look_for_redactions()
            redaction = self._redactions.get((at.segment, at.offset))
            line = None if redaction is None else decode_redacted(data[:end], redaction, at.hash, at.journal)
            if line is not None and redaction is not None:
                return (line, redaction) if line.first == at.next_seq else None
        return None

    def _look_for_redactions(self) -> None:
        """What has been declared or told since we looked before."""
        if self._declaring is None:
            self._declaring = JournalReader(self._folder)
        for line in self._declaring.commits():
            add_to(self._redactions, declared_in(line))
        add_to(self._redactions, told(self._folder))

    def _declared_in(self, data: bytes, start: Position) -> tuple[Redaction, ...]:
        """What lines that travel now declare of lines that have travelled before."""
        if REDACTED_IN_BYTES not in data:
            return ()
        return tuple(each for each in redactions_of(self._folder) if each.seq >= start.next_seq)

    # -- files ---------------------------------------------------------------------------------------------------

    @property
    def _opened(self) -> SegmentFile:
        assert self._file is not None
        return self._file

    def _open(self, segment: int) -> None:
        if self._open_segment == segment and self._file is not None and self._file.is_at(*self._paths(segment)):
            return
        self.close()
        # Kept open: whether a sync has failed is told to whoever had the file open then.
        self._file = open_segment(self._folder, segment)
        self._open_segment = segment

    def _paths(self, segment: int) -> tuple[str, str]:
        return self._folder.segment_path(segment), self._folder.archived_path(segment)

    def _size(self, segment: int) -> int | None:
        status = self._disk.status(self._folder.segment_path(segment))
        if status is not None:
            return status.size
        try:
            with open_segment(self._folder, segment) as file:
                return file.size
        except FileNotFoundError:
            return None

    def _end_of(self, extent: Extent) -> int:
        size = self._size(extent.segment) or 0
        return size if extent.accepted is None else min(size, extent.accepted.bytes)

    def _hash_before(self, head: Head) -> str | None:
        self._open(head.segment)
        start = max(0, head.offset - HASH_TAIL_BYTES - 1)
        tail = self._opened.read_at(start, head.offset - start)
        return stated_hash(tail[:-1]) if tail.endswith(b"\n") else None


def redactions_of(folder: JournalFolder) -> Iterator[Redaction]:
    """What a journal declares as redacted; of several declarations of one line only the last one."""
    found: dict[Place, Redaction] = {}
    for line in JournalReader(folder).commits():
        found.update({(each.segment, each.offset): each for each in declared_in(line)})
    return iter(found.values())
