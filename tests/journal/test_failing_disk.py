"""F6: the N-th call of each kind fails, once and for ever.  A named error or success; no gap, no repeat, no loss."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from errno import EACCES, EBADF, EDQUOT, EINTR, EIO, ENOSPC, EROFS, ESTALE
from pathlib import Path

import pytest

from ml_dash.errors import MlDashError
from ml_dash.journal.damage import DamageKind
from ml_dash.journal.disk import OPERATING_SYSTEM
from ml_dash.journal.folder import JournalFolder

from ..examples import share
from ..promises import RecordProperty
from .damage import Recorder, disk_of, drain, in_memory, on, read
from .simulated_disk import Fault

ERRORS = (EIO, ENOSPC, EDQUOT, EINTR, EACCES, EROFS, ESTALE)
CALLS = (
    "list_names status size_of same_file exists open_read open_append create read_at write sync_data sync_file "
    "sync_folder publish remove"
).split()


class Story:
    """Two writers take turns over several segments, a third one dies and is drained; every step may fail.

    A sync fails in any case, and somebody has left a segment without a name behind, so that those ways are gone too.
    """

    def __init__(self, journal: JournalFolder) -> None:
        self.journal = journal
        self.errors: list[OSError] = []
        disk_of(journal).put(journal.temporary_path(2, "abandoned"), b"{")
        disk_of(journal).faults.append(Fault("sync_data", 3, EIO))
        self.writers = [Recorder(journal, f"w{number}", segment_bytes_max=700) for number in range(3)]

    def tell(self) -> None:
        for number in range(12):
            writer = self.writers[number % 2]
            writer.record(number, number + 100)
            self._try(writer.commit)
            if number % 3 == 2:
                self._try(writer.flush)
            if number == 6:
                self.writers[2].record(*range(50, 60))
                self._try(self.writers[2].commit)
        self._try(lambda: drain(self.writers[2]))

    def numbers_of(self, which: int) -> list[int]:
        return [each for number in range(which, 12, 2) for each in (number, number + 100)]

    def end_well(self) -> None:
        """The disk is well again, but may still say of what it lost before that it could not be read back."""
        for action in (self.writers[0].flush, self.writers[1].flush, lambda: drain(self.writers[2])):
            with suppress(OSError):
                action()
                continue
            action()

    def _try(self, action: object) -> None:
        try:
            action()  # type: ignore[operator]
        except OSError as error:
            self.errors.append(error)


def count_calls(folder: Path) -> Counter[str]:
    journal = in_memory(folder)
    story = Story(journal)
    story.tell()
    assert not story.errors, "a single failed sync is nobody's business"
    return Counter(disk_of(journal).calls)


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("call", CALLS)
def test_f6_any_call_may_fail_and_no_event_is_lost_or_doubled(
    tmp_path: Path, call: str, for_ever: bool, record_property: RecordProperty
) -> None:
    count = count_calls(tmp_path)[call]
    assert count, f"{call} is never called: remove it from this list"
    for turn, nth in enumerate(share(range(1, count + 1), max(1, count // 15))):
        journal = in_memory(tmp_path)
        disk = disk_of(journal)
        disk.evicts_after_failed_sync = nth % 2 == 0
        story = Story(journal)
        disk.faults.append(Fault(call, nth, ERRORS[turn % len(ERRORS)], for_ever))
        story.tell()
        assert all("injected" in str(error) or "read back" in str(error) for error in story.errors)
        disk.faults = []
        during = read(journal)
        assert during.is_dense
        assert DamageKind.CORRUPT not in during.kinds
        story.end_well()
        reading = read(journal)
        assert reading.is_dense
        expected = sorted([*range(12), *range(100, 112), *range(50, 60)])
        assert sorted(reading.numbers) == expected, f"{call} number {nth}"
        for which in (0, 1):
            own = [number for number in reading.numbers if number in story.numbers_of(which)]
            assert own == story.numbers_of(which)
        after = read(on(journal, disk.after_power_loss(nth)))
        assert after.numbers == reading.numbers, "durable means durable"
        record_property("failing calls", 1)


@pytest.mark.parametrize("error", ERRORS)
def test_f6_a_disk_that_takes_nothing_at_all_gives_that_error_and_nothing_else(tmp_path: Path, error: int) -> None:
    journal = in_memory(tmp_path)
    disk_of(journal).faults = [Fault(call, 1, error, for_ever=True) for call in CALLS]
    recorder = Recorder(journal, "w1")
    recorder.record(1, 2)
    for action in (recorder.commit, recorder.flush, lambda: read(journal)):
        with pytest.raises(OSError, match="injected") as caught:
            action()
        assert caught.value.errno == error
    assert recorder.appender.durable_seq == 0
    disk_of(journal).faults = []
    assert recorder.flush() == 2
    assert read(journal).numbers == [1, 2]


def test_f6_a_full_disk_does_not_fill_up_with_attempts(tmp_path: Path) -> None:
    """Each retry takes back what it had begun."""
    journal = in_memory(tmp_path)
    recorder = Recorder(journal, "w1", segment_bytes_max=300)
    recorder.record(1)
    recorder.flush()
    disk = disk_of(journal)
    disk.faults = [Fault("write", disk.calls["write"] + 1, ENOSPC, for_ever=True)]
    recorder.record(2)
    with suppress(OSError, MlDashError):
        recorder.commit()
    names = set(disk.shown_names)
    for _ in range(20):
        with pytest.raises(OSError, match="injected"):
            recorder.commit()
    assert set(disk.shown_names) == names
    disk.faults = []
    recorder.flush()
    assert read(journal).numbers == [1, 2]


def test_f6_what_a_file_server_says_on_closing_fails_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = OPERATING_SYSTEM.create(str(tmp_path / "file"))
    close = os.close

    def close_and_complain(number: int) -> None:
        close(number)
        raise OSError(EIO, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close_and_complain)
        OPERATING_SYSTEM.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        OPERATING_SYSTEM.close(descriptor)
    assert caught.value.errno == EBADF
