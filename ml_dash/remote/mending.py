"""A journal of this machine that has lost its end, given it back by the server.

No checksum sees a tail that was cut exactly between two lines: the server's copy is the second witness.

 1. Under the journal's lock: what the server has beyond the end here is written behind it, if the last line here stands
    at the same place there.  If it does not, the two go on differently, and nothing is changed.
 2. Every line is verified before it is written, redacted ones by what the server declares; bytes of a line that was cut
    are gone on with only if they are the beginning of that line.  What is declared of them is written before them: the
    event that declares it here may not have come as far as the server (`journal/declarations.py`).
 3. Killed in between, what has been written is the beginning of the same history, and the next time goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import RefusedError, StorageError
from ..ids import new_id
from ..journal.chain import Position, read_header, walk
from ..journal.declarations import Place, add_to, redaction_in, tell
from ..journal.folder import JournalFolder
from ..journal.format import HASH_TAIL_BYTES, CommitLine, decode_redacted, stated_hash
from ..journal.lock import JournalLock
from ..state.nouns import Redaction
from .batches import Next
from .local_bytes import LocalBytes
from .protocol import Head
from .server import Server

WRITE_BYTES = 1024 * 1024


class Declared:
    """What the server declares as redacted in a journal: asked for only where a line is not valid by its own hash, and
    again where what is known does not make it valid, as more may have been declared since."""

    def __init__(self, server: Server, prefix: str, folder: JournalFolder) -> None:
        self._server = server
        self._prefix = prefix
        self._folder = folder
        self._known: dict[Place, Redaction] = {}

    def restored(self, text: bytes, at: Position) -> CommitLine | None:
        """The redacted commit that a line at `at` is; None where it is none."""
        for is_asked in (False, True):
            if is_asked:
                self._ask(at.journal)
            redaction = self._known.get((at.segment, at.offset))
            line = None if redaction is None else decode_redacted(text, redaction, at.hash, at.journal)
            if line is not None:
                return line if line.first == at.next_seq else None
        return None

    def _ask(self, journal: str) -> None:
        payloads = self._server.redactions(self._prefix, journal)
        tell(self._folder, payloads)
        add_to(self._known, filter(None, map(redaction_in, payloads)))


def give_back_end(folder: JournalFolder, prefix: str, server: Server) -> int:
    """How many bytes were brought back; 0 where none were missing, or the two go on differently.

    Raises LockError, OSError, StorageError where the server's bytes do not verify, and what `Server` raises.
    """
    local = LocalBytes(folder)
    try:
        local.look()
        head = server.head(prefix, local.journal) if local.journal is not None else None
        if head is None or local.locate(head)[0] is not Next.BEYOND:
            return 0
        with JournalLock(folder.lock_path):
            local.look()
            own = local.newest_end()
            if own is None or local.locate(head)[0] is not Next.BEYOND or not has_line(server, prefix, own):
                return 0
            return _give(folder, prefix, server, own, head)
    finally:
        local.close()


def has_line(server: Server, prefix: str, at: Position) -> bool:
    """Whether the server's copy has the line that a journal here ends in, at the same place."""
    start = max(0, at.offset - HASH_TAIL_BYTES - 1)
    try:
        with server.segment(prefix, at.journal, at.segment, start, at.offset) as chunks:
            tail = b"".join(chunks)
    except RefusedError as error:
        if error.status not in (404, 416):
            raise
        return False
    return tail.endswith(b"\n") and stated_hash(tail[:-1]) == at.hash


def _give(folder: JournalFolder, prefix: str, server: Server, at: Position, head: Head) -> int:
    declared = Declared(server, prefix, folder)
    given = 0
    while (at.segment, at.offset) != (head.segment, head.offset):
        before = at
        for data, end in _verified(_lines(server, prefix, at), at, declared):
            _write(folder, at, data, is_new=at.offset == 0)
            given += len(data)
            at = end
        if at == before:
            if at.segment >= head.segment:
                raise StorageError(f"{server.url} has less of segment {at.segment} of {prefix} than it says")
            at = Position(at.journal, at.segment + 1, 0, at.next_seq, at.hash, 0)
    return given


def _lines(server: Server, prefix: str, at: Position) -> Iterator[bytes]:
    """Whole lines, some at a time."""
    waiting = b""
    try:
        with server.segment(prefix, at.journal, at.segment, at.offset) as chunks:
            for chunk in chunks:
                waiting += chunk
                if len(waiting) >= WRITE_BYTES and (cut := waiting.rfind(b"\n") + 1):
                    yield waiting[:cut]
                    waiting = waiting[cut:]
    except RefusedError as error:
        if error.status not in (404, 416):
            raise
    if waiting:
        yield waiting


def _walked(data: bytes, start: Position, base: int, declared: Declared) -> Position:
    """Behind the last valid line in `data`, which begins at byte `base` of the segment."""
    while True:
        for line in walk(data[start.offset - base :], start):
            start = start.after(line)
        end = data.find(b"\n", start.offset - base)
        restored = declared.restored(data[start.offset - base : end], start) if end >= 0 else None
        if restored is None:
            return start
        start = start.after(restored)


def _verified(pieces: Iterator[bytes], at: Position, declared: Declared) -> Iterator[tuple[bytes, Position]]:
    """Rule 2.  Raises StorageError."""
    for data in pieces:
        start = at
        if at.offset == 0:
            found = read_header(data)
            previous = found[0].previous if found is not None else None
            if found is None or previous is None or (previous.hash, found[0].journal) != (at.hash, at.journal):
                raise StorageError(f"segment {at.segment} on the server does not go on from what stands here")
            start = found[1]
        start = _walked(data, start, at.offset, declared)
        if start.offset - at.offset != len(data):
            raise StorageError(
                f"the server's copy does not verify in segment {at.segment} at byte {start.offset}; nothing behind "
                "that was brought back"
            )
        at = start
        yield data, at


def _write(folder: JournalFolder, at: Position, data: bytes, *, is_new: bool) -> None:
    disk, path = folder.disk, folder.segment_path(at.segment)
    if is_new:
        temporary = folder.temporary_path(at.segment, new_id())
        descriptor = disk.create(temporary)
        try:
            disk.write(descriptor, data)
            disk.sync_file(descriptor)
        finally:
            disk.close(descriptor)
        disk.publish(temporary, path)
        disk.sync_folder(folder.path)
        return
    descriptor = disk.open_read(path)
    try:
        there = disk.read_at(descriptor, at.offset, len(data))
    finally:
        disk.close(descriptor)
    if not data.startswith(there):
        raise StorageError(f"{path} goes on differently from byte {at.offset} on; nothing was changed")
    disk.overwrite(path, at.offset, data)
