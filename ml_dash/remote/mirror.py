"""Journals of a server, brought into a local folder, where everything that reads local journals reads them.

   <root>/<owner>/…/<name>/_journal/                                 the first journal of an experiment that came
   <root>/<owner>/…/<name>/_journal/origins/<journal>/_journal/      any other one (of another machine, say)
   …/_journal/mirror.json                                            how far it has come

1. Each of them is an ordinary journal folder.  Only what is missing is brought, and what has come is only ever added
   to: the server's copy is append-only.
2. Bytes are put where they belong, not appended, and synced before `mirror.json` says that they are there.  So it does
   no harm if several processes bring the same, or if one is killed amidst.
3. When more redactions are declared than were, the values are taken out of the bytes that are here too, and the cached
   state goes.  What the server declares stands here before the bytes it is about (`journal/declarations.py`, rule 1).
4. A journal without `mirror.json` is the original of this machine.  It is never written to; it holds all that a server
   can have of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from ..errors import RefusedError
from ..journal.declarations import redaction_in, tell
from ..journal.disk import OPERATING_SYSTEM, Disk
from ..journal.folder import JOURNAL, ORIGINS, JournalFolder
from ..journal.reader import JournalReader
from ..journal.redacted_lines import declared_line
from ..journal.replacing import replace_file
from ..state.nouns import Redaction
from .protocol import Head

if TYPE_CHECKING:
    from .server import Server

MARK = "mirror.json"
WRITE_BYTES = 4 * 1024 * 1024


class Source(Protocol):
    """Where journals come from."""

    def journals(self, prefix: str) -> list[Head]:
        """Where each journal of an experiment ends; empty where there is no such experiment."""

    def read(self, prefix: str, journal: str, segment: int, offset: int) -> Iterator[bytes]:
        """The bytes of a segment from `offset` on; none where they end there, or there is no such segment."""

    def redactions(self, prefix: str, journal: str) -> list[dict[str, Any]]:
        """What is declared as redacted in a journal at this moment: payloads of `event.redacted`."""


class ServerSource:
    """Journals of a server, over the network."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def journals(self, prefix: str) -> list[Head]:
        return self._server.journals(prefix)

    def read(self, prefix: str, journal: str, segment: int, offset: int) -> Iterator[bytes]:
        try:
            with self._server.segment(prefix, journal, segment, offset) as chunks:
                yield from chunks
        except RefusedError as error:
            if error.status not in (404, 416):
                raise

    def redactions(self, prefix: str, journal: str) -> list[dict[str, Any]]:
        return self._server.redactions(prefix, journal)


@dataclass(frozen=True, slots=True)
class Mark:
    """What has come: up to byte `offset` of `segment`; and how many redactions have been taken out of it."""

    journal: str
    segment: int
    offset: int
    hash: str
    redactions: int


class Mirror:
    """Of the experiments at `source`, below `root`; used by any thread."""

    def __init__(self, root: Path, source: Source, disk: Disk = OPERATING_SYSTEM) -> None:
        self._root = root
        self._source = source
        self._disk = disk
        self._locks: dict[str, Lock] = {}
        self._locking = Lock()

    def refresh(self, prefix: str) -> list[JournalFolder]:
        """The journals of an experiment as the source has them now, oldest first; empty where it has none.

        `prefix` is valid.  Raises what the source raises, and OSError.
        """
        with self._lock(prefix):
            heads = sorted(self._source.journals(prefix), key=lambda head: head.journal)
            return [self._bring(prefix, head) for head in heads]

    def is_behind(self, prefix: str) -> bool:
        """Whether more is redacted in what has come of an experiment than was taken out of it."""
        return any(mark.redactions != head.redactions for _, mark, head in self._that_came(prefix))

    def take_out(self, prefix: str) -> None:
        """Takes what is redacted by now out of what has come of an experiment; nothing is brought (rule 3)."""
        with self._lock(prefix):
            for folder, mark, head in self._that_came(prefix):
                if mark.redactions != head.redactions:
                    self._take_out(folder, prefix, mark, head)

    def _that_came(self, prefix: str) -> Iterator[tuple[JournalFolder, Mark, Head]]:
        for head in self._source.journals(prefix):
            folder = self.folder(prefix, head.journal)
            mark = _mark_of(folder)
            if mark is not None and mark.journal == head.journal:
                yield folder, mark, head

    def folder(self, prefix: str, journal: str) -> JournalFolder:
        """Where a journal of an experiment stands, or will stand."""
        first = JournalFolder(self._root.joinpath(*prefix.split("/")), self._disk, prefix)
        known = journal_in(first)
        if known in (None, journal):
            return first
        return JournalFolder(first.experiment / JOURNAL / ORIGINS / journal, self._disk, prefix)

    def release(self, folder: JournalFolder) -> None:
        """All of a journal has come: from now on it is one of this machine, which is written to here and never by this
        class (rule 4).  Raises OSError."""
        self._disk.remove(f"{folder.path}/{MARK}")

    # -- inside --------------------------------------------------------------------------------------------------

    def _lock(self, prefix: str) -> Lock:
        with self._locking:
            return self._locks.setdefault(prefix, Lock())

    def _bring(self, prefix: str, head: Head) -> JournalFolder:
        folder = self.folder(prefix, head.journal)
        mark = _mark_of(folder)
        if mark is None and folder.segment_numbers():
            return folder
        if mark is None:
            self._disk.make_folder(folder.path)
            mark = Mark(head.journal, 0, 0, "", head.redactions)
            self._set_mark(folder, mark)
        elif mark.redactions != head.redactions:
            mark = self._take_out(folder, prefix, mark, head)
        if (mark.segment, mark.offset, mark.hash) == (head.segment, head.offset, head.hash):
            return folder
        segment, offset = max(1, mark.segment), mark.offset if mark.segment else 0
        for number in range(segment, head.segment + 1):
            self._bring_segment(folder, prefix, head, number, offset)
            offset = 0
        self._set_mark(folder, Mark(head.journal, head.segment, head.offset, head.hash, head.redactions))
        return folder

    def _take_out(self, folder: JournalFolder, prefix: str, mark: Mark, head: Head) -> Mark:
        """Rule 3.  Killed in between, it is done again: the mark comes last."""
        # Asked for after `head` was: there are no fewer than that says.
        declared = self._source.redactions(prefix, head.journal)
        tell(folder, declared)
        redactions = [each for each in map(redaction_in, declared) if each is not None]
        self._replace(folder, mark.journal, redactions)
        self._disk.remove(folder.checkpoint_path)
        mark = replace(mark, redactions=head.redactions)
        self._set_mark(folder, mark)
        # Another process may have put bytes that it was given before, and its mark in front of this one.
        self._replace(folder, mark.journal, redactions)
        return mark

    def _replace(self, folder: JournalFolder, journal: str, redactions: Iterable[Redaction]) -> None:
        """Where a declaration is about no line that has come, nothing is changed."""
        for each in redactions:
            found = declared_line(folder, each, journal)
            if found is not None and found[0] != found[1]:
                self._disk.overwrite(folder.segment_path(each.segment), each.offset, found[1])

    def _bring_segment(self, folder: JournalFolder, prefix: str, head: Head, number: int, offset: int) -> None:
        waiting = bytearray()
        for chunk in self._source.read(prefix, head.journal, number, offset):
            waiting += chunk
            if number == head.segment and offset + len(waiting) >= head.offset:
                # The source may have more by now, and the next look is told of that.
                del waiting[max(0, head.offset - offset) :]
                break
            if len(waiting) >= WRITE_BYTES:
                self._put(folder, prefix, head.journal, number, offset, bytes(waiting))
                offset += len(waiting)
                waiting.clear()
        if waiting:
            self._put(folder, prefix, head.journal, number, offset, bytes(waiting))

    def _put(self, folder: JournalFolder, prefix: str, journal: str, segment: int, offset: int, data: bytes) -> None:
        """Rules 2 and 3."""
        tell(folder, self._source.redactions(prefix, journal))
        path = folder.segment_path(segment)
        if offset == 0:
            with suppress(FileExistsError):
                self._disk.close(self._disk.create_draft(path))
        self._disk.overwrite(path, offset, data)

    def _set_mark(self, folder: JournalFolder, mark: Mark) -> None:
        members = {name: getattr(mark, name) for name in Mark.__slots__}
        replace_file(self._disk, f"{folder.path}/{MARK}", orjson.dumps(members), is_synced=True)


@dataclass(frozen=True, slots=True)
class Brought:
    """A journal that was brought, or one of this machine; `redactions` is how many there were when it was brought."""

    journal: str
    folder: JournalFolder
    redactions: int


def brought(folder: JournalFolder) -> Brought:
    """What a folder holds; without a journal's id where nothing in it says one.  Raises OSError."""
    mark = _mark_of(folder)
    return Brought(journal_in(folder) or "", folder, 0 if mark is None else mark.redactions)


def journals_below(first: JournalFolder) -> list[JournalFolder]:
    """All journals of an experiment that stand where its first one does, that one first, the others by their ids."""
    below = first.experiment / JOURNAL / ORIGINS
    others = [
        JournalFolder(below / name, first.disk, first.prefix) for name in sorted(first.disk.list_folders(str(below)))
    ]
    return [first, *(each for each in others if each.segment_numbers())]


def journal_in(folder: JournalFolder) -> str | None:
    """The id of the journal that stands, or will stand, in a folder."""
    mark = _mark_of(folder)
    if mark is not None:
        return mark.journal
    reader = JournalReader(folder)
    found = (reader.header(number) for number in folder.segment_numbers())
    return next((each[0].journal for each in found if each is not None), None)


def _mark_of(folder: JournalFolder) -> Mark | None:
    path = f"{folder.path}/{MARK}"
    try:
        descriptor = folder.disk.open_read(path)
    except FileNotFoundError:
        return None
    try:
        data = folder.disk.read_at(descriptor, 0, 4096)
    finally:
        folder.disk.close(descriptor)
    members = orjson.loads(data)
    return Mark(*(members[name] for name in Mark.__slots__))
