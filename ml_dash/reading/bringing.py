"""The journals of an experiment, brought together with those of what it was forked from.

What a fork has from its parent is read where it was recorded (`lineage.py`), so that must be there.  An ancestor that
the source does not have, or does not give to whoever asks, is missing: the reading says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import AuthenticationError, RefusedError
from ..journal.folder import JournalFolder
from ..journal.reader import JournalReader
from ..state.nouns import Fork
from .lineage import forked_from

if TYPE_CHECKING:
    from ..remote.mirror import Mirror, Source
    from ..remote.protocol import Head


class AllBut:
    """The journals of experiments at `source`, without the one that has the id `journal`."""

    def __init__(self, source: Source, journal: str) -> None:
        self._source = source
        self._journal = journal

    def journals(self, prefix: str) -> list[Head]:
        return [head for head in self._source.journals(prefix) if head.journal != self._journal]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


Forks = dict[str, Fork | None]


def bring_lineage(mirror: Mirror, prefix: str, known: Forks) -> list[JournalFolder]:
    """The journals of an experiment as `mirror.refresh` gives them, once those of its ancestors have come too.

    `known` is what was found out in earlier calls: by the folder of a journal, the fork that it begins with.
    """
    folders = mirror.refresh(prefix)
    waiting, seen = list(folders), {prefix}
    while waiting:
        fork = _fork_of(waiting.pop(), known)
        if fork is not None and fork.prefix not in seen:
            seen.add(fork.prefix)
            try:
                waiting += mirror.refresh(fork.prefix)
            except (RefusedError, AuthenticationError):
                continue
    return folders


def _fork_of(folder: JournalFolder, known: Forks) -> Fork | None:
    if folder.path not in known:
        if next(JournalReader(folder).commits(), None) is None:
            return None
        known[folder.path] = forked_from(folder)
    return known[folder.path]
