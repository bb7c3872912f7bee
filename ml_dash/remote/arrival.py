"""Whether what stands on this machine has arrived, by the hint (`cursor.py`).

Whoever ends a session, or calls `ml-dash ship`, waits for it; nothing that is sent depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..journal.chain import Position
from ..journal.folder import JournalFolder
from .batches import Next
from .blobs import FileShipment
from .cursor import Mark
from .local_bytes import LocalBytes


def is_shipped(folder: JournalFolder, prefix: str, mark: Mark) -> bool:
    """Whether all that stands on this machine has been acknowledged, by the hint.  Raises OSError."""
    local = LocalBytes(folder)
    try:
        local.look()
        if local.journal is None:
            return True
        if mark.head is None:
            return False
        what_next, at = local.locate(mark.head)
        if what_next is not Next.GO_ON or local.after(at, 1) is not None or local.blocked is not None:
            return False
    finally:
        local.close()
    files = FileShipment(folder, prefix.split("/", 1)[0], mark.files)
    files.look()
    return not files.waiting


@dataclass(frozen=True, slots=True)
class Goal:
    """What stood on this machine when somebody began to wait: the journal up to `end`, and the content of `files`.

    While others go on recording, a copy may reach it that never is all there is.
    """

    end: Position | None
    files: frozenset[str]

    def is_reached(self, mark: Mark) -> bool:
        """By the hint."""
        head, end = mark.head, self.end
        is_there = end is None or (
            head is not None
            and head.journal == end.journal
            and (head.segment, head.offset) >= (end.segment, end.offset)
        )
        return is_there and self.files <= mark.files


def goal_of(folder: JournalFolder, prefix: str) -> Goal:
    """As of now.  Raises OSError."""
    local = LocalBytes(folder)
    try:
        local.look()
        end = local.newest_end()
    finally:
        local.close()
    files = FileShipment(folder, prefix.split("/", 1)[0])
    files.look()
    return Goal(end, files.names)
