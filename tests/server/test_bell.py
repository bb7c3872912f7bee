"""Those who follow one experiment look together, and never at what was before the last ring."""

from __future__ import annotations

import asyncio

from ml_dash.remote.protocol import Head
from ml_dash.server.bell import Bell


class Looking:
    """Looks that take as long as they are made to."""

    def __init__(self) -> None:
        self.count = 0
        self.may_end = asyncio.Event()

    async def __call__(self) -> list[Head]:
        self.count += 1
        found = [Head("j", 1, self.count, 1, "", 0)]
        await self.may_end.wait()
        return found


def test_many_who_look_at_once_look_once() -> None:
    async def run() -> None:
        bell, look = Bell(), Looking()
        looking = [asyncio.create_task(bell.together("a/b/c", look, 60.0)) for _ in range(50)]
        await asyncio.sleep(0)
        # Whoever goes away takes nothing from the others.
        looking[0].cancel()
        look.may_end.set()
        assert {found[0].offset for found in await asyncio.gather(*looking[1:])} == {1}
        assert (await bell.together("a/b/c", look, 60.0))[0].offset == 1
        assert (await bell.together("a/b/other", look, 60.0))[0].offset == 2
        assert (await bell.together("a/b/c", look, -1.0))[0].offset == 3

    asyncio.run(run())


def test_what_began_before_a_ring_is_not_given_behind_it() -> None:
    async def run() -> None:
        bell, look = Bell(), Looking()
        before = asyncio.create_task(bell.together("a/b/c", look, 60.0))
        await asyncio.sleep(0)
        bell.ring("a/b/c")
        behind = asyncio.create_task(bell.together("a/b/c", look, 60.0))
        await asyncio.sleep(0)
        look.may_end.set()
        assert ((await before)[0].offset, (await behind)[0].offset) == (1, 2)

    asyncio.run(run())


def test_nothing_is_remembered_of_what_nobody_follows() -> None:
    async def run() -> None:
        bell, look = Bell(), Looking()
        look.may_end.set()
        rung = bell.register("a/b/c")
        await bell.together("a/b/c", look, 60.0)
        bell.forget("a/b/c", rung)
        assert (await bell.together("a/b/c", look, 60.0))[0].offset == 2

    asyncio.run(run())
