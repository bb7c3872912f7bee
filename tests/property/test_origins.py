"""Any interleaving of several machines whose clocks jump: every reader ends with the same, and a follower gets all."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.facts.codec import decode_events, events_of
from ml_dash.facts.events import Event
from ml_dash.journal.appender import Appender
from ml_dash.journal.batch import Batch
from ml_dash.journal.folder import JOURNAL, ORIGINS, JournalFolder
from ml_dash.journal.reader import JournalReader
from ml_dash.opening.joining import start_here
from ml_dash.reading.origins import as_one, own_number, whole
from ml_dash.reading.replay import Replay
from ml_dash.reading.unread import Unread
from ml_dash.remote.mirror import journals_below
from ml_dash.state import fold, to_plain_state

from ..examples import examples


def params_set(machine: int, number: int, time_us: int, count: int) -> Batch:
    """A commit that sets parameters: some that all machines set, some of its own."""
    event = b'{"type":"params.set","t":0,"data":{"params":{"last":"%d:%d","own%d":%d}}}'
    events = b"[" + b",".join(event % (machine, number + at, machine, number + at) for at in range(count)) + b"]"
    return Batch(count, time_us, f"w{machine}", f"s{machine}", number, events)


def append(folder: JournalFolder, batch: Batch) -> None:
    folder.disk.make_folder(folder.path)
    appender = Appender(folder, batch.writer)
    with appender.at_end():
        appender.append([batch])
    appender.sync()
    appender.close()


def events_in(folder: JournalFolder) -> list[Event]:
    found: list[Event] = []
    for line in JournalReader(folder).commits():
        blocks = decode_events(line.events, line.count)
        found += events_of(blocks, line.first, line.time_us, line.writer, line.session)
    return found


commits = st.lists(st.tuples(st.integers(0, 2), st.integers(-5, 20), st.integers(1, 3)), min_size=1, max_size=14)


@examples(40)
@given(commits=commits, looks=st.integers(0, 2**14 - 1), after=st.integers(0, 4))
def test_all_readers_agree_and_a_follower_gets_each_event_once(
    commits: list[tuple[int, int, int]], looks: int, after: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = JournalFolder(tmp_path_factory.mktemp("origins") / "alice/ml/a", prefix="alice/ml/a")
    folders = [home, *(JournalFolder(home.experiment / JOURNAL / ORIGINS / name) for name in ("b", "c"))]
    numbers = [1, 1, 1]
    # The first machine is there from the beginning, as wherever somebody can look at the experiment.
    commits = [(0, 3, 2), *commits]
    unread: Unread | None = None
    read = home
    given: list[tuple[str, str]] = []
    skipped: list[tuple[str, str]] = []

    def look() -> None:
        nonlocal unread, read
        now = whole(home)
        if unread is None:
            there = [(each.writer, repr(each.data)) for each in events_in(now)]
            skipped.extend(there[:after])
            unread = Unread(now, len(skipped))
        elif now != read:
            unread.go_on_in(now)
        read = now
        for line, behind in unread.commits():
            blocks = decode_events(line.events, line.count)
            events = events_of(blocks, line.first, line.time_us, line.writer, line.session)
            given.extend((each.writer, repr(each.data)) for each in events if each.seq > behind)

    for at, (machine, time_us, count) in enumerate(commits):
        append(folders[machine], params_set(machine, numbers[machine], time_us, count))
        numbers[machine] += count
        if looks >> at & 1:
            look()
    look()
    incremental = whole(home)
    events = events_in(incremental)
    assert [each.seq for each in events] == list(range(1, len(events) + 1))
    assert len(events) == sum(numbers) - 3
    for machine in range(3):
        own = [each.data["params"][f"own{machine}"] for each in events if each.writer == f"w{machine}"]
        assert own == list(range(1, numbers[machine]))
    fresh = as_one(
        home,
        random.Random(looks).sample(journals_below(home), len(journals_below(home))),
        are_caches=True,
        place=Path(home.path, "another"),
    )
    assert to_plain_state(Replay(fresh).refresh()) == to_plain_state(Replay(incremental).refresh())
    assert fold(events) == Replay(incremental).refresh()
    assert sorted(given + skipped) == sorted((each.writer, repr(each.data)) for each in events)

    own = {each.data["params"]["own0"]: each.seq for each in events_in(home)}
    for each in events:
        if each.writer == "w0":
            assert own_number(home, each.seq) == own[each.data["params"]["own0"]]


@examples(40)
@given(commits=commits, more=st.integers(1, 3))
def test_who_joins_begins_with_what_all_have_recorded(
    commits: list[tuple[int, int, int]], more: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = JournalFolder(tmp_path_factory.mktemp("origins") / "alice/ml/a", prefix="alice/ml/a")
    folders = [home, *(JournalFolder(home.experiment / JOURNAL / ORIGINS / name) for name in ("b", "c"))]
    numbers = [1, 1, 1]
    for machine, time_us, count in [(0, 3, 2), (1, 4, 1), *commits]:
        append(folders[machine], params_set(machine, numbers[machine], time_us, count))
        numbers[machine] += count
    start = start_here(home)
    assert start is not None
    replay = Replay(home, start=start)
    assert replay.refresh().params == Replay(whole(home)).refresh().params
    assert replay.state.seq == numbers[0] - 1
    append(home, params_set(0, numbers[0], 30, more))
    assert replay.refresh().params == Replay(whole(home)).refresh().params
    assert replay.state.seq == numbers[0] - 1 + more
    # Without what was reached, all that the others have is there still.
    anew = Replay(home, start=type(start)(start.base)).refresh()
    assert anew.params.keys() == replay.state.params.keys()
