"""An experiment while it goes on: its state, how its metrics have gone, its last log lines, brought up to date cheaply.

What is kept is bounded by the number of metrics and fields, never by that of points.  Bringing it up to date reads what
is new and nothing else, and stops when its time is up: what is left is read the next time, so that looking at a journal
of millions of points shows something at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from ..clock import monotonic_s
from ..facts.codec import Block, CodecError
from ..facts.columns import Column
from ..facts.events import LOG_WRITTEN, METRIC_LOGGED
from ..journal.damage import Damage
from ..journal.folder import JournalFolder
from ..journal.format import CommitLine
from ..state import State
from .lineage import Lineage, blocks_of, reading
from .replay import Replay
from .sources import current
from .trend import Trend
from .unread import Unread

LINES_MAX = 20
FIELDS_MAX = 2000
"""Trends are kept of the first so many fields."""

Field = tuple[str | None, str]
"""The name of a metric and of a field of it."""


class Watch:
    """Of the experiment in `folder`.  Used by one thread at a time."""

    def __init__(self, folder: JournalFolder) -> None:
        self.folder = folder
        self.trends: dict[Field, Trend] = {}
        self.lines: deque[tuple[int, str, str]] = deque(maxlen=LINES_MAX)
        """The last log lines: time in microseconds since 1970, level, message."""
        self._replay = Replay(folder)
        self._unread = Unread(folder, 0)
        self._commits: Iterator[CommitLine] | None = self._all()

    @property
    def state(self) -> State:
        """As it was when `refresh` was called last."""
        return self._replay.state

    @property
    def damage(self) -> list[Damage]:
        return self._replay.damage

    def refresh(self, time_s_max: float) -> bool:
        """Reads what is new.  False where the time was too short for the trends and lines of all of it.

        Raises StorageError where the folder cannot be read.
        """
        with reading(self.folder):
            now = current(self.folder)
        if now != self.folder:
            # Trends and lines of what was given stay; the state is that of all journals there are.
            self.folder, self._replay, self._commits = now, Replay(now), None
            self._unread.go_on_in(now)
        deadline_s = monotonic_s() + time_s_max
        with reading(self.folder):
            self._replay.refresh()
            if self._commits is None:
                self._commits = self._new()
            for line in self._commits:
                self._add(line)
                if monotonic_s() > deadline_s:
                    return False
            self._commits = None
        return True

    def _all(self) -> Iterator[CommitLine]:
        for line in Lineage(self.folder).commits():
            # Its own events are numbered from 1.
            if line.first > 0:
                break
            yield line
        yield from self._new()

    def _new(self) -> Iterator[CommitLine]:
        for line, behind in self._unread.commits():
            if line.last > behind:
                yield line

    def _add(self, line: CommitLine) -> None:
        try:
            for block in blocks_of(line):
                if block.type == METRIC_LOGGED:
                    self._extend(block)
                elif block.type == LOG_WRITTEN:
                    self._tell(block, line.time_us)
        except (CodecError, KeyError, AttributeError, TypeError):
            # The state counts as unknown what cannot be decoded, or is not what it should be.
            return

    def _extend(self, block: Block) -> None:
        name, columns = _fields(block)
        for key, column in columns.items():
            trend = self.trends.get((name, key))
            if trend is None:
                if len(self.trends) >= FIELDS_MAX:
                    continue
                trend = self.trends[name, key] = Trend()
            trend.extend(column)

    def _tell(self, block: Block, time_us: int) -> None:
        for written_us, data in zip(block.times_us(time_us), block.payloads(), strict=True):
            self.lines.append((written_us, str(data.get("level")), str(data.get("message", ""))))


def _fields(block: Block) -> tuple[str | None, Mapping[str, Column]]:
    if block.data is not None:
        return block.data["name"], {key: [value] for key, value in block.data["fields"].items()}
    return block.name, {key: block.column(key) for key in block.keys}
