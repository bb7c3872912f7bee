"""Replacing a small file: old or new, never a part, and nothing left over."""

from __future__ import annotations

import stat
from contextlib import suppress
from errno import EIO, ENOSPC
from pathlib import Path

import pytest

from ml_dash.journal.disk import OPERATING_SYSTEM
from ml_dash.journal.replacing import replace_file

from .simulated_disk import Fault, Killed, SimulatedDisk

PATH = "/folder/mark.json"
OLD, NEW = b"what it held before", b"what it holds now, which is longer"
CALLS = ("create", "write", "sync_file", "rename")


def a_disk() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.put(PATH, OLD)
    return disk


def test_it_holds_what_it_was_given_and_nothing_else_is_there() -> None:
    disk = a_disk()
    replace_file(disk, PATH, NEW)
    assert disk.contents(PATH) == NEW
    assert list(disk.shown_names) == [PATH]
    assert disk.open_descriptors == 0


@pytest.mark.parametrize("call", CALLS)
def test_where_a_call_fails_it_is_as_it_was_and_nothing_else_is_there(call: str) -> None:
    disk = a_disk()
    disk.faults = [Fault(call, disk.calls[call] + 1, ENOSPC)]
    disk.part_written = lambda length: length // 2
    with pytest.raises(OSError, match=f"injected into {call}"):
        replace_file(disk, PATH, NEW, is_synced=True)
    assert disk.contents(PATH) == OLD
    assert list(disk.shown_names) == [PATH]
    assert disk.open_descriptors == 0


def test_the_failure_that_is_told_is_the_first_one() -> None:
    disk = a_disk()
    disk.faults = [Fault("write", disk.calls["write"] + 1, ENOSPC), Fault("remove", disk.calls["remove"] + 1, EIO)]
    with pytest.raises(OSError, match="injected into write"):
        replace_file(disk, PATH, NEW)


def test_killed_at_any_change_or_without_power_it_holds_the_old_or_the_new() -> None:
    whole = a_disk()
    before = whole.changes
    replace_file(whole, PATH, NEW, is_synced=True)
    changes = whole.changes - before
    whole.sync_folder("/folder")
    for change in range(1, changes + 1):
        disk = a_disk()
        disk.kills_at = disk.changes + change
        with suppress(Killed):
            replace_file(disk, PATH, NEW, is_synced=True)
        assert disk.contents(PATH) in (OLD, NEW)
        for seed in range(20):
            assert disk.after_power_loss(seed).contents(PATH) in (OLD, NEW)
    for seed in range(20):
        assert whole.after_power_loss(seed).contents(PATH) == NEW


def test_nobody_but_its_owner_may_read_what_is_private(tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    path.write_bytes(OLD)
    path.chmod(0o644)
    replace_file(OPERATING_SYSTEM, str(path), NEW, is_private=True)
    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["token.json"]
