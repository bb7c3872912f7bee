"""Which journal this is, where no header says it any more: its id is in every hash, and without it no line is valid."""

from __future__ import annotations

from contextlib import suppress

from ..errors import StorageError
from .folder import JournalFolder
from .spool_reading import read_header


def said_elsewhere(folder: JournalFolder) -> list[str]:
    """The ids that the checkpoint, and the spools of living and dead writers, say.  None of them is to be believed
    before a hash confirms it."""
    # The checkpoint is no part of reading, and whoever reads whole journals need not load it.
    from .checkpoint import load

    found = []
    checkpoint = load(folder)
    if checkpoint is not None:
        found.append(checkpoint.journal)
    for writer, numbers in folder.spool_files().items():
        for number in numbers:
            # Whatever is wrong with a spool is said by those who need it.
            with suppress(OSError, StorageError, ValueError, KeyError, TypeError):
                header = read_header(folder, writer, number)
                if header is not None and header.position is not None:
                    found.append(header.position.journal)
    return list(dict.fromkeys(found))
