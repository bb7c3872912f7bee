"""F1 to F4: cut at every byte, flip every bit, shuffle every line; and then go on writing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_dash.errors import JournalCorruptError
from ml_dash.journal.appender import Appender
from ml_dash.journal.damage import DamageKind
from ml_dash.journal.folder import JournalFolder

from ..examples import share
from ..promises import RecordProperty
from .damage import Reading, Recorder, build, disk_of, in_memory, lines, on, read, segment_lines

NEW = 1_000_000
_process = itertools.count()


def write_more(journal: JournalFolder, *numbers: int) -> None:
    """A new process that opens the journal, records, and closes."""
    recorder = Recorder(journal, f"new{next(_process)}")
    recorder.record(*numbers)
    recorder.flush()
    recorder.appender.close()


def recover(journal: JournalFolder) -> None:
    appender = Appender(journal, "w8")
    assert appender.recover(), "there was something to declare"
    appender.close()


def check_a_recovered_journal(journal: JournalFolder, before: Reading) -> None:
    """Damage → recover → write more → read everything."""
    recover(journal)
    write_more(journal, NEW, NEW + 1)
    after = read(journal)
    assert after.numbers == [*before.numbers, NEW, NEW + 1]
    assert not [each for each in after.damage if each.refuses_writing]
    segments = journal.segment_numbers()
    write_more(journal, NEW + 2)
    assert read(journal).numbers == [*after.numbers, NEW + 2]
    assert journal.segment_numbers() == segments, "it is well again: nothing is left to be declared"


# --- F1 ---------------------------------------------------------------------------------------------------------


def test_f1_a_journal_cut_at_any_byte_keeps_its_longest_prefix_and_takes_what_is_new(
    journal: JournalFolder, record_property: RecordProperty
) -> None:
    build(journal, range(200), per_commit=20)
    path = journal.segment_path(1)
    whole = disk_of(journal).contents(path)
    ends = [(line.end, line.last) for line in lines(journal)]
    assert len(ends) == 10
    cuts = share(range(len(whole)), 3)
    for cut in cuts:
        disk = disk_of(journal).copy()
        disk.put(path, whole[:cut])
        after = on(journal, disk)
        write_more(after, NEW)
        kept = max((last for end, last in ends if end <= cut), default=0)
        reading = read(after)
        assert reading.numbers == [*range(kept), NEW], f"cut at byte {cut}"
        assert reading.is_dense
        assert reading.kinds <= {DamageKind.DEAD}
        assert disk.contents(path).startswith(whole[:cut]), "repair never rewrites"
    record_property("cuts", len(cuts))


def test_f1_a_journal_cut_at_any_byte_of_its_second_segment_goes_on_too(
    journal: JournalFolder, record_property: RecordProperty
) -> None:
    build(journal, range(60), per_commit=6, segment_bytes_max=1800)
    assert journal.segment_numbers() == [1, 2, 3]
    path = journal.segment_path(3)
    whole = disk_of(journal).contents(path)
    ends = [(line.end, line.last) for line in lines(journal) if line.segment == 3]
    first = min(line.first for line in lines(journal) if line.segment == 3)
    cuts = share(range(len(whole)), 3)
    for cut in cuts:
        disk = disk_of(journal).copy()
        disk.put(path, whole[:cut])
        after = on(journal, disk)
        write_more(after, NEW)
        kept = max((last for end, last in ends if end <= cut), default=first - 1)
        assert read(after).numbers == [*range(kept), NEW], f"cut at byte {cut}"
    record_property("cuts", len(cuts))


# --- F2 ---------------------------------------------------------------------------------------------------------


def flips(journal: JournalFolder, bits: int) -> Iterator[tuple[str, JournalFolder, int]]:
    """Bytes of every segment, all in a campaign, with each of their lowest `bits` bits flipped."""
    for number in journal.segment_numbers():
        path = journal.segment_path(number)
        whole = bytearray(disk_of(journal).contents(path))
        disk = disk_of(journal).copy()
        inode = disk.file(path)
        for place in share(range(len(whole)), 3):
            for bit in range(bits):
                inode.shown[place] = whole[place] ^ 1 << bit
                yield f"segment {number}, byte {place}, bit {bit}", on(journal, disk), place
            inode.shown[place] = whole[place]


def test_f2_no_flipped_bit_is_accepted_silently(journal: JournalFolder, record_property: RecordProperty) -> None:
    build(journal, range(60), per_commit=10, segment_bytes_max=2000)
    assert journal.segment_numbers() == [1, 2]
    truth = read(journal).events
    assert len(truth) == 60
    count = 0
    for where, damaged, _ in flips(journal, 8):
        reading = read(damaged)
        assert reading.damage, f"{where}: not noticed"
        assert reading.events.items() <= truth.items(), f"{where}: an event that nobody wrote"
        assert len(reading.events) >= 30, f"{where}: one damaged byte takes at most three commits with it"
        count += 1
    contents = [disk_of(journal).contents(journal.segment_path(number)) for number in (1, 2)]
    assert count == 8 * sum(len(share(data, 3)) for data in contents)
    record_property("flipped bits", count)


def test_f2_a_journal_with_any_flipped_byte_refuses_or_heals_and_then_goes_on(
    journal: JournalFolder, record_property: RecordProperty
) -> None:
    build(journal, range(60), per_commit=10, segment_bytes_max=2000)
    count = 0
    for where, damaged, _ in flips(journal, 1):
        count += 1
        copy = on(journal, disk_of(damaged).copy())
        before = read(copy)
        try:
            write_more(copy, NEW)
        except JournalCorruptError:
            assert DamageKind.CORRUPT in before.kinds
            assert disk_of(copy).changes == 0, f"{where}: something was changed"
            check_a_recovered_journal(copy, before)
        else:
            assert before.kinds == {DamageKind.TORN}
            assert read(copy).numbers == [*before.numbers, NEW], where
    record_property("flipped bits", count)


def test_f2_flipped_bits_in_the_last_commit_are_found(journal: JournalFolder) -> None:
    """No fence lies behind it, so it counts as torn: never promised, as far as anybody can tell."""
    build(journal, range(4), per_commit=2)
    last = list(lines(journal))[-1]
    inode = disk_of(journal).file(journal.segment_path(1))
    inode.shown[last.offset + 20] ^= 4
    reading = read(journal)
    assert reading.numbers == [0, 1]
    assert [(each.kind, each.offset, each.bytes) for each in reading.damage] == [
        (DamageKind.TORN, last.offset, last.end - last.offset)
    ]


# --- F3 ---------------------------------------------------------------------------------------------------------


Shuffle = Callable[[list[bytes], list[bytes], int], None]


def insert_foreign(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own.insert(at, foreign[at])


def insert_made_up(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own.insert(at, own[at].replace(b'"n":', b'"m":'))


def insert_empty(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own.insert(at, b"\n")


def insert_zeros(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own.insert(at, bytes(512))


def delete(own: list[bytes], foreign: list[bytes], at: int) -> None:
    del own[at]


def delete_two(own: list[bytes], foreign: list[bytes], at: int) -> None:
    del own[at : at + 2]


def repeat(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own.insert(at, own[at])


def repeat_the_beginning(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own[at:at] = own[1:at] or own[1:2]


def swap(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own[at], own[at + 1] = own[at + 1], own[at]


def swap_far(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own[at], own[-1] = own[-1], own[at]


def replace_by_foreign(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own[at] = foreign[at]


def splice_foreign_rest(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own[at:] = foreign[at:]


def splice_foreign_middle(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own[at : at + 3] = foreign[at : at + 3]


def insert_foreign_run(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own[at:at] = foreign[at : at + 4]


def join(own: list[bytes], foreign: list[bytes], at: int) -> None:
    own[at] = own[at][:-1]


SHUFFLES: list[Shuffle] = [
    insert_foreign,
    insert_made_up,
    insert_empty,
    insert_zeros,
    delete,
    delete_two,
    repeat,
    repeat_the_beginning,
    swap,
    swap_far,
    replace_by_foreign,
    splice_foreign_rest,
    splice_foreign_middle,
    insert_foreign_run,
    join,
]


@pytest.mark.parametrize("segment", [1, 2], ids=["sealed", "newest"])
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_f3_no_shuffled_line_is_accepted(
    tmp_path: Path, shuffle: Shuffle, segment: int, record_property: RecordProperty
) -> None:
    journal = in_memory(tmp_path / "a" / "b" / "own")
    foreign = in_memory(tmp_path / "a" / "b" / "foreign")
    build(journal, range(40), per_commit=2, segment_bytes_max=3000)
    build(foreign, range(500, 540), per_commit=2, segment_bytes_max=3000)
    assert journal.segment_numbers() == foreign.segment_numbers() == [1, 2]
    truth = read(journal).events
    with segment_lines(foreign, segment) as foreign_lines:
        places = len(foreign_lines) - 2
    assert places >= 7
    for at in range(1, places):
        copy = on(journal, disk_of(journal).copy())
        with segment_lines(copy, segment) as own_lines:
            shuffle(own_lines, foreign_lines, at)
        reading = read(copy)
        assert reading.damage, f"{shuffle.__name__} at line {at} was not noticed"
        assert reading.events.items() <= truth.items(), f"{shuffle.__name__} at line {at} brought in an event"
        assert list(reading.events) == sorted(reading.events)
        try:
            write_more(copy, NEW)
        except JournalCorruptError:
            check_a_recovered_journal(copy, reading)
        else:
            assert reading.kinds == {DamageKind.TORN}
            assert read(copy).numbers == [*reading.numbers, NEW]
    record_property("shuffled lines", places - 1)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_f3_a_segment_of_another_journal_is_not_read(tmp_path: Path, at: int) -> None:
    journal = in_memory(tmp_path / "a" / "b" / "own")
    foreign = in_memory(tmp_path / "a" / "b" / "foreign")
    build(journal, range(60), per_commit=2, segment_bytes_max=3000)
    build(foreign, range(500, 560), per_commit=2, segment_bytes_max=3000)
    assert journal.segment_numbers() == foreign.segment_numbers() == [1, 2, 3]
    truth = read(journal).events
    disk_of(journal).put(journal.segment_path(at), disk_of(foreign).contents(foreign.segment_path(at)))
    reading = read(journal)
    assert DamageKind.CORRUPT in reading.kinds
    assert reading.events.items() < truth.items()
    with pytest.raises(JournalCorruptError):
        write_more(journal, NEW)
    check_a_recovered_journal(journal, reading)


def test_f3_segments_whose_names_were_swapped_are_not_read_in_that_order(journal: JournalFolder) -> None:
    build(journal, range(60), per_commit=2, segment_bytes_max=3000)
    truth = read(journal).events
    disk = disk_of(journal)
    first, second = (disk.contents(journal.segment_path(number)) for number in (1, 2))
    disk.put(journal.segment_path(1), second)
    disk.put(journal.segment_path(2), first)
    reading = read(journal)
    assert DamageKind.CORRUPT in reading.kinds
    assert reading.events.items() <= truth.items()
    with pytest.raises(JournalCorruptError):
        write_more(journal, NEW)


# --- F4 ---------------------------------------------------------------------------------------------------------


def test_f4_a_sealed_segment_cut_on_any_commit_boundary_is_found(
    journal: JournalFolder, record_property: RecordProperty
) -> None:
    build(journal, range(60), per_commit=3, segment_bytes_max=2500)
    assert len(journal.segment_numbers()) >= 3
    truth = list(lines(journal))
    for number in journal.segment_numbers()[:-1]:
        path = journal.segment_path(number)
        own = [line for line in truth if line.segment == number]
        for cut, last in [(own[0].offset, own[0].first - 1), *((line.end, line.last) for line in own[:-1])]:
            copy = on(journal, disk_of(journal).copy())
            disk_of(copy).put(path, disk_of(journal).contents(path)[:cut])
            reading = read(copy)
            (damage,) = reading.damage
            assert (damage.kind, damage.segment, damage.offset) == (DamageKind.CORRUPT, number, cut)
            assert (damage.first_seq, damage.last_seq) == (last + 1, own[-1].last)
            assert damage.bytes == own[-1].end - cut
            assert sorted(set(range(1, 61)) - set(reading.events)) == list(range(last + 1, own[-1].last + 1))
            with pytest.raises(JournalCorruptError, match=f"segment {number:08d} at byte {cut}"):
                write_more(copy, NEW)
            check_a_recovered_journal(copy, reading)
            record_property("cuts", 1)


@pytest.mark.parametrize("number", [1, 2])
def test_f4_a_sealed_segment_that_is_gone_is_found(journal: JournalFolder, number: int) -> None:
    build(journal, range(60), per_commit=3, segment_bytes_max=2500)
    missing = [line for line in lines(journal) if line.segment == number]
    disk_of(journal).delete(journal.segment_path(number))
    reading = read(journal)
    (damage,) = reading.damage
    assert (damage.kind, damage.segment, damage.offset) == (DamageKind.CORRUPT, number, 0)
    assert (damage.first_seq, damage.last_seq) == (missing[0].first, missing[-1].last)
    with pytest.raises(JournalCorruptError):
        write_more(journal, NEW)
    check_a_recovered_journal(journal, reading)


def test_f4_a_sealed_segment_that_grew_is_found_and_its_new_bytes_are_dead(journal: JournalFolder) -> None:
    build(journal, range(60), per_commit=3, segment_bytes_max=2500)
    path = journal.segment_path(1)
    whole = disk_of(journal).contents(path)
    disk_of(journal).put(path, whole + whole.splitlines(keepends=True)[-1])
    reading = read(journal)
    assert reading.numbers == list(range(60))
    assert [(each.kind, each.offset) for each in reading.damage] == [(DamageKind.DEAD, len(whole))]
