"""Events on their way into a journal, and account of what has become of those of one writer.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .chain import Position
from .format import CommitLine, encode_commit


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that become one commit: all of it is known before the lock is taken, except where it will stand."""

    count: int
    time_us: int
    writer: str
    session: str
    counter: int
    events: bytes

    @property
    def last_counter(self) -> int:
        return self.counter + self.count - 1

    @classmethod
    def of(cls, line: CommitLine) -> Batch:
        """The same events, to be committed once more."""
        return cls(line.count, line.time_us, line.writer, line.session, line.counter, line.events)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a batch stands: behind it is byte `end` of the segment and event `last_seq`."""

    batch: Batch
    segment: int
    end: int
    last_seq: int


def encode_batches(at: Position, batches: Iterable[Batch]) -> tuple[bytes, Position, list[Placed]]:
    """The commits that go on from `at`, the position behind them, and where each of them stands."""
    lines = []
    placed = []
    for batch in batches:
        line, line_hash = encode_commit(
            at.hash,
            at.journal,
            first=at.next_seq,
            count=batch.count,
            time_us=batch.time_us,
            writer=batch.writer,
            session=batch.session,
            counter=batch.counter,
            fence=at.fence,
            events=batch.events,
        )
        lines.append(line)
        at = Position(at.journal, at.segment, at.offset + len(line), at.next_seq + batch.count, line_hash, at.fence)
        placed.append(Placed(batch, at.segment, at.offset, at.next_seq - 1))
    return b"".join(lines), at, placed


@dataclass(frozen=True, slots=True)
class _Own:
    """A commit of the writer that is not known to be durable yet."""

    segment: int
    end: int
    last_seq: int
    last_counter: int


class Account:
    """Which events of `writer` stand in the journal, and which of them are durable, by the writer's own counter."""

    def __init__(self, writer: str) -> None:
        self._writer = writer
        self._own: list[_Own] = []
        self.durable_counter = 0
        self.durable_seq = 0
        """Up to which event, of whatever writer, the journal is known to survive power loss."""

    @property
    def committed_counter(self) -> int:
        return self._own[-1].last_counter if self._own else self.durable_counter

    @property
    def is_durable(self) -> bool:
        """Whether every event of the writer that stands in the journal is durable."""
        return not self._own

    def saw(self, line: CommitLine) -> None:
        """A commit was read in the journal."""
        if line.writer == self._writer:
            self._own.append(_Own(line.segment, line.end, line.last, line.counter + line.count - 1))

    def wrote(self, placed: list[Placed]) -> None:
        """Commits were written to the journal."""
        self._own += [
            _Own(each.segment, each.end, each.last_seq, each.batch.last_counter)
            for each in placed
            if each.batch.writer == self._writer
        ]

    def forget_from(self, first_seq: int) -> None:
        """From here on the journal goes on differently: what of ours is not repeated is not in it any more."""
        self._own = [own for own in self._own if own.last_seq < first_seq]

    def read_up_to(self, at: Position) -> None:
        """A sealed segment was synced before the next one got its name, and a fence says what of this one is."""
        while self._own and (self._own[0].segment < at.segment or self._own[0].end <= at.fence):
            self._settle()

    def synced_up_to(self, at: Position) -> None:
        """A sync that covers everything before `at` has returned."""
        self.durable_seq = max(self.durable_seq, at.next_seq - 1)
        while self._own and self._own[0].last_seq < at.next_seq:
            self._settle()

    def _settle(self) -> None:
        own = self._own.pop(0)
        self.durable_counter = own.last_counter
        self.durable_seq = max(self.durable_seq, own.last_seq)
