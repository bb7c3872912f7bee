"""Commits what dead writers had accepted, so that nothing is lost and nothing is doubled, however often this is killed.

A writer is dead when its first spool file is there and not locked.  Under the journal's lock, for each:

 1. Its valid rows are read, file after file, as `spool_reading.py` says.
 2. The journal is read from where it ended when the oldest of its files was made: the highest counter of this writer
    there is what it has committed already.
 3. The rows beyond that counter are committed in its name, under its own counters.
 4. If it was the writer of a session that has not ended, its next counter becomes the event that ends it as lost.
 5. The journal is synced, and read once more: a sync that failed on the way may have taken some of it back.
 6. Only then are the files removed, the first one last; one that has changed since it was accepted is kept, and named.

Being killed anywhere in between changes nothing: the next drain finds the higher counter in step 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from ..alarm import Alarm
from ..errors import LockError, StorageError
from ..facts.codec import CodecError, decode_events, encode_events
from ..facts.events import RUN_CANCELLED, RUN_COMPLETED, RUN_FAILED
from ..facts.rows import Row, time_of
from .appender import Appender
from .batch import Batch
from .folder import JournalFolder
from .format import CommitLine
from .lock import hold_alone, release
from .reader import JournalReader
from .spool_reading import SpoolContent, SpoolHeader, damaged_at, read_headers, read_rows

EVENTS_PER_COMMIT_MAX = 8192
ATTEMPTS_MAX = 4
RUN_ENDS = (RUN_COMPLETED, RUN_FAILED, RUN_CANCELLED)


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


def drain(folder: JournalFolder, appender: Appender, living: frozenset[str] = frozenset()) -> None:
    """Drains every dead writer; inside `appender.at_end()`."""
    for dead in find_dead(folder, living):
        _save(folder, appender, dead)
        for number in reversed(dead.numbers):
            _put_away(folder, dead.writer, number)
    _remove_unborn(folder)


def _put_away(folder: JournalFolder, writer: str, number: int) -> None:
    """Step 6 for one file.  What holds bytes that nobody can read is kept under another name (promise P4)."""
    path = folder.spool_path(writer, number)
    damage = damaged_at(folder, writer, number)
    if damage is None:
        folder.disk.remove(path)
        return
    folder.disk.rename(path, f"{path}.damaged")
    Alarm().sound(
        "spool",
        f"what writer {writer} had accepted and not committed when it died has changed on the disk since, at byte "
        f"{damage} of its spool. All that can be read of it is committed; the file is kept as {path}.damaged, and "
        "nothing needs it",
    )


def _open_to_lock(folder: JournalFolder, path: str) -> int:
    """For writing, because network file systems lock no other; for reading where that is all we may."""
    try:
        return folder.disk.open_append(path)
    except FileNotFoundError:
        raise
    except OSError:
        return folder.disk.open_read(path)


def left_behind(folder: JournalFolder, writer: str, numbers: list[int]) -> Iterator[Batch]:
    """Steps 1 to 4 for a dead writer's files: what it had accepted and never committed, then the end of its session."""
    headers = read_headers(folder, writer, numbers)
    if headers:
        yield from _uncommitted(folder, headers)


def _save(folder: JournalFolder, appender: Appender, dead: DeadWriter) -> None:
    """Steps 1 to 5."""
    headers = read_headers(folder, dead.writer, dead.numbers)
    if not headers:
        return
    for attempt in range(ATTEMPTS_MAX):
        is_complete = True
        for batch in _uncommitted(folder, headers):
            appender.append([batch])
            is_complete = False
        if is_complete and attempt > 0:
            return
        appender.sync()
    raise StorageError(
        f"what writer {dead.writer} had accepted was committed {ATTEMPTS_MAX} times, and the disk lost it each time. "
        f"Nothing was removed; look after the file system of {folder.path}"
    )


def _uncommitted(folder: JournalFolder, headers: list[SpoolHeader]) -> Iterator[Batch]:
    """Steps 2 to 4."""
    writer, session = headers[0].writer, headers[0].session
    committed, ended, seen_us = _committed(folder, headers[0])
    # Whoever joined a session, a forked child, does not end it.
    ended = ended or writer != session
    for header in headers:
        content = read_rows(folder, header)
        for counter, part in _parts(content, committed):
            time_us = time_of(part[-1])
            yield Batch(len(part), time_us, writer, session, counter, encode_events(part, content.shapes, time_us))
            committed, seen_us = counter + len(part) - 1, max(seen_us, time_us)
            ended = ended or any(row[1] in RUN_ENDS for row in part)
    # A session of no events has not begun.
    if committed and not ended:
        lost = {"session": session, "reason": "lost", "error": None}
        events = orjson.dumps([{"type": RUN_FAILED, "t": 0, "data": lost}])
        # When it was last seen, not when it is found: what another machine has done meanwhile came after it.
        yield Batch(1, seen_us, writer, session, committed + 1, events)


def _parts(content: SpoolContent, committed: int) -> Iterator[tuple[int, list[Row]]]:
    """Step 3: the rows beyond a counter, in parts without a gap, each with the counter of its first row."""
    part: list[Row] = []
    first = 0
    for counter, row in content.counted:
        if counter <= committed:
            continue
        if part and (counter != first + len(part) or len(part) == EVENTS_PER_COMMIT_MAX):
            yield first, part
            part = []
        if not part:
            first = counter
        part.append(row)
    if part:
        yield first, part


def _committed(folder: JournalFolder, oldest: SpoolHeader) -> tuple[int, bool, int]:
    """Step 2: the writer's highest counter in the journal, whether its run has ended there, and its latest time."""
    counter, ended, seen_us = 0, False, 0
    for line in JournalReader(folder, start=oldest.position).commits():
        if line.writer == oldest.writer:
            counter = line.counter + line.count - 1
            ended = ended or _ends_run(line)
            seen_us = max(seen_us, line.time_us)
    return counter, ended, seen_us


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
