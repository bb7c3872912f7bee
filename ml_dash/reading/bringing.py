"""The journals of an experiment, brought together with those of what it was forked from.

What a fork has from its parent is read where it was recorded (`lineage.py`), so that must be there.  An ancestor that
the source does not have, or does not give to whoever asks, is missing: the reading says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import AuthenticationError, RefusedError
from ..journal.folder import JournalFolder
from ..journal.reader import JournalReader
from ..state.nouns import Fork
from .lineage import forked_from

if TYPE_CHECKING:
    from ..remote.mirror import Mirror

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
