"""A journal of this machine that has lost its end, given it back by the server.

No checksum sees a tail that was cut exactly between two lines: the server's copy is the second witness.

 1. Under the journal's lock: what the server has beyond the end here is written behind it, if the last line here stands
    at the same place there.  If it does not, the two go on differently, and nothing is changed.
 2. Every line is verified before it is written, redacted ones by what is declared behind them; bytes of a line that was
    cut are gone on with only if they are the beginning of that line.
 3. Killed in between, what has been written is the beginning of the same history, and the next time goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import orjson

from ..errors import RefusedError, StorageError
from ..facts.codec import CodecError, decode_events, events_of
from ..facts.events import EVENT_REDACTED
from ..ids import new_id
from ..journal.chain import Position, read_header, walk
from ..journal.folder import JournalFolder
from ..journal.format import HASH_TAIL_BYTES, decode_redacted, stated_hash
from ..journal.lock import JournalLock
from ..state.nouns import Redaction
from ..state.redactions import redactions_in
from .batches import Next
from .local_bytes import LocalBytes
from .protocol import Head
from .server import Server

WRITE_BYTES = 1024 * 1024
Declared = Callable[[], dict[tuple[int, int], Redaction]]
"""Asked for only where a line is not valid by its own hash."""
_REDACTED = b'"type":"%b"' % EVENT_REDACTED.encode("ascii")
_EVENTS = b',"events":'


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
    @cache
    def declared() -> dict[tuple[int, int], Redaction]:
        return _declared_behind(server, prefix, start, head)

    given, start = 0, at
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


def _declared_behind(server: Server, prefix: str, at: Position, head: Head) -> dict[tuple[int, int], Redaction]:
    """What the lines that are missing here declare as redacted.  They are verified when they are written."""
    found: dict[tuple[int, int], Redaction] = {}
    for segment in range(at.segment, head.segment + 1):
        offset = at.offset if segment == at.segment else 0
        for data in _lines(server, prefix, replace(at, segment=segment, offset=offset)):
            for line in data.splitlines():
                if _REDACTED in line:
                    found.update({(each.segment, each.offset): each for each in _declared_in(line)})
    return found


def _declared_in(line: bytes) -> list[Redaction]:
    try:
        members = orjson.loads(line)
        events = line[line.index(_EVENTS) + len(_EVENTS) : -HASH_TAIL_BYTES]
        blocks = decode_events(events, members["count"])
        told = (members["first"], members["time"], members["writer"], members["session"])
        return redactions_in(events_of(blocks, *told))
    except (ValueError, KeyError, TypeError, CodecError):
        return []


def _walked(data: bytes, start: Position, base: int, declared: Declared) -> Position:
    """Behind the last valid line in `data`, which begins at byte `base` of the segment."""
    while True:
        for line in walk(data[start.offset - base :], start):
            start = start.after(line)
        end = data.find(b"\n", start.offset - base)
        redaction = declared().get((start.segment, start.offset)) if end >= 0 else None
        if redaction is None:
            return start
        restored = decode_redacted(data[start.offset - base : end], redaction, start.hash, start.journal)
        if restored is None or restored.first != start.next_seq:
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
