"""The end of the journal: who has appended what, what is durable, and what happens when the ground moves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from errno import EIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from ml_dash.errors import JournalCorruptError, LockError
from ml_dash.journal.appender import Appender
from ml_dash.journal.batch import Account, Batch, Placed
from ml_dash.journal.chain import Position
from ml_dash.journal.damage import DamageKind
from ml_dash.journal.disk import Disk
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import GENESIS_HASH

from .damage import Recorder, batch, build, disk_of, header_of, in_memory, lines, numbers_of, on, read
from .simulated_disk import Fault, PowerLoss
from .test_damage import NEW, write_more


@pytest.fixture
def real_journal(tmp_path: Path) -> JournalFolder:
    """An empty journal on the disk that there is."""
    journal = JournalFolder(tmp_path / "alice" / "test" / "real", prefix="alice/test/real")
    journal.disk.make_folder(journal.path)
    return journal


# --- account ------------------------------------------------------------------------------------------------------


def test_an_appender_counts_what_of_its_own_is_committed_and_what_is_durable(journal: JournalFolder) -> None:
    first, second = Recorder(journal, "w1"), Recorder(journal, "w2")
    first.record(1, 2, 3)
    first.commit()
    second.record(10, 11)
    second.commit()
    assert (first.appender.committed_counter, first.appender.durable_counter) == (3, 0)
    assert (second.appender.committed_counter, second.appender.durable_counter) == (2, 0)
    assert not first.appender.is_durable
    assert second.flush() == 5
    assert (second.appender.committed_counter, second.appender.durable_counter) == (2, 2)
    assert second.appender.is_durable
    assert first.appender.durable_seq == 0, "it has not been told"
    assert first.flush() == 5
    assert (first.appender.committed_counter, first.appender.durable_counter) == (3, 3)


def test_the_fence_of_another_writer_tells_what_of_ours_is_durable(journal: JournalFolder) -> None:
    first, second = Recorder(journal, "w1"), Recorder(journal, "w2")
    first.record(1)
    first.commit()
    second.record(10)
    second.flush()
    second.record(11)
    second.commit()
    with first.appender.at_end():
        assert first.appender.is_durable
    assert first.appender.durable_seq == 1


def test_a_fence_at_the_end_of_our_commit_covers_it(journal: JournalFolder) -> None:
    first, second = Recorder(journal, "w1"), Recorder(journal, "w2")
    first.record(1)
    first.commit()
    with second.appender.at_end():
        pass
    second.appender.sync()
    second.record(10)
    second.commit()
    with first.appender.at_end():
        assert first.appender.is_durable
    assert (first.appender.durable_counter, first.appender.durable_seq) == (1, 1)


def test_what_is_not_repeated_where_the_journal_goes_on_differently_is_not_committed() -> None:
    account = Account("w1")
    account.wrote([Placed(batch("w1", 1, [1, 2]), 1, 500, 2), Placed(batch("w1", 3, [3]), 1, 600, 3)])
    account.synced_up_to(Position("journal1", 1, 500, 3, GENESIS_HASH, 0))
    assert (account.durable_counter, account.durable_seq, account.committed_counter) == (2, 2, 3)
    account.forget_from(3)
    assert (account.durable_counter, account.committed_counter, account.is_durable) == (2, 2, True)


def test_writers_that_take_turns_make_one_dense_sequence(journal: JournalFolder) -> None:
    writers = [Recorder(journal, f"w{number}", segment_bytes_max=1000) for number in range(4)]
    for number in range(60):
        writer = writers[number * 7 % 4]
        writer.record(number, number + 1000)
        writer.commit()
    for writer in writers:
        writer.flush()
    reading = read(journal)
    assert reading.is_dense
    assert reading.damage == []
    assert sorted(reading.numbers) == sorted([*range(60), *range(1000, 1060)])
    assert len(journal.segment_numbers()) > 4


def test_what_is_durable_is_behind_a_fence_in_the_next_commit(journal: JournalFolder) -> None:
    build(journal, range(12), per_commit=3)
    found = list(lines(journal))
    assert [line.fence for line in found] == [line.offset for line in found]


def test_the_position_of_a_new_appender_may_be_anywhere_in_the_past(journal: JournalFolder) -> None:
    recorder = Recorder(journal, "w2")
    recorder.record(1)
    recorder.commit()
    start = recorder.appender.position
    build(journal, range(2, 20), per_commit=2, segment_bytes_max=900)
    late = Appender(journal, "w3", start=start)
    with late.at_end():
        late.append([batch("w3", 1, [NEW])])
    assert read(journal).numbers == [1, *range(2, 20), NEW]


# --- rotation -----------------------------------------------------------------------------------------------------


def test_a_header_says_what_it_accepts_of_the_segment_before_it(journal: JournalFolder) -> None:
    build(journal, range(20), per_commit=2, segment_bytes_max=900)
    found = list(lines(journal))
    for number in journal.segment_numbers()[1:]:
        last = [line for line in found if line.segment == number - 1][-1]
        assert header_of(journal, number)["previous"] == {
            "segment": number - 1,
            "bytes": len(disk_of(journal).contents(journal.segment_path(number - 1))),
            "last": last.last,
            "hash": last.hash,
        }


def test_what_fills_a_segment_is_durable_as_soon_as_the_next_one_is_there(journal: JournalFolder) -> None:
    recorder = Recorder(journal, "w1", segment_bytes_max=1)
    recorder.record(1, 2, 3)
    recorder.commit()
    assert journal.segment_numbers() == [1, 2]
    assert (recorder.appender.durable_seq, recorder.appender.durable_counter) == (3, 3)


def test_a_segment_of_exactly_its_size_takes_no_further_byte(journal: JournalFolder) -> None:
    build(journal, range(6), per_commit=3)
    length = len(disk_of(journal).contents(journal.segment_path(1)))
    other = Recorder(journal, "w2", segment_bytes_max=length)
    other.record(NEW)
    other.flush()
    assert len(disk_of(journal).contents(journal.segment_path(1))) == length
    assert read(journal).numbers == [*range(6), NEW]


def test_no_file_stays_open_behind_whoever_has_closed(journal: JournalFolder) -> None:
    build(journal, range(20), per_commit=2, segment_bytes_max=900).appender.close()
    assert read(journal).numbers == list(range(20))
    assert disk_of(journal).open_descriptors == 0


def test_no_segment_is_ever_seen_before_it_is_whole(journal: JournalFolder) -> None:
    """A reader that looks at any moment finds only segments with whole, durable headers."""
    disk = disk_of(journal)
    seen = 0
    enter = disk._enter

    def look(call: str) -> None:
        nonlocal seen
        for path, inode in disk.shown_names.items():
            if path.endswith(".jsonl"):
                seen += 1
                assert inode.shown.startswith(b"{")
                assert b"\n" in inode.medium
        enter(call)

    disk._enter = look  # type: ignore[method-assign]
    build(journal, range(20), per_commit=2, segment_bytes_max=600)
    assert seen > 100


def test_what_a_crash_left_of_a_segment_without_a_name_is_cleared_away(journal: JournalFolder) -> None:
    recorder = build(journal, range(6), per_commit=3)
    abandoned = journal.temporary_path(2, "abc")
    disk_of(journal).put(abandoned, b"half a head")
    assert read(journal).damage == []
    small = Recorder(journal, "w2", segment_bytes_max=100)
    small.record(NEW)
    small.commit()
    recorder.commit()
    assert journal.segment_numbers() == [1, 2, 3]
    assert not disk_of(journal).exists(abandoned)


def test_on_a_real_disk_it_all_works_the_same(real_journal: JournalFolder) -> None:
    recorder = Recorder(real_journal, "w1", segment_bytes_max=1000)
    for number in range(30):
        recorder.record(number)
        recorder.commit()
    assert recorder.flush() == 30
    assert read(real_journal, decode=True).numbers == list(range(30))
    assert read(real_journal).damage == []
    names = set(real_journal.disk.list_names(real_journal.path))
    assert names == {"lock", *(f"{number:08d}.jsonl" for number in real_journal.segment_numbers())}
    recorder.appender.close()


# --- reading before locking -----------------------------------------------------------------------------------------


class AmidReads(Disk):
    """`act` is done amid the first reads of a segment's commits, and may change what they give."""

    def __init__(self, act: Callable[[bytes], bytes], reads: int = 1) -> None:
        self._act = act
        self._reads = reads

    def read_at(self, descriptor: int, offset: int, count: int) -> bytes:
        data = super().read_at(descriptor, offset, count)
        if self._reads == 0 or offset == 0 or b'"w1"' not in data:
            return data
        self._reads -= 1
        return self._act(data)


def test_others_append_while_a_journal_is_read_for_the_first_time(real_journal: JournalFolder) -> None:
    build(real_journal, range(30), per_commit=3).appender.close()
    other = Recorder(real_journal, "w2")

    def record_meanwhile(data: bytes) -> bytes:
        other.record(30, 31)
        other.commit()
        return data

    late = Recorder(on(real_journal, AmidReads(record_meanwhile)), "w3")
    late.record(32)
    late.flush()
    assert read(real_journal).numbers == list(range(33))
    assert late.appender.durable_seq == 33
    for recorder in (other, late):
        recorder.appender.close()


def test_what_looks_amiss_without_the_lock_is_read_again_with_it(real_journal: JournalFolder) -> None:
    build(real_journal, range(30), per_commit=3).appender.close()
    late = Recorder(on(real_journal, AmidReads(lambda data: data.replace(b'"n":12}', b'"n":99}'), reads=4)), "w2")
    late.record(30)
    late.flush()
    late.appender.close()
    assert late.appender.damage == []
    assert read(real_journal).numbers == list(range(31))


# --- failed writes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0, 1, 200])
def test_a_segment_takes_nothing_more_after_a_write_to_it_failed(journal: JournalFolder, part: int) -> None:
    disk_of(journal).part_written = lambda length: part
    recorder = build(journal, range(6), per_commit=3)
    recorder.record(6, 7, 8)
    disk_of(journal).faults = [Fault("write", disk_of(journal).calls["write"] + 1, EIO)]
    with pytest.raises(OSError, match="injected"):
        recorder.commit()
    length = len(disk_of(journal).contents(journal.segment_path(1)))
    recorder.flush()
    assert len(disk_of(journal).contents(journal.segment_path(1))) == length
    assert read(journal).numbers == list(range(9))


# --- F7 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evicts", [False, True], ids=["kernel keeps it", "kernel forgets it"])
@pytest.mark.parametrize("call", ["sync_data", "sync_file"])
def test_f7_events_of_a_failed_sync_appear_once_in_the_next_segment(
    journal: JournalFolder, call: str, evicts: bool
) -> None:
    disk = disk_of(journal)
    recorder = build(journal, range(6), per_commit=3)
    small = Recorder(journal, "w1", segment_bytes_max=100) if call == "sync_file" else recorder
    small.first, small.spool = 7, [6, 7, 8]
    disk.evicts_after_failed_sync = evicts
    disk.faults = [Fault(call, disk.calls[call] + 1, EIO)]
    try:
        small.flush()
    except OSError:
        assert evicts, "the kernel has it still, so nothing needs to be tried again"
        assert small.appender.durable_seq == 6, "reported durable early"
        small.flush()
    sealed = disk.contents(journal.segment_path(1))
    small.record(NEW)
    small.flush()
    assert disk.contents(journal.segment_path(1)) == sealed, "it takes no further byte"
    reading = read(journal)
    assert reading.numbers == [*range(9), NEW]
    assert {line.segment for line in lines(journal) if line.first > 6} >= {2}
    for seed in range(20):
        after = read(on(journal, disk.after_power_loss(seed)))
        assert after.numbers == reading.numbers, "durable means durable"


def test_f7_nothing_is_reported_durable_before_its_sync_has_returned(journal: JournalFolder) -> None:
    disk = disk_of(journal)
    recorder = build(journal, range(6), per_commit=3)
    recorder.record(6, 7, 8)
    recorder.commit()
    disk.faults = [Fault("sync_data", disk.calls["sync_data"] + 1, EIO), Fault("sync_file", 0, EIO, for_ever=True)]
    for _ in range(3):
        with pytest.raises(OSError, match="injected"):
            recorder.flush()
        assert recorder.appender.durable_seq == 6
        assert not recorder.appender.is_durable
    assert journal.segment_numbers() == [1], "what cannot be synced gets no name"
    disk.faults = []
    assert recorder.flush() == 9
    assert read(journal).numbers == list(range(9))


def test_f7_another_writer_does_not_append_to_a_segment_whose_sync_failed(journal: JournalFolder) -> None:
    """Its own sync of that segment would succeed, and be a lie."""
    disk = disk_of(journal)
    first = build(journal, range(6), per_commit=3)
    second = Recorder(journal, "w2")
    second.record(100, 101)
    second.commit()
    first.record(6, 7)
    first.commit()
    disk.faults = [Fault("sync_data", disk.calls["sync_data"] + 1, EIO), Fault("create", disk.calls["create"] + 2, EIO)]
    with pytest.raises(OSError, match="injected"):
        first.flush()
    disk.faults = []
    length = len(disk.contents(journal.segment_path(1)))
    assert second.flush() == 10
    assert len(disk.contents(journal.segment_path(1))) == length
    assert second.appender.durable_counter == 2
    assert first.flush() == 10
    for seed in range(20):
        assert read(on(journal, disk.after_power_loss(seed))).numbers == [*range(6), 100, 101, 6, 7]


def test_f7_a_failed_sync_that_no_file_could_tell_of_is_remembered_all_the_same(journal: JournalFolder) -> None:
    disk = disk_of(journal)
    recorder = build(journal, range(6), per_commit=3)
    recorder.record(6, 7)
    recorder.commit()
    disk.faults = [Fault("sync_data", disk.calls["sync_data"] + 1, EIO), Fault("create", disk.calls["create"] + 1, EIO)]
    with pytest.raises(OSError, match="injected into create"):
        recorder.appender.sync()
    recorder.appender.sync()
    assert journal.segment_numbers() == [1, 2], "the second sync of the same segment was believed"
    assert read(journal).numbers == list(range(8))


def test_f7_durable_events_that_cannot_be_read_back_are_not_passed_over(journal: JournalFolder) -> None:
    disk = disk_of(journal)
    recorder = build(journal, range(6), per_commit=3)
    recorder.record(6, 7)
    recorder.commit()
    disk.file(journal.segment_path(1)).shown[list(lines(journal))[1].end - 100] ^= 1
    disk.faults = [Fault("sync_data", disk.calls["sync_data"] + 1, EIO)]
    with pytest.raises(OSError, match="cannot be read back up to what was synced"):
        recorder.appender.sync()
    assert journal.segment_numbers() == [1]


def test_f7_a_failed_sync_that_another_process_repaired_first_is_a_sync_all_the_same(journal: JournalFolder) -> None:
    disk = disk_of(journal)
    first, second = Recorder(journal, "w1"), Recorder(journal, "w2")
    first.record(1, 2)
    first.commit()
    second.record(10, 11)
    second.commit()
    nth = disk.calls["sync_data"]
    disk.faults = [Fault("sync_data", nth + 1, EIO), Fault("sync_data", nth + 2, EIO)]
    assert second.flush() == 4
    first.appender.sync()
    assert first.appender.durable_counter == 2
    for seed in range(20):
        assert read(on(journal, disk.after_power_loss(seed))).numbers == [1, 2, 10, 11]


def test_f7_what_another_process_could_not_repeat_is_not_called_durable(journal: JournalFolder) -> None:
    """A sync of the old segment would succeed: it has nothing left to write."""
    disk = disk_of(journal)
    disk.evicts_after_failed_sync = True
    first, second = Recorder(journal, "w1"), Recorder(journal, "w2")
    first.record(1, 2)
    first.commit()
    second.record(10, 11)
    second.commit()
    disk.faults = [Fault("sync_data", disk.calls["sync_data"] + 1, EIO)]
    with pytest.raises(OSError, match="could not be read back"):
        second.flush()
    first.appender.sync()
    assert first.appender.durable_counter == 0
    assert first.flush() == 2
    assert second.flush() == 4
    assert read(journal).numbers == [1, 2, 10, 11]


def test_f7_an_append_that_loses_events_while_it_seals_a_segment_says_so(journal: JournalFolder) -> None:
    """Whoever drains a dead writer would otherwise remove the only copy."""
    disk = disk_of(journal)
    disk.evicts_after_failed_sync = True
    build(journal, range(6), per_commit=3)
    heir = Recorder(journal, "w2", segment_bytes_max=1000)
    disk.faults = [Fault("sync_file", disk.calls["sync_file"] + 1, EIO)]
    heir.record(*range(6, 30))
    with pytest.raises(OSError, match="24 events could not be read back"):
        heir.commit()
    assert heir.appender.committed_counter == 0
    heir.flush()
    assert read(journal).numbers == list(range(30))


def test_f7_a_durable_event_of_another_writer_is_repeated_before_anybody_can_miss_it(tmp_path: Path) -> None:
    """The second writer synced beyond the last fence in a commit; the first one, whose sync fails, cannot know that.

    Power fails at every change from there on.
    """
    at_change = 0
    while True:
        at_change += 1
        journal = in_memory(tmp_path)
        disk = disk_of(journal)
        first = build(journal, range(6), per_commit=3)
        second = Recorder(journal, "w2")
        second.record(100, 101)
        second.flush()
        first.record(6)
        first.commit()
        disk.faults = [Fault("sync_data", disk.calls["sync_data"] + 1, EIO)]
        disk.power_fails_at = disk.changes + at_change
        try:
            first.flush()
        except PowerLoss:
            for seed in range(10):
                after = read(on(journal, disk.after_power_loss(seed)))
                assert after.numbers[:8] == [*range(6), 100, 101], f"change {at_change}"
                assert DamageKind.CORRUPT not in after.kinds
        else:
            break
    assert header_of(journal, 2)["previous"]["last"] < 8  # type: ignore[index]
    assert [numbers_of(line) for line in lines(journal)][-2:] == [[100, 101], [6]]
    assert at_change > 5


# --- the ground moves ---------------------------------------------------------------------------------------------


def test_f11_a_lock_file_that_is_removed_while_it_is_held_is_noticed(real_journal: JournalFolder) -> None:
    first, second = Recorder(real_journal, "w1"), Recorder(real_journal, "w2")
    first.record(*range(5))
    first.flush()
    second.record(*range(100, 105))

    def two_at_once() -> None:
        with first.appender.at_end():
            real_journal.disk.remove(real_journal.lock_path)
            second.commit()
            first.appender.append([batch("w1", 6, [5, 6])])

    with pytest.raises(LockError, match="removed while it was held"):
        two_at_once()
    first.record(5, 6)
    first.flush()
    second.record(105)
    second.flush()
    reading = read(real_journal)
    assert sorted(reading.numbers) == [*range(7), *range(100, 106)]
    assert reading.is_dense
    assert [number for number in reading.numbers if number < 100] == list(range(7))
    first.appender.close()
    second.appender.close()


def test_a_newest_segment_that_is_removed_under_a_writer_refuses_writing(real_journal: JournalFolder) -> None:
    recorder = build(real_journal, range(6), per_commit=3)
    real_journal.disk.remove(real_journal.segment_path(1))
    recorder.record(NEW)
    for _ in range(2):
        with pytest.raises(
            JournalCorruptError, match=r"segment 00000001 at byte 0.*found no such file.*ml-dash verify alice"
        ):
            recorder.commit()
    assert real_journal.segment_numbers() == []


def test_what_stands_in_a_segment_that_is_removed_is_not_called_durable(real_journal: JournalFolder) -> None:
    recorder = build(real_journal, range(6), per_commit=3)
    recorder.record(6)
    recorder.commit()
    real_journal.disk.remove(real_journal.segment_path(1))
    with pytest.raises(FileNotFoundError):
        recorder.appender.sync()
    assert recorder.appender.durable_seq == 6


def test_a_newest_segment_that_was_replaced_under_a_writer_is_not_written_to_blindly(
    real_journal: JournalFolder,
) -> None:
    """The open descriptor leads to a file without a name: whatever is written there is lost."""
    recorder = build(real_journal, range(6), per_commit=3)
    path = real_journal.segment_path(1)
    shutil.copy(path, f"{path}.copy")
    real_journal.disk.rename(f"{path}.copy", path)
    recorder.record(NEW)
    recorder.flush()
    assert read(real_journal).numbers == [*range(6), NEW]
    recorder.appender.close()


def test_a_newest_segment_that_was_cut_under_a_writer_refuses_writing(journal: JournalFolder) -> None:
    recorder = build(journal, range(6), per_commit=3)
    path = journal.segment_path(1)
    disk_of(journal).put(path, disk_of(journal).contents(path)[: next(lines(journal)).end])
    recorder.record(NEW)
    with pytest.raises(JournalCorruptError, match="bytes that were read before, up to event 6"):
        recorder.flush()


def test_a_journal_folder_that_is_removed_under_a_writer_is_an_error_and_nothing_else(
    real_journal: JournalFolder,
) -> None:
    recorder = build(real_journal, range(6), per_commit=3)
    shutil.rmtree(real_journal.path)
    recorder.record(NEW)
    with pytest.raises(OSError, match="No such file"):
        recorder.flush()
    assert not Path(real_journal.path).exists()
    assert recorder.appender.durable_seq == 6


def test_a_journal_that_was_replaced_by_a_new_one_under_a_writer_refuses_writing(real_journal: JournalFolder) -> None:
    recorder = build(real_journal, range(6), per_commit=3)
    shutil.rmtree(real_journal.path)
    real_journal.disk.make_folder(real_journal.path)
    write_more(real_journal, NEW)
    recorder.record(7)
    with pytest.raises(JournalCorruptError):
        recorder.flush()
    assert read(real_journal).numbers == [NEW]


# --- errors -------------------------------------------------------------------------------------------------------


def test_a_corruption_error_says_where_what_was_expected_what_was_found_and_what_to_run(journal: JournalFolder) -> None:
    named = JournalFolder(journal.experiment, journal.disk, prefix="alice/test/run")
    build(named, range(30), per_commit=3)
    second = list(lines(named))[1]
    disk_of(named).file(named.segment_path(1)).shown[second.offset + 12] ^= 1
    with pytest.raises(JournalCorruptError) as caught:
        write_more(named, NEW)
    error = caught.value
    assert (error.journal, error.segment, error.offset) == (named.path, 1, second.offset)
    assert error.expected == "a commit that begins with event 4 and continues the hash chain"
    assert error.found.startswith('\'{"first":4,"')
    text = str(error)
    for part in (
        named.path,
        "00000001",
        f"byte {second.offset}",
        "expected a commit",
        "found '{",
        "Nothing was changed",
    ):
        assert part in text
    assert "`ml-dash verify alice/test/run`" in text
    assert "`ml-dash recover alice/test/run`" in text


# --- F17 ----------------------------------------------------------------------------------------------------------


def test_f17_order_is_by_sequence_number_whatever_the_clock_does(
    journal: JournalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock jumps back, forward, before 1970, and stands still: for headers, ids and commits alike."""
    moments = [5_000, 5_000, -3_000, 9 * 10**15, 0, 1, -1, 4_000, 4_000, 10**12]
    tick = 0

    def time_ns() -> int:
        return moments[tick % len(moments)] * 1000

    monkeypatch.setattr("ml_dash.clock.time", SimpleNamespace(time_ns=time_ns))
    recorders = [Recorder(journal, f"w{number}", segment_bytes_max=700) for number in range(2)]
    counters = [1, 1]
    for tick in range(40):
        which = tick % 2
        with recorders[which].appender.at_end():
            time_us = time_ns() // 1000
            recorders[which].appender.append([batch(f"w{which}", counters[which], [tick], time_us)])
        counters[which] += 1
    recorders[0].appender.sync()
    assert read(journal).numbers == list(range(40))
    assert read(journal).damage == []
    assert [line.time_us for line in lines(journal)] == [moments[tick % len(moments)] for tick in range(40)]
    assert {header_of(journal, number)["time"] for number in journal.segment_numbers()} & {-3_000, -1}
    write_more(journal, NEW)
    assert read(journal).numbers == [*range(40), NEW]


def test_a_batch_of_a_line_is_the_same_events(journal: JournalFolder) -> None:
    build(journal, range(3), per_commit=3)
    (line,) = lines(journal)
    again = Batch.of(line)
    assert (again.count, again.writer, again.session, again.counter, again.last_counter) == (3, "w1", "w1", 1, 3)
    assert again.events == line.events
