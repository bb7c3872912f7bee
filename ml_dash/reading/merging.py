"""Several journals of one experiment, as machines wrote them that knew nothing of each other, as one journal.

  <home>/_journal/merged/merged.json                    how far which journal has been merged
  <home>/_journal/merged/<generation>/_journal/         the merged journal: an ordinary one, read like any other

1. Commits stand in the order of their times.  Those of one journal never change places: a commit counts as of the
   latest time that its journal has reached.  At the same time the lesser journal id comes first.  So the order follows
   from the journals alone, and every reader who has the same journals has the same state.
2. Numbers are dense from 1.  What names an event by its number (a correction, a redaction) names it by the new one.
3. A commit that comes late, of a time that was merged already, makes all be merged anew, as the next generation.  The
   one before it stays until then for whoever is reading it.
4. It is a cache: `merged.json` is written last, and a merged journal that does not end as it says is made anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import merge as merge_sorted
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from ..errors import StorageError
from ..facts.events import EVENT_REDACTED, VALUE_CORRECTED
from ..ids import new_id
from ..journal.appender import Appender
from ..journal.batch import Batch
from ..journal.chain import Position
from ..journal.folder import JournalFolder
from ..journal.format import CommitLine
from ..journal.lock import JournalLock
from ..journal.reader import JournalReader

MERGED = "merged"
MARK = "merged.json"
WRITE_BYTES = 4 * 1024 * 1024
_BEFORE_ALL = -(1 << 62)
_NAMING_TYPES = (VALUE_CORRECTED, EVENT_REDACTED)
_NAMING_BYTES = tuple(b'"type":"%b"' % each.encode("ascii") for each in _NAMING_TYPES)

Place = tuple[int, str]
"""Where a commit stands in the order of rule 1: its time, and its journal."""
Placed = tuple[int, str, CommitLine]


class _Late(Exception):
    """Rule 3."""


@dataclass(slots=True)
class Origin:
    """One of the journals, and how far it has been merged.  `redactions` changes when its bytes were replaced."""

    journal: str
    folder: JournalFolder
    redactions: int
    position: Position | None = None
    reached_us: int = _BEFORE_ALL
    firsts: list[int] = field(default_factory=list)
    shifts: list[int] = field(default_factory=list)

    def lines(self) -> Iterator[Placed]:
        """What is new in it, with its place."""
        reader = JournalReader(self.folder, self.position)
        for line in reader.commits():
            self.reached_us = max(self.reached_us, line.time_us)
            self.position = reader.position
            yield self.reached_us, self.journal, line
        self.position = reader.position
        damage = next((each for each in reader.damage if each.refuses_writing), None)
        if damage is not None:
            raise StorageError(
                f"{self.folder.path}, a copy of journal {self.journal}, is damaged in segment {damage.segment} at byte "
                f"{damage.offset}: expected {damage.expected}, found {damage.found}. Remove {self.folder.path}: what "
                "the server has is brought again"
            )

    def moves(self, first: int, to: int) -> None:
        """From event `first` on, its events have other numbers."""
        shift = to - first
        if not self.shifts or self.shifts[-1] != shift:
            self.firsts.append(first)
            self.shifts.append(shift)

    def number_of(self, seq: int) -> int:
        """The new number of event `seq`.  Raises _Late where it was merged earlier."""
        at = bisect_right(self.firsts, seq) - 1
        if at < 0:
            raise _Late
        return seq + self.shifts[at]


@dataclass(frozen=True, slots=True)
class Mark:
    """What `merged.json` says: the merged journal ends at `end`, and the last commit in it has its place at `place`."""

    generation: int
    end: Position
    place: Place
    origins: dict[str, dict[str, Any]]


class Merging:
    """Of the journals of the experiment in `home`; of several processes, one merges at a time."""

    def __init__(self, home: JournalFolder) -> None:
        self._home = home
        self._disk = home.disk
        self._folder = f"{home.path}/{MERGED}"

    def merge(self, origins: Sequence[Origin]) -> JournalFolder:
        """Where they stand merged, as they are now.  Raises StorageError, LockError or OSError."""
        self._disk.make_folder(self._folder)
        with JournalLock(f"{self._folder}/lock"):
            mark = self._mark()
            if mark is not None and self._goes_on(mark, origins):
                try:
                    return self._append(mark, origins)
                except _Late:
                    origins = [Origin(each.journal, each.folder, each.redactions) for each in origins]
            return self._anew(0 if mark is None else mark.generation, origins)

    # -- inside --------------------------------------------------------------------------------------------------

    def _goes_on(self, mark: Mark, origins: Sequence[Origin]) -> bool:
        """Whether what is merged is what these begin with; then each is put to where it has been merged up to."""
        known = {each.journal: mark.origins.get(each.journal) for each in origins}
        if not mark.origins.keys() <= known.keys():
            return False
        if any(found and found["redactions"] != each.redactions for each in origins for found in [known[each.journal]]):
            return False
        reader = JournalReader(self._generation(mark.generation), mark.end)
        if any(True for _ in reader.commits()) or reader.damage:
            return False
        for each in origins:
            if (found := known[each.journal]) is not None:
                each.position, each.reached_us = Position(**found["position"]), found["reached_us"]
        return True

    def _append(self, mark: Mark, origins: Sequence[Origin]) -> JournalFolder:
        """Raises _Late where something belongs before what has been merged."""
        lines = merge_sorted(*(each.lines() for each in origins), key=itemgetter(0, 1))
        first = next(lines, None)
        if first is None:
            return self._generation(mark.generation)
        if first[:2] < mark.place:
            raise _Late
        return self._write(mark.generation, mark.end, chain((first,), lines), origins)

    def _anew(self, last_generation: int, origins: Sequence[Origin]) -> JournalFolder:
        for name in self._disk.list_folders(self._folder):
            if name != str(last_generation):
                self._disk.remove_tree(f"{self._folder}/{name}")
        lines = merge_sorted(*(each.lines() for each in origins), key=itemgetter(0, 1))
        return self._write(last_generation + 1, None, lines, origins)

    def _write(
        self, generation: int, start: Position | None, lines: Iterable[Placed], origins: Sequence[Origin]
    ) -> JournalFolder:
        folder = self._generation(generation)
        self._disk.make_folder(folder.path)
        of_journal = {each.journal: each for each in origins}
        appender = Appender(folder, new_id(), start=start)
        try:
            with appender.at_end():
                at = appender.position
                next_seq, place, waiting, size = 1 if at is None else at.next_seq, None, [], 0
                for time_us, journal, line in lines:
                    origin = of_journal[journal]
                    origin.moves(line.first, next_seq)
                    batch = replace(Batch.of(line), events=_renumbered(line.events, origin))
                    place, next_seq = (time_us, journal), next_seq + line.count
                    waiting.append(batch)
                    size += len(batch.events)
                    if size >= WRITE_BYTES:
                        appender.append(waiting)
                        waiting, size = [], 0
                if waiting:
                    appender.append(waiting)
            if appender.position is not None and place is not None:
                self._set_mark(generation, appender.position, place, origins)
        finally:
            appender.close()
        return folder

    def _generation(self, number: int) -> JournalFolder:
        return JournalFolder(Path(self._folder, str(number)), self._disk, self._home.prefix)

    def _mark(self) -> Mark | None:
        try:
            descriptor = self._disk.open_read(f"{self._folder}/{MARK}")
        except FileNotFoundError:
            return None
        try:
            members = orjson.loads(self._disk.read_at(descriptor, 0, self._disk.size_of(descriptor)))
            time_us, journal = members["place"]
            return Mark(members["generation"], Position(**members["end"]), (time_us, journal), members["origins"])
        except (ValueError, KeyError, TypeError):
            return None
        finally:
            self._disk.close(descriptor)

    def _set_mark(self, generation: int, end: Position, place: Place, origins: Sequence[Origin]) -> None:
        """Rule 4."""
        merged = {
            each.journal: {
                "position": each.position,
                "reached_us": each.reached_us,
                "redactions": each.redactions,
            }
            for each in origins
            if each.position is not None
        }
        members = {"generation": generation, "end": end, "place": place, "origins": merged}
        temporary = f"{self._folder}/.{MARK}.{new_id()}"
        descriptor = self._disk.create(temporary)
        try:
            self._disk.write(descriptor, orjson.dumps(members))
        finally:
            self._disk.close(descriptor)
        self._disk.rename(temporary, f"{self._folder}/{MARK}")


def _renumbered(events: bytes, origin: Origin) -> bytes:
    """Rule 2, of the events of a commit.  What is no such event, or names none, stays as it is."""
    if not any(each in events for each in _NAMING_BYTES):
        return events
    blocks = orjson.loads(events)
    for block in blocks:
        if block.get("type") in _NAMING_TYPES and isinstance(data := block.get("data"), dict):
            seq = data.get("seq")
            if type(seq) is int and seq > 0:
                data["seq"] = origin.number_of(seq)
    return orjson.dumps(blocks)
