"""The decision table, and that what it decides is what happens."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from ml_dash.errors import JournalCorruptError, JournalVersionError
from ml_dash.journal.appender import Appender
from ml_dash.journal.damage import DamageKind
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.recovery import RULES, Action, Earlier, Tail, Version, decide, matches

from .damage import Recorder, build, disk_of, header_of, in_memory, lines, read
from .test_damage import NEW, check_a_recovered_journal, recover, write_more
from .test_format import seal

CASES = list(itertools.product(Version, Earlier, Tail))


@pytest.mark.parametrize(("version", "earlier", "tail"), CASES)
def test_every_case_matches_exactly_one_row(version: Version, earlier: Earlier, tail: Tail) -> None:
    rows = [rule for rule in RULES if matches(rule, version, earlier, tail)]
    assert len(rows) == 1
    assert decide(version, earlier, tail) is rows[0].action


def test_every_row_matches_some_case_that_no_other_one_does() -> None:
    for rule in RULES:
        assert any(matches(rule, *case) for case in CASES)


# --- what is decided is what happens: each case made on disk ------------------------------------------------------

CORRUPT_AT = 400


def make(journal: JournalFolder, version: Version, earlier: Earlier, tail: Tail) -> None:
    """A journal that shows these findings."""
    disk = disk_of(journal)
    if tail is not Tail.ABSENT:
        build(journal, range(30), per_commit=3, segment_bytes_max=2000)
    newest = max(journal.segment_numbers(), default=0)
    if tail is Tail.TORN:
        path = journal.segment_path(newest)
        disk.put(path, disk.contents(path) + b'{"first":31,"count":')
    if earlier is Earlier.CORRUPT:
        if tail is Tail.ABSENT:
            return
        disk.file(journal.segment_path(1)).shown[CORRUPT_AT] ^= 1
    if version is Version.NEWER:
        header = b'{"format":"ml-dash-journal","version":2,"journal":"journal1","previous":null,"new":{}'
        disk.put(journal.segment_path(newest + 1), seal(header) + b"\nwhatever comes in version 2\n")


@pytest.mark.parametrize(("version", "earlier", "tail"), CASES)
def test_what_the_table_says_is_done(tmp_path: Path, version: Version, earlier: Earlier, tail: Tail) -> None:
    if earlier is Earlier.CORRUPT and tail is Tail.ABSENT:
        # Nothing can be damaged where there is nothing.
        earlier = Earlier.INTACT
    journal = in_memory(tmp_path / "run")
    make(journal, version, earlier, tail)
    disk = disk_of(journal)
    before = {path: disk.contents(path) for path in disk.shown_names}
    segments = journal.segment_numbers()
    changes = disk.changes
    appender = Appender(journal, "w2", segment_bytes_max=300 if tail is Tail.FULL else 1 << 26)
    action = decide(version, earlier, tail)
    if action in (Action.REFUSE_CORRUPT, Action.REFUSE_VERSION):
        error = JournalCorruptError if action is Action.REFUSE_CORRUPT else JournalVersionError
        with pytest.raises(error), appender.at_end():
            raise AssertionError("nobody may append here")
        assert disk.changes == changes
    else:
        with appender.at_end():
            added = len(journal.segment_numbers()) - len(segments)
            assert added == (0 if action is Action.APPEND else 1)
    assert {path: disk.contents(path) for path in before} == before, "nothing that was there is ever changed"


# --- newer versions -----------------------------------------------------------------------------------------------


def test_a_newer_version_refuses_reading_by_name(journal: JournalFolder) -> None:
    build(journal, range(6), per_commit=3)
    make(journal, Version.NEWER, Earlier.INTACT, Tail.ABSENT)
    with pytest.raises(JournalVersionError, match=r"format version 2 \(segment 00000002\).*versions up to 1.*upgrade"):
        read(journal)


def test_a_newer_version_refuses_recovery_and_changes_nothing(journal: JournalFolder) -> None:
    build(journal, range(6), per_commit=3)
    make(journal, Version.NEWER, Earlier.INTACT, Tail.ABSENT)
    changes = disk_of(journal).changes
    with pytest.raises(JournalVersionError):
        Appender(journal, "w2").recover()
    assert disk_of(journal).changes == changes


# --- declaring ----------------------------------------------------------------------------------------------------


def test_recovering_an_intact_journal_changes_nothing(journal: JournalFolder) -> None:
    build(journal, range(6), per_commit=3)
    changes = disk_of(journal).changes
    assert Appender(journal, "w2").recover() == []
    assert disk_of(journal).changes == changes


def test_recovery_names_the_damage_in_the_next_header(journal: JournalFolder) -> None:
    build(journal, range(12), per_commit=3)
    disk_of(journal).file(journal.segment_path(1)).shown[CORRUPT_AT] ^= 1
    (damage,) = read(journal).damage
    recover(journal)
    assert header_of(journal, 2)["declared"] == [{"segment": 1, "offset": damage.offset, "bytes": damage.bytes}]
    (again,) = read(journal).damage
    assert again.declared
    assert not again.refuses_writing
    assert Appender(journal, "w3").recover() == [], "it is declared once"
    assert journal.segment_numbers() == [1, 2]


def test_declared_damage_that_grows_refuses_writing_again(journal: JournalFolder) -> None:
    build(journal, range(30), per_commit=3)
    inode = disk_of(journal).file(journal.segment_path(1))
    inode.shown[CORRUPT_AT] ^= 1
    recover(journal)
    write_more(journal, NEW)
    inode.shown[read(journal).damage[0].offset + read(journal).damage[0].bytes + 20] ^= 1
    with pytest.raises(JournalCorruptError):
        write_more(journal, NEW + 1)
    check_a_recovered_journal(journal, read(journal))


def test_other_damage_beside_declared_damage_is_not_excused_by_it(journal: JournalFolder) -> None:
    build(journal, range(60), per_commit=3)
    inode = disk_of(journal).file(journal.segment_path(1))
    inode.shown[CORRUPT_AT] ^= 1
    recover(journal)
    inode.shown[-CORRUPT_AT * 3] ^= 1
    kinds = {(each.kind, each.declared) for each in read(journal).damage}
    assert kinds == {(DamageKind.CORRUPT, True), (DamageKind.CORRUPT, False)}
    with pytest.raises(JournalCorruptError):
        write_more(journal, NEW)


def test_a_torn_tail_in_front_of_a_damaged_header_does_not_refuse_writing_after_recovery(
    journal: JournalFolder,
) -> None:
    """The header that had declared it is gone: then recovery has to declare it once more."""
    build(journal, range(9), per_commit=3)
    path = journal.segment_path(1)
    disk_of(journal).put(path, disk_of(journal).contents(path) + b"torn")
    write_more(journal, NEW, NEW + 1)
    disk_of(journal).file(journal.segment_path(2)).shown[100] ^= 1
    reading = read(journal)
    assert {each.kind for each in reading.damage} == {DamageKind.TORN, DamageKind.CORRUPT}
    check_a_recovered_journal(journal, reading)


def test_recovery_of_a_journal_without_any_readable_line_starts_a_new_one_behind_it(journal: JournalFolder) -> None:
    build(journal, range(9), per_commit=3)
    path = journal.segment_path(1)
    data = bytearray(disk_of(journal).contents(path))
    data[50:68] = b"?" * 18  # the journal's id
    disk_of(journal).put(path, bytes(data))
    assert read(journal).numbers == []
    assert read(journal).kinds == {DamageKind.CORRUPT}
    with pytest.raises(JournalCorruptError):
        write_more(journal, NEW)
    recover(journal)
    write_more(journal, NEW)
    assert read(journal).numbers == [NEW]
    assert [(each.kind, each.declared) for each in read(journal).damage] == [(DamageKind.DEAD, True)]
    assert disk_of(journal).contents(path) == bytes(data)


def test_a_torn_tail_heals_by_itself_and_stays_listed(journal: JournalFolder) -> None:
    build(journal, range(6), per_commit=3)
    path = journal.segment_path(1)
    whole = disk_of(journal).contents(path)
    disk_of(journal).put(path, whole + b'{"first":7,"count":1,')
    (torn,) = read(journal).damage
    assert (torn.kind, torn.first_seq, torn.last_seq) == (DamageKind.TORN, 7, 6)
    writer = Recorder(journal, "w2")
    writer.record(NEW)
    writer.flush()
    assert [(each.kind, each.offset, each.declared) for each in writer.appender.damage] == [
        (DamageKind.DEAD, len(whole), True)
    ]
    assert read(journal).numbers == [*range(6), NEW]
    (damage,) = read(journal).damage
    assert (damage.kind, damage.segment, damage.offset, damage.bytes) == (DamageKind.DEAD, 1, len(whole), 21)
    assert next(lines(journal)).segment == 1
