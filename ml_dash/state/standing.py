"""Which saved files stand: the newest version of each that is not deleted.

Pure: no I/O.
"""

from __future__ import annotations

from .nouns import FileState, State


def standing_files(state: State) -> list[FileState]:
    """By path and name; of the versions of one file the newest, unless that one is deleted."""
    newest: dict[tuple[str, str], FileState] = {}
    for file in state.files.values():
        known = newest.get((file.path, file.filename))
        if known is None or file.seq > known.seq:
            newest[file.path, file.filename] = file
    return [file for _, file in sorted(newest.items()) if file.deleted_us is None]
