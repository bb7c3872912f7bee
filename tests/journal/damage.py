"""What makes a test of damage four lines long: journals in memory, hands that damage them, and what is read back.

An event here is a number: the payload of `{"type":"n","t":0,"data":{"n":…}}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from errno import EIO
from pathlib import Path

import orjson

from ml_dash.facts.codec import decode_events
from ml_dash.journal.appender import Appender
from ml_dash.journal.batch import Batch
from ml_dash.journal.damage import Damage, DamageKind
from ml_dash.journal.disk import Disk
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import CommitLine
from ml_dash.journal.reader import JournalReader

from .simulated_disk import Hardware, SimulatedDisk

_NUMBER = re.compile(rb'"n":(\d+)')


def in_memory(folder: Path, seed: int = 0, hardware: Hardware | None = None) -> JournalFolder:
    """A journal on a simulated disk; only its lock is a real file, in `folder`."""
    journal = JournalFolder(folder, SimulatedDisk(seed, hardware))
    Path(journal.path).mkdir(parents=True, exist_ok=True)
    return journal


def on(journal: JournalFolder, disk: Disk) -> JournalFolder:
    """The same journal on another disk."""
    return JournalFolder(journal.experiment, disk)


def disk_of(journal: JournalFolder) -> SimulatedDisk:
    assert isinstance(journal.disk, SimulatedDisk)
    return journal.disk


def event_bytes(numbers: Iterable[int]) -> bytes:
    return b"[%b]" % b",".join(b'{"type":"n","t":0,"data":{"n":%d}}' % number for number in numbers)


def batch(writer: str, counter: int, numbers: Sequence[int], time_us: int = 1_700_000_000_000_000) -> Batch:
    return Batch(len(numbers), time_us, writer, writer, counter, event_bytes(numbers))


def numbers_of(line: CommitLine) -> list[int]:
    return [int(number) for number in _NUMBER.findall(line.events)]


@dataclass
class Recorder:
    """A writer as the committer is one, without its thread: keeps what it was given until that is durable.

    `first` is the counter of the first event in `spool`; events of lower counters are durable and forgotten.
    """

    journal: JournalFolder
    writer: str
    segment_bytes_max: int = 1 << 26
    spool: list[int] = field(default_factory=list)
    first: int = 1
    confirmed: int = 0
    """How many of its events it has been told are durable."""

    def __post_init__(self) -> None:
        self.appender = Appender(self.journal, self.writer, segment_bytes_max=self.segment_bytes_max)

    def record(self, *numbers: int) -> None:
        self.spool += numbers

    def commit(self, per_commit: int = 1 << 30) -> None:
        with self.appender.at_end():
            while pending := self.spool[self.appender.committed_counter + 1 - self.first :]:
                part = pending[:per_commit]
                self.appender.append([batch(self.writer, self.appender.committed_counter + 1, part)])

    def flush(self) -> int:
        """Everything recorded is durable on return; the last durable sequence number.  Raises OSError, as the committer
        does, where a sync has lost some of it: then it must be committed again."""
        self.commit()
        self.appender.sync()
        durable = self.appender.durable_counter
        if durable != self.first + len(self.spool) - 1:
            raise OSError(EIO, "the journal could not be synced")
        self.confirmed = durable
        del self.spool[: durable + 1 - self.first]
        self.first = durable + 1
        return self.appender.durable_seq

    def forget(self) -> None:
        """Gives back what is durable by now."""
        durable = self.appender.durable_counter
        self.confirmed = max(self.confirmed, durable)
        del self.spool[: max(0, durable + 1 - self.first)]
        self.first = max(self.first, durable + 1)


def drain(dead: Recorder) -> None:
    """What `drain.py` does with the spool of a dead writer, on a journal that the kernel still has."""
    appender = Appender(dead.journal, f"{dead.writer}heir", segment_bytes_max=dead.segment_bytes_max)
    with appender.at_end():
        committed = max((line.counter + line.count - 1 for line in lines(dead.journal, dead.writer)), default=0)
        rest = dead.spool[max(0, committed + 1 - dead.first) :]
        if rest:
            appender.append([batch(dead.writer, dead.first + len(dead.spool) - len(rest), rest)])
        appender.sync()
    appender.close()


def lines(journal: JournalFolder, writer: str | None = None) -> Iterator[CommitLine]:
    return (line for line in JournalReader(journal).commits() if writer in (None, line.writer))


@dataclass(frozen=True)
class Reading:
    """What a new reader finds: the number at each sequence number, and the damage."""

    events: dict[int, int]
    damage: list[Damage]

    @property
    def numbers(self) -> list[int]:
        return list(self.events.values())

    @property
    def kinds(self) -> set[DamageKind]:
        return {each.kind for each in self.damage}

    @property
    def is_dense(self) -> bool:
        return list(self.events) == list(range(1, len(self.events) + 1))


def read(journal: JournalFolder, *, decode: bool = False) -> Reading:
    """`decode`: by the codec, not by what the bytes look like."""
    reader = JournalReader(journal)
    events: dict[int, int] = {}
    for line in reader.commits():
        numbers = numbers_of(line)
        if decode:
            numbers = [block.data["n"] for block in decode_events(line.events, line.count) if block.data is not None]
        assert len(numbers) == line.count
        for seq, number in enumerate(numbers, line.first):
            assert seq not in events, f"event {seq} is given twice"
            events[seq] = number
    return Reading(events, reader.damage)


def build(
    journal: JournalFolder, numbers: Sequence[int], per_commit: int, *, segment_bytes_max: int = 1 << 26
) -> Recorder:
    """A journal that holds these events, all durable; every commit of it below a fence except the last one."""
    recorder = Recorder(journal, "w1", segment_bytes_max)
    for start in range(0, len(numbers), per_commit):
        recorder.record(*numbers[start : start + per_commit])
        recorder.flush()
    return recorder


@contextmanager
def segment_lines(journal: JournalFolder, number: int) -> Iterator[list[bytes]]:
    """The lines of a segment, newlines included; what is left in the list becomes the segment."""
    path = journal.segment_path(number)
    content = disk_of(journal).contents(path).splitlines(keepends=True)
    yield content
    disk_of(journal).put(path, b"".join(content))


def header_of(journal: JournalFolder, number: int) -> dict[str, object]:
    header: dict[str, object] = orjson.loads(disk_of(journal).contents(journal.segment_path(number)).splitlines()[0])
    return header
