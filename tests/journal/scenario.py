"""A random but repeatable history of several writers, and what must be true of its journal whatever the disk did."""

from __future__ import annotations

from contextlib import suppress
from errno import EIO, ENOSPC
from random import Random

from ml_dash.journal.damage import DamageKind
from ml_dash.journal.folder import JournalFolder

from .damage import Reading, Recorder, disk_of, drain, on, read
from .simulated_disk import Fault, Killed, PowerLoss

WRITERS = ("wa", "wb", "wc")
ATTEMPTS_MAX = 5
LATER = 1_000_000


class Scenario:
    """Writers record, commit, flush, are killed and succeeded; disks fail in between, if `faults`.

    `recorded` holds each writer's events in order, `confirmed` those whose writer was told that they are durable.
    """

    def __init__(self, journal: JournalFolder, seed: int, *, steps: int, faults: bool = False) -> None:
        self.journal = journal
        self.recorded: dict[str, list[int]] = {}
        self.confirmed: set[int] = set()
        self._disk = disk_of(journal)
        self._random = Random(seed)
        self._steps = steps
        self._faults = faults
        self._number = 0
        self._generation = 0
        self._open: list[Recorder] = []
        self._segment_bytes_max = self._random.choice((700, 1500, 1 << 26))
        self._disk.evicts_after_failed_sync = self._random.random() < 0.3

    def run(self) -> None:
        """To the end, unless power fails before."""
        for _ in range(self._steps):
            self._random.choice((self._record, self._record, self._record, self._commit, self._flush, self._change))()
        self._disk.faults.clear()
        for writer in self._open:
            self._retry(writer.flush)
            self._confirm(writer)

    def check(self, reading: Reading) -> None:
        """What every reading must show, at any time and after any power loss."""
        assert reading.is_dense
        assert DamageKind.CORRUPT not in reading.kinds, f"falsely condemned: {reading.damage}"
        found = set(reading.numbers)
        assert len(found) == len(reading.numbers), "an event stands there twice"
        assert self.confirmed <= found, f"durable events are lost: {sorted(self.confirmed - found)}"
        for writer, numbers in self.recorded.items():
            own = [number for number in reading.numbers if number in set(numbers)]
            assert own == numbers[: len(own)], f"the events of {writer} are not in order, or one is left out"

    def check_complete(self, reading: Reading) -> None:
        """What must be true when every writer has ended well."""
        self.check(reading)
        assert set(reading.numbers) == {number for numbers in self.recorded.values() for number in numbers}

    # -- steps -----------------------------------------------------------------------------------------------------

    def _writer(self) -> Recorder:
        if not self._open or (len(self._open) < len(WRITERS) and self._random.random() < 0.3):
            self._generation += 1
            name = f"{WRITERS[self._generation % len(WRITERS)]}{self._generation}"
            self._open.append(Recorder(self.journal, name, self._segment_bytes_max))
            self.recorded[name] = []
        return self._random.choice(self._open)

    def _record(self) -> None:
        writer = self._writer()
        numbers = range(self._number, self._number + self._random.randint(1, 12))
        self._number = numbers.stop
        self.recorded[writer.writer] += numbers
        writer.record(*numbers)

    def _commit(self) -> None:
        writer = self._writer()
        self._attempt(lambda: writer.commit(self._random.randint(1, 8)))
        self._confirm(writer)

    def _flush(self) -> None:
        writer = self._writer()
        self._attempt(writer.flush)
        self._confirm(writer)

    def _change(self) -> None:
        self._random.choice((self._kill, self._kill_in_the_midst, self._break_a_sync, self._break_a_write))()

    def _kill(self) -> None:
        if self._open:
            dead = self._open.pop(self._random.randrange(len(self._open)))
            self._retry(lambda: drain(dead))
            self.confirmed |= set(self.recorded[dead.writer])

    def _kill_in_the_midst(self) -> None:
        """At one of the next changing calls of a commit or a flush."""
        writer = self._writer()
        self._disk.kills_at = self._disk.changes + self._random.randint(1, 9)
        try:
            self._attempt(self._random.choice((writer.commit, writer.flush)))
        except Killed:
            self._open.remove(writer)
            self._retry(lambda: drain(writer))
            self.confirmed |= set(self.recorded[writer.writer])
        else:
            self._confirm(writer)
        self._disk.kills_at = 0

    def _break_a_sync(self) -> None:
        call = self._random.choice(("sync_data", "sync_file", "sync_folder"))
        self._break(call, self._disk.calls[call] + 1, EIO)

    def _break_a_write(self) -> None:
        self._break("write", self._disk.calls["write"] + 1, ENOSPC)

    def _break(self, call: str, nth: int, error: int) -> None:
        if self._faults:
            self._disk.faults.append(Fault(call, nth, error))

    # -- what a committer does with errors ----------------------------------------------------------------------------

    def _attempt(self, action: object) -> None:
        try:
            action()  # type: ignore[operator]
        except OSError:
            assert self._faults, "the disk was fine"

    def _retry(self, action: object) -> None:
        for _ in range(ATTEMPTS_MAX):
            try:
                action()  # type: ignore[operator]
            except OSError:
                assert self._faults, "the disk was fine"
            else:
                return
        raise AssertionError(f"{ATTEMPTS_MAX} attempts were not enough although faults come once")

    def _confirm(self, writer: Recorder) -> None:
        writer.forget()
        self.confirmed |= set(self.recorded[writer.writer][: writer.confirmed])


def changes_of(journal: JournalFolder, seed: int, *, steps: int, faults: bool = False) -> int:
    """How many changing calls the scenario makes; also checks that it ends well without power loss."""
    scenario = Scenario(journal, seed, steps=steps, faults=faults)
    scenario.run()
    scenario.check_complete(read(journal))
    return disk_of(journal).changes


def crash(scenario: Scenario, at_change: int) -> None:
    """Runs it until power fails at that changing call."""
    disk_of(scenario.journal).power_fails_at = at_change
    try:
        scenario.run()
    except PowerLoss:
        return
    raise AssertionError(f"the scenario makes fewer than {at_change} changes")


def survive(scenario: Scenario, seed: int, depth: int) -> int:
    """Power comes back, perhaps to fail again during recovery, `depth` times; then somebody writes more.

    What a reader has seen after the first power loss must be there for ever: all that came back is on the medium.  So
    must what any writer was told is durable in between.  Returns how many power losses it survived.
    """
    random = Random(seed)
    journal = on(scenario.journal, disk_of(scenario.journal).after_power_loss(seed))
    first = read(journal)
    scenario.check(first)
    later = Later(random)
    for level in range(depth):
        disk_of(journal).power_fails_at = random.randint(1, 25)
        with suppress(PowerLoss):
            later.write(journal)
        journal = on(journal, disk_of(journal).after_power_loss(seed + level + 1))
        again = read(journal)
        scenario.check(Reading({seq: number for seq, number in again.events.items() if number < LATER}, again.damage))
        assert again.numbers[: len(first.numbers)] == first.numbers, "recovery lost what was there"
        assert later.confirmed <= set(again.numbers), "durable events of a writer that recovered are lost"
    before = read(journal)
    written = later.write(journal)
    after = read(journal)
    assert after.numbers[: len(before.numbers)] == before.numbers
    assert sorted(after.numbers[len(before.numbers) :]) == written
    assert DamageKind.CORRUPT not in after.kinds
    return 1 + depth


class Later:
    """Writers that come when power is back: up to three, whose commits and flushes stand between each other."""

    def __init__(self, random: Random) -> None:
        self.confirmed: set[int] = set()
        self._random = random
        self._number = LATER

    def write(self, journal: JournalFolder) -> list[int]:
        """What they wrote, all of it durable, unless power fails."""
        bytes_max = self._random.choice((400, 1 << 26))
        writers = [
            Recorder(journal, f"after{self._number}w{number}", bytes_max)
            for number in range(self._random.randint(1, 3))
        ]
        written: list[int] = []
        for writer in self._random.choices(writers, k=4) + writers:
            numbers = range(self._number, self._number + self._random.randint(1, 3))
            self._number = numbers.stop
            written += numbers
            writer.record(*numbers)
            if self._random.random() < 0.5:
                writer.commit()
            else:
                self._flush(writer)
        for writer in writers:
            self._flush(writer)
        return written

    def _flush(self, writer: Recorder) -> None:
        waiting = set(writer.spool)
        writer.flush()
        self.confirmed |= waiting
