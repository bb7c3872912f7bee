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
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from ..errors import ConfigurationError, LockError
from ..journal.checkpoint import Trust
from ..journal.damage import Damage
from ..journal.folder import JournalFolder
from ..journal.reader import JournalReader
from ..remote.mirror import brought, journals_below
from .merging import MERGED, Merging, Origin


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merged journal is made of; `home` is where the experiment stands."""

    home: JournalFolder
    journals: tuple[JournalFolder, ...]
    damaged: tuple[JournalFolder, ...]


_merged: dict[str, Merged] = {}


def as_one(home: JournalFolder, journals: Iterable[JournalFolder], *, are_caches: bool) -> JournalFolder:
    """These journals of the experiment at `home`, as one; the only one as it is.  Raises StorageError, OSError."""
    folders = list(journals)
    if len(folders) == 1:
        return folders[0]
    origins = [Origin(each.journal, each.folder, each.redactions, are_caches) for each in map(brought, folders)]
    try:
        merging = Merging(home)
        merged = merging.merge(origins)
    except (OSError, LockError):
        # Not this user's to write to, perhaps.
        merging = Merging(home, _cache_of(home))
        merged = merging.merge(origins)
    _merged[merged.path] = Merged(home, tuple(folders), tuple(merging.damaged))
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


def damage_of(folder: JournalFolder) -> list[Damage]:
    """What does not replay in the journals that this one was merged of."""
    merged = _merged.get(folder.path)
    found: list[Damage] = []
    for each in () if merged is None else merged.damaged:
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
