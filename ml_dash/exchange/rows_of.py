"""What is exported, a piece at a time: points, entries and lines of a run that was loaded, as they were at its event.

Memory: a piece of one metric.  Where several attempts are to be told apart, also the steps and numbers of its points,
16 bytes each; of a track, whose entries merge by their times, all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError
from ..facts.codec import CodecError
from ..facts.columns import Column
from ..facts.events import FILE_SAVED, LOG_WRITTEN, METRIC_LOGGED
from ..journal.folder import JournalFolder
from ..reading.lineage import blocks_of
from ..reading.point_columns import Columns
from ..reading.points import Part, check_attempts, commits_of, corrections_of, parts_of
from ..reading.run_view import Run
from ..reading.typed_columns import TypedColumn
from ..state import State, blocks_before
from ..state.attempts import STEP_FIELDS
from ..state.supersessions import lifetimes_of


@dataclass(frozen=True, slots=True)
class Chosen:
    """A run to export, and what of it: the metric called `metric` alone, unless that is `...`.

    `has_contents` says that its saved files are at hand: those of a run on a server are not.
    """

    run: Run
    folder: JournalFolder
    attempts: str
    metric: Any = ...
    has_contents: bool = True

    @property
    def state(self) -> State:
        return self.run.state

    def metrics(self) -> list[str | None]:
        """Raises ConfigurationError where the one that is asked for is not there."""
        names = list(self.state.metrics)
        if self.metric is ...:
            return names
        if self.metric not in names:
            known = ", ".join(repr(name) for name in names) or "none"
            raise ConfigurationError(f"{self.run.prefix!r} has no metric {self.metric!r}; it has {known}")
        return [self.metric]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some points of one metric that follow each other; all columns are equally long, None where a field is missing."""

    seq: Sequence[int]
    time_us: Sequence[int]
    fields: Mapping[str, Sequence[Any]]


def fields_of(chosen: Chosen, name: str | None) -> list[str]:
    """The fields of a metric, in the order in which they appeared."""
    return list(chosen.state.metrics[name].fields)


def pieces(chosen: Chosen, name: str | None) -> Iterator[Piece]:
    """The points of a metric."""
    kept = latest_of(chosen, name)
    for part in parts_of(chosen.folder, METRIC_LOGGED, name, chosen.run.seq, chosen.state.corrections):
        try:
            fields, times = part.columns(), part.times_us()
        except CodecError:
            continue
        piece = Piece(part.seqs(), times, fields)
        yield piece if kept is None else kept.of(piece)


class Kept:
    """The points of a metric that no later attempt has superseded, asked for in order."""

    def __init__(self, seqs: TypedColumn) -> None:
        self._seqs = iter(seqs)
        self._next = next(self._seqs, None)

    def has(self, seq: int) -> bool:
        """Only for ever greater numbers."""
        while self._next is not None and self._next < seq:
            self._next = next(self._seqs, None)
        return self._next == seq

    def of(self, piece: Piece) -> Piece:
        rows = [row for row, seq in enumerate(piece.seq) if self.has(seq)]
        if len(rows) == len(piece.seq):
            return piece
        fields = {key: _rows(column, rows) for key, column in piece.fields.items()}
        return Piece(_rows(piece.seq, rows), _rows(piece.time_us, rows), fields)


def _rows(column: Column | Sequence[Any], rows: list[int]) -> list[Any]:
    return [column[row] for row in rows]


def latest_of(chosen: Chosen, name: str | None) -> Kept | None:
    """None where all points of a metric are to be exported."""
    check_attempts(chosen.attempts)
    lifetimes = lifetimes_of(chosen.state)
    if chosen.attempts == "all" or sum(len(each.attempts) for each in lifetimes) < 2:
        return None
    steps = Columns()
    for part in parts_of(chosen.folder, METRIC_LOGGED, name, chosen.run.seq, chosen.state.corrections):
        try:
            fields = {key: column for key, column in part.columns().items() if key in STEP_FIELDS}
        except CodecError:
            continue
        steps.append(part.line.session, part.block.count, fields, part.seqs())
    steps.complete()
    return Kept(steps.latest(lifetimes).seq)


def in_order(chosen: Chosen) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
    """`(seq, time_us, type, payload)` of points, log lines and saved files in the order of history.

    One pass, whatever the number of metrics.
    """
    names = set(chosen.metrics())
    kept = {name: latest_of(chosen, name) for name in names}
    corrections = corrections_of(chosen.folder, chosen.run.seq, chosen.state.corrections)
    wanted = (METRIC_LOGGED, LOG_WRITTEN, FILE_SAVED)
    for line in commits_of(chosen.folder):
        if line.first > chosen.run.seq:
            return
        try:
            blocks = [block for block in blocks_of(line) if block.type in wanted]
            blocks = blocks_before(blocks, chosen.run.seq - line.first + 1) if line.last > chosen.run.seq else blocks
            parts = [Part(line, each) for each in corrections.blocks(blocks, line.first, line.last)]
            events = [event for part in parts for event in _events_of(part)]
        except CodecError:
            continue
        for event in sorted(events, key=lambda event: event[0]):
            if event[2] == METRIC_LOGGED:
                name = event[3].get("name")
                points = kept.get(name)
                if name not in names or not isinstance(event[3].get("fields"), dict):
                    continue
                if points is not None and not points.has(event[0]):
                    continue
            yield event


def _events_of(part: Part) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
    for seq, time_us, payload in zip(part.seqs(), part.times_us(), part.block.payloads(), strict=True):
        yield seq, time_us, part.block.type, payload
