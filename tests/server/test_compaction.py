"""Objects are joined while others read, add and believe what was true before: nothing changes but their number."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from ml_dash.clock import now_us
from ml_dash.server.append import Batch
from ml_dash.server.compaction import AGE, BELIEF_S, JOIN_OBJECTS_MIN, LOOK_INTERVAL_S, compact
from ml_dash.server.copies import Copy
from ml_dash.server.journals import Diverged, Journals, Stored
from ml_dash.server.store import Store

from .histories import JOURNAL, PREFIX, History

AT_ONCE = timedelta(0)


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.in_memory() if request.param == "memory" else Store.open(tmp_path / "store")


async def ship(journals: Journals, history: History, ends: Iterable[int] | None = None) -> None:
    """A line a batch, from wherever the copy ends."""
    head = await journals.head(PREFIX, JOURNAL)
    reached = (head.segment, head.offset) if head is not None else (0, 0)
    before = head.hash if head is not None else None
    for end in history.ends:
        if (end.segment, end.offset) <= reached:
            continue
        start = reached[1] if reached[0] == end.segment else 0
        data = history.segments[end.segment][start : end.offset]
        await journals.append(PREFIX, JOURNAL, Batch(end.segment, start, data, before))
        reached, before = (end.segment, end.offset), end.hash


async def stands(journals: Journals) -> dict[int, bytes]:
    found = {}
    for segment, size in (await journals.segments(PREFIX, JOURNAL)).items():
        found[segment] = b"".join([each async for each in journals.read(PREFIX, JOURNAL, segment, 0, size)])
    return found


async def objects(store: Store) -> int:
    return len(await store.list("journals"))


def test_joined_objects_hold_the_same_bytes(store: Store) -> None:
    async def run() -> None:
        history = History.of(20, JOIN_OBJECTS_MIN + 5)
        adding, reading = Journals(store), Journals(store)
        await ship(adding, history)
        assert await stands(reading) == history.segments
        before = await objects(store)
        assert await compact(store, Copy.of(PREFIX, JOURNAL), AT_ONCE) > 0
        # One for the segment that is over, one for what of the newest is old, and the last.
        assert (before, await objects(store)) == (20 + 1 + JOIN_OBJECTS_MIN + 5 + 1, 3)
        for journals in (reading, adding, Journals(store)):
            assert await stands(journals) == history.segments
            assert await journals.place_of(PREFIX, JOURNAL, 20) <= (2, 0)
        for _ in range(3):
            history.commit(JOIN_OBJECTS_MIN)
            await ship(adding, history)
            await compact(store, Copy.of(PREFIX, JOURNAL), AT_ONCE)
            assert await stands(reading) == history.segments
            history.open_segment()
            history.commit(2)
            await ship(reading, history)
            assert await stands(adding) == history.segments

    asyncio.run(run())


def test_a_journal_that_has_ended_is_joined_too(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")

    async def run() -> None:
        journals = Journals(store)
        history = History.of(2 * JOIN_OBJECTS_MIN)
        await ship(journals, history)
        await journals.compaction.sweep()
        assert await objects(store) == 2 * JOIN_OBJECTS_MIN + 1
        long_ago = now_us() / 1e6 - 2 * AGE.total_seconds()
        for path in (tmp_path / "store/journals").rglob("*.jsonl"):
            os.utime(path, (long_ago, long_ago))
        # What was looked at a moment ago is left alone.
        await journals.compaction.sweep()
        assert await objects(store) == 2 * JOIN_OBJECTS_MIN + 1
        journals._copy(PREFIX, JOURNAL).looked_s -= LOOK_INTERVAL_S
        await journals.compaction.sweep()
        assert await objects(store) == 2
        assert await stands(journals) == history.segments
        history.commit(3)
        await ship(journals, history)
        assert await stands(Journals(store)) == history.segments
        journals.compaction.close()

    asyncio.run(run())


def test_nothing_young_is_joined(store: Store) -> None:
    async def run() -> None:
        await ship(Journals(store), History.of(JOIN_OBJECTS_MIN * 2))
        before = await objects(store)
        assert await compact(store, Copy.of(PREFIX, JOURNAL)) == 0
        assert await objects(store) == before

    asyncio.run(run())


class Killed(Exception):
    pass


class Dying(Store):
    """Deletes so many objects, and is killed then."""

    left = 0

    async def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            if self.left == 0:
                raise Killed
            self.left -= 1
            await super().delete([path])


def test_a_server_killed_while_it_joins_leaves_the_same_bytes(store: Store) -> None:
    dying = Dying(store._backend, store.name, store._folder)

    async def run() -> None:
        history = History.of(30, 3)
        await ship(Journals(store), history)
        reading = Journals(store)
        for left in (0, 1, 7, 13):
            dying.left = left
            with pytest.raises(Killed):
                await compact(dying, Copy.of(PREFIX, JOURNAL), AT_ONCE)
            assert await stands(Journals(store)) == history.segments
            assert await stands(reading) == history.segments
            history.commit(1)
            await ship(reading, history)
        dying.left = 1000
        await compact(dying, Copy.of(PREFIX, JOURNAL), AT_ONCE)
        assert await stands(reading) == history.segments
        assert await objects(store) < 12

    asyncio.run(run())


def believing_for_long(journals: Journals) -> Copy:
    """What this process knows is as old as if it had been stopped since."""
    copy = journals._copy(PREFIX, JOURNAL)
    copy.checked_us -= int(BELIEF_S * 2_000_000)
    return copy


async def stopped_and_woken(store: Store, others: Callable[[], Awaitable[None]], history: History) -> Stored:
    """A server that was stopped after it had looked, and goes on when its name is free again."""

    class Stopped(Journals):
        is_first = True

        async def _index(self, prefix: str, journal: str) -> None:
            if self.is_first:
                self.is_first = False
                await others()
                believing_for_long(self)

    shared = history.ends[3]
    rest = Batch(1, shared.offset, history.segments[1][shared.offset :], shared.hash)
    return await Stopped(store).append(PREFIX, JOURNAL, rest)


@pytest.mark.parametrize("is_same", [True, False])
def test_a_name_that_is_free_again_is_not_taken_for_the_end(store: Store, is_same: bool) -> None:
    async def run() -> None:
        ours, theirs = History.of(3), History.of(3)
        await ship(Journals(store), ours)
        theirs.commit(2, size=0 if is_same else 5)
        ours.commit(JOIN_OBJECTS_MIN * 2)

        async def others() -> None:
            await ship(Journals(store), ours)
            assert await compact(store, Copy.of(PREFIX, JOURNAL), AT_ONCE) > 0

        if is_same:
            assert (await stopped_and_woken(store, others, theirs)).lines == 0
        else:
            with pytest.raises(Diverged):
                await stopped_and_woken(store, others, theirs)
        assert await stands(Journals(store)) == ours.segments

    asyncio.run(run())
