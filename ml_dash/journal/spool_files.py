"""The files of one writer's spool, on disk or in place of it: made ready ahead of need, opened, locked, removed.

    sum,{"format":"ml-dash-spool","version":1,"writer":…,"session":…,"first":…,"position":…}

is the header of a file, sealed as a row is.  `first` is the writer's counter of the first event in it, `position` a
durable place in the journal: every commit of the file's events stands behind it.

The first file's lock is the sign that the writer lives.  Every file gets its name for good only behind that lock, and
a file that holds nothing yet is all zeros, so whoever finds the files of a dead writer knows what is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from typing import TypeVar

import orjson

from ..facts.rows import seal
from .chain import Position
from .folder import JournalFolder
from .lock import hold_alone, release
from .spool_file import FAULT_BYTES, SpoolFile

SPOOL_NAME = "ml-dash-spool"
SPOOL_VERSION = 1
FIRST_FILE_BYTES = 1024 * 1024
FILE_BYTES = 2 * 1024 * 1024
SPARES_MAX = 4
"""So many files may be ready for a training that records without a pause."""
HEADER_BYTES_MAX = 1024

_Filled = TypeVar("_Filled")


class SpoolOver(Exception):
    """The spool was removed, abandoned or left to a parent process: there are no more files for it."""


class SpoolFiles:
    """Makes files; what follows what is the spool's affair.  Raises OSError and LockError as they come, and SpoolOver.

    `position` goes into the headers of files to come.
    """

    def __init__(self, folder: JournalFolder, writer: str, session: str, position: Position | None) -> None:
        self.position = position
        self._folder = folder
        self._disk = folder.disk
        self._writer = writer
        self._session = session
        self._numbers = count(2)
        self._spares: list[SpoolFile] = []
        self._is_mapped = self._disk.keeps_reserved_blocks(folder.path)
        self._lock_descriptor = -1
        self._is_over = False

    def open_first(self) -> SpoolFile:
        """The file that the writer's first event goes to."""
        return self._hold_first(self._open_first)

    def open_next(self, first: int, bytes_min: int, definitions: bytes) -> SpoolFile:
        """A file with room for `bytes_min` bytes of rows behind its definitions."""
        size = max(FILE_BYTES, bytes_min + len(definitions) + HEADER_BYTES_MAX)
        return self._begin(self._spare(size) or self._new_file(size), first, definitions)

    def open_in_memory(self, first: int, bytes_min: int, definitions: bytes) -> SpoolFile:
        """The same, but in this process's memory."""
        size = max(FILE_BYTES, bytes_min + len(definitions) + HEADER_BYTES_MAX)
        return self._begin(
            SpoolFile(self._disk, next(self._numbers), "", self._disk.private_map(size)), first, definitions
        )

    def make_spare(self) -> None:
        """A file for the next `open_next`, made now."""
        self._spares.append(self._new_file(FILE_BYTES))

    def prepare(self, open_file: SpoolFile, bytes_ahead: int) -> None:
        """Makes ready what the next `bytes_ahead` bytes of rows need, so that no recording call waits for it.

        A call that has to make a file itself waits for the interpreter's lock after each of six system calls.
        """
        open_file.fault_in(open_file.end + bytes_ahead)
        room = open_file.size - open_file.end
        while len(self._spares) < SPARES_MAX and room + len(self._spares) * FILE_BYTES < FILE_BYTES // 2 + bytes_ahead:
            self.make_spare()
        for spare in self._spares.copy():
            spare.fault_in(max(FAULT_BYTES, bytes_ahead - room))
            room += spare.size

    def discard(self, file: SpoolFile) -> None:
        """Ends a file whose events nobody needs.  The first one keeps its name and its lock."""
        file.close()
        if file.is_memory:
            return
        # What cannot be removed does no harm: whoever drains it sees that all of it is committed.
        with suppress(OSError):
            if file.number == 1:
                self._disk.empty(self._lock_descriptor)
            else:
                self._disk.remove(file.path)

    def remove_all(self) -> None:
        """Removes every file, the first one last, and ends the sign of life."""
        with suppress(OSError):
            for number in reversed(self._folder.spool_files().get(self._writer, [])):
                self._disk.remove(self._folder.spool_path(self._writer, number))
        self.abandon()

    def abandon(self) -> None:
        """Leaves the files to whoever drains them: ends the sign of life."""
        self.leave()
        descriptor, self._lock_descriptor = self._lock_descriptor, -1
        if descriptor >= 0:
            release(descriptor, self._disk)

    def leave(self) -> None:
        """In a forked child: the files and the lock are the parent's."""
        self._is_over = True
        while self._spares:
            self._spares.pop().close()

    def _spare(self, size: int) -> SpoolFile | None:
        try:
            spare = self._spares.pop(0)
        except IndexError:
            return None
        if spare.size >= size:
            return spare
        self.discard(spare)
        return None

    def _new_file(self, size: int) -> SpoolFile:
        if self._is_over:
            raise SpoolOver
        if self._lock_descriptor < 0:
            # The spool began in memory: without the sign of life others would drain its files.
            self._hold_first(lambda path: None)
        number = next(self._numbers)
        return self._occupy(number, self._disk.create(self._folder.spool_path(self._writer, number)), size)

    def _hold_first(self, fill: Callable[[str], _Filled]) -> _Filled:
        """Creates and locks the first file.  `fill` puts in what it shall hold before it gets its name."""
        disk = self._disk
        disk.make_folder(self._folder.spool_folder)
        while True:
            unnamed = f"{self._folder.spool_folder}/.{self._writer}.{next(self._numbers)}.new"
            descriptor = disk.create(unnamed)
            try:
                # Someone who looks for what dead writers left behind may lock it before us, and then removes it.
                is_held = hold_alone(descriptor, unnamed)
            except BaseException:
                disk.close(descriptor)
                disk.remove(unnamed)
                raise
            if not is_held:
                disk.close(descriptor)
                continue
            try:
                if not disk.same_file(descriptor, unnamed):
                    release(descriptor, disk)
                    continue
                filled = fill(unnamed)
                disk.rename(unnamed, self._folder.spool_path(self._writer, 1))
            except BaseException:
                release(descriptor, disk)
                disk.remove(unnamed)
                raise
            self._lock_descriptor = descriptor
            return filled

    def _open_first(self, path: str) -> SpoolFile:
        # Opened again, because a map keeps a descriptor of its own, and the lock must not live on in a forked child.
        file = self._begin(self._occupy(1, self._disk.open_append(path), FIRST_FILE_BYTES), 1, b"")
        file.fault_in(FAULT_BYTES)
        return file

    def _occupy(self, number: int, descriptor: int, size: int) -> SpoolFile:
        """A mapped file if the file system reserves its blocks and keeps them, else one that rows are written to."""
        disk, path = self._disk, self._folder.spool_path(self._writer, number)
        try:
            spool_map = disk.reserve_map(descriptor, size) if self._is_mapped else None
        except (OSError, ValueError):
            spool_map = None
        if spool_map is None:
            file = SpoolFile(disk, number, path, disk.private_map(size), descriptor)
            try:
                disk.empty(descriptor)
            except BaseException:
                self._drop(file)
                raise
            return file
        disk.close(descriptor)
        return SpoolFile(disk, number, path, spool_map)

    def _begin(self, file: SpoolFile, first: int, definitions: bytes) -> SpoolFile:
        header = {
            "format": SPOOL_NAME,
            "version": SPOOL_VERSION,
            "writer": self._writer,
            "session": self._session,
            "first": first,
            "position": asdict(self.position) if self.position is not None else None,
        }
        try:
            file.begin(first, seal(orjson.dumps(header)), definitions)
        except BaseException:
            self._drop(file)
            raise
        return file

    def _drop(self, file: SpoolFile) -> None:
        """Ends a file that could not be begun.  The first one still has another name: `_hold_first` sees to that."""
        file.close()
        if file.number != 1 and not file.is_memory:
            self._disk.remove(file.path)
