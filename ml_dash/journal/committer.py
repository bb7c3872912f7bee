"""The one thread of a process that moves one writer's events from its spool into the journal.

A cycle: take rows, make commits of them, append them all under the journal's lock; about once a second, and whenever
somebody asks, sync the journal and give the spool's files back.

 1. Whatever touches the journal happens in this thread.  Who needs it done now asks and waits, so a signal handler that
    flushes in the midst of a flush is one more who waits, and an interrupted flush leaves nothing half done.
 2. Rows are turned into commits before the lock is taken, so many writers encode in parallel and only write in turn.
 3. Work is done in bursts that are short as long as little waits, because training shares the interpreter's lock: a
    burst grows with the backlog, so that a tight loop cannot outrun the committer for ever.
 4. A failure never reaches the training thread: events stay in the spool, one warning says so, and the cycle is tried
    again with growing pauses until it succeeds.  With `durability="strict"` the next recording call raises.
 5. A thread that finds nothing to do sleeps until the next row wakes it.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from errno import EIO
from threading import Thread, get_ident

from ..alarm import Alarm
from ..clock import monotonic_s, now_us
from ..errors import MlDashError, StorageError
from ..facts.codec import encode_parts
from .appender import Appender
from .batch import Batch
from .bell import Bell, Request
from .spool import Spool

COMMIT_INTERVAL_S = 0.1
SYNC_INTERVAL_S = 1.0
RETRY_INTERVAL_S_MAX = 5.0
BURST_BYTES_MIN = 16 * 1024
BURST_BYTES_MAX = 128 * 1024
BURSTS_PER_APPEND_MAX = 16
BACKLOG_BYTES_CALM = 1024 * 1024
"""More than this waiting, and the next cycle begins without a pause."""
AHEAD_BYTES_MIN = 128 * 1024
LOOK_INTERVAL_S = 1.0


class Committer:
    """`start()` it, then `flush()` whenever it has to be durable now; `finish()` flushes and ends the thread."""

    def __init__(
        self,
        spool: Spool,
        appender: Appender,
        writer: str,
        session: str,
        *,
        alarm: Alarm,
        drain: Callable[[], object],
        is_strict: bool,
        interval_s: float = COMMIT_INTERVAL_S,
    ) -> None:
        self._spool = spool
        self._appender = appender
        self._writer = writer
        self._session = session
        self._alarm = alarm
        self._drain = drain
        self._is_strict = is_strict
        self._interval_s = interval_s
        self._bell = Bell()
        self._requests: deque[Request] = deque()
        self._is_over = False
        self._is_finished = False
        self._synced_s = monotonic_s()
        self._failures = 0
        self._last_recorded_bytes = 0
        self._thread = Thread(target=self._run, name=f"ml-dash committer {writer}", daemon=True)

    def start(self) -> None:
        """Raises StorageError where the process can have no further thread; events stay in the spool then."""
        try:
            self._thread.start()
        except RuntimeError as error:
            raise StorageError(
                f"events cannot be committed, because no thread can be started: {error}. They are kept in the spool, "
                "and whoever opens the experiment next commits them"
            ) from error

    def wake(self) -> None:
        """Called by a recording call that found this thread asleep."""
        self._spool.is_committer_asleep = False
        self._bell.ring()

    def commit(self) -> None:
        """Everything recorded before this call stands in the journal when it returns, for every reader to see.

        Raises StorageError or LockError; nothing is lost then, and the thread keeps trying.
        """
        self._ask(Request(sync=False, is_last=False))

    def flush(self) -> int:
        """Everything recorded before this call is durable when it returns; the last durable sequence number.

        Raises StorageError or LockError; nothing is lost then, and the thread keeps trying.
        """
        self._ask(Request(sync=True, is_last=False))
        return self._appender.durable_seq

    def finish(self) -> None:
        """As `flush`; the thread ends with it if it succeeds."""
        self._ask(Request(sync=True, is_last=True))
        self._thread.join()

    def stop(self) -> None:
        """Ends the thread after the cycle it is in."""
        self._is_over = True
        self._bell.ring()
        if self._thread.is_alive():
            self._thread.join()

    def _ask(self, request: Request) -> None:
        if self._thread.ident == get_ident():
            raise StorageError(
                "a finalizer or a stream that runs in the committer's own thread cannot wait for a flush"
            )
        self._requests.append(request)
        self._bell.ring()
        if self._is_finished:
            return  # the spool had ended before, and all of it is durable
        while not request.done.wait(LOOK_INTERVAL_S):
            if not self._thread.is_alive() or sys.is_finalizing():
                raise StorageError(
                    "the thread that commits events does not run any more, because the interpreter is ending. Events "
                    "are kept in the spool, and whoever opens the experiment next commits them"
                )
        if request.error is not None:
            raise request.error

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_finished:
            self._wait()
            if self._is_over:
                return
            requests = self._take_requests()
            error = self._attempt(sync=self._is_sync_due() or any(request.sync for request in requests))
            if error is None and any(request.is_last for request in requests):
                # Whoever asks from now on sees this; whoever asked before is among the last.
                self._is_finished = True
                requests += self._take_requests()
            for request in requests:
                request.error = error
                request.done.ring()

    def _take_requests(self) -> list[Request]:
        return [self._requests.popleft() for _ in range(len(self._requests))]

    def _wait(self) -> None:
        """Rows gather for a while; where none has come, until one does.

        In this order, so that training which records all the time never has to wake anybody.
        """
        self._pause()
        if self._has_no_rows() and not self._requests and not self._is_sync_due():
            self._sleep()
            if not self._is_sync_due():
                self._pause()

    def _pause(self) -> None:
        if not self._requests and not self._is_over:
            self._bell.wait(self._pause_s())

    def _has_no_rows(self) -> bool:
        return not self._failures and not self._spool.cursor.backlog_bytes

    def _is_sync_due(self) -> bool:
        return not self._appender.is_durable and monotonic_s() - self._synced_s >= SYNC_INTERVAL_S

    def _sleep(self) -> None:
        """Rule 5: until the next row or request, or until what is committed has to be synced."""
        is_durable = self._appender.is_durable
        timeout_s = -1.0 if is_durable else max(0.0, self._synced_s + SYNC_INTERVAL_S - monotonic_s())
        self._spool.is_committer_asleep = True
        # A row that came before the flag was set has woken nobody.
        if self._has_no_rows() and not self._requests and not self._is_over:
            self._bell.wait(timeout_s)
        self._spool.is_committer_asleep = False
        if is_durable:
            self._synced_s = monotonic_s()

    def _pause_s(self) -> float:
        if not self._failures and self._spool.cursor.backlog_bytes > BACKLOG_BYTES_CALM:
            return 0.0
        return min(RETRY_INTERVAL_S_MAX, self._interval_s * 2.0 ** min(self._failures, 16))

    # -- one cycle -----------------------------------------------------------------------------------------------

    def _attempt(self, *, sync: bool) -> MlDashError | None:
        """A cycle; what went wrong in it, if anything."""
        error = self._try(self._commit_all) or (self._try(self._sync) if sync else None)
        # Also when the journal takes nothing: what waits must not fill this process.
        tidying = self._try(self._tidy)
        error = error or tidying
        if error is not None:
            self._failures += 1
            return self._failed(error)
        if self._failures:
            self._failures = 0
            if self._is_strict:
                self._spool.refuse(None)
        return None

    def _try(self, step: Callable[[], None]) -> Exception | None:
        try:
            step()
        except Exception as error:
            # Whatever it is: a thread that ended with it would leave all later events in the spool.
            return error
        return None

    def _commit_all(self) -> None:
        """Commits what the spool held when this began."""
        self._keep_ahead()
        self._align()
        goal = self._spool.cursor.taken_bytes + self._spool.cursor.backlog_bytes
        while batches := self._take():
            with self._appender.at_end():
                if self._appender.committed_counter == batches[0].counter - 1:
                    self._appender.append(batches)
            self._keep_ahead()
            if self._align():
                goal = self._spool.cursor.taken_bytes + self._spool.cursor.backlog_bytes
            elif self._spool.cursor.taken_bytes >= goal:
                return

    def _align(self) -> bool:
        """Goes back to what was taken and is not in the journal, after a failed write or sync; or forward, where
        another process took this one for dead.  Whether it was necessary."""
        if self._appender.committed_counter == self._spool.cursor.taken_counter:
            return False
        self._spool.seek(self._appender.committed_counter + 1)
        return True

    def _take(self) -> list[Batch]:
        burst = min(BURST_BYTES_MAX, max(BURST_BYTES_MIN, self._spool.cursor.backlog_bytes // 8))
        batches: list[Batch] = []
        while len(batches) < BURSTS_PER_APPEND_MAX:
            counter, taken = self._spool.cursor.take(burst)
            if not taken:
                break
            time_us = now_us()
            events = encode_parts(taken, self._spool.shapes, time_us)
            batches.append(Batch(len(taken), time_us, self._writer, self._session, counter, events))
        return batches

    def _sync(self) -> None:
        try:
            self._sync_own()
        except OSError:
            # A sync failed, and not all that it was for could be read back; the spool still has it.
            self._commit_all()
            self._sync_own()
        at = self._appender.position
        if at is not None and at.fence == at.offset:
            self._spool.journal_position = at
        self._synced_s = monotonic_s()
        try:
            self._drain()
        except Exception as error:
            # Our own events are durable: what others left is no reason to tell anybody that these are not.
            self._alarm.sound(
                "drain", f"what dead writers of this experiment had accepted cannot be committed now: {error}"
            )

    def _sync_own(self) -> None:
        if not self._appender.is_durable:
            self._appender.sync()
        if not self._appender.is_durable or self._appender.committed_counter != self._spool.cursor.taken_counter:
            raise OSError(EIO, "the journal could not be synced")

    def _tidy(self) -> None:
        self._spool.forget(self._appender.durable_counter)
        self._spool.give_back()

    def _keep_ahead(self) -> None:
        """Of the recording threads, which may have filled files meanwhile."""
        self._spool.give_back()
        recorded_bytes = self._spool.cursor.taken_bytes + self._spool.cursor.backlog_bytes
        self._spool.prepare(max(AHEAD_BYTES_MIN, 2 * (recorded_bytes - self._last_recorded_bytes)))
        self._last_recorded_bytes = recorded_bytes

    def _failed(self, error: Exception) -> MlDashError:
        """Rule 4."""
        known = error
        if not isinstance(known, MlDashError):
            known = StorageError(
                f"the journal could not be written: {error!r}. Events wait in the spool, or in memory where the "
                "disk takes nothing at all; free space or repair the file system, and the next flush writes them"
            )
            known.__cause__ = error
        if self._is_strict:
            # Without the traceback of the last time, or each call would add to it.
            self._spool.refuse(lambda: known.with_traceback(None))
        self._alarm.sound(
            "disk",
            f"events cannot be written to the journal right now ({error}). Training goes on; events are kept and "
            "written as soon as that works again",
        )
        return known
