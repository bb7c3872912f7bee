"""What somebody who follows an experiment has not been given yet, also where journals of other machines join.

Events of one journal have numbers that stay.  Where journals of several machines are read as one, what comes late may
change them, and the merged journal is another one then.  So what was given is known by its writer: a writer counts its
events, and each of them stands in one journal, once.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..journal.folder import JournalFolder
from ..journal.format import CommitLine
from ..journal.reader import JournalReader


class Unread:
    """Of the journal in `folder` what stands behind event `after`."""

    def __init__(self, folder: JournalFolder, after: int) -> None:
        self._reader = JournalReader(folder)
        self._after = after
        self._counters: dict[str, int] = {}
        self._has_moved = False

    def go_on_in(self, folder: JournalFolder) -> None:
        """The experiment is read there from now on: all that was given stands there, perhaps under other numbers."""
        if not self._has_moved:
            # Also what nobody has asked for counts as given, by the numbers that it had.
            for line in self._reader.commits():
                if line.first <= self._after:
                    self._counters[line.writer] = line.counter + min(line.last, self._after) - line.first
        self._reader = JournalReader(folder)
        self._has_moved = True

    def commits(self) -> Iterator[tuple[CommitLine, int]]:
        """What has come since the last call, and behind which number each of them has not been given yet."""
        for line in self._reader.commits():
            last_counter = line.counter + line.count - 1
            known = self._counters.get(line.writer, line.counter - 1)
            if last_counter > known:
                self._counters[line.writer] = last_counter
            if not self._has_moved:
                yield line, self._after
                # After a failed sync history may go on in commits that begin with what was given already.
                self._after = max(self._after, line.last)
            elif last_counter > known:
                yield line, line.first + max(0, known + 1 - line.counter) - 1
