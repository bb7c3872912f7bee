"""Several journals of one experiment, as machines wrote them that knew nothing of each other, as one journal.

  <home>/_journal/merged/merged.json                    how far which journal has been merged
  <home>/_journal/merged/<generation>/_journal/         the merged journal: an ordinary one, read like any other

1. Commits stand in the order of their times.  Those of one journal never change places: a commit counts as of the
   latest time that its journal has reached.  At the same time the lesser journal id comes first.  So the order follows
   from the journals alone, and every reader who has the same journals has the same state.  What a fork began with
   stands before all else, whatever the clocks said.
2. Numbers are dense from 1.  What names an event by its number (a correction, a redaction) names it by the new one.
3. A commit that comes late, of a time that was merged already, makes all be merged anew, as the next generation.  The
   one before it stays until then for whoever is reading it.
4. It is a cache: `merged.json` is written last, and a merged journal that does not end as it says is made anew.  Where
   this user may not write to the home, it stands in the cache of this user.
5. What was redacted in one of them is in none of the generations: all is merged anew with the markers in it, and the
   generations before are removed at once.
6. A copy in a cache is brought again where it is damaged, and not merged.  Of a journal that is no cache what is intact
   is merged, and all anew as long as there is damage: it may be mended.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from heapq import merge as merge_sorted
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from ..errors import StorageError
from ..facts.events import EVENT_REDACTED, EXPERIMENT_FORKED, VALUE_CORRECTED
from ..ids import new_id
from ..journal.appender import Appender
from ..journal.batch import Batch
from ..journal.chain import Position
from ..journal.declarations import REDACTED_IN_BYTES, declared_in
from ..journal.folder import JournalFolder
from ..journal.format import CommitLine
from ..journal.lock import JournalLock
from ..journal.reader import JournalReader
from ..journal.replacing import replace_file
from ..state.nouns import Redaction

MERGED = "merged"
MARK = "merged.json"
WRITE_BYTES = 4 * 1024 * 1024
_BEFORE_ALL = -(1 << 62)
_NAMING_TYPES = (VALUE_CORRECTED, EVENT_REDACTED)
_NAMING_BYTES = tuple(b'"type":"%b"' % each.encode("ascii") for each in _NAMING_TYPES)
_FORKED_BYTES = b'"type":"%b"' % EXPERIMENT_FORKED.encode("ascii")
ANEW_MAX = 8

Place = tuple[int, str]
"""Where a commit stands in the order of rule 1: its time, and its journal."""
Placed = tuple[int, str, CommitLine]


class _Late(Exception):
    """Rule 3, and what else is merged anew for."""


def _is_late(first_seq: int) -> None:
    """A journal goes on differently from there than was merged."""
    raise _Late


@dataclass(slots=True)
class Origin:
    """One of the journals, and how far it has been merged.  `redactions` changes when its bytes were replaced.

    `is_cache` says that it is a copy of what a server has, and can be brought again.
    """

    journal: str
    folder: JournalFolder
    redactions: int
    is_cache: bool = True
    position: Position | None = None
    reached_us: int = _BEFORE_ALL
    is_damaged: bool = False
    redacted: tuple[Redaction, ...] = ()
    firsts: list[int] = field(default_factory=list)
    shifts: list[int] = field(default_factory=list)

    def anew(self) -> Origin:
        """The same, of which nothing has been merged."""
        return Origin(self.journal, self.folder, self.redactions, self.is_cache, redacted=self.redacted)

    def lines(self) -> Iterator[Placed]:
        """What is new in it, with its place.  Raises _Late, StorageError."""
        reader = JournalReader(self.folder, self.position, on_rewind=_is_late, redactions=self.redacted)
        lines = reader.commits()
        for line in lines:
            if REDACTED_IN_BYTES in line.events and not self._knows(line):
                self._learn(chain((line,), lines))
                raise _Late
            is_birth = line.first == 1 and _FORKED_BYTES in line.events
            self.reached_us = max(self.reached_us, line.time_us)
            self.position = reader.position
            yield _BEFORE_ALL if is_birth else self.reached_us, self.journal, line
        self.position = reader.position
        damage = next((each for each in reader.damage if each.refuses_writing), None)
        self.is_damaged = damage is not None
        if damage is not None and self.is_cache:
            raise StorageError(
                f"{self.folder.path}, a copy of journal {self.journal}, is damaged in segment {damage.segment} at byte "
                f"{damage.offset}: expected {damage.expected}, found {damage.found}. Remove {self.folder.path}: what "
                "the server has is brought again"
            )

    def _knows(self, line: CommitLine) -> bool:
        known = {each.seq for each in self.redacted}
        return all(each.seq in known for each in declared_in(line))

    def _learn(self, lines: Iterable[CommitLine]) -> None:
        """Rule 5: where it is read from its beginning, what is behind a line says what is to be left out of it."""
        found = {each.seq: each for each in self.redacted}
        found.update({each.seq: each for line in lines for each in declared_in(line)})
        self.redacted = tuple(found.values())

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
    """Of the journals of the experiment in `home`; of several processes, one merges at a time.

    The merged journal is made in `place`, by default inside of `home`.
    """

    def __init__(self, home: JournalFolder, place: Path | None = None) -> None:
        self._home = home
        self._disk = home.disk
        self._folder = f"{home.path}/{MERGED}" if place is None else str(place)
        self.origins: Sequence[Origin] = ()
        """What was merged, and how far."""
        self.has_redacted = False
        """All was merged anew, and something in it is redacted."""

    def merge(self, origins: Sequence[Origin]) -> JournalFolder:
        """Where they stand merged, as they are now.  Raises StorageError, LockError or OSError."""
        self._disk.make_folder(self._folder)
        with JournalLock(f"{self._folder}/lock"):
            mark = self._mark()
            if mark is not None and self._goes_on(mark, origins):
                with suppress(_Late):
                    folder = self._append(mark, origins)
                    self.origins = origins
                    return folder
            return self._anew(0 if mark is None else mark.generation, origins)

    # -- inside --------------------------------------------------------------------------------------------------

    def _goes_on(self, mark: Mark, origins: Sequence[Origin]) -> bool:
        """Whether what is merged is what these begin with; then each is put to where it has been merged up to."""
        known = {each.journal: mark.origins.get(each.journal) for each in origins}
        if not mark.origins.keys() <= known.keys() or any(found["is_damaged"] for found in mark.origins.values()):
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
        for _ in range(ANEW_MAX):
            self._remove_generations(last_generation)
            origins = [each.anew() for each in origins]
            lines = merge_sorted(*(each.lines() for each in origins), key=itemgetter(0, 1))
            try:
                folder = self._write(last_generation + 1, None, lines, origins)
            except _Late:
                continue
            self.has_redacted = any(each.redacted or each.redactions for each in origins)
            if self.has_redacted:
                self._remove_generations(last_generation + 1)
            self.origins = origins
            return folder
        raise StorageError(f"{self._home.path} is not read twice alike. Is it being replaced? Try again")

    def _remove_generations(self, but: int) -> None:
        for name in self._disk.list_folders(self._folder):
            if name != str(but):
                self._disk.remove_tree(f"{self._folder}/{name}")

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
                "is_damaged": each.is_damaged,
            }
            for each in origins
            if each.position is not None
        }
        members = {"generation": generation, "end": end, "place": place, "origins": merged}
        replace_file(self._disk, f"{self._folder}/{MARK}", orjson.dumps(members))


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
