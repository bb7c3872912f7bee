"""Commits of which values were taken out: what stands in them instead, for whoever reads the lines.

What redacts a commit stands behind it, or was told by the server that the bytes come from (`declarations.py`).  So the
first line that is not valid by its own hash makes us look at what was told, and then through what follows, once for all
lines behind it; an ordinary journal is never read twice.

A redaction may be declared and carried out while somebody reads.  So a line for which nothing was found is looked for
once more where more has been declared, or may have been, since: where more was told, or in what the journal has grown
by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from .chain import Position
from .declarations import REDACTED_IN_BYTES, Place, add_to, declared_in, told, told_count
from .folder import JournalFolder
from .format import HASH_TAIL_BYTES, CommitLine, decode_redacted, looks_like_commit, patched, stated_hash
from .segment_file import file_status, open_segment

if TYPE_CHECKING:
    from ..state.nouns import Redaction
    from .reader import JournalReader

CHUNK_BYTES = 4 * 1024 * 1024


class RedactedLines:
    """The redactions of one journal, as far as a reader has to do with them.

    What is `known` beforehand is applied even where the bytes have not been replaced yet.  `reader_from` gives a reader
    that begins with a segment and does not look ahead itself; None for such a reader's own.
    """

    def __init__(
        self,
        folder: JournalFolder,
        known: Iterable[Redaction],
        reader_from: Callable[[int], JournalReader] | None,
    ) -> None:
        self._folder = folder
        self._known = {(each.segment, each.offset): each for each in known}
        self._reader_from = reader_from
        self.are_known = bool(self._known)
        self.forget()

    def forget(self) -> None:
        """What was seen: more may have been declared since."""
        self._told: dict[Place, Redaction] = {}
        self._seen_ahead: dict[Place, Redaction] = {}
        self._ahead: JournalReader | None = None
        self._looked_from = 0
        self._looked_at: object = None

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
        if self._reader_from is None or not looks_like_commit(text):
            return None
        for _ in range(2):
            for declared in (self._told, self._seen_ahead):
                redaction = declared.get((segment, offset))
                line = None if redaction is None else decode_redacted(text, redaction, before, journal)
                if line is not None:
                    return line
            if not self._look(segment):
                return None
        return None

    def _look(self, segment: int) -> bool:
        """Whether there was anything to look at that had not been looked at before."""
        newest = max(self._folder.segment_numbers(), default=0)
        # In this order: what is declared while we look is found by the next look.
        there = told_count(self._folder), newest, file_status(self._folder, newest)
        is_behind = self._looked_at is not None and segment >= self._looked_from
        if is_behind and there == self._looked_at:
            return False
        self._looked_at = there
        add_to(self._told, told(self._folder))
        if not is_behind:
            self._looked_from, self._ahead = segment, None
        self._look_ahead()
        return True

    def _look_ahead(self) -> None:
        """Finds what is declared from a segment on, or in what has come since that was found."""
        assert self._reader_from is not None
        if self._ahead is None:
            numbers = (number for number in self._folder.segment_numbers() if number >= self._looked_from)
            if not any(map(self._may_declare, numbers)):
                return
            self._ahead = self._reader_from(self._looked_from)
        for line in self._ahead.commits():
            self._seen_ahead.update({(each.segment, each.offset): each for each in declared_in(line)})

    def _may_declare(self, number: int) -> bool:
        """Whether the words stand anywhere in a segment: its lines need not be parsed where they do not."""
        try:
            opened = open_segment(self._folder, number)
        except FileNotFoundError:
            return False
        with opened as file:
            size, overlap = file.size, len(REDACTED_IN_BYTES)
            return any(
                REDACTED_IN_BYTES in file.read_at(start, CHUNK_BYTES + overlap) for start in range(0, size, CHUNK_BYTES)
            )


def declared_line(folder: JournalFolder, redaction: Redaction, journal: str) -> tuple[bytes, bytes] | None:
    """The line that a declaration is about: as it stands, and as it is to stand.

    None where no such line stands at its place.  Raises OSError.
    """
    start = max(0, redaction.offset - HASH_TAIL_BYTES - 1)
    try:
        with open_segment(folder, redaction.segment) as file:
            data = file.read_at(start, redaction.offset - start + redaction.bytes)
    except FileNotFoundError:
        return None
    before, line = stated_hash(data[: redaction.offset - start - 1]), data[redaction.offset - start :]
    if before is None or decode_redacted(line[:-1], redaction, before, journal) is None:
        return None
    return line, patched(line, redaction.patches)
