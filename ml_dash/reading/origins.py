"""The journals of one experiment: that of this machine, and those of other machines that stand with it.

What `ml-dash pull` or a cache has brought stands as `remote/mirror.py` says, `<home>/_journal/origins/<journal>`.  Who
reads the experiment is given all of them as one (`merging.py`).  Who writes, or looks at bytes, has to do with each of
them as it is.

1. A merged journal is named by the folder it stands in; this process knows what it was merged of.
2. Numbers of events are those of the merged journal for whoever reads.  What is written about an event, as a
   correction, goes into the journal that has the event, by its number there.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from ..errors import ConfigurationError, LockError
from ..journal.chain import Position
from ..journal.checkpoint import Trust
from ..journal.damage import Damage
from ..journal.folder import JournalFolder
from ..journal.reader import JournalReader
from ..remote.mirror import brought, journal_in, journals_below
from .merging import MERGED, Merging, Origin

WITHOUT = "without"
"""Below `_journal`: merged journals of all machines but one."""
WITH = "with"
"""Below `_journal` in the cache of a server: all of them, merged with one that stands elsewhere on this machine."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merged journal is made of; `home` is where the experiment stands."""

    home: JournalFolder
    origins: tuple[Origin, ...]

    @property
    def journals(self) -> tuple[JournalFolder, ...]:
        return tuple(each.folder for each in self.origins)

    @property
    def ends(self) -> tuple[Position, ...]:
        """How far each of the journals has been merged."""
        return tuple(each.position for each in self.origins if each.position is not None)


_merged: dict[str, Merged] = {}


def as_one(
    home: JournalFolder, journals: Iterable[JournalFolder], *, are_caches: bool, place: Path | None = None
) -> JournalFolder:
    """These journals of the experiment at `home`, as one; the only one as it is.  Raises StorageError, OSError.

    It is made in `place`; by default in `home`, and if this user may not write there, in his cache.
    """
    folders = list(journals)
    if len(folders) == 1:
        return folders[0]
    return _merge(home, [_origin(each, are_caches) for each in folders], place)


def with_others(own: JournalFolder, cache: JournalFolder, others: Iterable[JournalFolder]) -> JournalFolder:
    """A journal of this machine and those of others, all brought to a cache, as one.  Raises StorageError, OSError.

    `cache` is where the experiment has its place there; the merged journal stands below it.
    """
    place = Path(cache.path, WITH, journal_in(own) or "")
    return _merge(own, [_origin(own, False), *(_origin(each, True) for each in others)], place)


def _origin(folder: JournalFolder, is_cache: bool) -> Origin:
    found = brought(folder)
    return Origin(found.journal, found.folder, found.redactions, is_cache)


def _merge(home: JournalFolder, origins: list[Origin], place: Path | None) -> JournalFolder:
    try:
        merging = Merging(home, place)
        merged = merging.merge(origins)
    except (OSError, LockError):
        if place is not None:
            raise
        # Not this user's to write to, perhaps.
        merging = Merging(home, _cache_of(home))
        merged = merging.merge(origins)
    if merging.has_redacted and place is None:
        for name in (WITHOUT, WITH):
            with suppress(FileNotFoundError):
                home.disk.remove_tree(f"{home.path}/{name}")
    _merged[merged.path] = Merged(home, tuple(merging.origins))
    return merged


def whole(folder: JournalFolder) -> JournalFolder:
    """What to read of an experiment of this machine: its journal, with those of other machines that were brought."""
    home = home_of(folder)
    return as_one(home, journals_below(home), are_caches=False)


def home_of(folder: JournalFolder) -> JournalFolder:
    """Where the experiment stands, and its files are, of which a merged journal is given."""
    found = _merged.get(folder.path)
    return folder if found is None else found.home


def journals_of(folder: JournalFolder) -> tuple[JournalFolder, ...]:
    """What a journal was merged of; itself where it is one as it was recorded."""
    found = _merged.get(folder.path)
    return (folder,) if found is None else found.journals


def ends_of(folder: JournalFolder) -> tuple[Position, ...] | None:
    """How far the journals were merged that this one is made of; None for one as it was recorded."""
    found = _merged.get(folder.path)
    return None if found is None else found.ends


def others(
    home: JournalFolder, journals: Iterable[JournalFolder], but: str, *, are_caches: bool
) -> JournalFolder | None:
    """All journals of the experiment at `home` but one, as one; None where there is no other."""
    folders = [each for each in journals if journal_in(each) != but]
    place = Path(home.path, WITHOUT, but)
    return as_one(home, folders, are_caches=are_caches, place=place) if folders else None


def damage_of(folder: JournalFolder) -> list[Damage]:
    """What does not replay in the journals that this one was merged of, and that are no caches.

    What was merged before it was damaged is in the merged journal all the same.
    """
    merged = _merged.get(folder.path)
    found: list[Damage] = []
    for each in () if merged is None else (each.folder for each in merged.origins if not each.is_cache):
        reader = JournalReader(each, trusted=Trust(each))
        for _ in reader.commits():
            continue
        found += of_journal(folder, each, reader.damage)
    return found


def of_journal(folder: JournalFolder, journal: JournalFolder, damage: Iterable[Damage]) -> list[Damage]:
    """The same, named by the journal in which it is, unless there is no other one."""
    if home_of(folder) == journal:
        return list(damage)
    name = f"{journal.prefix}, journal {brought(journal).journal}"
    return [replace(each, prefix=each.prefix or name) for each in damage]


def own_number(home: JournalFolder, seq: int) -> int:
    """Rule 2: the number that event `seq` has in the journal of this machine.

    Raises ConfigurationError where another machine has recorded it.
    """
    folder = whole(home)
    if folder == home or type(seq) is not int or seq < 1:
        return seq
    line = next((each for each in JournalReader(folder).commits() if each.last >= seq), None)
    if line is None:
        return seq
    counter = line.counter + seq - line.first
    for own in JournalReader(home).commits():
        if own.writer == line.writer and own.counter <= counter < own.counter + own.count:
            return own.first + counter - own.counter
    raise ConfigurationError(
        f"seq={seq}: that event of {home.prefix!r} was recorded by another machine, and its journal is only a copy "
        "here. Do it where the event was recorded, and ship it from there"
    )


def _cache_of(home: JournalFolder) -> Path:
    from platformdirs import user_cache_dir

    name = sha256(str(home.experiment.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return Path(user_cache_dir("ml_dash", appauthor=False)) / MERGED / name
