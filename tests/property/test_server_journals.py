"""Batches in any order, doubled, cut, mixed with those of a copy that went its own way: the server's copy is a prefix.

Two lineages of one journal are sent, in pieces of any kind, through two `Journals` that know nothing of each other and
forget what they know at any time.  A model says what each well-formed piece must be answered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.remote.protocol import Head
from ml_dash.server.append import Batch, InvalidChain
from ml_dash.server.copies import Copy
from ml_dash.server.journals import Diverged, Journals, Stale, Stored
from ml_dash.server.store import Store

from ..examples import examples
from ..server.histories import JOURNAL, PREFIX, History


@dataclass(frozen=True)
class Text:
    """A line and where it stands; `before` is the hash before it, None at the journal's beginning."""

    segment: int
    offset: int
    data: bytes
    before: str | None


def lines_of(history: History) -> list[Text]:
    found = []
    before: str | None = None
    ends = {(each.segment, each.offset): each.hash for each in history.ends}
    for segment, data in sorted(history.segments.items()):
        offset = 0
        for line in data.splitlines(keepends=True):
            found.append(Text(segment, offset, line, before))
            offset += len(line)
            before = ends[segment, offset]
    return found


def lineages(shape: list[int], shared: int, own: list[int]) -> tuple[list[Text], list[Text]]:
    """Two continuations of one journal that have the first `shared` commits of the first segment in common."""
    first, second = History(), History()
    for count in shape:
        first.open_segment()
        first.commit(count)
    second.open_segment()
    second.commit(min(shared, shape[0]))
    second.commit(1, size=7)
    for count in own:
        second.open_segment()
        second.commit(count, size=7)
    return lines_of(first), lines_of(second)


def common(one: list[Text], other: list[Text]) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


class Model:
    def __init__(self) -> None:
        self.stored: list[Text] = []

    def answer(self, lineage: list[Text], start: int, end: int) -> set[str]:
        """What the lines `start` to `end` of a lineage may be answered; takes them if that is `stored`."""
        agreed = common(lineage, self.stored)
        if end <= agreed:
            return {"acknowledged"}
        if agreed < len(self.stored):
            return {"diverged", "stale", "invalid"}
        if start > agreed:
            return {"stale"}
        self.stored += lineage[agreed:end]
        return {"stored"}


async def outcome(journals: Journals, batch: Batch) -> str:
    try:
        found = await journals.append(PREFIX, JOURNAL, batch)
    except Stale:
        return "stale"
    except Diverged:
        return "diverged"
    except InvalidChain:
        return "invalid"
    assert isinstance(found, Stored)
    return "stored" if found.lines else "acknowledged"


async def copy_of(journals: Journals) -> dict[int, bytes]:
    found = {}
    for segment, size in (await journals.segments(PREFIX, JOURNAL)).items():
        chunks = [chunk async for chunk in journals.read(PREFIX, JOURNAL, segment, 0, size)]
        found[segment] = b"".join(chunks)
    return found


def by_segment(lines: list[Text]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for line in lines:
        found[line.segment] = found.get(line.segment, b"") + line.data
    return found


Sent = list[tuple[int, int, int, int, str, int]]
Sending = tuple[list[Text], list[Text], Sent]


@st.composite
def sendings(draw: st.DrawFn) -> Sending:
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    own = draw(st.lists(st.integers(1, 3), max_size=2))
    one, other = lineages(shape, draw(st.integers(0, 4)), own)
    numbers = st.integers(0, 20)
    kinds = st.sampled_from(["whole"] * 8 + ["next"] * 8 + ["cut", "flip", "drop", "swap", "moved", "hash", "forget"])
    steps = st.tuples(st.integers(0, 1), numbers, numbers, st.integers(0, 1), kinds, numbers)
    return one, other, draw(st.lists(steps, max_size=25))


def piece(lineage: list[Text], start: int, length: int) -> tuple[int, int]:
    """A run of lines within one segment."""
    start %= len(lineage)
    end = start + 1
    while end < len(lineage) and end - start <= length and lineage[end].segment == lineage[start].segment:
        end += 1
    return start, end


def broken(kind: str, lines: list[Text], number: int) -> bytes:
    data = b"".join(line.data for line in lines)
    if kind == "cut":
        return data[: max(1, len(data) - 1 - number)]
    if kind == "flip":
        at = number * 37 % len(data)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    if kind == "drop":
        return b"".join(line.data for line in lines[:-2] + lines[-1:])
    if kind == "swap":
        return b"".join(line.data for line in [*lines[:-2], *reversed(lines[-2:])])
    return data


async def check(
    store: Store, one: list[Text], other: list[Text], sent: Sent, kind_of: type[Journals] = Journals
) -> None:
    servers = [kind_of(store), kind_of(store)]
    model = Model()
    for which, first, length, server, kind, number in sent:
        lineage = (one, other)[which]
        if kind == "forget":
            servers[server] = kind_of(store)
            continue
        start, end = piece(lineage, common(lineage, model.stored) if kind == "next" else first, length)
        if kind in ("whole", "next"):
            lines = lineage[start:end]
            allowed = model.answer(lineage, start, end)
            batch = Batch(lines[0].segment, lines[0].offset, b"".join(each.data for each in lines), lines[0].before)
            answer = await outcome(servers[server], batch)
            assert answer in allowed, (answer, allowed, start, end, which)
        else:
            lines = lineage[start:end]
            offset = lines[0].offset + (number + 1 if kind == "moved" else 0)
            before = "0" * 64 if kind == "hash" else lines[0].before
            before_sending = await copy_of(servers[server])
            found = await outcome(servers[server], Batch(lines[0].segment, offset, broken(kind, lines, number), before))
            if found == "stored":
                # What is left of a broken batch may be a whole one: then the model has it too.
                taken = by_segment(model.stored)
                grown = await copy_of(servers[server])
                while taken != grown:
                    model.stored.append(lineage[len(model.stored)])
                    taken = by_segment(model.stored)
            else:
                assert await copy_of(servers[server]) == before_sending
        assert await copy_of(servers[1 - server]) == by_segment(model.stored)
    head = await Journals(store).head(PREFIX, JOURNAL)
    assert (head is None) == (not model.stored)
    if head is not None:
        last = model.stored[-1]
        assert (head.segment, head.offset) == (last.segment, last.offset + len(last.data))


@given(sendings())
@examples(150)
def test_whatever_is_sent_the_copy_is_a_prefix_of_one_lineage(sent: Sending) -> None:
    asyncio.run(check(Store.in_memory(), *sent))


@given(sendings())
@examples(15)
def test_the_same_in_a_directory(sent: Sending) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(check(Store.open(Path(folder) / "store"), *sent))


class Forgiving(Journals):
    """Takes whatever lies inside of what it has for the same."""

    async def _overlap(self, prefix: str, copy: Copy, head: Head, batch: Batch) -> Stored:
        return Stored(head, 0, 0)


def test_a_server_that_does_not_compare_is_caught() -> None:
    one, other = lineages([3, 2], 2, [2])
    whole_of_one, whole_of_other = (0, 0, 9, 0, "next", 0), (1, 0, 9, 0, "whole", 0)
    asyncio.run(check(Store.in_memory(), one, other, [whole_of_one, whole_of_other]))
    with pytest.raises(AssertionError):
        asyncio.run(check(Store.in_memory(), one, other, [whole_of_one, whole_of_other], Forgiving))
