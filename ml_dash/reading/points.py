"""Points of metrics, entries of tracks and log lines, out of the journal: what state does not hold.

One pass over the commits, in order of sequence numbers.  A commit that cannot hold the name asked for is not decoded, a
field that is not asked for is not unpacked, and what is kept is the result alone: typed columns, no list of points.

What was corrected is given as corrected, as far as corrections were made by event `at`.  Who has the state passes its
`corrections`; else they are looked for, in a pass of their own over a folder.

A commit that this release cannot decode, and a payload that is not what `spec/events.md` says, holds no points here;
the state counts it under `unknown`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from ..clock import to_datetime
from ..errors import ConfigurationError
from ..facts.codec import Block, CodecError
from ..facts.columns import Column
from ..facts.events import LOG_WRITTEN, METRIC_LOGGED, TRACK_APPENDED, VALUE_CORRECTED, Event
from ..journal.folder import JournalFolder
from ..journal.format import CommitLine
from ..state import Correction, blocks_before
from ..state.corrections import Corrections, corrections_in
from ..state.supersessions import is_any_superseded, lifetimes_of
from .lineage import Lineage, blocks_of, forked_from
from .point_columns import Columns
from .replay import Replay


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One log line.  `index` counts the log lines of the experiment from 0; `metadata` is None where none was given.

    Its values are also had by the keys of `experiment.logs.read()`: `entry["message"]`, `dict(entry)`.
    """

    index: int
    seq: int
    time_us: int
    level: str
    message: str
    metadata: dict[str, Any] | None

    @property
    def time(self) -> datetime:
        """`time_us` as an aware UTC datetime."""
        return to_datetime(self.time_us)

    def as_dict(self) -> dict[str, Any]:
        """`{sequenceNumber, timestamp, level, message, metadata}`; `metadata` is {} where none was given."""
        return {
            "sequenceNumber": self.index,
            "timestamp": iso_time(self.time_us),
            "level": self.level,
            "message": self.message,
            "metadata": self.metadata or {},
        }

    def keys(self) -> Iterable[str]:
        return self.as_dict().keys()

    def __getitem__(self, key: str) -> Any:
        return self.as_dict()[key]


@dataclass(frozen=True, slots=True)
class Part:
    """A block of one stream and the commit it stands in."""

    line: CommitLine
    block: Block

    def times_us(self) -> list[int]:
        return self.block.times_us(self.line.time_us)

    def seqs(self) -> Column:
        """The sequence numbers of its events."""
        positions, first = self.block.positions, self.line.first
        if isinstance(positions, range):
            return range(first + positions.start, first + positions.stop, positions.step)
        return [first + position for position in positions]

    def columns(self) -> Mapping[str, Column]:
        """The fields of its points."""
        if self.block.data is not None:
            return {key: [value] for key, value in self.block.data["fields"].items()}
        return {key: self.block.column(key) for key in self.block.keys}


Source = Replay | JournalFolder
Known = Mapping[int, Correction] | None
"""`State.corrections`; None: not known yet."""


def commits_of(source: Source, after: int | None = None) -> Iterator[CommitLine]:
    """Every commit of a journal and of those it was forked from, in order; `lineage.blocks_of` decodes one.

    With `after`, what the journal was forked from is left out if all of it is before that event.
    """
    return Lineage(source.folder if isinstance(source, Replay) else source).commits(after)


def corrections_of(source: Source, at: int | None = None, known: Known = None) -> Corrections:
    """The corrections that count after event `at`."""
    if known is None:
        known = source.refresh().corrections if isinstance(source, Replay) else _find_corrections(source, at)
    return Corrections(each for seq, each in known.items() if at is None or seq <= at)


def _find_corrections(folder: JournalFolder, at: int | None) -> Mapping[int, Correction]:
    if forked_from(folder) is not None:
        # Those of its ancestors name events as these count; the state has them as the fork does.
        return Replay(folder, at).refresh().corrections
    events = (
        Event(line.first + position, block.type, time_us, payload, line.writer, line.session)
        for line, block in _blocks_of_type(commits_of(folder), VALUE_CORRECTED, b"")
        for position, time_us, payload in zip(
            block.positions, block.times_us(line.time_us), block.payloads(), strict=True
        )
    )
    return {each.seq: each for each in corrections_in(events)}


def parts_of(source: Source, event_type: str, name: str | None, at: int | None, known: Known) -> Iterator[Part]:
    """The blocks of one metric or track, in order of sequence numbers, as they were after event `at`."""
    for part in _blocks(source, event_type, _needle(name), at, known):
        block = part.block
        if block.data is None:
            is_asked_for = block.named and block.name == name
        else:
            # A payload that is not what it should be: state counts it as unknown.
            data = block.data
            is_asked_for = data.get("name", ...) == name and isinstance(data.get("fields"), dict)
        if is_asked_for:
            yield part


def _needle(name: str | None) -> bytes:
    """Bytes that a commit holds if it holds the name."""
    if name is None:
        return b'"name":null'
    try:
        text = orjson.dumps(name)
    except TypeError:
        return b""
    # Only what JSON has one spelling for; there are several for quotes, backslashes and control characters.
    return b'"name":%b' % text if text[1:-1] == name.encode("utf-8") else b""


def _blocks(source: Source, event_type: str, needle: bytes, at: int | None, known: Known) -> Iterator[Part]:
    corrections = corrections_of(source, at, known)
    for line, block in _blocks_of_type(commits_of(source), event_type, needle, at):
        for corrected in corrections.blocks([block], line.first, line.last):
            yield Part(line, corrected)


def _blocks_of_type(
    commits: Iterable[CommitLine], event_type: str, needle: bytes, at: int | None = None
) -> Iterator[tuple[CommitLine, Block]]:
    type_needle = b'"type":"%b"' % event_type.encode("ascii")
    for line in commits:
        if at is not None and line.first > at:
            return
        if needle not in line.events or type_needle not in line.events:
            continue
        try:
            blocks = [block for block in blocks_of(line) if block.type == event_type]
            if at is not None and at < line.last:
                blocks = blocks_before(blocks, at - line.first + 1)
        except CodecError:
            continue
        for block in blocks:
            if block.data is None or isinstance(block.data, dict):
                yield line, block


def _is_sound(part: Part) -> bool:
    """Whether its times and columns can be decoded."""
    try:
        part.block.check()
    except CodecError:
        return False
    return True


def metric_columns(
    source: Source,
    name: str | None,
    attempts: str = "latest",
    at: int | None = None,
    *,
    with_times: bool = False,
    corrections: Known = None,
) -> Columns:
    """The points of a metric as they were after event `at`; empty where there is no such metric.

    `attempts="latest"` leaves out what a later attempt has superseded (`state/attempts.py`), `"all"` nothing.  Raises
    ConfigurationError for any other word.
    """
    check_attempts(attempts)
    columns = Columns()
    for part in parts_of(source, METRIC_LOGGED, name, at, corrections):
        try:
            fields = part.columns()
            times = part.times_us() if with_times else ()
        except CodecError:
            continue
        columns.append(part.line.session, part.block.count, fields, part.seqs(), times)
    columns.complete()
    if attempts == "all":
        return columns
    replay = source if isinstance(source, Replay) else Replay(source, at)
    state = replay.refresh()
    return columns.latest(lifetimes_of(state)) if is_any_superseded(state, name) else columns


def check_attempts(attempts: str) -> None:
    """Raises ConfigurationError unless it is one of the two words."""
    if attempts not in ("latest", "all"):
        raise ConfigurationError(
            f"attempts={attempts!r:.100} is not known: 'latest' leaves out points that a later attempt logged again, "
            "'all' gives every point there is"
        )


def metric_page(
    source: Source,
    name: str | None,
    start_index: int = 0,
    limit: int | None = 1000,
    attempts: str = "all",
    at: int | None = None,
    corrections: Known = None,
) -> dict[str, Any]:
    """`limit` points of a metric from index `start_index` on: `{data, startIndex, endIndex, total, hasMore}`.

    An index counts all points from 0, also where `attempts="latest"` leaves out those that are superseded.
    """
    latest = None
    if attempts != "all":
        latest = frozenset(metric_columns(source, name, attempts, at, corrections=corrections).seq.values())
    rows = metric_rows(source, name, start_index, None if limit is None else limit + 1, at, corrections, latest)
    data = rows[:limit]
    return {
        "data": data,
        "startIndex": start_index,
        "endIndex": data[-1]["index"] if data else start_index - 1,
        "total": len(data),
        "hasMore": len(rows) > len(data),
    }


def metric_rows(
    source: Source,
    name: str | None,
    start_index: int = 0,
    limit: int | None = 1000,
    at: int | None = None,
    corrections: Known = None,
    only: Collection[int] | None = None,
) -> list[dict[str, Any]]:
    """`limit` points of a metric from `start_index` on, counted from 0 over all attempts; those of the sequence numbers
    `only`, if they are given.

    `[{"index": int, "data": {field: value}, "createdAt": str}]`; createdAt is ISO 8601 in UTC with microseconds, such
    as `2026-01-31T12:00:00.000000Z`.
    """
    rows: list[dict[str, Any]] = []
    stop = None if limit is None or only is not None else start_index + limit
    index = 0
    for part in parts_of(source, METRIC_LOGGED, name, at, corrections):
        if (stop is not None and index >= stop) or (limit is not None and len(rows) >= limit):
            break
        # What cannot be decoded keeps its numbers, so that what lies before the window need not be looked at.
        if index + part.block.count > start_index and _is_sound(part):
            seqs = part.seqs()
            for offset, (time_us, payload) in enumerate(zip(part.times_us(), part.block.payloads(), strict=True)):
                if only is not None and seqs[offset] not in only:
                    continue
                if index + offset >= start_index and (stop is None or index + offset < stop):
                    created = iso_time(time_us)
                    rows.append({"index": index + offset, "data": payload["fields"], "createdAt": created})
        index += part.block.count
    return rows[:limit]


def track_rows(
    source: Source,
    topic: str,
    start: float | None = None,
    end: float | None = None,
    at: int | None = None,
    corrections: Known = None,
) -> list[tuple[float, dict[str, Any]]]:
    """`(timestamp, fields)` of a topic with `start <= timestamp <= end`, ascending; timestamps are seconds as given.

    Entries of one timestamp are one row whenever they were written: later fields replace earlier ones, `2` is `2.0`.
    """
    rows: dict[float, dict[str, Any]] = {}
    for part in filter(_is_sound, parts_of(source, TRACK_APPENDED, topic, at, corrections)):
        for payload in part.block.payloads():
            fields = dict(payload["fields"])
            timestamp = fields.pop("_ts", None)
            if not isinstance(timestamp, int | float):
                continue
            if (start is None or start <= timestamp) and (end is None or timestamp <= end):
                rows.setdefault(timestamp, {}).update(fields)
    return sorted(rows.items(), key=lambda row: row[0])


def log_entries(source: Source, at: int | None = None, corrections: Known = None) -> Iterator[LogEntry]:
    """Every log line, in order, read as it is asked for."""
    index = 0
    for part in filter(_is_sound, _blocks(source, LOG_WRITTEN, b"", at, corrections)):
        for seq, time_us, data in zip(part.seqs(), part.times_us(), part.block.payloads(), strict=True):
            level = data.get("level")
            # What else a payload may be, state counts as unknown.
            if isinstance(level, str):
                yield LogEntry(index, seq, time_us, level, str(data.get("message", "")), data.get("metadata"))
                index += 1


def log_rows(
    source: Source,
    level: str | None = None,
    search: str | None = None,
    start: int = 0,
    limit: int | None = None,
    at: int | None = None,
    corrections: Known = None,
) -> list[LogEntry]:
    """The log lines of that level whose message contains `search` in any case; of those, `limit` from `start` on."""
    wanted = search.casefold() if search is not None else None
    found: list[LogEntry] = []
    for entry in log_entries(source, at, corrections):
        if limit is not None and len(found) >= start + limit:
            break
        if (level is None or entry.level == level) and (wanted is None or wanted in entry.message.casefold()):
            found.append(entry)
    return found[start:]


def iso_time(time_us: int) -> str:
    """ISO 8601 in UTC with microseconds and `Z`."""
    return to_datetime(time_us).isoformat(timespec="microseconds").replace("+00:00", "Z")
