"""Journals as bytes, for tests that ship them by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from ml_dash.journal.batch import Batch, encode_batches
from ml_dash.journal.chain import Position, read_header
from ml_dash.journal.format import Previous, encode_header

PREFIX = "alice/ml/a"
JOURNAL = "k10wb0emz0000000j1"
SESSION = "k10wb0emz0000000w1"
TIME_US = 1_700_000_000_000_000
STARTED = (
    b'[{"type":"run.started","t":0,"data":{"session":"%b","prefix":"alice/ml/a","host":"n","pid":1,"rank":null,'
    b'"environment":{}}}]' % SESSION.encode("ascii")
)


def point(step: int) -> bytes:
    return b'[{"type":"metric.logged","t":0,"data":{"name":"train","fields":{"step":%d,"loss":0.5}}}]' % step


@dataclass
class History:
    """A journal that grows in memory: `segments` are its bytes, `ends` the places between its lines, oldest first."""

    journal: str = JOURNAL
    segments: dict[int, bytes] = field(default_factory=dict)
    at: Position | None = None
    ends: list[Position] = field(default_factory=list)

    @classmethod
    def of(cls, *commits: int, journal: str = JOURNAL) -> History:
        """Segments with so many commits each."""
        history = cls(journal)
        for count in commits:
            history.open_segment()
            history.commit(count)
        return history

    def open_segment(self, number: int | None = None, accepted: Position | None = None) -> None:
        at = accepted or self.at
        previous = Previous(at.segment, at.offset, at.next_seq - 1, at.hash) if at is not None else None
        number = number or (self.at.segment + 1 if self.at is not None else 1)
        line, _ = encode_header(self.journal, number, at.next_seq if at is not None else 1, TIME_US, previous)
        found = read_header(line)
        assert found is not None
        self.segments[number] = line
        self.at = found[1]
        self.ends.append(self.at)

    def commit(self, count: int = 1, size: int = 0, events: bytes | None = None) -> None:
        for _ in range(count):
            assert self.at is not None
            seq = self.at.next_seq
            data = events or (STARTED if seq == 1 else point(seq))
            if size:
                data = data[:-1] + b" " * size + b"]"
            line, self.at, _ = encode_batches(self.at, [Batch(1, TIME_US + seq, SESSION, SESSION, seq, data)])
            self.segments[self.at.segment] += line
            self.ends.append(self.at)

    def data(self, segment: int, start: int = 0, end: int | None = None) -> bytes:
        return self.segments[segment][start:end]

    def hash_at(self, segment: int, offset: int) -> str | None:
        """Of the line that ends at a place; of the beginning of a segment, that of the line before its header."""
        found = [each for each in self.ends if (each.segment, each.offset) <= (segment, offset)]
        return found[-1].hash if found else None
