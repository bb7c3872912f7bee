"""Journals that wait for their server in the user's state folder, where an experiment has no dash root.

    <state folder>/journals/<server>/<owner>/…/<name>/_journal

Each server has a folder of its own: one prefix on two servers is two experiments.  A journal is removed once the server
has acknowledged all of it, files included, and nobody has it open:

 1. Whoever opens an experiment there holds the lock of the server's folder until its writer is there, with a spool that
    is locked; whoever removes one holds it too.  So none is removed under the hands of who is just opening it.
 2. What is removed was compared with what the server has acknowledged, under that lock and under `ship.lock`.
"""

from __future__ import annotations

from contextlib import suppress
from os import path
from pathlib import Path
from urllib.parse import quote

from ..errors import LockError
from ..journal.disk import OPERATING_SYSTEM as disk
from ..journal.folder import FILES, JOURNAL, JournalFolder
from ..journal.leftovers import is_being_written
from ..journal.lock import JournalLock, hold_alone, release
from . import cursor
from .address import checked_url
from .arrival import is_shipped

JOURNALS = "journals"
_LOCK = ".opening"


def folder_of_server(state_folder: Path, url: str) -> Path:
    """The dash root that experiments wait in for this server."""
    return state_folder / quote(checked_url(url), safe="")


def opening(root: Path) -> JournalLock:
    """Rule 1: `with opening(root):` around the beginning of a session.  Raises OSError."""
    disk.make_folder(str(root))
    return JournalLock(str(root / _LOCK))


def remove_if_shipped(folder: JournalFolder, url: str, root: Path) -> bool:
    """Whether the experiment is gone: all of it had arrived at `url`, and nobody had it open.

    Nothing is raised: what cannot be removed now waits for the next time.
    """
    with suppress(OSError, LockError), opening(root):
        mark = cursor.marks(folder).get(url)
        if mark is None or is_being_written(folder) or folder.spool_files():
            return False
        descriptor = folder.disk.open_append(folder.ship_lock_path)
        if not hold_alone(descriptor, folder.ship_lock_path):
            folder.disk.close(descriptor)
            return False
        try:
            if not is_shipped(folder, folder.prefix, mark):
                return False
            _remove(folder, root)
            return True
        finally:
            release(descriptor, folder.disk)
    return False


def _remove(folder: JournalFolder, root: Path) -> None:
    # The journal last: as long as it is there, the experiment is.
    if disk.exists(f"{folder.experiment}/{FILES}"):
        disk.remove_tree(f"{folder.experiment}/{FILES}")
    disk.remove_tree(folder.path)
    above = folder.experiment
    while above != root and disk.remove_folder(str(above)):
        above = above.parent


def waiting(root: Path) -> list[JournalFolder]:
    """The experiments below a folder, by prefix."""
    found: list[JournalFolder] = []
    folders = [""]
    while folders:
        below = folders.pop()
        here = path.join(str(root), below) if below else str(root)
        names = disk.list_folders(here)
        if JOURNAL in names and "/" in below:
            found.append(JournalFolder(root.joinpath(*below.split("/")), prefix=below))
        folders += [f"{below}/{name}" if below else name for name in names if name not in (JOURNAL, FILES)]
    return sorted(found, key=lambda each: each.prefix)
