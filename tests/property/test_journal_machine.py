"""A journal under everything that can happen to it, in any order that Hypothesis finds.

Writers record, commit, flush and die; calls of the disk fail; a dying write leaves rubbish at the end; power fails; a
reader follows all along.  Whatever the order: the sequence is dense, each event stands there once, each writer's events
stand in its order, what was confirmed is there, and nothing intact is condemned.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EIO, ENOSPC
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ml_dash.journal.damage import DamageKind
from ml_dash.journal.reader import JournalReader

from ..examples import examples
from ..journal.damage import Reading, Recorder, disk_of, drain, in_memory, numbers_of, on, read
from ..journal.simulated_disk import Fault

CALLS_THAT_FAIL = ("write", "sync_data", "sync_file", "sync_folder", "create", "publish", "read_at", "list_names")
WRITERS_MAX = 4
WHICH = st.integers(0, WRITERS_MAX - 1)


class JournalMachine(RuleBasedStateMachine):
    """The model: what each writer has recorded, in order, and which events somebody was told are durable."""

    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self.journal = in_memory(Path(self._temporary.name) / "run")
        self.open: list[Recorder] = []
        self.recorded: dict[str, list[int]] = {}
        self.confirmed: set[int] = set()
        self.count = 0
        self._follow_anew()

    def teardown(self) -> None:
        """The disk is well again: whoever lives flushes, whoever opens then can write, and everything is there."""
        disk_of(self.journal).faults = []
        for writer in self.open:
            for _ in range(3):
                with suppress(OSError):
                    writer.flush()
                    break
            self.confirmed |= set(self.recorded[writer.writer])
        last = Recorder(self.journal, "last")
        last.record(self.count)
        last.flush()
        assert self._check().numbers[-1] == self.count
        self._temporary.cleanup()

    # -- what happens ----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.open) < WRITERS_MAX)
    @rule(segment_bytes_max=st.sampled_from((500, 1200, 1 << 26)))
    def a_writer_opens(self, segment_bytes_max: int) -> None:
        name = f"w{len(self.recorded)}"
        self.recorded[name] = []
        self.open.append(Recorder(self.journal, name, segment_bytes_max))

    @precondition(lambda self: self.open)
    @rule(which=WHICH, count=st.integers(1, 9))
    def a_writer_records(self, which: int, count: int) -> None:
        writer = self.open[which % len(self.open)]
        numbers = range(self.count, self.count + count)
        self.count += count
        self.recorded[writer.writer] += numbers
        writer.record(*numbers)

    @precondition(lambda self: self.open)
    @rule(which=WHICH, per_commit=st.integers(1, 5))
    def a_writer_commits(self, which: int, per_commit: int) -> None:
        writer = self.open[which % len(self.open)]
        with suppress(OSError):
            writer.commit(per_commit)
        self._confirm(writer)

    @precondition(lambda self: self.open)
    @rule(which=WHICH)
    def a_writer_flushes(self, which: int) -> None:
        writer = self.open[which % len(self.open)]
        with suppress(OSError):
            writer.flush()
            self.confirmed |= set(self.recorded[writer.writer])
        self._confirm(writer)

    @precondition(lambda self: self.open)
    @rule(which=WHICH)
    def a_writer_is_killed_and_drained(self, which: int) -> None:
        writer = self.open.pop(which % len(self.open))
        disk_of(self.journal).faults = []
        for _ in range(3):
            with suppress(OSError):
                drain(writer)
                break
        else:
            raise AssertionError("a disk that is well again refuses")
        self.confirmed |= set(self.recorded[writer.writer])

    @rule(call=st.sampled_from(CALLS_THAT_FAIL), nth=st.integers(1, 4), error=st.sampled_from((EIO, ENOSPC)))
    def a_call_will_fail(self, call: str, nth: int, error: int) -> None:
        disk = disk_of(self.journal)
        disk.faults = [Fault(call, disk.calls[call] + nth, error)]

    @rule(rubbish=st.sampled_from((b"{", b'{"first":', b"\n", bytes(700), b"\xff\n" * 3)))
    def a_dying_write_leaves_rubbish(self, rubbish: bytes) -> None:
        numbers = self.journal.segment_numbers() if not disk_of(self.journal).faults else []
        if numbers:
            disk_of(self.journal).leave(self.journal.segment_path(numbers[-1]), rubbish)

    @rule(seed=st.integers(0, 10_000))
    def power_fails(self, seed: int) -> None:
        """Every process is gone, with all that it had in memory; what comes back is all there is."""
        self.journal = on(self.journal, disk_of(self.journal).after_power_loss(seed))
        self.open.clear()
        found = set(self._check().numbers)
        for name, numbers in self.recorded.items():
            self.recorded[name] = [number for number in numbers if number in found]
        self._follow_anew()

    # -- what must be true -----------------------------------------------------------------------------------------

    @invariant()
    def the_journal_holds_what_it_must(self) -> None:
        with self._looked_at_in_peace():
            self._check()
            for line in self.follower.commits():
                assert line.first == len(self.followed) + 1, "the follower missed something, or was given it twice"
                self.followed += numbers_of(line)
        alarms = {each.kind for each in self.follower.damage} - {DamageKind.TORN, DamageKind.DEAD}
        assert not alarms, "a false alarm"

    def _check(self) -> Reading:
        reading = read(self.journal)
        assert reading.is_dense
        assert DamageKind.CORRUPT not in reading.kinds, f"falsely condemned: {reading.damage}"
        assert len(set(reading.numbers)) == len(reading.numbers), "an event stands there twice"
        assert self.confirmed <= set(reading.numbers), "durable events are lost"
        for numbers in self.recorded.values():
            own = set(numbers)
            found = [number for number in reading.numbers if number in own]
            assert found == numbers[: len(found)], "a writer's events are not in order, or one is left out"
        return reading

    @contextmanager
    def _looked_at_in_peace(self) -> Iterator[None]:
        """Looking neither meets a fault nor counts as a call."""
        disk = disk_of(self.journal)
        faults, calls = disk.faults, Counter(disk.calls)
        disk.faults = []
        yield
        disk.faults, disk.calls = faults, calls

    def _confirm(self, writer: Recorder) -> None:
        writer.forget()
        self.confirmed |= set(self.recorded[writer.writer][: writer.confirmed])

    def _follow_anew(self) -> None:
        self.follower = JournalReader(self.journal)
        self.followed: list[int] = []


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = examples(60, stateful_step_count=30)
