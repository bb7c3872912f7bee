"""Whatever is recorded, taken, made durable, sought again or refused by the disk, in whatever order: a spool gives each
event once, in order, and its files hold every one that is not durable, also if the process died at any moment."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ml_dash.alarm import Alarm
from ml_dash.facts.events import METRIC_LOGGED
from ml_dash.journal import spool_cursor, spool_file, spool_files
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.spool import Spool, Stream
from ml_dash.journal.spool_reading import read_spool
from tests.writer.faults import FaultyDisk

from ..examples import examples


class Quiet(Alarm):
    """Its warnings are tested elsewhere."""

    def sound(self, subject: str, text: str) -> None:
        return


def _set_sizes(first_file: int, file: int, counted: int, part: int) -> tuple[int, int, int, int]:
    """Of the spool's files, and of the pieces in which they are gone through; gives what was set before."""
    before = spool_files.FIRST_FILE_BYTES, spool_files.FILE_BYTES, spool_file.COUNT_BYTES, spool_cursor.PART_BYTES
    spool_files.FIRST_FILE_BYTES, spool_files.FILE_BYTES = first_file, file
    spool_file.COUNT_BYTES, spool_cursor.PART_BYTES = counted, part
    return before


class SpoolMachine(RuleBasedStateMachine):
    """Events are numbered by their counters, and record their number: so each can be checked by itself."""

    @initialize(is_reserving=st.booleans(), bytes_max=st.sampled_from([600, 1500, 4000]))
    def open(self, is_reserving: bool, bytes_max: int) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.disk = FaultyDisk() if is_reserving else FaultyDisk("reserve_map")
        self.is_reserving = is_reserving
        self.folder = JournalFolder(Path(self.temporary.name), self.disk)
        self.sizes = _set_sizes(bytes_max, 2 * bytes_max, 500, 500)
        self.spool = Spool(self.folder, "wa", "wa", None, alarm=Quiet(), wake=lambda: None, own=lambda: self.spool)
        self.streams = [Stream(METRIC_LOGGED, f"m{number}", named=True) for number in range(3)]
        self.recorded = self.taken = self.durable = 0
        # Counters of events that were recorded while the disk refused: only memory has them for sure.
        self.at_risk: set[int] = set()

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.abandon()
            _set_sizes(*self.sizes)
            self.temporary.cleanup()

    @property
    def is_full(self) -> bool:
        return "write" in self.disk.failing

    @rule(stream=st.integers(0, 2), keys=st.integers(0, 4), text=st.integers(0, 900), times=st.integers(1, 8))
    def record(self, stream: int, keys: int, text: int, times: int) -> None:
        for _ in range(times):
            self.recorded += 1
            fields: dict[str, Any] = {"i": self.recorded, **{f"k{key}": key for key in range(keys)}, "text": "x" * text}
            self.spool.append_stream(self.streams[stream], fields)
            if self.is_full or self.spool._file.is_memory:
                self.at_risk.add(self.recorded)

    @rule(bytes_max=st.sampled_from([1, 200, 5000]))
    def take(self, bytes_max: int) -> None:
        counter, taken = self.spool.cursor.take(bytes_max)
        rows = [row for part in taken for row in part]
        assert counter == self.taken + 1
        assert len(taken) == len(rows)
        assert [row[2] for row in rows] == list(range(counter, counter + len(rows)))
        assert rows or self.taken == self.recorded
        self.taken += len(rows)

    @rule()
    def take_all(self) -> None:
        while self.taken < self.recorded:
            self.take(700)
        self.take(1)  # definitions at the end are taken, too
        assert self.spool.cursor.backlog_bytes == 0

    @rule(part=st.floats(0, 1))
    def become_durable(self, part: float) -> None:
        self.durable += int((self.taken - self.durable) * part)
        self.spool.forget(self.durable)

    @rule(part=st.floats(0, 1))
    def seek(self, part: float) -> None:
        self.taken = self.durable + int((self.taken - self.durable) * part)
        self.spool.seek(self.taken + 1)

    @rule(bytes_ahead=st.sampled_from([1, 100_000]))
    def prepare(self, bytes_ahead: int) -> None:
        self.spool.prepare(bytes_ahead)

    @rule()
    def fill_or_free_the_disk(self) -> None:
        if self.is_full:
            self.disk.failing -= {"create", "write", "reserve_map"}
        else:
            self.disk.failing |= {"create", "write", "reserve_map"}
        if not self.is_reserving:
            self.disk.failing.add("reserve_map")

    @invariant()
    @precondition(lambda self: hasattr(self, "spool"))
    def files_hold_what_is_not_durable(self) -> None:
        """What a drain would find if the process died now."""
        held: dict[int, int] = {}
        for number in self.folder.spool_files().get("wa", []):
            content = read_spool(self.folder, "wa", number)
            for index, row in enumerate(content.rows if content is not None else []):
                held[content.first + index] = row[2]  # type: ignore[union-attr]
        assert all(counter == value for counter, value in held.items()), "an event stands under another one's counter"
        missing = set(range(self.durable + 1, self.recorded + 1)) - set(held)
        assert missing <= self.at_risk, f"events {sorted(missing - self.at_risk)} are not in the files"


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = examples(60, stateful_step_count=40)
