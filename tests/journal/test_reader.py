"""What a reader gives, also while others write, also when what it had read changes under it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from errno import EIO
from itertools import islice
from pathlib import Path

import pytest

from ml_dash import history
from ml_dash.clock import monotonic_s
from ml_dash.journal.appender import Appender
from ml_dash.journal.chain import Position, end_of
from ml_dash.journal.chart import Extent
from ml_dash.journal.damage import DamageKind
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import Previous, encode_header
from ml_dash.journal.reader import CHUNK_BYTES, JournalReader

from .damage import Recorder, batch, build, disk_of, header_of, lines, numbers_of, on, read, segment_lines
from .simulated_disk import Fault
from .test_damage import NEW, check_a_recovered_journal, flips, write_more

ROOT = Path(__file__).resolve().parents[2]


class Follower:
    """A reader that collects what it is given."""

    def __init__(self, journal: JournalFolder, start: Position | None = None) -> None:
        self.reader = JournalReader(journal, start)
        self.numbers: list[int] = []
        self.seqs: list[int] = []

    def poll(self) -> list[int]:
        new = []
        for line in self.reader.commits():
            new += numbers_of(line)
            self.seqs += range(line.first, line.last + 1)
        self.numbers += new
        return new

    @property
    def kinds(self) -> set[DamageKind]:
        return {each.kind for each in self.reader.damage}


# --- following ----------------------------------------------------------------------------------------------------


def test_a_reader_gives_each_event_once_however_often_it_is_asked(journal: JournalFolder) -> None:
    recorder = Recorder(journal, "w1", segment_bytes_max=600)
    follower = Follower(journal)
    assert follower.poll() == []
    for number in range(30):
        recorder.record(number)
        recorder.commit()
        assert follower.poll() == [number]
        assert follower.poll() == []
    assert len(journal.segment_numbers()) > 5
    assert follower.seqs == list(range(1, 31))
    assert follower.reader.damage == []


def test_a_reader_that_is_left_in_the_middle_goes_on_there(journal: JournalFolder) -> None:
    build(journal, range(20), per_commit=2, segment_bytes_max=900)
    reader = JournalReader(journal)
    found = []
    while line := next(reader.commits(), None):
        found += numbers_of(line)
        assert reader.next_seq == line.last + 1
    assert found == list(range(20))


def test_a_reader_starts_at_any_position_of_another_one(journal: JournalFolder) -> None:
    build(journal, range(20), per_commit=2, segment_bytes_max=900)
    first = JournalReader(journal)
    for count, _ in enumerate(first.commits(), 1):
        follower = Follower(journal, start=first.position)
        follower.poll()
        assert follower.numbers == list(range(2 * count, 20))


def test_a_line_that_is_not_whole_yet_is_no_alarm(journal: JournalFolder) -> None:
    build(journal, range(4), per_commit=2)
    path = journal.segment_path(1)
    whole = disk_of(journal).contents(path)
    last = list(lines(journal))[-1]
    for cut in range(last.offset, last.end):
        disk_of(journal).put(path, whole[:cut])
        follower = Follower(journal)
        assert follower.poll() == [0, 1]
        assert follower.kinds <= {DamageKind.TORN}
        disk_of(journal).put(path, whole)
        assert follower.poll() == [2, 3]
        assert follower.reader.damage == []


def test_catching_up_costs_the_same_with_one_segment_and_with_fifty(journal: JournalFolder) -> None:
    recorder = build(journal, range(100), per_commit=1, segment_bytes_max=500)
    assert len(journal.segment_numbers()) >= 50
    follower = Follower(journal)
    follower.poll()
    other = Recorder(journal, "w2", segment_bytes_max=1 << 20)
    other.commit()
    for number in range(3):
        recorder.appender.close()
        other.record(number)
        other.commit()
        disk = disk_of(journal)
        disk.calls.clear()
        assert follower.poll() == [number]
        assert disk.calls["open_read"] == 1
        assert disk.calls["read_at"] == 2
        assert disk.calls["list_names"] == 1
        disk.calls.clear()
        assert follower.poll() == []
        assert disk.calls["open_read"] == 0


def test_one_event_may_be_longer_than_what_is_read_at_once(journal: JournalFolder) -> None:
    appender = Appender(journal, "w1")
    long = b'[{"type":"n","t":0,"data":{"n":1,"text":"%b"}}]' % (b"x" * (2 * CHUNK_BYTES + 17))
    for counter in range(1, 4):
        with appender.at_end():
            one = batch("w1", counter, [1])
            appender.append([type(one)(1, one.time_us, "w1", "w1", counter, long if counter == 2 else one.events)])
    assert [len(line.events) for line in lines(journal)] == [len(one.events), len(long), len(one.events)]


# --- F12 ----------------------------------------------------------------------------------------------------------

LIVE_WRITER = """
import sys
from pathlib import Path
from ml_dash.journal.folder import JournalFolder
from tests.journal.damage import Recorder

journal = JournalFolder(Path(sys.argv[1]))
Path(journal.path).mkdir(parents=True, exist_ok=True)
first, last = int(sys.argv[3]), int(sys.argv[4])
recorder = Recorder(journal, sys.argv[2], segment_bytes_max=40_000)
for number in range(first, last):
    recorder.record(number)
    if number % 7 == 0:
        recorder.commit(per_commit=5)
    if number % 500 == 0:
        recorder.flush()
recorder.flush()
"""


def test_f12_a_reader_follows_two_live_writers_without_half_events_or_false_alarms(tmp_path: Path) -> None:
    journal = JournalFolder(tmp_path / "alice" / "test" / "live")
    arguments = [("w1", 0, 3000), ("w2", 100_000, 103_000)]
    writers = [
        subprocess.Popen([sys.executable, "-c", LIVE_WRITER, str(journal.experiment), *map(str, each)], cwd=ROOT)
        for each in arguments
    ]
    follower = Follower(journal)
    deadline_s = monotonic_s() + 60
    alarms: set[DamageKind] = set()
    polls = 0
    while any(writer.poll() is None for writer in writers):
        assert monotonic_s() < deadline_s, "the writers do not end"
        follower.poll()
        polls += bool(follower.reader.position)
        alarms |= follower.kinds
    follower.poll()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert polls > 10, "the reader did not follow, it came after the end"
    assert follower.seqs == list(range(1, 6001))
    for _, first, last in arguments:
        assert [number for number in follower.numbers if first <= number < last] == list(range(first, last))
    assert alarms <= {DamageKind.TORN}
    assert follower.reader.damage == []
    assert len(journal.segment_numbers()) > 3


# --- torn ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "left", [b"", b"{", b'{"format":"ml-dash-journal","version":1,"jour', bytes(100), b"\n", b"\n\n"]
)
def test_a_next_segment_without_a_whole_header_holds_nothing_and_is_passed_over(
    journal: JournalFolder, left: bytes
) -> None:
    build(journal, range(6), per_commit=3)
    follower = Follower(journal)
    follower.poll()
    disk_of(journal).put(journal.segment_path(2), left)
    assert follower.poll() == []
    assert follower.kinds == {DamageKind.TORN}
    write_more(journal, NEW)
    assert journal.segment_numbers() == [1, 2, 3]
    assert follower.poll() == [NEW]
    assert read(journal).numbers == [*range(6), NEW]
    assert {each.kind for each in read(journal).damage} <= {DamageKind.DEAD}
    assert disk_of(journal).contents(journal.segment_path(2)) == left


@pytest.mark.parametrize("left", [b"", b"{", b'{"format":"ml-dash-journal","version":1,"jour', bytes(100), b"\n\n"])
def test_a_first_segment_without_a_whole_header_is_passed_over(journal: JournalFolder, left: bytes) -> None:
    disk_of(journal).put(journal.segment_path(1), left)
    follower = Follower(journal)
    assert follower.poll() == []
    write_more(journal, NEW)
    assert journal.segment_numbers() == [1, 2]
    assert follower.poll() == [NEW]
    write_more(journal, NEW + 1)
    assert read(journal).numbers == [NEW, NEW + 1]


def test_a_reader_finds_a_segment_whose_predecessor_was_never_whole_and_is_gone(journal: JournalFolder) -> None:
    build(journal, range(6), per_commit=3)
    follower = Follower(journal)
    follower.poll()
    disk_of(journal).put(journal.segment_path(2), b"{")
    write_more(journal, NEW)
    disk_of(journal).delete(journal.segment_path(2))
    assert follower.poll() == [NEW]


def test_zeros_behind_the_end_are_torn_whatever_their_number(journal: JournalFolder) -> None:
    build(journal, range(6), per_commit=3)
    path = journal.segment_path(1)
    whole = disk_of(journal).contents(path)
    for zeros in (1, 511, 4096, 3 * CHUNK_BYTES + 5):
        copy = on(journal, disk_of(journal).copy())
        disk_of(copy).put(path, whole + bytes(zeros))
        assert [(each.kind, each.bytes) for each in read(copy).damage] == [(DamageKind.TORN, zeros)]
        write_more(copy, NEW)
        assert read(copy).numbers == [*range(6), NEW]


# --- repeats after a failed sync ----------------------------------------------------------------------------------


def fail_a_sync(journal: JournalFolder) -> tuple[Follower, Recorder]:
    """Six durable events and six that a failed sync repeats in segment 2; a follower that had seen all in segment 1."""
    recorder = build(journal, range(6), per_commit=3)
    recorder.record(*range(6, 12))
    recorder.commit(per_commit=2)
    follower = Follower(journal)
    follower.poll()
    disk_of(journal).faults = [Fault("sync_data", disk_of(journal).calls["sync_data"] + 1, EIO)]
    recorder.flush()
    return follower, recorder


def test_a_reader_passes_over_repeated_events_that_it_has_given(journal: JournalFolder) -> None:
    follower, recorder = fail_a_sync(journal)
    assert journal.segment_numbers() == [1, 2]
    assert follower.poll() == []
    recorder.record(NEW)
    recorder.commit()
    assert follower.poll() == [NEW]
    assert follower.seqs == list(range(1, 14))
    assert follower.kinds == {DamageKind.DEAD}
    assert read(journal).numbers == [*range(12), NEW]


def test_a_reader_in_the_middle_of_what_is_repeated_goes_on_behind_it(journal: JournalFolder) -> None:
    recorder = build(journal, range(6), per_commit=3)
    recorder.record(*range(6, 12))
    recorder.commit(per_commit=2)
    reader = JournalReader(journal)
    given = [numbers_of(line) for line in islice(reader.commits(), 3)]
    disk_of(journal).faults = [Fault("sync_data", disk_of(journal).calls["sync_data"] + 1, EIO)]
    recorder.flush()
    given += [numbers_of(line) for line in reader.commits()]
    assert [number for numbers in given for number in numbers] == list(range(12))


def test_on_rewind_is_told_where_history_begins_again(journal: JournalFolder) -> None:
    recorder = build(journal, range(6), per_commit=3)
    recorder.record(*range(6, 12))
    recorder.commit(per_commit=2)
    rewinds: list[int] = []
    reader = JournalReader(journal, on_rewind=rewinds.append)
    assert [line.first for line in reader.commits()] == [1, 4, 7, 9, 11]
    disk_of(journal).faults = [Fault("sync_data", disk_of(journal).calls["sync_data"] + 1, EIO)]
    recorder.flush()
    again = [line.first for line in reader.commits()]
    assert rewinds == [again[0]]
    assert again[-1] == 11


def test_what_a_failed_sync_lost_for_good_comes_back_in_other_commits_and_none_is_missed(
    journal: JournalFolder,
) -> None:
    """The kernel forgot what it could not write; the writer commits it again, cut differently."""
    recorder = build(journal, range(6), per_commit=3)
    recorder.record(*range(6, 12))
    recorder.commit(per_commit=2)
    follower = Follower(journal)
    follower.poll()
    disk_of(journal).evicts_after_failed_sync = True
    disk_of(journal).faults = [Fault("sync_data", disk_of(journal).calls["sync_data"] + 1, EIO)]
    with pytest.raises(OSError, match="could not be read back"):
        recorder.flush()
    recorder.record(12)
    recorder.flush()
    assert read(journal).numbers == list(range(13))
    follower.poll()
    assert set(follower.seqs) == set(range(1, 14))
    assert follower.kinds == {DamageKind.DEAD}


def test_events_that_are_followed_come_once_also_where_a_failed_sync_lost_some(journal: JournalFolder) -> None:
    recorder = build(journal, range(6), per_commit=3)
    recorder.record(*range(6, 12))
    recorder.commit(per_commit=2)
    following = history._followed(journal, 0)
    assert [next(following).seq for _ in range(12)] == list(range(1, 13))
    disk_of(journal).evicts_after_failed_sync = True
    disk_of(journal).faults = [Fault("sync_data", disk_of(journal).calls["sync_data"] + 1, EIO)]
    with pytest.raises(OSError, match="could not be read back"):
        recorder.flush()
    recorder.record(12)
    recorder.flush()
    assert next(following).seq == 13


# --- what had been read changes -----------------------------------------------------------------------------------


def test_a_newest_segment_that_is_cut_below_a_fence_under_a_reader_is_found(journal: JournalFolder) -> None:
    build(journal, range(12), per_commit=3)
    ends = [line.end for line in lines(journal)]
    whole = disk_of(journal).contents(journal.segment_path(1))
    for cut in (0, 10, 200, *ends[:2]):
        copy = on(journal, disk_of(journal).copy())
        follower = Follower(copy)
        follower.poll()
        disk_of(copy).put(copy.segment_path(1), whole[:cut])
        assert follower.poll() == []
        assert DamageKind.CORRUPT in follower.kinds
        assert follower.poll() == []
        assert DamageKind.CORRUPT in follower.kinds, "it is not forgotten"


def test_a_newest_segment_that_is_gone_under_a_reader_is_found(journal: JournalFolder) -> None:
    build(journal, range(60), per_commit=3, segment_bytes_max=2000)
    follower = Follower(journal)
    follower.poll()
    disk_of(journal).delete(journal.segment_path(journal.segment_numbers()[-1]))
    assert follower.poll() == []
    (damage,) = follower.reader.damage
    assert (damage.kind, damage.found) == (DamageKind.CORRUPT, "no such file")


def test_a_segment_that_was_replaced_by_an_equal_copy_is_gone_on_with(journal: JournalFolder) -> None:
    recorder = build(journal, range(6), per_commit=3)
    follower = Follower(journal)
    follower.poll()
    path = journal.segment_path(1)
    content = disk_of(journal).contents(path)
    disk_of(journal).delete(path)
    disk_of(journal).put(path, content)
    assert follower.poll() == []
    recorder.record(NEW)
    recorder.flush()
    assert follower.poll() == [NEW]
    assert follower.reader.damage == []
    assert read(journal).numbers == [*range(6), NEW]


def test_a_segment_that_was_replaced_by_another_history_is_found(journal: JournalFolder, tmp_path: Path) -> None:
    build(journal, range(6), per_commit=3)
    follower = Follower(journal)
    follower.poll()
    other = Recorder(on(journal, type(disk_of(journal))()), "w1")
    other.record(*range(50, 60))
    other.flush()
    disk_of(journal).delete(journal.segment_path(1))
    disk_of(journal).put(journal.segment_path(1), disk_of(other.journal).contents(journal.segment_path(1)))
    assert follower.poll() == []
    assert DamageKind.CORRUPT in follower.kinds


def test_a_journal_folder_that_is_gone_under_a_reader_is_found(tmp_path: Path) -> None:
    journal = JournalFolder(tmp_path / "alice" / "test" / "run")
    Path(journal.path).mkdir(parents=True)
    build(journal, range(6), per_commit=3)
    follower = Follower(journal)
    follower.poll()
    shutil.rmtree(journal.path)
    assert follower.poll() == []
    assert follower.kinds == {DamageKind.CORRUPT}


# --- headers ------------------------------------------------------------------------------------------------------


def test_of_a_single_segment_with_a_damaged_header_every_commit_can_be_read(journal: JournalFolder) -> None:
    """Also where the damage is in the journal's id, which is hashed into every line."""
    build(journal, range(12), per_commit=3)
    header_bytes = next(lines(journal)).offset
    for where, damaged, place in flips(journal, 8):
        if place >= header_bytes - 80:
            break
        reading = read(damaged)
        assert reading.numbers == list(range(12)), where
        assert reading.kinds == {DamageKind.CORRUPT}
        if place % 12 == 0:
            check_a_recovered_journal(on(journal, disk_of(damaged).copy()), reading)


def test_a_second_continuation_of_a_segment_is_found_and_not_given(journal: JournalFolder) -> None:
    """Two processes went on from the same end, which the lock does not allow: one of the two histories cannot count."""
    build(journal, range(12), per_commit=3, segment_bytes_max=2000)
    last = list(lines(journal))[-1]
    position = JournalReader(journal)
    list(position.commits())
    at = position.position
    assert at is not None
    previous = Previous(1, at.offset, last.last, at.hash)
    for number in (2, 3):
        header, _ = encode_header(at.journal, number, last.last + 1, 5, previous)
        disk_of(journal).put(journal.segment_path(number), header)
    reading = read(journal)
    assert reading.numbers == list(range(12))
    (damage,) = reading.damage
    assert (damage.kind, damage.segment, damage.offset) == (DamageKind.CORRUPT, 2, 0)
    assert "second continuation" in damage.found
    check_a_recovered_journal(journal, reading)


def test_a_header_in_a_segment_of_another_number_is_none(journal: JournalFolder) -> None:
    build(journal, range(6), per_commit=3)
    disk_of(journal).put(journal.segment_path(2), disk_of(journal).contents(journal.segment_path(1)))
    assert header_of(journal, 2)["segment"] == 1
    reading = read(journal)
    assert reading.numbers == list(range(6))
    assert reading.kinds == {DamageKind.CORRUPT}


def test_files_that_are_no_segments_are_not_looked_at(journal: JournalFolder) -> None:
    build(journal, range(6), per_commit=3)
    for name in ("lock", "1.jsonl", "000000002.jsonl", "00000002.jsonl.bak", "checkpoint.json", "0000002a.jsonl"):
        disk_of(journal).put(f"{journal.path}/{name}", b"something")
    assert read(journal).numbers == list(range(6))
    assert read(journal).damage == []


# --- trust --------------------------------------------------------------------------------------------------------


def test_what_is_trusted_is_not_read(journal: JournalFolder) -> None:
    build(journal, range(60), per_commit=3, segment_bytes_max=2500)
    with segment_lines(journal, 1) as content:
        content[3] = content[3].replace(b'"time":', b'"tine":')

    def trusted(extent: Extent) -> Position | None:
        assert extent.header is not None
        return None if extent.accepted is None else end_of(extent.accepted, extent.header.journal)

    reader = JournalReader(journal, trusted=trusted)
    newest = journal.segment_numbers()[-1]
    assert {line.segment for line in reader.commits()} == {newest}
    assert reader.damage == []
    assert reader.next_seq == 61
    assert read(journal).kinds == {DamageKind.CORRUPT}


def test_trust_in_what_does_not_stand_there_is_not_believed(journal: JournalFolder) -> None:
    build(journal, range(12), per_commit=3)
    first, second, *_ = lines(journal)
    wrong = Position(JournalReader(journal).header(1)[1].journal, 1, first.end, second.first, second.hash, 0)  # type: ignore[index]
    reader = JournalReader(journal, trusted=lambda extent: wrong, on_rewind=lambda first: None)
    assert [number for line in reader.commits() for number in numbers_of(line)] == list(range(12))


# --- a disk that fails while it is read ---------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["list_names", "status", "open_read", "size_of", "read_at"])
def test_a_reader_goes_on_after_any_call_has_failed(journal: JournalFolder, call: str) -> None:
    build(journal, range(40), per_commit=2, segment_bytes_max=1200)
    disk_of(journal).put(journal.segment_path(len(journal.segment_numbers()) + 1), b"{")
    disk_of(journal).calls.clear()
    Follower(journal).poll()
    count = disk_of(journal).calls[call]
    assert count > 0
    for nth in range(1, count + 1):
        disk = disk_of(journal)
        disk.calls.clear()
        disk.faults = [Fault(call, nth, EIO)]
        follower = Follower(journal)
        with pytest.raises(OSError, match="injected"):
            follower.poll()
        given = list(follower.seqs)
        disk.faults = []
        follower.poll()
        assert follower.seqs == list(range(1, 41)), f"call {nth} of {call} failed after {given}"
        assert follower.kinds == {DamageKind.TORN}
