"""What crashes and damage have left below a dash root, and what to do about each.

Looking at an experiment commits what dead processes had accepted, where this user may write, as any reading of it does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import MlDashError
from ..journal.damage import Damage, DamageKind
from ..journal.folder import JournalFolder
from ..journal.leftovers import dead_writers, is_being_written
from ..opening.left_to_ship import left_to_ship
from ..reading.replay import Replay
from .finding import Finding, note, well, wrong
from .wording import size

SECTION = "experiments"


def leftovers(root: Path, prefixes: Iterable[str]) -> Iterator[Finding]:
    """Of these experiments below the root."""
    count = 0
    is_clean = True
    for prefix in prefixes:
        count += 1
        folder = JournalFolder(root.joinpath(*prefix.split("/")), prefix=prefix)
        for finding in (*_of_crashes(folder, prefix), *_of_damage(folder, prefix)):
            is_clean = False
            yield finding
    if is_clean:
        yield well(SECTION, "experiments", f"{count:,}, with nothing left behind")


def unshipped(roots: Sequence[Path]) -> Iterator[Finding]:
    """What has not arrived at its server, of experiments that nobody records into at the moment."""
    for waiting in left_to_ship(roots, lambda parts: True):
        if waiting.is_complete or is_being_written(waiting.folder):
            continue
        files = f" and {waiting.left_files:,} of its files" if waiting.left_files else ""
        text = f"not all has arrived at {waiting.url}: {size(waiting.left_bytes)} of its journal{files} are left"
        yield note(
            SECTION, waiting.folder.prefix, text, f"ml-dash ship {waiting.folder.prefix} --dash-root {waiting.root}"
        )


def _of_crashes(folder: JournalFolder, prefix: str) -> Iterator[Finding]:
    """What stands in the folder, before anything is committed."""
    if dead := dead_writers(folder):
        processes = "a process" if len(dead) == 1 else f"{len(dead)} processes"
        text = f"{processes} died without closing, and what was accepted is in its spool"
        yield note(SECTION, prefix, text, "Nothing to do: whoever reads it, and may write there, commits that")
    for name in _names(folder.spool_folder):
        if name.endswith(".damaged"):
            text = f"{folder.spool_folder}/{name}: a spool that was damaged; all that can be read of it is committed"
            yield note(SECTION, prefix, text, "Look at it, then remove it")
    for name in _names(folder.path):
        if name.endswith(".unsynced"):
            text = f"{folder.path}/{name}: the disk once failed to sync that segment"
            yield note(SECTION, prefix, text, f"Look after the disk; ml-dash verify {prefix} says whether all is there")
    if os.path.exists(folder.redacting_path):
        text = "a redaction was begun and not finished, so the value may still stand in the files"
        advice = f"ml-dash recover {prefix} finishes it, as does whoever records there next"
        yield wrong(SECTION, prefix, text, advice)
    if folder.temporary_paths() and not is_being_written(folder):
        yield note(SECTION, prefix, "a segment that was never finished", "Nothing to do: who writes next removes it")


def _of_damage(folder: JournalFolder, prefix: str) -> Iterator[Finding]:
    try:
        replay = Replay(folder)
        replay.refresh()
    except (MlDashError, OSError) as error:
        yield wrong(SECTION, prefix, f"cannot be read: {error}", f"ml-dash verify {prefix}")
        return
    is_written = is_being_written(folder)
    for damage in replay.damage:
        if damage.kind is DamageKind.UNREADABLE:
            yield wrong(SECTION, prefix, f"a newer release wrote {_place(damage)}", "Update ml_dash")
        elif damage.refuses_writing:
            advice = f"ml-dash verify {prefix} says more; ml-dash recover {prefix} makes it fit to be written to"
            yield wrong(SECTION, prefix, f"damaged: {_place(damage)}", advice)
        elif damage.kind is DamageKind.TORN and not is_written:
            yield note(SECTION, prefix, f"a torn tail: {_place(damage)}", "Nothing to do: who writes next heals it")


def _place(damage: Damage) -> str:
    return f"{damage.bytes:,} bytes of segment {damage.segment:08d} from byte {damage.offset:,}"


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []
