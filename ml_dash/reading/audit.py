"""A journal as a record of who did what, commit by commit: for `ml-dash log`.

Points, track entries, log lines and captured output are counted and not decoded, so that a journal of millions of
points is looked through in about a second.  Everything else is given as it was recorded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ..facts.codec import Block, CodecError
from ..facts.events import COLUMNAR_TYPES, METRIC_LOGGED, TRACK_APPENDED, Event
from ..journal.format import CommitLine
from ..prefix import parse_prefix
from ..state import UNDECODABLE
from .lineage import Lineage, blocks_of
from .listing import folder_of, root_of

Stream = tuple[str, str | None]
"""The type of points or entries, and the name of their metric or topic."""


@dataclass(frozen=True, slots=True)
class LoggedCommit:
    """Events `first` to `last`, which became history together.

    `counts` are its events by type, `streams` its points and entries by type and name, `events` those of all types that
    do not stand as columns.  What this release cannot decode is of type `(undecodable)`.
    """

    first: int
    last: int
    time_us: int
    writer: str
    session: str
    hash: str
    counts: dict[str, int]
    streams: dict[Stream, int]
    events: tuple[Event, ...]


def commits(
    prefix: str, *, dash_root: str | os.PathLike[str] | None = None, dash_url: object = None
) -> Iterator[LoggedCommit]:
    """Every commit of an experiment, oldest first; numbers up to 0 are of what it was forked from.

    Raises what `load` raises.
    """
    folder = folder_of(parse_prefix(prefix), root_of(dash_root, dash_url))
    return map(_logged, Lineage(folder).commits())


def _logged(line: CommitLine) -> LoggedCommit:
    counts: dict[str, int] = {}
    streams: dict[Stream, int] = {}
    events: list[Event] = []
    try:
        blocks = blocks_of(line)
    except CodecError:
        counts[UNDECODABLE] = line.count
        blocks = []
    for block in blocks:
        counts[block.type] = counts.get(block.type, 0) + block.count
        name = _name_of(block)
        if name is not None:
            streams[name] = streams.get(name, 0) + block.count
        elif block.type not in COLUMNAR_TYPES:
            events += _events_of(block, line)
    return LoggedCommit(
        line.first, line.last, line.time_us, line.writer, line.session, line.hash, counts, streams, tuple(events)
    )


def _name_of(block: Block) -> Stream | None:
    if block.type not in (METRIC_LOGGED, TRACK_APPENDED):
        return None
    name = block.name if block.data is None else block.data.get("name")
    return block.type, name if isinstance(name, str) else None


def _events_of(block: Block, line: CommitLine) -> list[Event]:
    try:
        times, payloads = block.times_us(line.time_us), list(block.payloads())
    except CodecError:
        return []
    return [
        Event(line.first + position, block.type, time_us, payload, line.writer, line.session)
        for position, time_us, payload in zip(block.positions, times, payloads, strict=True)
    ]
