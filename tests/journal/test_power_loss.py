"""F5: power fails at every write and every sync, also during recovery, three deep.

Of what was not synced, the medium keeps any part of the sectors and any part of the names; see `simulated_disk.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash.journal.appender import Appender

from ..examples import share
from ..promises import RecordProperty
from .damage import Recorder, build, disk_of, in_memory, on, read
from .scenario import Scenario, changes_of, crash, survive
from .simulated_disk import Hardware, Inode, Killed, SimulatedDisk

DISKS = (
    Hardware(),
    Hardware(sector_bytes=4096),
    Hardware(garbles=False),
    Hardware(reorders=False),
    Hardware(sector_bytes=4096, reorders=False, garbles=False),
)
"""Each of these must be enough: a durable event is there, whatever order, size and rubbish the disk is capable of."""
SEEDS_EACH = 6


def crash_everywhere(
    folder: Path,
    seed: int,
    *,
    steps: int,
    faults: bool,
    depth: int,
    per_place: int = 1,
    hardware: Hardware | None = None,
) -> int:
    """Every changing call of the scenario, `per_place` outcomes each; the number of power losses."""
    hardware = hardware or DISKS[seed % len(DISKS)]
    changes = changes_of(in_memory(folder, seed, hardware), seed, steps=steps, faults=faults)
    survived = 0
    for at_change in range(1, changes + 1):
        for outcome in range(per_place):
            scenario = Scenario(in_memory(folder, seed, hardware), seed, steps=steps, faults=faults)
            crash(scenario, at_change)
            survived += survive(scenario, seed=1000 * seed + 10 * at_change + outcome, depth=depth)
    return survived


@pytest.mark.parametrize("seed", share(range(5), 2))
def test_f5_durable_events_survive_power_loss_at_every_change(
    tmp_path: Path, seed: int, record_property: RecordProperty
) -> None:
    survived = crash_everywhere(tmp_path / "run", seed, steps=30, faults=False, depth=3)
    assert survived >= 80
    record_property("power losses", survived)


@pytest.mark.parametrize("seed", share(range(103, 106), 2))
def test_f5_durable_events_survive_power_loss_when_writes_and_syncs_fail_too(
    tmp_path: Path, seed: int, record_property: RecordProperty
) -> None:
    survived = crash_everywhere(tmp_path / "run", seed, steps=30, faults=True, depth=3)
    assert survived >= 80
    record_property("power losses", survived)


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("faults", [False, True])
@pytest.mark.parametrize("block", range(20))
def test_f5_campaign(tmp_path: Path, block: int, faults: bool, record_property: RecordProperty) -> None:
    survived = 0
    for seed in range(10_000 + block * SEEDS_EACH, 10_000 + (block + 1) * SEEDS_EACH):
        survived += crash_everywhere(tmp_path / "run", seed, steps=25, faults=faults, depth=3, per_place=2)
    assert survived >= 1_500
    record_property("power losses", survived)


def test_f5_a_name_that_a_dead_process_has_not_synced_is_synced_before_anything_in_the_segment_is_durable(
    tmp_path: Path,
) -> None:
    journal = in_memory(tmp_path / "run")
    disk = disk_of(journal)
    build(journal, range(6), per_commit=3)
    first = Recorder(journal, "w2", segment_bytes_max=100)
    first.record(6)
    # sync_file, sync_folder, create, write, sync_file, publish, sync_folder
    disk.kills_at = disk.changes + 7
    with pytest.raises(Killed, match="sync_folder"):
        first.commit()
    assert journal.segment_numbers() == [1, 2]
    second = Recorder(journal, "w4")
    second.record(7, 8)
    second.flush()
    for seed in range(40):
        assert read(on(journal, disk.after_power_loss(seed))).numbers == [*range(6), 7, 8]


# --- the canary: each step of the order, left out, is caught ----------------------------------------------------------


class WithoutFolderSync(SimulatedDisk):
    def sync_folder(self, path: str) -> None:
        return


class WithoutDataSync(SimulatedDisk):
    def sync_data(self, descriptor: int) -> None:
        return


class WithoutFileSync(SimulatedDisk):
    def sync_file(self, descriptor: int) -> None:
        return


class RepeatsAFailedSync(SimulatedDisk):
    """Asks again, as many programs do; the second answer is a lie."""

    def sync_data(self, descriptor: int) -> None:
        try:
            super().sync_data(descriptor)
        except OSError:
            super().sync_data(descriptor)


def crash_everywhere_many(folder: Path, seeds: range, hardware: Hardware | None = None) -> None:
    for seed in seeds:
        crash_everywhere(folder, seed, steps=30, faults=True, depth=0, hardware=hardware)


@pytest.mark.parametrize("disk", [WithoutFolderSync, WithoutDataSync, WithoutFileSync, RepeatsAFailedSync])
def test_an_omitted_sync_is_caught(tmp_path: Path, disk: type[SimulatedDisk], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.journal.damage.SimulatedDisk", disk)
    monkeypatch.setattr(disk, "after_power_loss", SimulatedDisk.after_power_loss)
    with pytest.raises(AssertionError):
        crash_everywhere_many(tmp_path / "run", range(214, 244))


def test_a_disk_whose_syncs_are_lies_is_caught(tmp_path: Path) -> None:
    """No order of calls helps against it: this is what is promised of the hardware, and not by us."""
    with pytest.raises(AssertionError, match="durable events"):
        crash_everywhere_many(tmp_path / "run", range(300, 330), Hardware(syncs_truly=False))


def test_a_disk_that_harms_the_neighbours_of_a_torn_write_costs_what_shares_their_sector_and_never_silently(
    tmp_path: Path,
) -> None:
    """Also promised of the hardware: else durable events end where the sector begins that was being written."""
    hardware, lost = Hardware(keeps_neighbours=False), 0
    for seed in range(40):
        journal = in_memory(tmp_path / "run", seed, hardware)
        writer = build(journal, range(20), per_commit=5)
        durable = disk_of(journal).contents(journal.segment_path(1))
        writer.record(*range(20, 24))
        writer.commit()
        after = on(journal, disk_of(journal).after_power_loss(seed))
        kept, reading = disk_of(after).contents(journal.segment_path(1)), read(after)
        harmless = len(durable) - len(durable) % hardware.sector_bytes
        assert kept[:harmless] == durable[:harmless]
        assert reading.events.items() <= dict(enumerate(range(24), start=1)).items()
        assert reading.damage or len(reading.numbers) >= 20, "durable events are gone without a word"
        lost += len(reading.numbers) < 20
    assert lost


def test_a_power_loss_keeps_what_was_synced_and_may_drop_the_rest() -> None:
    outcomes = set()
    for seed in range(60):
        disk = SimulatedDisk(seed)
        descriptor = disk.create("/j/a")
        disk.write(descriptor, b"x" * 600)
        disk.sync_file(descriptor)
        disk.sync_folder("/j")
        disk.write(descriptor, b"y" * 600)
        disk.create("/j/b")
        after = disk.after_power_loss(seed)
        content = after.contents("/j/a")
        assert content.startswith(b"x" * 600)
        outcomes.add((content[600:] == b"y" * 600, content[600:] == b"", after.exists("/j/b")))
    assert len(outcomes) >= 5


def test_a_failed_sync_leaves_the_medium_behind_for_good() -> None:
    disk = SimulatedDisk()
    inode = Inode(1)
    disk.shown_names["/j/a"] = disk.medium_names["/j/a"] = inode
    descriptor = disk.open_append("/j/a")
    disk.write(descriptor, b"lost")
    inode.waiting.clear()
    disk.write(descriptor, b"kept")
    disk.sync_data(descriptor)
    assert disk.contents("/j/a") == b"lostkept"
    assert disk.after_power_loss(1).contents("/j/a") == b"\0\0\0\0kept"


def test_an_appender_that_nobody_used_changes_nothing(tmp_path: Path) -> None:
    journal = in_memory(tmp_path)
    Appender(journal, "w1").close()
    assert disk_of(journal).changes == 0
    assert read(journal).numbers == []
