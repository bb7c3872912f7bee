"""Journals that two machines wrote of one experiment, read as one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import StorageError
from ml_dash.facts.codec import decode_events, events_of
from ml_dash.facts.events import PARAMS_SET, VALUE_CORRECTED, Event
from ml_dash.journal.appender import Appender
from ml_dash.journal.batch import Batch
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.reader import JournalReader
from ml_dash.journal.survey import survey
from ml_dash.reading.merging import Merging, Origin
from ml_dash.reading.points import metric_columns
from ml_dash.reading.replay import Replay
from ml_dash.state import fold, to_plain_state

from .examples import examples

PREFIX = "alice/ml/two-machines"


def journal_of(folder: JournalFolder) -> str:
    found = JournalReader(folder).header(1)
    assert found is not None
    return found[0].journal


def origins(*folders: JournalFolder) -> list[Origin]:
    return [Origin(journal_of(folder), folder, 0) for folder in folders]


def on_machine(root: Path) -> JournalFolder:
    return JournalFolder(root.joinpath(*PREFIX.split("/")), prefix=PREFIX)


def events_in(folder: JournalFolder) -> list[Event]:
    found: list[Event] = []
    for line in JournalReader(folder).commits():
        blocks = decode_events(line.events, line.count)
        found += events_of(blocks, line.first, line.time_us, line.writer, line.session)
    return found


def without_numbers(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    return [(each.type, each.time_us, each.writer, each.session, repr(each.data)) for each in events]


@pytest.fixture
def both(tmp_path: Path) -> tuple[JournalFolder, JournalFolder]:
    """Two machines that record into one prefix at the same time."""
    here = Experiment(prefix=PREFIX, dash_root=tmp_path / "here", tags=["here"], console=False)
    there = Experiment(prefix=PREFIX, dash_root=tmp_path / "there", description="there", console=False)
    with here.run, there.run:
        here.params.set(lr=0.1)
        here.flush()
        there.params.set(seed=7)
        there.flush()
        for step in range(20):
            for experiment in (here, there):
                experiment.metrics("train").log(step=step, loss=1 / (step + 1))
                experiment.flush()
    return on_machine(tmp_path / "here"), on_machine(tmp_path / "there")


def test_every_event_of_both_journals_is_there_once(both: tuple[JournalFolder, JournalFolder], tmp_path: Path) -> None:
    merged = Merging(on_machine(tmp_path / "cache")).merge(origins(*both))
    events = events_in(merged)
    assert [each.seq for each in events] == list(range(1, len(events) + 1))
    recorded = [each for folder in both for each in events_in(folder)]
    assert sorted(without_numbers(events)) == sorted(without_numbers(recorded))
    assert survey(merged).ok


def test_the_state_holds_what_both_machines_recorded(both: tuple[JournalFolder, JournalFolder], tmp_path: Path) -> None:
    merged = Merging(on_machine(tmp_path / "cache")).merge(origins(*both))
    state = Replay(merged).refresh()
    assert state.params == {"lr": 0.1, "seed": 7}
    assert (state.tags, state.description) == (("here",), "there")
    assert len(state.sessions) == 2
    assert state.status == "COMPLETED"
    assert state.metrics["train"].count == 40
    # They overlapped, so neither supersedes the other.
    assert len(metric_columns(merged, "train").to_dict()["step"]) == 40


def test_readers_with_the_same_journals_have_the_same_bytes(
    both: tuple[JournalFolder, JournalFolder], tmp_path: Path
) -> None:
    one = Merging(on_machine(tmp_path / "one")).merge(origins(*both))
    other = Merging(on_machine(tmp_path / "other")).merge(origins(*reversed(both)))
    assert without_numbers(events_in(one)) == without_numbers(events_in(other))
    assert to_plain_state(Replay(one).refresh()) == to_plain_state(Replay(other).refresh())


def test_a_correction_follows_the_event_that_it_names(tmp_path: Path) -> None:
    for name, rate in (("here", 0.1), ("there", 0.2)):
        with Experiment(prefix=PREFIX, dash_root=tmp_path / name, console=False).run as experiment:
            experiment.params.set(**{name: rate})
    there = on_machine(tmp_path / "there")
    wrong = next(each for each in events_in(there) if each.type == PARAMS_SET)
    ml_dash.correct(PREFIX, wrong.seq, there=0.3, dash_root=tmp_path / "there", reason="a typing error")
    merged = Merging(on_machine(tmp_path / "cache")).merge(origins(on_machine(tmp_path / "here"), there))
    assert Replay(merged).refresh().params == {"here": 0.1, "there": 0.3}
    correction = next(each for each in events_in(merged) if each.type == VALUE_CORRECTED)
    named = events_in(merged)[correction.data["seq"] - 1]
    assert (named.type, named.data["params"]) == (PARAMS_SET, {"there": 0.2})


def test_what_is_new_is_added_to_what_was_merged(both: tuple[JournalFolder, JournalFolder], tmp_path: Path) -> None:
    merging = Merging(on_machine(tmp_path / "cache"))
    before = merging.merge(origins(*both))
    again = merging.merge(origins(*both))
    with Experiment(prefix=PREFIX, dash_root=tmp_path / "there", console=False).run as experiment:
        experiment.params.set(seed=8)
    after = merging.merge(origins(*both))
    assert before == again == after
    assert Replay(after).refresh().params["seed"] == 8
    assert survey(after).ok


def test_a_correction_of_what_was_merged_earlier_finds_it(
    both: tuple[JournalFolder, JournalFolder], tmp_path: Path
) -> None:
    merging = Merging(on_machine(tmp_path / "cache"))
    merging.merge(origins(*both))
    wrong = next(each for each in events_in(both[0]) if each.type == PARAMS_SET)
    ml_dash.correct(PREFIX, wrong.seq, lr=0.5, dash_root=tmp_path / "here", reason="a typing error")
    assert Replay(merging.merge(origins(*both))).refresh().params["lr"] == 0.5


def test_a_merged_journal_that_was_damaged_is_made_anew(
    both: tuple[JournalFolder, JournalFolder], tmp_path: Path
) -> None:
    merging = Merging(on_machine(tmp_path / "cache"))
    whole = events_in(folder := merging.merge(origins(*both)))
    path = Path(folder.segment_path(1))
    path.write_bytes(path.read_bytes()[:-40])
    assert events_in(merging.merge(origins(*both))) == whole


def test_damage_in_a_copy_is_named(both: tuple[JournalFolder, JournalFolder], tmp_path: Path) -> None:
    path = Path(both[0].segment_path(1))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"Remove .* is brought again"):
        Merging(on_machine(tmp_path / "cache")).merge(origins(*both))


# -- any two journals ------------------------------------------------------------------------------------------------


def commits(name: str, times: Sequence[int]) -> Iterator[Batch]:
    """One commit a time, each of which sets a parameter of its own and one that all set."""
    numbers = count(1)
    for time_us in times:
        number = next(numbers)
        events = b'[{"type":"params.set","t":0,"data":{"params":{"last":"%b%d","%b%d":%d}}}]' % (
            name.encode(),
            number,
            name.encode(),
            number,
            time_us,
        )
        yield Batch(1, time_us, name, name, number, events)


def append(folder: JournalFolder, batches: Sequence[Batch]) -> None:
    folder.disk.make_folder(folder.path)
    appender = Appender(folder, "w")
    with appender.at_end():
        appender.append(batches)
    appender.sync()
    appender.close()


times = st.lists(st.integers(0, 12), min_size=1, max_size=8)


@examples(60)
@given(parts=st.lists(st.tuples(times, st.integers(1, 4)), min_size=2, max_size=4), seed=st.integers(0, 9))
def test_merging_step_by_step_gives_what_merging_at_once_gives(
    parts: list[tuple[list[int], int]], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("merging")
    folders = [on_machine(root / str(number)) for number in range(len(parts))]
    waiting = [list(commits(f"w{number}", moments)) for number, (moments, _) in enumerate(parts)]
    begun: list[JournalFolder] = []
    step_by_step = Merging(on_machine(root / "cache"))
    random_order = random.Random(seed)
    while any(waiting):
        number = random_order.choice([at for at, batches in enumerate(waiting) if batches])
        size = parts[number][1]
        append(folders[number], waiting[number][:size])
        del waiting[number][:size]
        if folders[number] not in begun:
            begun.append(folders[number])
        merged = step_by_step.merge(origins(*begun))
    at_once = Merging(on_machine(root / "fresh")).merge(origins(*reversed(begun)))
    events = events_in(at_once)
    assert events_in(merged) == events
    assert fold(events) == Replay(merged).refresh()
    assert [each.seq for each in events] == list(range(1, len(events) + 1))
    for number, (moments, _) in enumerate(parts):
        own = [each for each in events if each.writer == f"w{number}"]
        assert [each.time_us for each in own] == moments


def test_commits_stand_in_the_order_of_their_times(tmp_path: Path) -> None:
    here, there = on_machine(tmp_path / "here"), on_machine(tmp_path / "there")
    append(here, list(commits("a", [1, 5, 3, 9])))
    append(there, list(commits("b", [2, 4, 6])))
    merged = Merging(on_machine(tmp_path / "cache")).merge(origins(here, there))
    names = [each.data["params"]["last"] for each in events_in(merged)]
    # a3 went back in time and stays behind a2.
    assert names == ["a1", "b1", "b2", "a2", "a3", "b3", "a4"]
