"""The one thread of a process that moves one writer's events from its spool into the journal.

A cycle: take rows, make commits of them, append them all under the journal's lock; about once a second, and whenever
somebody asks, sync the journal and give the spool's files back.

 1. Rows are turned into commits before the lock is taken, so that many writers encode in parallel and only write in turn.
 2. Work is done in bursts that are short as long as little waits, because training shares the interpreter's lock: a
    burst grows with the backlog, so that a tight loop cannot outrun the committer for ever.
 3. A failure never reaches the training thread: events stay in the spool, one warning says so, and the cycle is tried
    again with growing pauses until it succeeds.  With `durability="strict"` the next recording call raises.
 4. A thread that finds nothing to do sleeps until the next row wakes it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Event, Lock, Thread

from ..clock import monotonic_s, now_us
from ..codec import encode_events
from ..errors import JournalCorruptError, LockError, MlDashError, StorageError
from .appender import Appender, Batch
from .spool import Spool

COMMIT_INTERVAL_S = 0.1
SYNC_INTERVAL_S = 1.0
RETRY_INTERVAL_S_MAX = 5.0
BURST_BYTES_MIN = 16 * 1024
BURST_BYTES_MAX = 512 * 1024
BURSTS_PER_APPEND_MAX = 32

Failure = (OSError, LockError, StorageError)


class Committer:
    """`start()` it, then `flush()` whenever it has to be durable now; `stop()` ends the thread."""

    def __init__(
        self,
        spool: Spool,
        appender: Appender,
        writer: str,
        session: str,
        *,
        drain: Callable[[], object],
        is_strict: bool,
        interval_s: float = COMMIT_INTERVAL_S,
    ) -> None:
        self._spool = spool
        self._appender = appender
        self._writer = writer
        self._session = session
        self._drain = drain
        self._is_strict = is_strict
        self._interval_s = interval_s
        self._cycle = Lock()
        self._wake = Event()
        self._stopping = False
        self._synced_s = monotonic_s()
        self._failures = 0
        self._has_warned = False
        self._trouble: Exception | None = None
        self._thread = Thread(target=self._run, name=f"ml-dash committer {writer}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Called by a recording call that found this thread asleep."""
        self._spool.is_committer_asleep = False
        self._wake.set()

    def commit(self) -> None:
        """Everything recorded before this call stands in the journal when it returns, for every reader to see.

        Raises StorageError or LockError; nothing is lost then, and the thread keeps trying.
        """
        self._attempt(sync=False)

    def flush(self) -> int:
        """Everything recorded before this call is durable when it returns; the last durable sequence number.

        Raises StorageError or LockError; nothing is lost then, and the thread keeps trying.
        """
        self._attempt(sync=True)
        return self._appender.durable_seq

    def stop(self) -> None:
        """Ends the thread.  Does not flush."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def report(self, error: Exception) -> None:
        """Rule 3: something failed behind a recording call."""
        self._trouble = error
        if self._is_strict:
            self._spool.refuse(lambda: self._as_error(error))
        if not self._has_warned:
            self._has_warned = True
            print(
                f"[ml-dash] WARNING: events cannot be written to the journal right now ({error}). Training goes on; events are "
                "kept and written as soon as that works again.",
                file=sys.stderr,
            )

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            if self._has_nothing_to_do():
                self._sleep()
            self._wake.clear()
            self._wake.wait(self._pause_s())
            if self._stopping:
                return
            try:
                self._attempt(sync=monotonic_s() - self._synced_s >= SYNC_INTERVAL_S)
            except MlDashError:
                continue  # reported already, and the next pause is longer

    def _has_nothing_to_do(self) -> bool:
        return not self._failures and not self._spool.backlog_bytes and self._appender.is_durable

    def _sleep(self) -> None:
        """Rule 4."""
        self._wake.clear()
        self._spool.is_committer_asleep = True
        # A row that came before the flag was set has woken nobody.
        if self._has_nothing_to_do() and not self._stopping:
            self._wake.wait()
        self._spool.is_committer_asleep = False
        self._synced_s = monotonic_s()

    def _pause_s(self) -> float:
        return min(RETRY_INTERVAL_S_MAX, self._interval_s * 2.0**self._failures)

    # -- one cycle -----------------------------------------------------------------------------------------------

    def _attempt(self, *, sync: bool) -> None:
        with self._cycle:
            try:
                self._commit_all()
                if sync and not self._appender.is_durable:
                    self._appender.sync()
                    if self._appender.committed_counter < self._spool.taken_counter:
                        self._commit_all()
                        self._appender.sync()
                if sync:
                    self._drain()
                    self._synced_s = monotonic_s()
                self._spool.forget(self._appender.durable_counter)
            except JournalCorruptError as error:
                self._failed(error)
                raise
            except Failure as error:
                self._failed(error)
                raise self._as_error(error) from error
            self._recovered()

    def _commit_all(self) -> None:
        """Commits what the spool held when this began."""
        if self._appender.committed_counter < self._spool.taken_counter:
            self._spool.rewind(self._appender.committed_counter + 1)
        remaining = self._spool.backlog_bytes
        while remaining > 0:
            before = self._spool.backlog_bytes
            batches = self._take(remaining)
            remaining -= before - self._spool.backlog_bytes if batches else remaining
            if batches:
                with self._appender.at_end():
                    self._appender.append(batches)
                self._spool.journal_end = self._appender.position

    def _take(self, backlog: int) -> list[Batch]:
        burst = min(BURST_BYTES_MAX, max(BURST_BYTES_MIN, backlog // 8))
        batches: list[Batch] = []
        while len(batches) < BURSTS_PER_APPEND_MAX:
            counter, rows, shapes = self._spool.take(burst)
            if not rows:
                break
            time_us = now_us()
            events = encode_events(rows, shapes, time_us)
            batches.append(Batch(len(rows), time_us, self._writer, self._session, counter, events))
        return batches

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self.report(error)

    def _recovered(self) -> None:
        if self._trouble is None:
            return
        self._trouble = None
        self._failures = 0
        if self._is_strict:
            self._spool.refuse(None)

    def _as_error(self, error: Exception) -> MlDashError:
        if isinstance(error, MlDashError):
            return error
        return StorageError(
            f"the journal could not be written: {error}. Events are kept in its spool; free space or repair the file system, "
            "and they are written by the next flush"
        )
