"""What dead writers had accepted and nobody has committed yet: committed if that is possible, else shown as it stands.

A reader that may write drains first, so that what it shows is what everyone will see.  Where it may not, because the
folder is not writable or damage refuses writing, it shows the same events behind the end of the journal, and the
sessions of dead processes as lost; it changes nothing then.
"""

from __future__ import annotations

from ..errors import LockError, StorageError
from ..ids import new_id
from .appender import Appender
from .checkpoint import Trust
from .drain import drain, find_dead, is_alive, is_locked, left_behind
from .folder import JournalFolder
from .format import CommitLine

NOWHERE = 0
"""The segment of a commit that is not in the journal."""


def dead_writers(folder: JournalFolder) -> dict[str, list[int]]:
    """The numbers of the spool files that dead writers left, by writer.  Needs no right to write."""
    try:
        return {dead.writer: dead.numbers for dead in find_dead(folder)}
    except LockError:
        # No writer lives on a file system without locks: this is a copy.
        return folder.spool_files()


def is_being_written(folder: JournalFolder) -> bool:
    """Whether anybody can be writing to the journal at this moment: a living writer, or who saves what others left."""
    try:
        return is_locked(folder, folder.lock_path) or any(is_alive(folder, writer) for writer in folder.spool_files())
    except LockError:
        return False


def try_drain(folder: JournalFolder) -> bool:
    """Commits what dead writers left; False where this process cannot, and then nothing has changed."""
    appender = Appender(folder, new_id(), trusted=Trust(folder))
    try:
        with appender.at_end():
            drain(folder, appender)
    except (OSError, LockError, StorageError):
        return False
    finally:
        appender.close()
    return True


def leftovers(folder: JournalFolder, dead: dict[str, list[int]], next_seq: int) -> list[CommitLine]:
    """The commits that draining `dead` would append, numbered from `next_seq` on."""
    lines: list[CommitLine] = []
    for writer, numbers in dead.items():
        for batch in left_behind(folder, writer, numbers):
            lines.append(
                CommitLine(
                    first=next_seq,
                    count=batch.count,
                    time_us=batch.time_us,
                    writer=batch.writer,
                    session=batch.session,
                    counter=batch.counter,
                    fence=0,
                    hash="",
                    segment=NOWHERE,
                    offset=0,
                    end=0,
                    events=batch.events,
                )
            )
            next_seq += batch.count
    return lines
