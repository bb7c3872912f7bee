"""Archived segments: the same bytes, whoever is killed when, and damage of them is met, located and stays where it is.

Frames are 256 bytes here, so that small segments have many.
"""

from __future__ import annotations

from contextlib import suppress
from errno import EIO
from pathlib import Path
from random import Random

import pytest

from ml_dash.errors import JournalCorruptError, StorageError
from ml_dash.journal import archive, seekable, segment_file
from ml_dash.journal.archive import make_plain, pack, rewriting, unpack
from ml_dash.journal.damage import DamageKind
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import HASH_TAIL_BYTES
from ml_dash.journal.reader import JournalReader
from ml_dash.journal.segment_file import is_archived, open_segment
from ml_dash.journal.survey import survey

from ..examples import share
from ..promises import RecordProperty
from .damage import Recorder, build, disk_of, in_memory, lines, numbers_of, on, read
from .simulated_disk import Fault, PowerLoss, SimulatedDisk

EVENTS = range(40)
FRAME = 256


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (archive, seekable):
        monkeypatch.setattr(module, "FRAME_BYTES", FRAME)


@pytest.fixture
def journal(tmp_path: Path) -> JournalFolder:
    """Four segments, the first three of them sealed."""
    journal = in_memory(tmp_path / "run")
    build(journal, EVENTS, per_commit=2, segment_bytes_max=1500)
    assert len(journal.segment_numbers()) == 4
    return journal


def sealed(journal: JournalFolder) -> list[int]:
    return journal.segment_numbers()[:-1]


def pack_all(journal: JournalFolder) -> None:
    with rewriting(journal):
        for number in sealed(journal):
            if not is_archived(journal, number):
                pack(journal, number)


def unpack_all(journal: JournalFolder) -> None:
    with rewriting(journal):
        for number in sealed(journal):
            make_plain(journal, number)


def contents(journal: JournalFolder) -> dict[int, bytes]:
    """Of every segment, as a reader gets it."""
    found = {}
    for number in journal.segment_numbers():
        with open_segment(journal, number) as file:
            found[number] = file.read_at(0, 1 << 26)
            assert len(found[number]) == file.size
    return found


def names(journal: JournalFolder) -> set[str]:
    return {name for name in journal.disk.list_names(journal.path) if name != "lock"}


# --- the same -----------------------------------------------------------------------------------------------


def test_packed_segments_read_the_same_and_unpacked_ones_are_the_same_bytes(journal: JournalFolder) -> None:
    before, whole = contents(journal), read(journal)
    head = survey(journal).head
    pack_all(journal)
    assert names(journal) == {"00000001.jsonl.zst", "00000002.jsonl.zst", "00000003.jsonl.zst", "00000004.jsonl"}
    assert read(journal) == whole
    assert contents(journal) == before
    found = survey(journal)
    assert (found.ok, found.head, found.events, found.archived) == (True, head, len(EVENTS), 3)
    unpack_all(journal)
    assert names(journal) == {f"{number:08d}.jsonl" for number in before}
    assert {number: disk_of(journal).contents(journal.segment_path(number)) for number in before} == before


def test_any_stretch_of_an_archived_segment_is_the_stretch_of_the_plain_one(journal: JournalFolder) -> None:
    plain = contents(journal)[1]
    pack_all(journal)
    random = Random(1)
    with open_segment(journal, 1) as file:
        for _ in range(300):
            offset, count = random.randint(0, len(plain) + 10), random.randint(0, 700)
            assert file.read_at(offset, count) == plain[offset : offset + count]


@pytest.mark.parametrize("size", [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME])
def test_a_segment_of_any_length_is_packed(journal: JournalFolder, size: int) -> None:
    data = bytes(number % 7 for number in range(size))
    disk_of(journal).put(journal.segment_path(1), data)
    assert pack(journal, 1)[0] == size
    with open_segment(journal, 1) as file:
        assert (file.size, file.read_at(0, size + 1), file.troubles()) == (size, data, [])
    unpack(journal, 1)
    assert disk_of(journal).contents(journal.segment_path(1)) == data


def test_writers_go_on_behind_archived_segments(journal: JournalFolder) -> None:
    pack_all(journal)
    writer = Recorder(journal, "w2", segment_bytes_max=1500)
    writer.record(*range(100, 140))
    writer.commit(per_commit=2)
    writer.flush()
    assert read(journal).numbers == [*EVENTS, *range(100, 140)]
    pack_all(journal)
    assert read(journal).numbers == [*EVENTS, *range(100, 140)]
    assert len(journal.segment_numbers()) > 6


def test_a_writer_whose_segment_was_sealed_by_another_and_archived_since_syncs_and_goes_on(
    journal: JournalFolder,
) -> None:
    slow = Recorder(journal, "slow")
    slow.record(100)
    slow.commit()
    fast = Recorder(journal, "fast", segment_bytes_max=10)
    fast.record(101)
    fast.flush()
    pack_all(journal)
    assert is_archived(journal, slow.appender.position.segment)  # type: ignore[union-attr]
    assert slow.flush() >= len(EVENTS) + 1
    slow.record(102)
    slow.flush()
    assert read(journal).numbers == [*EVENTS, 100, 101, 102]
    assert read(journal).damage == []


def test_where_what_was_behind_an_archived_segment_is_gone_writing_goes_on_in_the_next_one(
    journal: JournalFolder,
) -> None:
    pack_all(journal)
    disk_of(journal).delete(journal.segment_path(4))
    kept = read(journal).numbers
    writer = Recorder(journal, "w2")
    writer.record(100)
    writer.flush()
    assert read(journal).numbers == [*kept, 100]
    assert is_archived(journal, 3)


def test_a_reader_that_is_amid_a_segment_goes_on_while_it_is_packed_and_unpacked(journal: JournalFolder) -> None:
    reader = JournalReader(journal)
    numbers: list[int] = []
    for index, line in enumerate(reader.commits()):
        numbers += numbers_of(line)
        if index == 1:
            pack_all(journal)
        if index == 8:
            unpack_all(journal)
    assert (numbers, reader.damage) == ([*EVENTS], [])


def test_a_reader_that_has_come_to_the_end_of_a_segment_goes_on_once_it_is_archived(journal: JournalFolder) -> None:
    reader = JournalReader(journal)
    numbers = [number for line in reader.commits() for number in numbers_of(line)]
    writer = Recorder(journal, "w2", segment_bytes_max=10)
    writer.record(100)
    writer.flush()
    writer.record(101)
    writer.flush()
    pack_all(journal)
    numbers += [number for line in reader.commits() for number in numbers_of(line)]
    assert (numbers, reader.damage) == ([*EVENTS, 100, 101], [])


# --- killed, and without power ------------------------------------------------------------------------------


def changes_of(journal: JournalFolder, action: object) -> int:
    disk = disk_of(journal)
    before = disk.changes
    action(journal)  # type: ignore[operator]
    return disk.changes - before


@pytest.mark.parametrize("action", [pack_all, unpack_all], ids=["pack", "unpack"])
def test_killed_or_without_power_at_any_step_nothing_is_lost_and_doing_it_again_completes_it(
    journal: JournalFolder, action: object, record_property: RecordProperty
) -> None:
    plain, whole = contents(journal), read(journal)
    if action is unpack_all:
        pack_all(journal)
    begin = disk_of(journal).copy()
    changes = changes_of(on(journal, begin.copy()), action)
    assert changes > 20
    for at_change in range(1, changes + 1):
        disk = begin.copy()
        disk.power_fails_at = at_change
        with pytest.raises(PowerLoss):
            action(on(journal, disk))  # type: ignore[operator]
        for left in (disk.copy(), *(disk.after_power_loss(seed) for seed in range(3))):
            here = on(journal, left)
            assert read(here) == whole, f"at change {at_change}"
            assert contents(here) == plain
            action(here)  # type: ignore[operator]
            assert read(here) == whole
            assert contents(here) == plain
            assert len(names(here)) == len(plain), f"at change {at_change} something was left behind"
    record_property("power losses", 3 * changes)


@pytest.mark.parametrize("action", [pack_all, unpack_all], ids=["pack", "unpack"])
@pytest.mark.parametrize(
    "call", "open_read read_at create write sync_file sync_folder rename publish remove size_of same_file".split()
)
def test_any_call_may_fail_and_nothing_is_lost(
    journal: JournalFolder, action: object, call: str, record_property: RecordProperty
) -> None:
    plain, whole = contents(journal), read(journal)
    if action is unpack_all:
        pack_all(journal)
    begin = disk_of(journal).copy()
    counted = begin.copy()
    action(on(journal, counted))  # type: ignore[operator]
    for nth in range(1, counted.calls[call] + 1):
        disk = begin.copy()
        disk.faults = [Fault(call, nth, EIO)]
        here = on(journal, disk)
        with suppress(OSError, StorageError):
            action(here)  # type: ignore[operator]
        disk.faults = []
        assert read(here) == whole
        action(here)  # type: ignore[operator]
        assert (read(here), contents(here)) == (whole, plain)
        assert len(names(here)) == len(plain)
        record_property("failing calls", 1)


class LyingDisk(SimulatedDisk):
    """Shows a byte of what was written that is another one."""

    lies_of = ".rewritten.new"

    def read_at(self, descriptor: int, offset: int, count: int) -> bytes:
        data = super().read_at(descriptor, offset, count)
        path = next((path for path, inode in self.shown_names.items() if inode is self._descriptors[descriptor]), "")
        if not path.endswith(self.lies_of) or len(data) < 20:
            return data
        return data[:12] + bytes([data[12] ^ 1]) + data[13:]


@pytest.mark.parametrize("action", [pack_all, unpack_all], ids=["pack", "unpack"])
def test_what_does_not_read_back_the_same_replaces_nothing(journal: JournalFolder, action: object) -> None:
    if action is unpack_all:
        pack_all(journal)
    before = names(journal)
    disk = LyingDisk()
    for path, inode in disk_of(journal).shown_names.items():
        disk.put(path, bytes(inode.shown))
    with pytest.raises(StorageError, match="read differently twice"):
        action(on(journal, disk))  # type: ignore[operator]
    assert names(on(journal, disk)) == before
    assert read(on(journal, disk)).numbers == [*EVENTS]


def test_the_plain_one_counts_where_both_are_there(journal: JournalFolder) -> None:
    plain = contents(journal)[1]
    pack_all(journal)
    disk_of(journal).put(journal.archived_path(1), b"left from long ago")
    disk_of(journal).put(journal.segment_path(1), plain)
    assert contents(journal)[1] == plain
    assert read(journal).numbers == [*EVENTS]
    pack_all(journal)
    assert is_archived(journal, 1)
    assert contents(journal)[1] == plain


# --- damage -------------------------------------------------------------------------------------------------


def judged(journal: JournalFolder) -> tuple[list[int], set[DamageKind]]:
    """What replays of a journal whose second segment is damaged; all that does not must be located there."""
    found = read(journal)
    assert not set(found.numbers) - set(EVENTS)
    assert all(each.segment == 2 for each in found.damage)
    missing = {
        seq
        for each in found.damage
        if each.kind is DamageKind.CORRUPT
        for seq in range(each.first_seq, each.last_seq + 1)
    }
    assert missing == {seq for seq in range(1, len(EVENTS) + 1) if seq not in found.events}
    assert found.damage, "the damage was not noticed"
    assert not survey(journal).ok
    return found.numbers, found.kinds


def frame_of(journal: JournalFolder, number: int, at: int) -> int:
    """Which frame a byte of the file is in; the number of frames for the seek table."""
    with open_segment(journal, number) as file:
        assert isinstance(file, segment_file.ArchivedSegment)
        return next((k for k, frame in enumerate(file.frames) if at < frame.offset + frame.bytes), len(file.frames))


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_changed_byte_anywhere_is_noticed_and_takes_no_more_than_its_frame(journal: JournalFolder, bit: int) -> None:
    pack_all(journal)
    disk, path = disk_of(journal), journal.archived_path(2)
    data = disk.contents(path)
    plain = contents(journal)[2]
    places = {line.first: (line.offset, line.end) for line in lines(journal) if line.segment == 2}
    unnoticed = 0
    for at in share(range(len(data)), 4):
        frame = frame_of(journal, 2, at)
        disk.put(path, data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :])
        if contents(journal)[2] == plain and not survey(journal).damage:
            # Some bits say nothing: what they are in decodes to the same, and its checksum is right.
            unnoticed += 1
        else:
            numbers, _ = judged(journal)
            lost = {seq for seq in places if EVENTS[seq - 1] not in numbers}
            # A line goes with its frames, and with the hash of the line before it.
            for begin, end in (places[seq] for seq in lost):
                assert begin - HASH_TAIL_BYTES - 1 < (frame + 1) * FRAME, f"byte {at} of frame {frame} took {lost}"
                assert end > frame * FRAME, f"byte {at} of frame {frame} took {lost}"
        disk.put(path, data)
    assert unnoticed <= len(data) // 50


def test_without_its_seek_table_an_archive_still_gives_every_byte(journal: JournalFolder) -> None:
    plain = contents(journal)
    pack_all(journal)
    disk, path = disk_of(journal), journal.archived_path(2)
    data = disk.contents(path)
    with open_segment(journal, 2) as file:
        assert isinstance(file, segment_file.ArchivedSegment)
        table = file.frames[-1].offset + file.frames[-1].bytes
    for broken in (data[:table], data[:-1], data + b"\0", data[:-9] + b"\xff" * 9, data + data[table:]):
        disk.put(path, broken)
        assert contents(journal) == plain
        assert judged(journal) == ([*EVENTS], {DamageKind.ARCHIVE})
    unpack_all(journal)
    pack_all(journal)
    assert survey(journal).ok


def test_a_cut_archive_gives_what_is_left(journal: JournalFolder) -> None:
    pack_all(journal)
    disk, path = disk_of(journal), journal.archived_path(2)
    data = disk.contents(path)
    kept = []
    for length in (0, 3, len(data) // 4, len(data) // 2, len(data) - 200):
        disk.put(path, data[:length])
        numbers, kinds = judged(journal)
        assert DamageKind.CORRUPT in kinds
        kept.append(len(numbers))
    assert kept == sorted(kept)
    assert kept[0] < kept[-1] < len(EVENTS)


def test_a_frame_that_claims_to_hold_a_terabyte_takes_no_memory(journal: JournalFolder) -> None:
    pack_all(journal)
    disk, path = disk_of(journal), journal.archived_path(2)
    data = disk.contents(path)
    # Single segment, checksum, eight bytes of length.
    disk.put(path, data[:4] + bytes([0xE4]) + (1 << 40).to_bytes(8, "little") + data[13:])
    judged(journal)


def test_a_damaged_archive_refuses_writing_until_it_is_declared_and_an_intact_one_with_a_bad_table_does_not(
    journal: JournalFolder,
) -> None:
    pack_all(journal)
    disk, path = disk_of(journal), journal.archived_path(2)
    data = disk.contents(path)
    disk.put(path, data[:-1])
    writer = Recorder(journal, "w2")
    writer.record(100)
    writer.flush()
    assert writer.appender.recover() == []
    disk.put(path, data[: len(data) // 2])
    late = Recorder(journal, "w3")
    late.record(101)
    with pytest.raises(JournalCorruptError, match="segment 00000002"):
        late.flush()
    assert late.appender.recover()
    late.flush()
    assert read(journal).numbers[-2:] == [100, 101]
