"""What an open experiment needs to expect that nobody else writes: which thread is held back, and where its calls go.

A mixin of `Writer`, which says where its attributes come from; `held.py` has the rules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ExperimentError
from .appender import Appender
from .checkpoint import Trust
from .committer import Committer
from .folder import JournalFolder
from .held import Held, Holding, append_if_unchanged
from .spool import Spool, Stream


class Expecting(ABC):
    """`with writer.expect(seq):` for one thread, while the others record as ever."""

    id: str
    session: str
    record: Callable[[str, dict[str, Any]], int]
    record_stream: Callable[[Stream, dict[str, Any]], None]
    _folder: JournalFolder
    _holding: Holding
    _trust: Trust
    _appender: Appender
    _committer: Committer
    _spool: Spool

    @property
    @abstractmethod
    def _is_recording(self) -> bool:
        """Whether this process has a spool and a committer."""

    @contextmanager
    def expect(self, seq: int) -> Iterator[None]:
        """What this thread records inside becomes one commit if the journal then still ends in event `seq` (`held.py`).

        Raises ConflictError if not; ExperimentError, StorageError, LockError.  Nothing is recorded then.
        """
        with self._holding.changing:
            held = self._holding.begin(seq)
            self._route()
        try:
            try:
                yield
            finally:
                self._end_holding()
            if held.is_of_this_process:
                self._commit_held(held)
        except BaseException:
            held.drop()
            raise

    def if_dropped(self, action: Callable[[], object]) -> None:
        """`action` is called if what this thread has just recorded is never committed, as the block that it stands in
        ends with an error."""
        held = self._holding.mine()
        if held is not None:
            held.if_dropped(action)

    def refuse_if_held(self, what: str) -> None:
        """Raises ExperimentError inside of a block of `expect`."""
        self._holding.refuse(what)

    def _end_holding(self) -> None:
        holding = self._holding
        with holding.changing:
            # Not in a child that was forked inside of the block.
            if holding.mine() is not None:
                holding.end()
                self._route()

    def _commit_held(self, held: Held) -> None:
        if not self._is_recording:
            raise ExperimentError("this experiment was closed inside of the block, so nothing of it was recorded")
        batch = held.batch(self.session)
        self._committer.commit()
        start, living = self._appender.position, frozenset((self.id,))
        append_if_unchanged(self._folder, batch, held.expected, start, living, self._trust.sealed)

    def _route(self) -> None:
        """Where a recording call goes: straight into the spool, as one call less is a twentieth of what it costs."""
        self._spool.is_direct = not self._holding.is_any
        if self._holding.is_any:
            self.record_stream = self._record_stream_or_hold
            self.record = self._record_or_hold
        else:
            self.record_stream = self._spool.append_stream
            self.record = self._spool.append_event

    def _record_stream_or_hold(self, stream: Stream, fields: dict[str, Any]) -> None:
        held = self._holding.mine()
        (held.add_stream if held is not None else self._spool.append_stream)(stream, fields)

    def _record_or_hold(self, event_type: str, data: dict[str, Any]) -> int:
        held = self._holding.mine()
        return (held.add_event if held is not None else self._spool.append_event)(event_type, data)
