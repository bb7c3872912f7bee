"""Commits of which values were taken out: what stands in them instead, for whoever reads the lines.

What redacts a commit stands behind it.  So the first line that is not valid by its own hash makes us look through what
follows, once for each segment; an ordinary journal is never read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..facts.codec import CodecError, decode_events, events_of
from ..facts.events import EVENT_REDACTED
from .chain import Position
from .folder import JournalFolder
from .format import HASH_TAIL_BYTES, CommitLine, decode_redacted, looks_like_commit, patched
from .segment_file import open_segment

if TYPE_CHECKING:
    from ..state.nouns import Redaction

CHUNK_BYTES = 4 * 1024 * 1024
_REDACTED_IN_BYTES = b'"type":"%b"' % EVENT_REDACTED.encode("ascii")

Place = tuple[int, int]
"""A segment and an offset in it."""


class RedactedLines:
    """The redactions of one journal, as far as a reader has to do with them.

    What is `known` beforehand is applied even where the bytes have not been replaced yet.  `read_ahead` gives the
    segments from one on and their commits, read without looking ahead; None for whoever reads so.
    """

    def __init__(
        self,
        folder: JournalFolder,
        known: Iterable[Redaction],
        read_ahead: Callable[[int], tuple[list[int], Iterator[CommitLine]]] | None,
    ) -> None:
        self._folder = folder
        self._known = {(each.segment, each.offset): each for each in known}
        self._read_ahead = read_ahead
        self._seen_ahead: dict[int, dict[Place, Redaction]] = {}
        self.are_known = bool(self._known)

    def forget(self) -> None:
        """What was seen ahead: more may have been declared since."""
        self._seen_ahead = {}

    def patched(self, line: CommitLine) -> CommitLine:
        """A valid line, with what is known to be redacted in it."""
        redaction = self._known.get((line.segment, line.offset))
        if redaction is None or redaction.hash != line.hash:
            return line
        start = line.end - 1 - line.offset - HASH_TAIL_BYTES - len(line.events)
        try:
            return replace(line, events=patched(line.events, redaction.patches, start))
        except ValueError:
            # A declaration that does not fit is none.
            return line

    def first_in(self, data: bytes, at: Position) -> CommitLine | None:
        """The commit at `at`, if the line with which `data` begins is a redacted one."""
        end = data.find(b"\n")
        line = self.restored(data[:end], at.hash, at.journal, at.segment, at.offset) if end >= 0 else None
        return line if line is not None and line.first == at.next_seq and line.count >= 1 else None

    def restored(self, text: bytes, before: str, journal: str, segment: int, offset: int) -> CommitLine | None:
        """A line that is not valid by its own hash, as the redacted commit that it is; None where it is none."""
        if self._read_ahead is None or not looks_like_commit(text):
            return None
        if segment not in self._seen_ahead:
            self._seen_ahead[segment] = self._look_ahead(segment)
        redaction = self._seen_ahead[segment].get((segment, offset))
        return None if redaction is None else decode_redacted(text, redaction, before, journal)

    def _look_ahead(self, segment: int) -> dict[Place, Redaction]:
        """What is declared from the beginning of a segment on, the last declaration of each commit."""
        assert self._read_ahead is not None
        numbers, commits = self._read_ahead(segment)
        found: dict[Place, Redaction] = {}
        if not any(map(self._may_declare, numbers)):
            return found
        # Most readers never come here, and need not wait for the fold to be loaded.
        from ..state.redactions import redactions_in

        for line in commits:
            if _REDACTED_IN_BYTES not in line.events:
                continue
            try:
                blocks = decode_events(line.events, line.count)
                events = events_of(blocks, line.first, line.time_us, line.writer, line.session)
            except CodecError:
                continue
            found.update({(each.segment, each.offset): each for each in redactions_in(events)})
        return found

    def _may_declare(self, number: int) -> bool:
        """Whether the words stand anywhere in a segment: its lines need not be parsed where they do not."""
        try:
            opened = open_segment(self._folder, number)
        except FileNotFoundError:
            return False
        with opened as file:
            size, overlap = file.size, len(_REDACTED_IN_BYTES)
            return any(
                _REDACTED_IN_BYTES in file.read_at(start, CHUNK_BYTES + overlap)
                for start in range(0, size, CHUNK_BYTES)
            )
