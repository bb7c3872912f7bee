"""Where a soak takes place: folders, experiments, the server; and how any process of it reports a violation."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.reader import JournalReader
from ml_dash.journal.segment_file import open_segment

SHARED, ALONE, SMALL = "soak/main/shared", "soak/main/alone", "soak/small/disk"
SEGMENT_BYTES_MAX = 256 * 1024
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
COUNTER = "count"
"""The parameter that every `expect` block adds one to."""


@dataclass(frozen=True)
class Journal:
    """One experiment on one machine."""

    machine: str
    prefix: str


@dataclass(frozen=True)
class World:
    """`home` holds all of it; `url` is the server's."""

    home: Path
    url: str

    def root(self, machine: str) -> Path:
        return self.home / machine

    @property
    def ledgers(self) -> Path:
        return self.home / "ledgers"

    @property
    def store(self) -> Path:
        return self.home / "store"

    def folder(self, journal: Journal) -> JournalFolder:
        return JournalFolder(self.root(journal.machine).joinpath(*journal.prefix.split("/")), prefix=journal.prefix)

    @property
    def is_full(self) -> bool:
        """Whether the small disk has no space at this moment."""
        return (self.home / "full").exists()

    def journals(self) -> list[Journal]:
        """Those that have begun."""
        found = []
        for machine in ("one", "two", "small"):
            root = self.root(machine)
            for path in sorted(root.glob("soak/*/*/_journal")):
                journal = Journal(machine, path.parent.relative_to(root).as_posix())
                if self.folder(journal).segment_numbers():
                    found.append(journal)
        return found

    # -- what is reported --------------------------------------------------------------------------------------

    def violation(self, who: str, what: str, **more: Any) -> None:
        self._append("violations.jsonl", {"who": who, "what": what[:4000], "time": time.time(), **more})

    def violations(self) -> list[dict[str, Any]]:
        return self._lines("violations.jsonl")

    def count(self, what: str, **more: Any) -> None:
        """Something was done; the report says how often."""
        self._append("done.jsonl", {"what": what, **more})

    def done(self) -> list[dict[str, Any]]:
        return self._lines("done.jsonl")

    def _append(self, name: str, line: dict[str, Any]) -> None:
        data = json.dumps(line, default=repr).encode() + b"\n"
        descriptor = os.open(self.home / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, data)
        except OSError:
            # A limit on file sizes that a writer has set for itself; what it did then its ledger knows.
            pass
        finally:
            os.close(descriptor)

    def _lines(self, name: str) -> list[dict[str, Any]]:
        try:
            text = (self.home / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines()]

    @contextmanager
    def guarding(self, who: str) -> Iterator[None]:
        """What is raised inside and was not expected there is a violation."""
        try:
            yield
        except Exception:
            self.violation(who, traceback.format_exc())


def die_with_parent() -> None:
    """Where the system knows that: whoever starts processes and is killed leaves none behind."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """The same: whoever outlives its parent becomes this process's child."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def valid_bytes(folder: JournalFolder) -> dict[int, bytes]:
    """What of each segment counts, as any reader finds it; all bytes up to there, archived or not."""
    reader = JournalReader(folder)
    ends: dict[int, int] = {}
    for line in reader.commits():
        ends[line.segment] = line.end
    found = {}
    for number in folder.segment_numbers():
        header = reader.header(number)
        if header is not None:
            with open_segment(folder, number) as segment:
                found[number] = segment.read_at(0, max(ends.get(number, 0), header[1].offset))
    return found
