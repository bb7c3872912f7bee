"""A survey judges a whole journal, and trusts nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ml_dash.facts.columns import check_column, decode_column, encode_column
from ml_dash.journal.appender import Appender
from ml_dash.journal.batch import Batch
from ml_dash.journal.damage import DamageKind
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import GENESIS_HASH
from ml_dash.journal.lock import JournalLock, hold_alone, release
from ml_dash.journal.reader import JournalReader
from ml_dash.journal.survey import survey

from .damage import build, disk_of, header_of, lines, on, read
from .test_damage import NEW, recover, write_more


def test_an_intact_journal_is_ok_and_counted(journal: JournalFolder) -> None:
    build(journal, range(60), per_commit=3, segment_bytes_max=2000)
    found = survey(journal)
    numbers = journal.segment_numbers()
    assert found.ok
    assert (found.events, found.commits, found.last_seq) == (60, 20, 60)
    assert found.segments == len(numbers) > 2
    assert found.bytes == sum(len(disk_of(journal).contents(journal.segment_path(number))) for number in numbers)
    assert found.head == list(lines(journal))[-1].hash
    assert found.journal == header_of(journal, 1)["journal"]
    assert found.damage == ()


def test_where_there_is_no_journal_there_is_nothing_wrong(journal: JournalFolder) -> None:
    found = survey(journal)
    assert found.ok
    assert (found.events, found.segments, found.bytes, found.head, found.last_seq) == (0, 0, 0, GENESIS_HASH, 0)


@pytest.fixture
def torn(journal: JournalFolder) -> JournalFolder:
    build(journal, range(6), per_commit=3)
    path = journal.segment_path(1)
    disk_of(journal).put(path, disk_of(journal).contents(path) + b'{"first":7')
    return journal


def test_a_torn_tail_is_not_ok_until_it_has_healed_and_stays_listed(torn: JournalFolder) -> None:
    journal = torn
    found = survey(journal)
    assert not found.ok
    assert [each.kind for each in found.damage] == [DamageKind.TORN]
    write_more(journal, NEW)
    found = survey(journal)
    assert found.ok
    assert [each.kind for each in found.damage] == [DamageKind.DEAD]


def torn_on_a_real_disk(experiment: Path) -> JournalFolder:
    folder = JournalFolder(experiment)
    Path(folder.spool_folder).mkdir(parents=True)
    build(folder, range(6), per_commit=3)
    with open(folder.segment_path(1), "ab") as segment:
        segment.write(b'{"first":7')
    return folder


def test_a_tail_that_a_living_writer_may_be_writing_is_ok(tmp_path: Path) -> None:
    folder = torn_on_a_real_disk(tmp_path / "run")
    path = folder.spool_path("w1", 1)
    descriptor = folder.disk.create(path)
    assert hold_alone(descriptor, path)
    found = survey(folder)
    assert found.ok
    assert [each.kind for each in found.damage] == [DamageKind.TORN]
    release(descriptor, folder.disk)
    assert not survey(folder).ok


def test_a_tail_that_is_torn_while_the_journal_is_locked_is_ok(tmp_path: Path) -> None:
    folder = torn_on_a_real_disk(tmp_path / "run")
    with JournalLock(folder.lock_path):
        assert survey(folder).ok
    assert not survey(folder).ok


def test_damage_is_not_ok_until_it_is_declared_and_stays_listed(journal: JournalFolder) -> None:
    build(journal, range(60), per_commit=3, segment_bytes_max=2000)
    disk_of(journal).file(journal.segment_path(1)).shown[500] ^= 1
    found = survey(journal)
    assert not found.ok
    (damage,) = found.damage
    assert found.events == 60 - (damage.last_seq - damage.first_seq + 1)
    assert found.last_seq == 60
    recover(journal)
    found = survey(journal)
    assert found.ok
    assert [each.declared for each in found.damage] == [True]


def test_no_flipped_byte_passes_a_survey(journal: JournalFolder) -> None:
    build(journal, range(20), per_commit=5, segment_bytes_max=600)
    for number in journal.segment_numbers():
        path = journal.segment_path(number)
        whole = disk_of(journal).contents(path)
        for place in range(len(whole)):
            copy = on(journal, disk_of(journal).copy())
            disk_of(copy).file(path).shown[place] ^= 0x10
            found = survey(copy)
            assert found.damage
            assert not found.ok


MISCOUNTED = [
    b"[]",
    b'[{"type":"n","t":0,"data":{}}]',
    b'[{"type":"n","t":0,"data":{}},{"type":"n","t":0,"data":{}},{"type":"n","t":0,"data":{}}]',
    b'[{"type":"n","t":0,"data":{}},{"type":"n","t":0}]',
    b'[{"type":"n","n":2,"at":0,"t":[0,0],"columns":{"a":[1]}}]',
    b'[{"type":"n","n":2,"at":0,"t":[0],"columns":{"a":[1,2]}}]',
    b'[{"type":"n","n":2,"at":0,"t":[0,0.5],"columns":{"a":[1,2]}}]',
    b'[{"type":"n","n":2,"at":0,"t":{"packed":"f4","data":"AAAAAAAAAAA="},"columns":{"a":[1,2]}}]',
    b'[{"type":"n","n":2,"at":0,"t":[0,0],"columns":{"a":{"packed":"f8","data":"AAAA"}}}]',
    b'[{"type":"n","n":2,"at":0,"t":[0,0],"columns":{"a":{"packed":"i2","data":"A?AA"}}}]',
    b'[{"type":"n","n":2,"at":0,"t":[0,0],"columns":{"a":{"new form":"i2"}}}]',
]


@pytest.mark.parametrize("events", MISCOUNTED)
def test_a_commit_whose_events_do_not_decode_is_found_although_its_hash_is_right(
    journal: JournalFolder, events: bytes
) -> None:
    build(journal, range(6), per_commit=3)
    appender = Appender(journal, "w2")
    with appender.at_end():
        appender.append([Batch(2, 5, "w2", "w2", 1, events)])
    assert read_kinds(journal) == set(), "the chain is intact"
    found = survey(journal)
    assert not found.ok
    (damage,) = found.damage
    assert (damage.kind, damage.first_seq, damage.last_seq) == (DamageKind.UNREADABLE, 7, 8)
    assert not damage.refuses_writing


def read_kinds(journal: JournalFolder) -> set[DamageKind]:
    reader = JournalReader(journal)
    assert sum(line.count for line in reader.commits()) == 8
    return {each.kind for each in reader.damage}


COLUMNS: list[tuple[Any, int]] = [
    ([1, 2, 3], 3),
    ([1, 2, 3], 4),
    ({"same": 1.5}, 3),
    ({"range": [0, 2]}, 3),
    ({"range": [0]}, 3),
    ({"packed": "f8", "data": "AAAAAAAA8D8="}, 1),
    ({"packed": "f8", "data": "AAAAAAAA8D8="}, 2),
    ({"packed": "f8", "data": "AAAAAAAA8D8"}, 1),
    ({"packed": "f8", "data": "AAAAAAAA8D?="}, 1),
    ({"packed": "f8", "data": "AAAA=AAA8D8="}, 1),
    ({"packed": "f8", "data": "AAAAAAAA8==="}, 1),
    ({"packed": "f8", "data": "AAAAAAAA\u00e48D8"}, 1),
    ({"packed": "f9", "data": "AAAAAAAA8D8="}, 1),
    ({"packed": "f8", "data": 7}, 1),
    ({"packed": ["f8"], "data": "AAAA"}, 1),
    ({"packed": "f8"}, 1),
    ({"packed": "i1", "data": ""}, 0),
    ({"delta": "i1", "first": 5, "data": "AQID"}, 4),
    ({"delta": "i1", "first": 5, "data": "AQID"}, 3),
    ({"delta": "i1", "first": 5.0, "data": "AQID"}, 4),
    ({"delta": "f4", "first": 5, "data": "AAAAAA=="}, 2),
    ({"delta": "i1", "data": "AQID"}, 4),
    ({"other": 1}, 1),
    (None, 1),
    (encode_column([0.1 * number for number in range(100)]), 100),
    (encode_column([number * number for number in range(100)]), 100),
    (encode_column([number * number for number in range(100)]), 99),
]


@pytest.mark.parametrize(("column", "count"), COLUMNS)
def test_a_column_is_refused_by_the_quick_check_just_where_decoding_refuses_it(column: Any, count: int) -> None:
    try:
        decode_column(column, count)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            check_column(column, count)
    else:
        check_column(column, count)


def test_a_survey_of_a_journal_agrees_with_reading_it(journal: JournalFolder) -> None:
    build(journal, range(40), per_commit=4, segment_bytes_max=900)
    assert survey(journal).events == len(read(journal, decode=True).numbers)
