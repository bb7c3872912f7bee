"""What an open experiment holds of its journal: record, commit, flush, close; and what becomes of it in a forked child.

1. `record` and `record_stream` return when the event is in the spool.  They take no file lock, wait for no disk and
   never raise for a value (promise P8); `durability="strict"` makes them raise once the journal cannot be written.
2. A forked child never touches its parent's descriptors, threads or locks.  Its first event makes it a writer of its
   own, of the same session: own spool, own committer, and an event `writer.joined` that says so.
3. The first writer of a session has the session's name.
4. `close` first ends the spool, so every recording call either returned before, and its event is committed, or raises.
   It may be called again, by anyone: also by a signal handler that interrupts it, and after it failed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from os import getpid
from threading import RLock
from typing import Any
from weakref import WeakSet

from ..alarm import Alarm
from ..errors import ExperimentError, MlDashError, StorageError
from ..facts.events import WRITER_JOINED
from ..ids import new_id
from .appender import Appender
from .chain import Position
from .chart import Extent
from .checkpoint import Trust, save_positions
from .committer import COMMIT_INTERVAL_S, Committer
from .disk import OPERATING_SYSTEM
from .drain import drain, has_dead
from .expecting import Expecting
from .folder import JournalFolder
from .held import Holding
from .redaction import finish_begun
from .spool import Spool, Stream
from .spool_shortcut import Caller, Shortcut, shortcut

_living: WeakSet[Writer] = WeakSet()


class Writer(Expecting):
    """One process that records into one journal.

    Raises StorageError, LockError, JournalCorruptError or JournalVersionError where the journal cannot be opened for
    appending.  What dead writers had accepted is committed first, and a redaction that was begun is finished.
    """

    def __init__(
        self,
        folder: JournalFolder,
        *,
        is_strict: bool = False,
        commit_interval_s: float = COMMIT_INTERVAL_S,
        trusted: Callable[[Extent], Position | None] | None = None,
        describe: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._folder = folder
        self._is_strict = is_strict
        self._commit_interval_s = commit_interval_s
        self._describe = describe
        self._streams: dict[tuple[str, str | None], Stream] = {}
        self._pid = getpid()
        self._joining, self._closing = RLock(), RLock()
        self._holding = Holding()
        self._parent: str | None = None
        self._is_closed = False
        self.id = self.session = new_id()
        self._trust = Trust(folder)
        self._appender = Appender(folder, self.id, trusted=trusted or self._trust, on_sealed=self._trust.sealed)
        try:
            folder.disk.make_folder(folder.path)
            with self._appender.at_end():
                drain(folder, self._appender)
                self._sync_end()
            finish_begun(folder)
            spool, self._committer = self._start(self._appender, self._appender.position, must_persist=True)
            self._use(spool)
        except OSError as error:
            self._appender.close()
            raise StorageError(
                f"{folder.path} cannot be written to: {error}. Expected a folder on a file system with free space that "
                "this user may write to; give another dash_root, or mend that"
            ) from error
        except BaseException:
            self._appender.close()
            raise
        _living.add(self)

    # -- recording -----------------------------------------------------------------------------------------------

    def stream(self, event_type: str, name: str | None, *, named: bool = True) -> Stream:
        """The stream of this type and name; always the same object."""
        key = (event_type, name)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams.setdefault(key, Stream(event_type, name, named=named))
        return stream

    def record_stream(self, stream: Stream, fields: dict[str, Any]) -> None:
        """One event of many alike; `stream` is of this writer, and nobody changes `fields` meanwhile."""
        self._spool.append_stream(stream, fields)

    def shortcut(self, stream: Stream, caller: Caller) -> Shortcut:
        """The short way of events of this stream, as long as `record_stream` stays what it is now."""
        return shortcut(self._spool, stream, self, caller)

    def record(self, event_type: str, data: dict[str, Any]) -> int:
        """Any other event; its time, in microseconds since 1970."""
        return self._spool.append_event(event_type, data)

    def commit(self) -> None:
        """What was recorded stands in the journal, for every reader.  Raises StorageError, LockError."""
        if self._is_recording:
            self._committer.commit()

    def flush(self) -> int:
        """What was recorded is durable; the last durable sequence number.

        Raises StorageError, LockError; ExperimentError inside of a block of `expect`.
        """
        self._holding.refuse("A flush")
        if not self._is_recording:
            return self._appender.durable_seq
        return self._committer.flush()

    @property
    def durable_seq(self) -> int:
        """Up to which event the journal is known to survive power loss."""
        return self._appender.durable_seq

    @property
    def position(self) -> Position | None:
        """The journal's end as far as this process knows it."""
        return self._appender.position

    @property
    def folder(self) -> JournalFolder:
        return self._folder

    @property
    def is_forked(self) -> bool:
        """Whether this process is a forked child of the one that opened the journal."""
        return self._parent is not None

    def close(self) -> None:
        """Flushes and ends this writer.  Raises StorageError or LockError; what is not written then stays in the spool,
        and whoever opens the experiment next commits it.  Where it waits in memory, because the disk takes nothing,
        this process keeps trying, and `close` may be called again."""
        with self._closing:
            if not self._is_recording:
                self._is_closed = True
                return
            self._spool.end()
            try:
                self._committer.finish()
            except MlDashError:
                if not self._spool.is_in_memory:
                    self._committer.stop()
                    self._spool.abandon()
                    self._ended()
                raise
            assert not self._spool.cursor.backlog_bytes, "a spool is removed only when all of it is committed"
            self._spool.remove()
            try:
                self._vouch()
            finally:
                self._ended()

    def _ended(self) -> None:
        self._is_closed = True
        self._appender.close()
        # Not before: a child that is forked meanwhile must be told to leave.
        _living.discard(self)

    def _vouch(self) -> None:
        """For the next one that opens the journal: what need not be read again."""
        at = self._appender.position
        if at is not None:
            save_positions(self._folder, self._trust, at, self._appender.damage)

    # -- opening -------------------------------------------------------------------------------------------------

    @property
    def _is_recording(self) -> bool:
        """Whether this process has a spool and a committer."""
        return not self._is_closed and not self._spool.is_left

    def _sync_end(self) -> None:
        """What the spool's header says of the journal must survive a power loss."""
        at = self._appender.position
        if at is not None and at.fence < at.offset:
            self._appender.sync()

    def _start(self, appender: Appender, position: Position | None, *, must_persist: bool) -> tuple[Spool, Committer]:
        alarm = Alarm()
        own = self.id
        spool = Spool(
            self._folder,
            own,
            self.session,
            position,
            alarm=alarm,
            wake=lambda: committer.wake(),
            own=self._join,
            is_strict=self._is_strict,
            must_persist=must_persist,
        )
        committer = Committer(
            spool,
            appender,
            own,
            self.session,
            alarm=alarm,
            drain=lambda: self._drain_dead(appender, own),
            is_strict=self._is_strict,
            interval_s=self._commit_interval_s,
        )
        try:
            committer.start()
        except StorageError as error:
            if must_persist:
                spool.remove()
                raise
            alarm.sound("disk", str(error))
        return spool, committer

    def _use(self, spool: Spool) -> None:
        self._spool = spool
        with self._holding.changing:
            self._route()

    def _drain_dead(self, appender: Appender, own: str) -> None:
        living = frozenset((own,))
        if has_dead(self._folder, living):
            with appender.at_end():
                drain(self._folder, appender, living)

    # -- forking -------------------------------------------------------------------------------------------------

    def _leave_parent(self) -> None:
        """Rule 2, in the child, before its code goes on."""
        if self._pid == getpid():
            return
        self._pid = getpid()
        self._joining, self._closing = RLock(), RLock()
        # What a thread of the parent holds back is the parent's.
        self._holding = Holding()
        self._route()
        self._parent = self.id
        self._spool.leave()
        self._appender.close()
        for stream in self._streams.values():
            stream.numbers.clear()

    def _join(self) -> Spool:
        """The spool of this child; made by its first event."""
        self._leave_parent()
        with self._joining:
            if not self._spool.is_left:
                return self._spool
            if self._is_closed or self._spool.is_ended:
                raise ExperimentError(
                    "this experiment was closed in this process, so nothing more can be recorded here"
                )
            self.id = new_id()
            position = self._spool.journal_position
            appender = Appender(self._folder, self.id, start=position, on_sealed=self._trust.sealed)
            spool, committer = self._start(appender, position, must_persist=False)
            spool.append_event(WRITER_JOINED, {"session": self.session, "parent": self._parent, **self._describe()})
            self._appender, self._committer = appender, committer
            self._use(spool)
            return spool


def record_held(folder: JournalFolder, event_type: str, data: dict[str, Any]) -> int | None:
    """Where this thread is inside of a block of `expect` of this journal, the event becomes part of it: the number that
    it will have.  Else None, and nothing is recorded."""
    for writer in list(_living):
        if writer._folder == folder and (held := writer._holding.mine()) is not None:
            held.add_event(event_type, data)
            return held.expected + held.count
    return None


def refuse_if_held(folder: JournalFolder, what: str) -> None:
    """Raises ExperimentError inside of a block of `expect` of this journal."""
    for writer in list(_living):
        if writer._folder == folder:
            writer.refuse_if_held(what)


def commit_open(folder: JournalFolder) -> None:
    """What this process has recorded into a journal stands in it, whichever of its writers accepted it.

    For readers: where the disk refuses, the writer has said so, and what stands can be read all the same.
    """
    for writer in list(_living):
        if writer._folder == folder:
            with suppress(MlDashError):
                writer.commit()


def _before_fork() -> None:
    for writer in list(_living):
        writer._spool.before_fork()


def _after_fork_in_parent() -> None:
    for writer in list(_living):
        writer._spool.after_fork()


def _after_fork_in_child() -> None:
    for writer in list(_living):
        writer._leave_parent()


OPERATING_SYSTEM.around_fork(_before_fork, _after_fork_in_parent, _after_fork_in_child)
