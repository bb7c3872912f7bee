"""The journal of an experiment and those that it was forked from, as one series of commits.

Points, log lines, track entries and file contents from before a fork stay where they were recorded, and are read from
there.  This is the one place that knows of it: nothing else may assume that what an experiment shows comes out of one
folder.

 1. Oldest first: of each ancestor what it had up to the event that was forked behind, then the journal's own commits,
    then what its dead writers left and nobody could commit yet.
 2. Numbers are those of the experiment that is read (`state/forks.py`, rule 2).
 3. A parent is found by the prefix that it had, below the nearest folder above the fork that has it, also among the
    journals that were brought from other machines, and only if its journal has the id that it had: an experiment that
    has taken its place since is not it.
 4. What is missing of an ancestor is left out of the series and said in `damage`, never replaced by anything.  An
    ancestor behind one that is gone is found by what the fork's first event says of its parent's state.  No journal is
    its own ancestor, whatever one says that was made by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain

from ..errors import MlDashError, StorageError
from ..facts.codec import Block, CodecError, decode_events
from ..facts.events import EXPERIMENT_FORKED
from ..journal.checkpoint import Trust
from ..journal.damage import Damage, DamageKind
from ..journal.folder import JOURNAL, ORIGINS, JournalFolder
from ..journal.format import CommitLine
from ..journal.leftovers import dead_writers, leftovers
from ..journal.reader import JournalReader
from ..state import blocks_before
from ..state.forks import fork_of
from ..state.nouns import Fork
from .origins import home_of

_FORKED_IN_BYTES = b'"type":"%b"' % EXPERIMENT_FORKED.encode("ascii")


@dataclass(slots=True)
class CutLine(CommitLine):
    """The beginning of a commit that holds `whole_count` events; `events` are the bytes of all of them."""

    whole_count: int


def blocks_of(line: CommitLine) -> list[Block]:
    """The events of a commit of a lineage.  Raises CodecError."""
    if isinstance(line, CutLine):
        return blocks_before(decode_events(line.events, line.whole_count), line.count)
    return decode_events(line.events, line.count)


@contextmanager
def reading(folder: JournalFolder) -> Iterator[None]:
    """What the operating system refuses meanwhile is raised as StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder.path} cannot be read: {error}. Nothing was changed; expected files that this user may read"
        ) from error


class Lineage:
    """Of the experiment in `folder`."""

    def __init__(self, folder: JournalFolder) -> None:
        self._folder = folder

    def commits(self, after: int | None = None) -> Iterator[CommitLine]:
        """Rule 1, from the first event on; with `after`, the ancestors are left out if all of theirs is before that.

        Raises StorageError where the operating system refuses to read.
        """
        with reading(self._folder):
            reader = JournalReader(self._folder)
            own = reader.commits()
            first = next(own, None)
            if first is not None:
                forks = _forks_in(first)
                if forks and (after is None or after < 0):
                    yield from _inherited(self._folder, forks)
                yield first
                yield from own
            if dead := dead_writers(self._folder):
                yield from leftovers(self._folder, dead, reader.next_seq)

    def damage(self) -> list[Damage]:
        """Rule 4: what of the ancestors is not there or does not replay."""
        return _inherited_damage(self._folder, _forks_of(self._folder))

    def ancestors(self) -> list[JournalFolder]:
        """The experiments that it comes from and that are there, parent first."""
        found: list[JournalFolder] = []
        folder, forks, seen = self._folder, _forks_of(self._folder), set()
        while forks and forks[0].journal not in seen:
            seen.add(forks[0].journal)
            parent = parent_folder(folder, forks[0])
            if parent is not None:
                found.append(parent)
                folder, forks = parent, _forks_of(parent)
            else:
                forks = forks[1:]
        return found


def forked_from(folder: JournalFolder) -> Fork | None:
    """What the journal's first event says; None where it is no fork, or its first event cannot be read."""
    forks = _forks_of(folder)
    return forks[0] if forks else None


def parent_folder(folder: JournalFolder, fork: Fork) -> JournalFolder | None:
    """Rule 3; None where it is not there."""
    parts = fork.prefix.split("/")
    for root in home_of(folder).experiment.parents:
        own = root.joinpath(*parts)
        for experiment in (own, own / JOURNAL / ORIGINS / fork.journal):
            parent = JournalFolder(experiment, folder.disk, fork.prefix)
            if parent.exists() and _is_journal(parent, fork.journal):
                return parent
    return None


def _is_journal(folder: JournalFolder, journal: str) -> bool:
    reader = JournalReader(folder)
    return any(
        found is not None and found[1].journal == journal for found in map(reader.header, folder.segment_numbers())
    )


def _forks_of(folder: JournalFolder) -> list[Fork]:
    with reading(folder):
        first = next(JournalReader(folder).commits(), None)
    return [] if first is None else _forks_in(first)


def _forks_in(first: CommitLine) -> list[Fork]:
    """What a journal's first commit says of its parent, and of where that came from; empty where it is no fork."""
    if first.first != 1 or _FORKED_IN_BYTES not in first.events:
        return []
    try:
        event = blocks_of(first)[0]
        if event.type != EXPERIMENT_FORKED:
            return []
        payload = next(iter(event.payloads()))
        older = payload["state"].get("fork")
        return [fork_of(payload), *([] if older is None else [fork_of(older)])]
    except (CodecError, KeyError, TypeError, ValueError, AttributeError):
        return []


def _inherited(folder: JournalFolder, forks: list[Fork], seen: frozenset[str] = frozenset()) -> Iterator[CommitLine]:
    """What a fork has from its parent, and that from its own, as the fork counts."""
    if not forks or forks[0].journal in seen:
        return
    fork, *older = forks
    parent = parent_folder(folder, fork)
    own = JournalReader(parent).commits() if parent is not None else iter(())
    first = next(own, None)
    if parent is not None and first is not None:
        folder, older = parent, _forks_in(first)
    for line in _inherited(folder, older, seen | {fork.journal}):
        yield _shifted(line, fork.seq)
    for line in chain((first,) if first is not None else (), own):
        if line.first > fork.seq:
            return
        yield _shifted(_cut(line, fork.seq), fork.seq)


def _inherited_damage(folder: JournalFolder, forks: list[Fork], seen: frozenset[str] = frozenset()) -> list[Damage]:
    """Of what a fork has from its parent, and that from its own, as the fork counts."""
    if not forks or forks[0].journal in seen:
        return []
    fork, *older = forks
    try:
        parent = parent_folder(folder, fork)
        if parent is None:
            found = [_absent(fork, 1, "none there that has this journal: it was removed, or another one has its place")]
        else:
            found = _damage_before(parent, fork)
            folder, older = parent, _forks_of(parent)
    except (OSError, MlDashError) as error:
        found = [_absent(fork, 1, f"not to be read: {error}")]
    found += _inherited_damage(folder, older, seen | {fork.journal})
    return [_shifted_damage(each, fork) for each in found]


def _damage_before(parent: JournalFolder, fork: Fork) -> list[Damage]:
    """Of the parent's own journal up to the event that was forked behind, as the parent counts."""
    reader = JournalReader(parent, trusted=Trust(parent))
    last = next((line for line in reader.commits() if line.last >= fork.seq), None)
    if last is None and reader.next_seq <= fork.seq:
        return [*reader.damage, _absent(fork, reader.next_seq, f"events up to {reader.next_seq - 1}")]
    end = (last.segment, last.end) if last is not None else (0, 0)
    found = [each for each in reader.damage if each.kind is DamageKind.CORRUPT and (each.segment, each.offset) < end]
    if last is not None and last.first <= fork.seq and last.hash != fork.hash:
        found.append(_absent(fork, last.first, f"the hash {last.hash} there: its history has become another one"))
    return found


def _shifted_damage(damage: Damage, fork: Fork) -> Damage:
    first_seq, last_seq = damage.first_seq - fork.seq, damage.last_seq - fork.seq
    return replace(damage, first_seq=first_seq, last_seq=last_seq, prefix=damage.prefix or fork.prefix)


def _absent(fork: Fork, first_seq: int, found: str) -> Damage:
    expected = (
        f"the experiment {fork.prefix!r}, journal {fork.journal}, up to event {fork.seq} with the hash {fork.hash}"
    )
    return Damage(DamageKind.ABSENT, 0, 0, 0, first_seq, fork.seq, False, expected, found, fork.prefix)


def _cut(line: CommitLine, last: int) -> CommitLine:
    """The part of a commit up to event `last`."""
    if line.last <= last:
        return line
    members = {name: getattr(line, name) for name in CommitLine.__slots__}
    return CutLine(**{**members, "count": last - line.first + 1}, whole_count=line.count)


def _shifted(line: CommitLine, by: int) -> CommitLine:
    return replace(line, first=line.first - by)
