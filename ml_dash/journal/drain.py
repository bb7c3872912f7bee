"""Commits what dead writers had accepted, so that nothing is lost and nothing is doubled, however often this is killed.

A writer is dead when its first spool file is there and not locked.  Under the journal's lock, for each:

 1. Its valid rows are read, file after file; what is behind the first invalid row was never returned to a caller.
 2. The journal is read from where it ended when the oldest of its files was made: the highest counter of this writer
    there is what it has committed already.
 3. The rows beyond that counter are committed in its name, under its own counters.
 4. If it was the writer of a session that has not ended, its next counter becomes the event that ends it as lost.
 5. The journal is synced, and read once more: a sync that failed on the way may have taken some of it back.
 6. Only then are the files removed, the first one last.

Being killed anywhere in between changes nothing: the next drain finds the higher counter in step 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from ..clock import now_us
from ..errors import LockError, StorageError
from ..facts.codec import CodecError, decode_events, encode_events
from ..facts.events import RUN_CANCELLED, RUN_COMPLETED, RUN_FAILED
from ..facts.rows import Row, Shape, define, parse_rows, time_of, valid_length
from .appender import Appender
from .batch import Batch
from .chain import Position
from .folder import JournalFolder
from .format import CommitLine
from .lock import hold_alone, release
from .reader import JournalReader
from .spool_files import SPOOL_NAME, SPOOL_VERSION

EVENTS_PER_COMMIT_MAX = 8192
HEADER_BYTES = 4096
ATTEMPTS_MAX = 4
RUN_ENDS = (RUN_COMPLETED, RUN_FAILED, RUN_CANCELLED)


@dataclass(frozen=True, slots=True)
class SpoolHeader:
    """The first line of a spool file, and how many bytes it takes."""

    writer: str
    session: str
    first: int
    position: Position | None
    number: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SpoolContent:
    """The events that a spool file holds, beginning with the one of counter `first`, and the shapes they refer to."""

    writer: str
    session: str
    first: int
    position: Position | None
    rows: list[Row]
    shapes: dict[int, Shape]


@dataclass(frozen=True, slots=True)
class DeadWriter:
    """A writer whose lock is free, and the numbers of the files that it left."""

    writer: str
    numbers: list[int]


def is_alive(folder: JournalFolder, writer: str) -> bool:
    """Whether the writer's process lives: it holds the lock of its first spool file."""
    return is_locked(folder, folder.spool_path(writer, 1))


def is_locked(folder: JournalFolder, path: str) -> bool:
    """Whether a process holds the lock of this file."""
    try:
        descriptor = _open_to_lock(folder, path)
    except FileNotFoundError:
        return False
    if hold_alone(descriptor, path):
        release(descriptor, folder.disk)
        return False
    folder.disk.close(descriptor)
    return True


def find_dead(folder: JournalFolder, living: frozenset[str] = frozenset()) -> Iterator[DeadWriter]:
    """Writers that died; their locks are held by us until the caller goes on."""
    for writer, numbers in folder.spool_files().items():
        if writer in living:
            continue
        path = folder.spool_path(writer, 1)
        try:
            descriptor = _open_to_lock(folder, path)
        except FileNotFoundError:
            if numbers[0] != 1:
                yield DeadWriter(writer, numbers)
            continue
        if not hold_alone(descriptor, path):
            folder.disk.close(descriptor)
            continue
        try:
            # A file that lost its name while we waited belonged to a writer that ended well.
            if folder.disk.same_file(descriptor, path):
                # Listed again, now that nobody adds to them.
                yield DeadWriter(writer, folder.spool_files().get(writer, numbers))
        finally:
            release(descriptor, folder.disk)


def has_dead(folder: JournalFolder, living: frozenset[str] = frozenset()) -> bool:
    dead = find_dead(folder, living)
    try:
        return next(dead, None) is not None
    finally:
        dead.close()  # type: ignore[attr-defined]


def drain(folder: JournalFolder, appender: Appender, living: frozenset[str] = frozenset()) -> int:
    """Drains every dead writer; inside `appender.at_end()`.  Returns the number of events that were saved."""
    saved = 0
    for dead in find_dead(folder, living):
        saved += _save(folder, appender, dead)
        for number in reversed(dead.numbers):
            folder.disk.remove(folder.spool_path(dead.writer, number))
    _remove_unborn(folder)
    return saved


def read_spool(folder: JournalFolder, writer: str, number: int) -> SpoolContent | None:
    """Step 1 for one file; None for a file that is gone or holds nothing."""
    header = _read_header(folder, writer, number)
    return None if header is None else _read_rows(folder, header)


def _open_to_lock(folder: JournalFolder, path: str) -> int:
    """For writing, because network file systems lock no other; for reading where that is all we may."""
    try:
        return folder.disk.open_append(path)
    except FileNotFoundError:
        raise
    except OSError:
        return folder.disk.open_read(path)


def _read(folder: JournalFolder, path: str, start: int, count: int | None = None) -> bytes | None:
    try:
        descriptor = folder.disk.open_read(path)
    except FileNotFoundError:
        return None
    try:
        count = folder.disk.size_of(descriptor) - start if count is None else count
        return folder.disk.read_at(descriptor, start, count)
    finally:
        folder.disk.close(descriptor)


def _read_header(folder: JournalFolder, writer: str, number: int) -> SpoolHeader | None:
    path = folder.spool_path(writer, number)
    head, newline, _ = (_read(folder, path, 0, HEADER_BYTES) or b"").partition(b"\n")
    try:
        header = orjson.loads(head) if newline else None
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != SPOOL_NAME:
        return None
    if header["version"] > SPOOL_VERSION:
        raise StorageError(
            f"spool {path} is written in version {header['version']}; this release of ml_dash knows up to "
            f"{SPOOL_VERSION}. Nothing was changed: upgrade ml_dash"
        )
    position = Position(**header["position"]) if header["position"] is not None else None
    return SpoolHeader(header["writer"], header["session"], header["first"], position, number, len(head) + 1)


def _read_rows(folder: JournalFolder, header: SpoolHeader) -> SpoolContent:
    data = _read(folder, folder.spool_path(header.writer, header.number), header.bytes) or b""
    valid = data[: valid_length(data)]
    parsed = parse_rows(valid) if valid else []
    shapes = dict(define(row) for row in parsed if row[0] is None)
    rows = [row for row in parsed if row[0] is not None]
    return SpoolContent(header.writer, header.session, header.first, header.position, rows, shapes)


def left_behind(folder: JournalFolder, writer: str, numbers: list[int]) -> Iterator[Batch]:
    """Steps 1 to 4 for a dead writer's files: what it had accepted and never committed, then the end of its session."""
    headers = _read_headers(folder, writer, numbers)
    if headers:
        yield from _uncommitted(folder, headers)


def _read_headers(folder: JournalFolder, writer: str, numbers: list[int]) -> list[SpoolHeader]:
    headers = [header for number in numbers if (header := _read_header(folder, writer, number)) is not None]
    return sorted(headers, key=lambda header: header.first)


def _save(folder: JournalFolder, appender: Appender, dead: DeadWriter) -> int:
    """Steps 1 to 5; how many events were saved."""
    headers = _read_headers(folder, dead.writer, dead.numbers)
    if not headers:
        return 0
    saved = 0
    for attempt in range(ATTEMPTS_MAX):
        added = 0
        for batch in _uncommitted(folder, headers):
            appender.append([batch])
            added += batch.count
        if not added and attempt > 0:
            return saved
        saved += added
        appender.sync()
    raise StorageError(
        f"what writer {dead.writer} had accepted was committed {ATTEMPTS_MAX} times, and the disk lost it each time. "
        f"Nothing was removed; look after the file system of {folder.path}"
    )


def _uncommitted(folder: JournalFolder, headers: list[SpoolHeader]) -> Iterator[Batch]:
    """Steps 2 to 4."""
    writer, session = headers[0].writer, headers[0].session
    committed, ended = _committed(folder, headers[0])
    # Whoever joined a session, a forked child, does not end it.
    ended = ended or writer != session
    for header in headers:
        content = _read_rows(folder, header)
        skipped = max(0, committed + 1 - content.first)
        rows = content.rows[skipped:]
        for start in range(0, len(rows), EVENTS_PER_COMMIT_MAX):
            part = rows[start : start + EVENTS_PER_COMMIT_MAX]
            counter = content.first + skipped + start
            time_us = time_of(part[-1])
            yield Batch(len(part), time_us, writer, session, counter, encode_events(part, content.shapes, time_us))
            committed = counter + len(part) - 1
            ended = ended or any(row[1] in RUN_ENDS for row in part)
    # A session of no events has not begun.
    if committed and not ended:
        lost = {"session": session, "reason": "lost", "error": None}
        events = orjson.dumps([{"type": RUN_FAILED, "t": 0, "data": lost}])
        yield Batch(1, now_us(), writer, session, committed + 1, events)


def _committed(folder: JournalFolder, oldest: SpoolHeader) -> tuple[int, bool]:
    """Step 2: the writer's highest counter in the journal, and whether its run has ended there."""
    counter, ended = 0, False
    for line in JournalReader(folder, start=oldest.position).commits():
        if line.writer == oldest.writer:
            counter = line.counter + line.count - 1
            ended = ended or _ends_run(line)
    return counter, ended


def _ends_run(line: CommitLine) -> bool:
    # What a user recorded may read like it, so only decoding tells.
    if not any(f'"type":"{kind}"'.encode() in line.events for kind in RUN_ENDS):
        return False
    try:
        return any(block.type in RUN_ENDS for block in decode_events(line.events, line.count))
    except CodecError:
        return True  # a newer release wrote it; saying "lost" of a run that ended would be worse than saying nothing


def _remove_unborn(folder: JournalFolder) -> None:
    """First files of writers that died before these got their names: nothing was ever accepted into them."""
    for name in folder.disk.list_names(folder.spool_folder):
        if not (name.startswith(".") and name.endswith(".new")):
            continue
        path = f"{folder.spool_folder}/{name}"
        try:
            descriptor = folder.disk.open_append(path)
        except OSError:
            continue
        try:
            is_unborn = hold_alone(descriptor, path)
        except (OSError, LockError):
            is_unborn = False
        if is_unborn:
            folder.disk.remove(path)
            release(descriptor, folder.disk)
        else:
            folder.disk.close(descriptor)
