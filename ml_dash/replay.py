"""State from a journal, and only what is new when asked again.

Keeps promise P3 on the reader's side: what `refresh` gives is the fold of what stands in the journal at that moment.

Reading never blocks a writer and never changes an experiment.
"""

from __future__ import annotations

from collections.abc import Iterator

from .codec import Block, CodecError, decode_events
from .journal.chain import Position
from .journal.damage import Damage
from .journal.folder import JournalFolder
from .journal.format import CommitLine
from .journal.reader import JournalReader
from .state import EMPTY, Fold, State, blocks_before


class Replay:
    """One experiment's state, up to event `at`, or to the journal's end as it is at each `refresh`.

    A folder without a journal has the empty state.  Raises JournalVersionError where a newer release wrote it.
    """

    def __init__(self, folder: JournalFolder, at: int | None = None) -> None:
        self.folder = folder
        self.at = at
        self.state = EMPTY
        self._reader = JournalReader(folder)
        self._fold = Fold()

    @property
    def position(self) -> Position | None:
        """The end of what has been read; None before the first event."""
        return self._reader.position

    @property
    def damage(self) -> list[Damage]:
        """Everything met so far that does not replay."""
        return self._reader.damage

    def refresh(self) -> State:
        """The state now."""
        if self.at is None or self.state.seq < self.at:
            for line in self._reader.commits():
                blocks = _decoded(line)
                if self.at is not None and line.last > self.at:
                    blocks = blocks_before(blocks, self.at - line.first + 1)
                self._fold.add_commit(blocks, line)
                if self.at is not None and line.last >= self.at:
                    break
            self.state = self._fold.state()
        return self.state

    def commits(self, after: int = 0) -> Iterator[tuple[CommitLine, list[Block]]]:
        """The commits that hold events behind number `after`, up to `at`: what stands in the journal now."""
        for line in JournalReader(self.folder).commits():
            if line.last <= after:
                continue
            if self.at is not None and line.first > self.at:
                return
            yield line, _decoded(line)


def _decoded(line: CommitLine) -> list[Block]:
    try:
        return decode_events(line.events, line.count)
    except CodecError:
        return []
