"""Where things stand in an experiment's folder.

    <experiment>/_journal/00000001.jsonl       a segment, named by its number
    <experiment>/_journal/00000001.jsonl.zst   the same, archived
    <experiment>/_journal/.00000002.<id>.new   a segment before it gets its name
    <experiment>/_journal/00000001.unsynced    a sync of that segment has failed
    <experiment>/_journal/lock                 created once, never deleted
    <experiment>/_journal/rewriting            the same, for whoever archives or redacts
    <experiment>/_journal/spool/<writer>.jsonl         a live writer's first spool file, locked while it lives
    <experiment>/_journal/spool/<writer>.<n>.jsonl     the ones that follow
    <experiment>/_journal/checkpoint.json      a cache
    <experiment>/_journal/ship.lock            held by whoever ships the journal; created once, never deleted
    <experiment>/_journal/shipped.json         a hint: how far that has come
    <experiment>/_journal/redactions/<sha256>.json     what a server told of redactions in this copy
    <experiment>/_journal/redacting            a redaction was begun, and is to be finished
    <experiment>/_files/<aa>/<sha256>          saved files

An experiment is a folder with a `_journal`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from .disk import OPERATING_SYSTEM, Disk

JOURNAL = "_journal"
FILES = "_files"
CHECKPOINT = "checkpoint.json"
ORIGINS = "origins"
"""Below `_journal`: journals of other machines that a server has of the same experiment, by their ids."""
_SEGMENT_NAME = re.compile(r"([0-9]{8})\.jsonl(?:\.zst)?")
_TEMPORARY_NAME = re.compile(r"\.[0-9]{8}\.[0-9a-z]+\.new")
_REWRITTEN_NAME = re.compile(r"\.[0-9]{8}\.[0-9a-z]+\.rewritten\.new")
_SPOOL_NAME = re.compile(r"([0-9a-z]+)(?:\.([0-9]+))?\.jsonl")


@dataclass(frozen=True, slots=True)
class JournalFolder:
    """The journal of the experiment that stands at `experiment`, reached through `disk`.

    `prefix` is what errors tell people to give to `ml-dash`.
    """

    experiment: Path
    disk: Disk = field(default=OPERATING_SYSTEM, compare=False)
    prefix: str = field(default="PREFIX", compare=False)

    @property
    def path(self) -> str:
        # Not by Path, which takes 20 times as long: this is asked for a dozen times for each experiment of a list.
        return f"{self.experiment}/{JOURNAL}"

    @property
    def lock_path(self) -> str:
        return f"{self.path}/lock"

    @property
    def rewriting_path(self) -> str:
        """The lock of whoever replaces the bytes or the file of a segment that is there: one at a time."""
        return f"{self.path}/rewriting"

    @property
    def spool_folder(self) -> str:
        return f"{self.path}/spool"

    @property
    def checkpoint_path(self) -> str:
        return f"{self.path}/{CHECKPOINT}"

    @property
    def ship_lock_path(self) -> str:
        return f"{self.path}/ship.lock"

    @property
    def shipped_path(self) -> str:
        return f"{self.path}/shipped.json"

    @property
    def redactions_folder(self) -> str:
        """Declarations of redactions that a server told of (`declarations.py`)."""
        return f"{self.path}/redactions"

    @property
    def redacting_path(self) -> str:
        """Is there from before a redaction is declared until all of it is done."""
        return f"{self.path}/redacting"

    def segment_path(self, number: int) -> str:
        return f"{self.path}/{number:08d}.jsonl"

    def archived_path(self, number: int) -> str:
        """Where the segment stands compressed; as long as there is a plain one too, that one counts."""
        return f"{self.path}/{number:08d}.jsonl.zst"

    def unsynced_path(self, number: int) -> str:
        """Is there if a sync of that segment has failed, so that no process believes a later one that succeeds."""
        return f"{self.path}/{number:08d}.unsynced"

    def temporary_path(self, number: int, unique: str) -> str:
        """Where a segment is written before it gets its name."""
        return f"{self.path}/.{number:08d}.{unique}.new"

    def rewritten_path(self, number: int, unique: str) -> str:
        """Where a segment is written that is to stand archived, or plain again; no appender removes it."""
        return f"{self.path}/.{number:08d}.{unique}.rewritten.new"

    def rewritten_paths(self) -> list[str]:
        """Those that are there."""
        names = self.disk.list_names(self.path)
        return [f"{self.path}/{name}" for name in names if _REWRITTEN_NAME.fullmatch(name)]

    def temporary_paths(self) -> list[str]:
        """Those that a crash left behind."""
        names = self.disk.list_names(self.path)
        return [f"{self.path}/{name}" for name in names if _TEMPORARY_NAME.fullmatch(name)]

    def spool_path(self, writer: str, number: int) -> str:
        """`number` counts from 1; the first file is the one whose lock tells whether the writer lives."""
        return f"{self.spool_folder}/{writer}.jsonl" if number == 1 else f"{self.spool_folder}/{writer}.{number}.jsonl"

    def segment_numbers(self) -> list[int]:
        """The segments there are, oldest first, archived or not."""
        matches = map(_SEGMENT_NAME.fullmatch, self.disk.list_names(self.path))
        return sorted({int(match[1]) for match in matches if match})

    def spool_files(self) -> dict[str, list[int]]:
        """The spool files of each writer, by number, ascending."""
        found: dict[str, list[int]] = {}
        for match in map(_SPOOL_NAME.fullmatch, self.disk.list_names(self.spool_folder)):
            if match:
                found.setdefault(match[1], []).append(int(match[2] or 1))
        return {writer: sorted(numbers) for writer, numbers in sorted(found.items())}

    def damaged_spools(self) -> list[str]:
        """Files below the spool's folder that hold what dead writers had accepted and has changed since."""
        return sorted(name for name in self.disk.list_names(self.spool_folder) if name.endswith(".damaged"))

    def exists(self) -> bool:
        return self.disk.exists(self.path)
