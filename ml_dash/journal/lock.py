"""The one door to file locks: filelock, with every option said aloud.

Two kinds of lock.  The *journal lock* is taken for each batch of commits, by whoever appends.  A *spool lock* is
held by a writer on its first spool file for as long as it lives, and so tells everyone whether it does.

 1. The lock file is created once and never deleted: deleting a held lock admits a second holder.
 2. There is no fall-back to a soft lock: a file system without locks gets an error that names it.
 3. A lock that a forked child inherited is not the child's: filelock resets the journal lock in the child, and the
    writer closes inherited spool descriptors there.
"""

from __future__ import annotations

from errno import ENOLCK, ENOSYS, EOPNOTSUPP

from filelock import FileLock, Timeout, lock_descriptor

from ..errors import LockError

NO_LOCKS = (ENOLCK, ENOSYS, EOPNOTSUPP)
POLL_INTERVAL_S = 0.002
LOCK_TIMEOUT_S = 30.0
"""Holders work in batches of milliseconds; whoever holds the lock this long is stopped or on a dead file server."""


class JournalLock:
    """`with JournalLock(path):` is the only way to append to a journal."""

    def __init__(self, path: str, timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._lock = FileLock(
            path,
            timeout=timeout_s,
            thread_local=False,
            poll_interval=POLL_INTERVAL_S,
            fallback_to_soft=False,
            preserve_lock_file=True,
        )

    def __enter__(self) -> None:
        try:
            self._lock.acquire()
        except Timeout as error:
            raise LockError(
                f"the journal lock {self._path} was not free within {self._timeout_s:g} s: another process holds it and does "
                "not go on. Look for a stopped (Ctrl-Z) or hanging process that writes to this experiment"
            ) from error
        except NotImplementedError as error:
            raise LockError(_no_locks(self._path)) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise LockError(f"{_no_locks(self._path)} ({error})") from error

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def hold_descriptor(descriptor: int) -> bool:
    """Locks an open file for as long as the descriptor lives; False where another process holds it."""
    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise LockError(f"{_no_locks('the spool')} ({error})") from error


def _no_locks(path: str) -> str:
    return (
        f"{path} cannot be locked on this file system. Expected flock to work; it does not on Lustre mounted with "
        "'noflock' and on some network shares. Put dash_root on a local disk, or mount with 'flock'"
    )
