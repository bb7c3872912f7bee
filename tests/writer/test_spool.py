"""Spool: what was added is taken once, in order, however it came; and stands in the files until it is durable."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EOPNOTSUPP
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ml_dash.alarm import Alarm
from ml_dash.errors import ExperimentError, StorageError
from ml_dash.facts.codec import decode_events, encode_parts
from ml_dash.facts.events import METRIC_LOGGED
from ml_dash.journal import spool_shapes
from ml_dash.journal.drain import is_alive
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.spool import FILLED_MAX, Spool, Stream
from ml_dash.journal.spool_reading import read_spool

from .faults import FULL, FaultyDisk
from .support import in_threads, wait_until

small = pytest.mark.usefixtures("small_files")


@contextmanager
def open_spool(folder: JournalFolder, **options: Any) -> Iterator[Spool]:
    spool = Spool(folder, "wa", "wa", None, alarm=Alarm(), wake=lambda: None, own=lambda: spool, **options)
    try:
        yield spool
    finally:
        spool.abandon()


def stream(name: str = "loss") -> Stream:
    return Stream(METRIC_LOGGED, name, named=True)


def taken(spool: Spool, bytes_max: int = 1 << 20) -> list[Any]:
    """The first value of every event that waits, whose counters must follow each other."""
    values = []
    expected = spool.cursor.taken_counter + 1
    while True:
        counter, taken = spool.cursor.take(bytes_max)
        if not taken:
            return values
        assert counter == expected
        expected += len(taken)
        values += [row[2] for part in taken for row in part]


def in_files(folder: JournalFolder, writer: str = "wa") -> list[tuple[int, Any]]:
    """Counter and first value of every event that the files hold, as a drain would find them."""
    found = []
    for number in folder.spool_files()[writer]:
        content = read_spool(folder, writer, number)
        if content is not None:
            found += [(content.first + index, row[2]) for index, row in enumerate(content.rows)]
    return sorted(found, key=lambda each: each[0])


# -- adding and taking -------------------------------------------------------------------------------------------


@small
@pytest.mark.parametrize("bytes_max", [1, 100, 1 << 20])
def test_rows_are_taken_in_order_across_files(folder: JournalFolder, bytes_max: int) -> None:
    with open_spool(folder) as spool:
        loss = stream()
        for i in range(500):
            spool.append_stream(loss, {"i": i, "text": "x" * (i % 90)})
        assert len(folder.spool_files()["wa"]) > 10
        assert taken(spool, bytes_max) == list(range(500))
        assert spool.cursor.backlog_bytes == 0


@small
def test_rows_of_threads_are_taken_once_each_while_they_come(folder: JournalFolder) -> None:
    with open_spool(folder) as spool:
        found: list[Any] = []
        recording = True

        def take() -> None:
            while recording:
                found.extend(taken(spool))
                spool.forget(spool.cursor.taken_counter)
                spool.prepare(1000)

        taker = Thread(target=take)
        taker.start()
        streams = [stream(f"m{thread}") for thread in range(6)]
        in_threads(6, lambda thread: [spool.append_stream(streams[thread], {"i": (thread, i)}) for i in range(2000)])
        recording = False
        taker.join()
        found += taken(spool)
    assert sorted(found) == [[thread, i] for thread in range(6) for i in range(2000)]
    for thread in range(6):
        assert [i for own, i in found if own == thread] == list(range(2000))


@small
def test_full_files_are_left_to_the_committer_until_they_are_many(folder: JournalFolder) -> None:
    def open_maps() -> int:
        return sum(file._map is not None for file in spool._chain())

    with open_spool(folder) as spool:
        loss = stream()

        def fill(files: int) -> None:
            before = len(list(spool._chain()))
            while len(list(spool._chain())) < before + files:
                spool.append_stream(loss, {"i": 1, "text": "x" * 300})

        fill(FILLED_MAX)
        assert open_maps() == FILLED_MAX + 1, "giving one back costs a recording call a wait for the interpreter's lock"
        fill(30)
        assert open_maps() == FILLED_MAX + 1, "else a tight loop runs out of descriptors while the disk hangs"
        spool.give_back()
        assert open_maps() == 1


@small
def test_a_signal_handler_that_records_amid_recording_loses_nothing(folder: JournalFolder) -> None:
    """It interrupts the way from one file to the next at any place; a lock there would hang for ever."""
    with open_spool(folder) as spool:
        main, handler = stream("main"), stream("handler")
        handled: list[int] = []
        depth = 0
        is_recording = True

        def record(*_: object) -> None:
            nonlocal depth
            depth += 1
            if depth < 3 and is_recording:
                signal.setitimer(signal.ITIMER_PROF, 0.00005)
            number = len(handled)
            handled.append(number)
            spool.append_stream(handler, {"i": -1 - number, "text": "h" * 300})
            depth -= 1
            if is_recording:
                signal.setitimer(signal.ITIMER_PROF, 0.00005)

        # Not the alarm: that is what ends a test that hangs.
        before = signal.signal(signal.SIGPROF, record)
        signal.setitimer(signal.ITIMER_PROF, 0.00005)
        i = 0
        try:
            while len(handled) < 200:
                spool.append_stream(main, {"i": i, "text": "m" * 200})
                i += 1
        finally:
            is_recording = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
        found = taken(spool)
    assert [value for value in found if value >= 0] == list(range(i))
    # A handler that another one interrupts has not returned yet: those two may change places.
    assert sorted(-1 - value for value in found if value < 0) == handled


@small
def test_a_finalizer_that_records_amid_recording_loses_nothing(folder: JournalFolder) -> None:
    with open_spool(folder) as spool:
        main, finalizer = stream("main"), stream("finalizer")
        finalized = 0

        def record(phase: str, _: object) -> None:
            nonlocal finalized
            if phase == "start":
                spool.append_stream(finalizer, {"i": -1 - finalized, "text": "f" * 300})
                finalized += 1

        thresholds = gc.get_threshold()
        gc.callbacks.append(record)
        gc.set_threshold(5)
        try:
            for i in range(1000):
                spool.append_stream(main, {"i": i, "cycle": [[]], "text": "m" * 200})
        finally:
            gc.callbacks.remove(record)
            gc.set_threshold(*thresholds)
        found = taken(spool)
    assert finalized > 100
    assert [value for value in found if value >= 0] == list(range(1000))
    assert [value for value in found if value < 0] == [-1 - number for number in range(finalized)]


@small
def test_a_row_larger_than_a_file_gets_a_file_of_its_size(folder: JournalFolder) -> None:
    with open_spool(folder) as spool:
        loss = stream()
        for i in range(6):
            spool.append_stream(loss, {"i": i, "text": "x" * (100_000 if i % 2 else 10)})
        spool.append_event("params.set", {"text": "y" * 5_000_000})
        assert taken(spool, 1) == [*range(6), {"text": "y" * 5_000_000}]
        assert [value for _, value in in_files(folder)] == [*range(6), {"text": "y" * 5_000_000}]


@small
def test_every_file_defines_the_shapes_that_it_uses(folder: JournalFolder) -> None:
    with open_spool(folder) as spool:
        streams = [stream(f"m{number}") for number in range(5)]
        for i in range(300):
            spool.append_stream(streams[i % 5], {"i": i, f"k{i % 3}": i})
        for number in folder.spool_files()["wa"]:
            content = read_spool(folder, "wa", number)
            assert content is not None
            for row in content.rows:
                assert len(content.shapes[row[1]].keys) == len(row) - 2


@small
def test_a_file_that_begins_while_a_shape_is_being_defined_defines_it_too(
    folder: JournalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_spool(folder) as spool:
        busy, new = stream("busy"), stream("new")
        spool.append_stream(busy, {"i": 0})
        append = spool._append

        def append_and_let_others_fill_the_file(row: bytes) -> None:
            append(row)
            for i in range(1, 100):
                spool.append_stream(busy, {"i": i})

        with monkeypatch.context() as patch:
            patch.setattr(spool, "_append", append_and_let_others_fill_the_file)
            spool.append_stream(new, {"i": 100, "new": 0})
        last = read_spool(folder, "wa", folder.spool_files()["wa"][-1])
        assert last is not None
        assert last.rows[-1][2] == 100
        assert last.shapes[last.rows[-1][1]].keys == ("i", "new")


def test_more_shapes_than_are_numbered_record_all_the_same(
    folder: JournalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_shapes, "SHAPES_MAX", 10)
    with open_spool(folder) as spool:
        loss = stream()
        for i in range(30):
            spool.append_stream(loss, {"i": i, f"k{i}": i})
        rows = [row for part in spool.cursor.take(1 << 20)[1] for row in part]
        assert len(spool.shapes) == 10
    assert [row[1] for row in rows[10:]] == [METRIC_LOGGED] * 20
    assert rows[29][2] == {"name": "loss", "fields": {"i": 29, "k29": 29}}


def test_names_too_long_to_be_repeated_in_every_file_stand_in_their_row(folder: JournalFolder) -> None:
    with open_spool(folder) as spool:
        spool.append_stream(stream(), {"i": 1, "k" * 5000: 2})
        rows = [row for part in spool.cursor.take(1 << 20)[1] for row in part]
        assert spool.shapes == {}
    assert rows[0][2]["fields"] == {"i": 1, "k" * 5000: 2}


def test_keys_that_are_equal_but_not_the_same_are_not_one_shape(folder: JournalFolder) -> None:
    with open_spool(folder) as spool:
        loss = stream()
        for key in (1, True, 1.0, "1"):
            spool.append_stream(loss, {key: 0})  # type: ignore[dict-item]
        assert [shape.keys for shape in spool.shapes.values()] == [("1",)]


# -- files -------------------------------------------------------------------------------------------------------


@small
def test_files_hold_every_event_that_is_not_durable(folder: JournalFolder) -> None:
    with open_spool(folder) as spool:
        loss = stream()
        durable = 0
        for i in range(1, 401):
            spool.append_stream(loss, {"i": i})
            if i % 37 == 0:
                taken(spool)
                durable = i - 20
                spool.forget(durable)
            held = in_files(folder)
            assert held == [(number, number) for number, _ in held]
            assert held[-1][0] == i
            assert held[0][0] <= durable + 1


@small
def test_a_spool_whose_events_are_durable_takes_no_more_room_than_two_files(folder: JournalFolder) -> None:
    with open_spool(folder) as spool:
        loss = stream()
        for i in range(2000):
            spool.append_stream(loss, {"i": i})
            if i % 100 == 99:
                taken(spool)
                spool.forget(spool.cursor.taken_counter)
                spool.prepare(1)
        files = list(Path(folder.spool_folder).iterdir())
        assert sum(file.stat().st_size for file in files) <= 3 * 2048
        assert is_alive(folder, "wa"), "the first file keeps its name and its lock, also when it is empty"
    assert not is_alive(folder, "wa")


@small
def test_what_was_taken_can_be_taken_again_from_any_event_on(folder: JournalFolder) -> None:
    with open_spool(folder) as spool:
        loss = stream()
        for i in range(1, 151):
            spool.append_stream(loss, {"i": i, f"k{i % 4}": 0})
        taken(spool)
        for counter in (150, 1, 77, 151, 2):
            spool.forget(0)
            spool.seek(counter)
            assert taken(spool, 50) == list(range(counter, 151))


def test_removing_a_spool_removes_every_file_of_it(folder: JournalFolder) -> None:
    with open_spool(folder) as spool:
        spool.append_stream(stream(), {"i": 1})
        spool.prepare(1 << 30)
        assert len(list(Path(folder.spool_folder).iterdir())) > 2
        spool.remove()
        assert list(Path(folder.spool_folder).iterdir()) == []


# -- ending ------------------------------------------------------------------------------------------------------


@small
def test_an_ended_spool_holds_every_event_that_was_accepted_and_accepts_no_other(folder: JournalFolder) -> None:
    for _ in range(5):
        with open_spool(folder) as spool:
            accepted = [0] * 4

            def record(thread: int, spool: Spool = spool, accepted: list[int] = accepted) -> None:
                own = stream(f"m{thread}")
                with suppress(ExperimentError):
                    while True:
                        spool.append_stream(own, {"i": thread, "text": "x" * 100})
                        accepted[thread] += 1

            threads = [Thread(target=record, args=(thread,)) for thread in range(4)]
            for thread in threads:
                thread.start()
            wait_until(lambda accepted=accepted: all(accepted), "each thread has recorded")  # type: ignore[misc]
            spool.end()
            found = taken(spool)
            for thread in threads:
                thread.join()
            assert taken(spool) == []
            assert [found.count(thread) for thread in range(4)] == accepted
            with pytest.raises(ExperimentError, match="not open"):
                spool.append_event("params.set", {})
            spool.remove()


def test_a_spool_that_refuses_raises_what_it_was_told_until_it_is_told_otherwise(folder: JournalFolder) -> None:
    with open_spool(folder) as spool:
        loss = stream()
        spool.append_stream(loss, {"i": 1})
        spool.refuse(lambda: StorageError("the journal is broken"))
        for _ in range(2):
            with pytest.raises(StorageError, match="broken"):
                spool.append_stream(loss, {"i": 2})
        spool.refuse(None)
        spool.append_stream(loss, {"i": 3})
        assert taken(spool) == [1, 3]


# -- where the disk does not do its part ---------------------------------------------------------------------------


@small
def test_without_reserved_blocks_rows_are_written_to_the_same_files(tmp_path: Path) -> None:
    folder = JournalFolder(tmp_path, FaultyDisk("reserve_map", error_number=EOPNOTSUPP))
    with open_spool(folder) as spool:
        loss = stream()
        for i in range(200):
            spool.append_stream(loss, {"i": i})
            assert in_files(folder)[-1] == (i + 1, i), "the row must be in the file when the call returns"
        assert len(folder.spool_files()["wa"]) > 3
        assert taken(spool) == list(range(200))


@small
def test_a_full_disk_makes_rows_wait_in_memory_until_there_is_space_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = FaultyDisk()
    folder = JournalFolder(tmp_path, disk)
    with open_spool(folder) as spool:
        loss = stream()
        for i in range(300):
            disk.failing = set(FULL) if 50 <= i < 200 else set()
            spool.append_stream(loss, {"i": i})
            if i == 220:
                assert spool.is_in_memory
                spool.prepare(1)
        assert taken(spool) == list(range(300))
        assert [value for _, value in in_files(folder)][-79:] == list(range(221, 300))
        spool.forget(300)
        assert not spool.is_in_memory
    assert capsys.readouterr().err.count("WARNING") == 1


@small
def test_a_row_that_the_disk_took_half_of_is_kept_whole_elsewhere(tmp_path: Path) -> None:
    disk = FaultyDisk("reserve_map")
    folder = JournalFolder(tmp_path, disk)
    with open_spool(folder) as spool:
        loss = stream()
        for i in range(100):
            if i in (10, 30, 31):
                disk.failing.add("write")
            spool.append_stream(loss, {"i": i})
            disk.failing.discard("write")
            spool.prepare(1)
        assert taken(spool) == list(range(100))
        held = dict(in_files(folder))
        assert {counter: value for counter, value in held.items() if value != counter - 1} == {}
        assert set(held) >= set(range(1, 101)) - {11, 31, 32}


@small
def test_a_full_memory_drops_events_and_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = FaultyDisk()
    folder = JournalFolder(tmp_path, disk)
    with open_spool(folder, memory_bytes_max=10_000) as spool:
        loss = stream()
        disk.failing = set(FULL)
        for i in range(40):
            spool.append_stream(loss, {"i": i, "text": "x" * 1_000})
        assert spool.dropped > 0
        kept = 40 - spool.dropped
        disk.failing = set()
        assert taken(spool) == list(range(kept))
        spool.forget(kept)
        spool.prepare(1)
        spool.append_stream(loss, {"i": 40})
        assert taken(spool) == [40]
    assert capsys.readouterr().err.count("WARNING") == 2


@small
def test_a_strict_spool_raises_instead_of_keeping_rows_in_memory(tmp_path: Path) -> None:
    disk = FaultyDisk()
    folder = JournalFolder(tmp_path, disk)
    with open_spool(folder, is_strict=True) as spool:
        loss = stream()
        kept = []
        for i in range(100):
            disk.failing = set(FULL) if 20 <= i < 60 else set()
            with suppress(StorageError):
                spool.append_stream(loss, {"i": i})
                kept.append(i)
        assert 0 < len(kept) < 100
        assert kept[-40:] == list(range(60, 100))
        assert taken(spool) == kept
        assert not spool.is_in_memory
        disk.failing = set(FULL)
        with pytest.raises(StorageError, match=r"cannot be recorded: .*Free space"):
            spool.append_stream(loss, {"i": 100, "text": "x" * 5000})


def test_a_spool_that_may_begin_in_memory_gets_its_sign_of_life_with_its_first_file(tmp_path: Path) -> None:
    disk = FaultyDisk(*FULL)
    folder = JournalFolder(tmp_path, disk)
    with pytest.raises(OSError, match="No space"), open_spool(folder):
        pass
    with open_spool(folder, must_persist=False) as spool:
        loss = stream()
        spool.append_stream(loss, {"i": 0})
        assert folder.spool_files() == {}
        disk.failing = set()
        spool.prepare(1)
        spool.append_stream(loss, {"i": 1})
        assert is_alive(folder, "wa")
        assert taken(spool) == [0, 1]
        assert in_files(folder) == [(2, 1)]


def test_taking_many_events_gives_the_garbage_collector_no_work(folder: JournalFolder) -> None:
    def collections() -> int:
        return int(gc.get_stats()[0]["collections"])

    with open_spool(folder) as spool:
        streams = [stream("loss"), stream("accuracy")]
        for i in range(10_000):
            spool.append_stream(streams[i % 3 == 0], {"i": i, "loss": i / 7})
        gc.collect()
        before = collections()
        counter, found = spool.cursor.take(1 << 30)
        events = encode_parts(found, spool.shapes, 0)
        assert collections() - before <= 3, "one for each few hundred rows would make old objects be searched as well"
    assert (counter, len(found)) == (1, 10_000)
    assert sum(len(block.positions) for block in decode_events(events, 10_000)) == 10_000
