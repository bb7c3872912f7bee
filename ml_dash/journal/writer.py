"""What an open experiment holds of its journal: record, commit, flush, close; and what becomes of it in a forked child.

1. `record` and `record_stream` return when the event is in the spool.  They take no file lock, wait for no disk and
   never raise for a value (promise P8); `durability="strict"` makes them raise once the journal cannot be written.
2. A forked child never touches its parent's descriptors, threads or locks.  Its first event makes it a writer of its
   own, of the same session: own spool, own committer, and an event `writer.joined` that says so.
3. The first writer of a session has the session's name.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any
from weakref import WeakSet

from ..errors import ExperimentError, StorageError
from ..events import WRITER_JOINED
from ..ids import new_id
from .appender import Appender
from .chain import Position
from .committer import COMMIT_INTERVAL_S, Committer
from .disk import OPERATING_SYSTEM
from .drain import drain, has_dead
from .folder import JournalFolder
from .reader import Extent
from .spool import Spool, Stream

_living: WeakSet[Writer] = WeakSet()


class Writer:
    """One process that records into one journal.

    Raises StorageError, LockError, JournalCorruptError or JournalVersionError where the journal cannot be opened for
    appending.  What dead writers had accepted is committed first.
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
        self._joining = Lock()
        self._parent: str | None = None
        self._inherited_position: Position | None = None
        self.id = self.session = new_id()
        try:
            folder.disk.make_folder(folder.path)
            self._appender = Appender(folder, self.id, trusted=trusted)
            self._drain_dead(self._appender, self.id, always=True)
            self._spool: Spool | None = self._new_spool(self._appender.position)
        except OSError as error:
            raise StorageError(
                f"{folder.path} cannot be written to: {error}. Expected a folder on a file system with free space that this "
                "user may write to; give another dash_root, or mend that"
            ) from error
        self._committer = self._new_committer(self._spool, self._appender)
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
        """One event of many alike; `stream` is of this writer."""
        (self._spool or self._join()).append_stream(stream, fields)

    def record(self, event_type: str, data: dict[str, Any]) -> None:
        """Any other event."""
        (self._spool or self._join()).append_event(event_type, data)

    def commit(self) -> None:
        """What was recorded stands in the journal, for every reader.  Raises StorageError, LockError."""
        if self._spool is not None:
            self._committer.commit()

    def flush(self) -> int:
        """What was recorded is durable; the last durable sequence number.  Raises StorageError, LockError."""
        if self._spool is None:
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
    def is_forked(self) -> bool:
        """Whether this process is a forked child of the one that opened the journal."""
        return self._parent is not None

    def close(self) -> None:
        """Flushes and ends this writer.  Raises StorageError or LockError; what is not written then stays in the spool,
        and whoever opens the experiment next commits it."""
        spool, self._spool = self._spool, None
        _living.discard(self)
        if spool is None:
            return
        spool.refuse(_not_open)
        self._committer.stop()
        try:
            self._committer.flush()
            spool.remove()
        except BaseException:
            spool.abandon()
            raise
        finally:
            self._appender.close()

    # -- opening -------------------------------------------------------------------------------------------------

    def _drain_dead(self, appender: Appender, own: str, *, always: bool) -> None:
        living = frozenset((own,))
        if always or has_dead(self._folder, living):
            with appender.at_end():
                drain(self._folder, appender, living)

    def _new_spool(self, position: Position | None) -> Spool:
        return Spool(
            self._folder,
            self.id,
            self.session,
            position,
            on_trouble=lambda error: self._committer.report(error),
            wake=lambda: self._committer.wake(),
        )

    def _new_committer(self, spool: Spool, appender: Appender) -> Committer:
        own = self.id
        committer = Committer(
            spool,
            appender,
            own,
            self.session,
            drain=lambda: self._drain_dead(appender, own, always=False),
            is_strict=self._is_strict,
            interval_s=self._commit_interval_s,
        )
        committer.start()
        return committer

    # -- forking -------------------------------------------------------------------------------------------------

    def _leave_parent(self) -> None:
        """Rule 2, in the child, before its code goes on."""
        spool, self._spool = self._spool, None
        self._joining = Lock()
        self._parent = self.id
        if spool is not None:
            self._inherited_position = spool.journal_end
            spool.abandon()
        self._appender.close()

    def _join(self) -> Spool:
        with self._joining:
            if self._spool is not None:
                return self._spool
            if self._parent is None or self not in _living:
                raise _not_open()
            self.id = new_id()
            for stream in self._streams.values():
                stream.numbers.clear()
            try:
                spool = self._new_spool(self._inherited_position)
            except OSError as error:
                raise StorageError(f"a forked child cannot record into {self._folder.path}: {error}") from error
            self._appender = Appender(self._folder, self.id, start=self._inherited_position)
            self._committer = self._new_committer(spool, self._appender)
            spool.append_event(WRITER_JOINED, {"session": self.session, "parent": self._parent, **self._describe()})
            self._spool = spool
            return spool


def _not_open() -> Exception:
    return ExperimentError(
        "this experiment is not open, so nothing can be recorded. Start it with `with experiment.run:` or with "
        "`experiment.run.start()`"
    )


def _after_fork_in_child() -> None:
    for writer in list(_living):
        writer._leave_parent()


OPERATING_SYSTEM.in_forked_child(_after_fork_in_child)
