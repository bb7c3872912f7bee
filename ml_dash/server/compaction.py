"""Joins the many small objects of a journal into few large ones.

A training that ships every second makes some ten thousand objects a segment, and whoever lists them waits.  Neighbours
of one segment are joined: the first of them is replaced by all of their bytes, then the others are deleted.  Whoever
reads meanwhile finds the same bytes: an object that begins before the place that was reached is passed over
(`copies.py`).

Deleting frees a name under which the copy went on once, and a server that believes that it ends there still could
create it again.  So that this is never taken for storing:

 1. Only what is older than `AGE` is joined, and never the last object.
 2. Who has created an object looks again whether it counts, unless what was believed is younger than `BELIEF_S`: within
    that time nothing that followed can have been joined (`journals.py`).

`AGE` is longer than `BELIEF_S` by more than the clocks of a store and its servers differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from ..clock import now_us, to_datetime
from .copies import Copy
from .pieces import Piece, place_of
from .store import Store

AGE = timedelta(hours=2)
BELIEF_S = 1800.0
JOIN_OBJECTS_MIN = 64
JOIN_BYTES_MAX = 16 * 1024 * 1024
LOOK_EVERY_OBJECTS = 128
"""So many objects more, and a server looks whether there is something to join, once in `LOOK_INTERVAL_S` at most."""
LOOK_INTERVAL_S = 300.0
"""Looking means listing all of the objects of a journal, and whoever adds to it waits while some are joined."""
SWEEP_INTERVAL_S = 1800.0
"""A journal that nothing is added to any more is looked at as often as this while it has many objects."""


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbours of one segment, to be joined."""

    pieces: tuple[Piece, ...]


async def compact(store: Store, copy: Copy, age: timedelta = AGE) -> int:
    """Joins what is old enough, under the copy's lock; how many objects were deleted."""
    copy.forget()
    await copy.refresh(store)
    oldest = to_datetime(now_us()) - age
    old = {each.path for each in await store.list(copy.folder) if each.modified < oldest and place_of(each.path)}
    pieces = list(copy.pieces)
    counting = {piece.path for piece in pieces}
    last = pieces[-1].path if pieces else ""
    # Left by a server that was killed amidst, or created by one that was stopped for long.
    passed_over = [path for path in sorted(old - counting) if path < last]
    await store.delete(passed_over)
    deleted = len(passed_over)
    for group in groups(pieces[:-1], old):
        parts = [await store.read(piece.path) for piece in group.pieces]
        await store.replace(group.pieces[0].path, b"".join(parts))
        await store.delete([piece.path for piece in group.pieces[1:]])
        deleted += len(group.pieces) - 1
    if deleted:
        copy.forget()
        await copy.refresh(store)
    return deleted


def groups(pieces: list[Piece], old: set[str]) -> Iterator[Group]:
    """Runs of at least `JOIN_OBJECTS_MIN` neighbours, or of all there are of a segment that is over."""
    run: list[Piece] = []
    for number, piece in enumerate([*pieces, None]):
        is_next = (
            piece is not None
            and piece.path in old
            and (not run or run[-1].segment == piece.segment)
            and sum(each.end - each.start for each in run) + piece.end - piece.start <= JOIN_BYTES_MAX
        )
        if not is_next and run:
            following = pieces[number] if number < len(pieces) else None
            is_over = following is not None and following.segment != run[-1].segment
            if len(run) >= JOIN_OBJECTS_MIN or (is_over and len(run) > 1):
                yield Group(tuple(run))
            run = []
        if piece is not None and piece.path in old:
            run.append(piece)
