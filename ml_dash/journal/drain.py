"""Commits what dead writers had accepted, so that nothing is lost and nothing is doubled, however often this is killed.

A writer is dead when its first spool file is there and not locked.  Under the journal's lock, for each:

 1. Its valid rows are read; what is behind the first invalid row was never returned to a caller.
 2. The journal is read from where it ended when the oldest of its files was made: the highest counter of this writer
    there is what it has committed already.
 3. The rows beyond that counter are committed in its name, under its own counters.
 4. If it was the writer of a session that has not ended, its next counter becomes the event that ends it as lost.
 5. The journal is synced.  Only then are the files removed, the first one last.

Being killed anywhere in between changes nothing: the next drain finds the higher counter in step 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from ..clock import now_us
from ..codec import encode_events
from ..errors import StorageError
from ..events import RUN_CANCELLED, RUN_COMPLETED, RUN_FAILED
from ..rows import Row, Shape, define, parse_rows, valid_length
from .appender import Appender, Batch
from .chain import Position
from .folder import JournalFolder
from .lock import hold_descriptor
from .reader import JournalReader
from .spool import SPOOL_NAME, SPOOL_VERSION

EVENTS_PER_COMMIT_MAX = 8192
RUN_ENDS = (RUN_COMPLETED, RUN_FAILED, RUN_CANCELLED)


@dataclass(frozen=True, slots=True)
class SpoolContent:
    """What one spool file of a dead writer holds."""

    writer: str
    session: str
    first: int
    position: Position | None
    rows: list[Row]
    shapes: dict[int, Shape]


@dataclass(frozen=True, slots=True)
class DeadWriter:
    """A writer whose lock is free, the descriptor that holds that lock now, and what it left."""

    writer: str
    numbers: list[int]
    descriptor: int | None


def is_alive(folder: JournalFolder, writer: str) -> bool:
    """Whether the writer's process lives: it holds the lock of its first spool file."""
    try:
        descriptor = folder.disk.open_read(folder.spool_path(writer, 1))
    except FileNotFoundError:
        return False
    try:
        return not hold_descriptor(descriptor)
    finally:
        folder.disk.close(descriptor)


def find_dead(folder: JournalFolder, living: frozenset[str] = frozenset()) -> Iterator[DeadWriter]:
    """Writers that died; their locks are held by us until the caller goes on."""
    for writer, numbers in folder.spool_files().items():
        if writer in living:
            continue
        path = folder.spool_path(writer, 1)
        try:
            descriptor = folder.disk.open_append(path)
        except FileNotFoundError:
            if numbers[0] != 1:
                yield DeadWriter(writer, numbers, None)
            continue
        try:
            # A file that lost its name while we waited belonged to a writer that ended well.
            if hold_descriptor(descriptor) and folder.disk.same_file(descriptor, path):
                yield DeadWriter(writer, numbers, descriptor)
        finally:
            folder.disk.close(descriptor)


def has_dead(folder: JournalFolder, living: frozenset[str] = frozenset()) -> bool:
    return next(find_dead(folder, living), None) is not None


def drain(folder: JournalFolder, appender: Appender, living: frozenset[str] = frozenset()) -> int:
    """Drains every dead writer; inside `appender.at_end()`.  Returns the number of events that were saved."""
    saved = 0
    for dead in find_dead(folder, living):
        contents = [
            content for number in dead.numbers if (content := read_spool(folder, dead.writer, number)) is not None
        ]
        if contents:
            saved += _commit(folder, appender, dead, contents)
            appender.sync()
        for number in reversed(dead.numbers):
            folder.disk.remove(folder.spool_path(dead.writer, number))
    return saved


def read_spool(folder: JournalFolder, writer: str, number: int) -> SpoolContent | None:
    """Step 1; None for a file that is gone or holds nothing."""
    try:
        descriptor = folder.disk.open_read(folder.spool_path(writer, number))
    except FileNotFoundError:
        return None
    try:
        data = folder.disk.read_at(descriptor, 0, folder.disk.size_of(descriptor))
    finally:
        folder.disk.close(descriptor)
    head, newline, rest = data.partition(b"\n")
    try:
        header = orjson.loads(head) if newline else None
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != SPOOL_NAME:
        return None
    if header["version"] > SPOOL_VERSION:
        raise StorageError(
            f"spool {folder.spool_path(writer, number)} is written in version {header['version']}; this release of "
            f"ml_dash knows up to {SPOOL_VERSION}. Nothing was changed: upgrade ml_dash"
        )
    valid = rest[: valid_length(rest)]
    rows: list[Row] = []
    shapes: dict[int, Shape] = {}
    for row in parse_rows(valid) if valid else []:
        if row[1] is None:
            shape_number, shape = define(row)
            shapes[shape_number] = shape
        else:
            rows.append(row)
    position = Position(**header["position"]) if header["position"] is not None else None
    return SpoolContent(header["writer"], header["session"], header["first"], position, rows, shapes)


def _commit(folder: JournalFolder, appender: Appender, dead: DeadWriter, contents: list[SpoolContent]) -> int:
    session = contents[0].session
    committed, ended = _committed(folder, dead.writer, contents[0].position)
    saved = 0
    for content in contents:
        skipped = max(0, committed + 1 - content.first)
        rows = content.rows[skipped:]
        for start in range(0, len(rows), EVENTS_PER_COMMIT_MAX):
            part = rows[start : start + EVENTS_PER_COMMIT_MAX]
            counter = content.first + skipped + start
            time_us: int = part[-1][1]
            events = encode_events(part, content.shapes, time_us)
            appender.append([Batch(len(part), time_us, dead.writer, session, counter, events)])
            saved += len(part)
            committed = counter + len(part) - 1
            ended = ended or any(row[2] in RUN_ENDS for row in part)
    if dead.writer == session and not ended:
        lost = orjson.dumps(
            [{"type": RUN_FAILED, "t": 0, "data": {"session": session, "reason": "lost", "error": None}}]
        )
        appender.append([Batch(1, now_us(), dead.writer, session, committed + 1, lost)])
    return saved


def _committed(folder: JournalFolder, writer: str, position: Position | None) -> tuple[int, bool]:
    """Step 2: the writer's highest counter in the journal from `position` on, and whether its run has ended there."""
    counter, ended = 0, False
    for line in JournalReader(folder, start=position).commits():
        if line.writer == writer:
            counter = line.counter + line.count - 1
            ended = ended or any(b'"type":"%b"' % kind.encode() in line.events for kind in RUN_ENDS)
    return counter, ended
