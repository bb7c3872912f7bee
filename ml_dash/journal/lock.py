"""The one door to file locks: filelock's lock on an open file, which is `flock`, and what a fork means for it.

Two kinds of lock.  The *journal lock* is taken for each batch of commits, by whoever appends.  A *spool lock* is
held by a writer on its first spool file for as long as it lives, and so tells everyone whether it does.

 1. The lock file is created once and never deleted: deleting a held lock admits a second holder.  One that was deleted
    all the same is noticed: by who comes next before it appends, and by the holder when it lets go.
 2. There is no fall-back to a soft lock: a file system without locks gets an error that names it.
 3. A lock belongs to the process that took it.  A forked child shares the open file and would keep the lock alive after
    its parent's death, so it closes what its parent held before its own code goes on; and a lock is always released by
    name, never by closing alone, because a child may hold a copy at that moment.

`filelock.FileLock` measured 127 µs for each acquire and release where this takes 6, most of it with the interpreter's
lock held; `spec/decisions.md` has the figures.
"""

from __future__ import annotations

from errno import ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP

from ..clock import monotonic_s, sleep_s
from ..errors import LockError
from .disk import OPERATING_SYSTEM, Disk

NO_LOCKS = (ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP)
POLL_INTERVAL_S_MIN = 0.0005
POLL_INTERVAL_S_MAX = 0.008
LOCK_TIMEOUT_S = 30.0
"""Holders work in batches of milliseconds; whoever holds the lock this long is stopped or on a dead file server."""

_held: set[int] = set()


class JournalLock:
    """`with JournalLock(path):` is the only way to append to a journal.  May be entered again while it is held.

    Raises LockError where it is not free within `timeout_s` seconds, where the file system has no locks, and on leaving
    where the lock file was removed in between.  Used by one thread at a time.
    """

    def __init__(
        self,
        path: str,
        timeout_s: float = LOCK_TIMEOUT_S,
        disk: Disk = OPERATING_SYSTEM,
        advice: str = "Look for a stopped (Ctrl-Z) or hanging process that writes to this experiment",
    ) -> None:
        self._advice = advice
        self._path = path
        self._timeout_s = timeout_s
        self._disk = disk
        self._descriptor = -1
        self._depth = 0

    def __enter__(self) -> None:
        if self._depth == 0:
            self._acquire()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth > 0:
            return
        try:
            is_named = self._disk.same_file(self._descriptor, self._path)
        finally:
            release(self._descriptor, self._disk)
        if not is_named:
            raise LockError(
                f"the journal lock {self._path} was removed while it was held, so another process may have written to "
                "the journal at the same time. Whatever does not replay because of that is found and repeated; never "
                "remove this file while anything records into the experiment"
            )

    def _acquire(self) -> None:
        deadline_s = monotonic_s() + self._timeout_s
        pause_s = POLL_INTERVAL_S_MIN
        while True:
            descriptor = self._open()
            try:
                is_held = hold_alone(descriptor, self._path)
            except BaseException:
                self._disk.close(descriptor)
                raise
            if is_held:
                # Rule 1: the file that is locked must be the one that the next process will find.
                if self._disk.same_file(descriptor, self._path):
                    self._descriptor = descriptor
                    return
                release(descriptor, self._disk)
                continue
            self._disk.close(descriptor)
            if monotonic_s() >= deadline_s:
                raise LockError(
                    f"the journal lock {self._path} was not free within {self._timeout_s:g} s: another process holds "
                    f"it and does not go on. {self._advice}"
                )
            sleep_s(pause_s)
            pause_s = min(POLL_INTERVAL_S_MAX, pause_s * 2)

    def _open(self) -> int:
        while True:
            try:
                return self._disk.open_append(self._path)
            except FileNotFoundError:
                try:
                    return self._disk.create(self._path)
                except FileExistsError:
                    continue


def hold_descriptor(descriptor: int, path: str = "the file") -> bool:
    """Locks an open file for as long as it is open anywhere; False where another process holds it.

    Raises LockError where the file system has no locks.
    """
    from filelock import lock_descriptor  # first use only: importing it takes longer than importing us

    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise LockError(
            f"{path} cannot be locked on this file system ({error}). Expected flock to work; it does not on Lustre "
            "mounted with 'noflock' and on some network shares. Put dash_root on a local disk, or mount with 'flock'"
        ) from error


def hold_alone(descriptor: int, path: str) -> bool:
    """Rule 3: as `hold_descriptor`, but a forked child does not hold it too.  Ends with `release`, and only so."""
    # Registered first, so that a fork at any moment finds it.
    _held.add(descriptor)
    is_held = False
    try:
        is_held = hold_descriptor(descriptor, path)
    finally:
        if not is_held:
            _held.discard(descriptor)
    return is_held


def release(descriptor: int, disk: Disk) -> None:
    """Releases the lock and closes the file."""
    from filelock import unlock_descriptor

    try:
        unlock_descriptor(descriptor)
    finally:
        _held.discard(descriptor)
        disk.close(descriptor)


def _leave_to_parent() -> None:
    """Rule 3, in the child."""
    while _held:
        OPERATING_SYSTEM.close(_held.pop())


OPERATING_SYSTEM.in_forked_child(_leave_to_parent)
