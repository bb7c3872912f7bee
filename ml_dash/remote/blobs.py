"""The content of saved files on its way to a server: by its SHA-256, only what the server lacks, in parts.

1. Content travels behind the commits that name it: a metric must not wait for a checkpoint of some gigabytes.  Until
   it has arrived whole, whoever asks the server for it is told that it is not there yet; an experiment counts as
   shipped only when all of it is.
2. What has arrived stays: a part is sent once, also across restarts, and content that the server has already, from
   another experiment of the same owner perhaps, is not sent at all.
3. The server computes the hash.  Content that has changed on this machine is refused there, named once, and holds up
   nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import RefusedError
from ..journal.contents import ContentStore
from ..journal.folder import JournalFolder
from .protocol import PART_BYTES, SHA256
from .server import Server

_FOLDERS = frozenset(f"{number:02x}" for number in range(256))


class FileShipment:
    """The saved files of the experiment in `folder`; `acknowledged` are known to be on the server."""

    def __init__(self, folder: JournalFolder, owner: str, acknowledged: Iterable[str] = ()) -> None:
        self._disk = folder.disk
        self._store = ContentStore(folder)
        self._owner = owner
        self.acknowledged = set(acknowledged)
        self._waiting: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._parts: dict[int, int] | None = None
        self._parts_of = ""

    def look(self) -> None:
        """Finds out which content there is.  Raises OSError."""
        there: dict[str, int] = {}
        for name in self._disk.list_names(self._store.path):
            if name not in _FOLDERS:
                continue
            for checksum in self._disk.list_names(f"{self._store.path}/{name}"):
                status = self._disk.status(self._store.path_of(checksum)) if SHA256.fullmatch(checksum) else None
                if status is not None and checksum not in self.acknowledged and checksum not in self._refused:
                    there[checksum] = status.size
        # Small ones first: most are, and they are what people look at.
        self._waiting = dict(sorted(there.items(), key=lambda each: each[1]))

    @property
    def waiting(self) -> int:
        """How many files the server lacks, as far as is known."""
        return len(self._waiting)

    @property
    def names(self) -> frozenset[str]:
        """Of these the checksums."""
        return frozenset(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        done = sum((self._parts or {}).values()) if self._parts_of in self._waiting else 0
        return sum(self._waiting.values()) - done

    @property
    def problems(self) -> list[str]:
        """What cannot be shipped, in words."""
        return list(self._refused.values())

    def step(self, server: Server) -> int:
        """Sends one part of one file, or finds that it need not; how many bytes went.  Raises as `Server` does."""
        checksum, size = next(iter(self._waiting.items()))
        try:
            return self._step(server, checksum, size)
        except RefusedError as error:
            if error.status not in (413, 422):
                raise
            path = self._store.path_of(checksum)
            self._drop(checksum)
            self._refused[checksum] = f"the content of {path} is not taken: {error}"
            return 0
        except FileNotFoundError:
            self._drop(checksum)
            return 0

    def _step(self, server: Server, checksum: str, size: int) -> int:
        if self._parts_of != checksum:
            if server.has_blob(self._owner, checksum):
                self._arrived(checksum)
                return 0
            self._parts_of, self._parts = checksum, None if size <= PART_BYTES else server.parts(self._owner, checksum)
        if self._parts is None:
            server.put_blob(self._owner, checksum, self._read(checksum, 0, size))
            self._arrived(checksum)
            return size
        offset = next((each for each in range(0, size, PART_BYTES) if each not in self._parts), None)
        if offset is None:
            try:
                server.complete_blob(self._owner, checksum, size)
            except RefusedError:
                # What a server has forgotten, or never had as it should, is sent again.
                self._parts_of = ""
                raise
            self._arrived(checksum)
            return 0
        data = self._read(checksum, offset, min(PART_BYTES, size - offset))
        server.put_part(self._owner, checksum, offset, data)
        self._parts[offset] = len(data)
        return len(data)

    def _read(self, checksum: str, offset: int, count: int) -> bytes:
        descriptor = self._disk.open_read(self._store.path_of(checksum))
        try:
            return self._disk.read_at(descriptor, offset, count)
        finally:
            self._disk.close(descriptor)

    def _arrived(self, checksum: str) -> None:
        self.acknowledged.add(checksum)
        self._drop(checksum)

    def _drop(self, checksum: str) -> None:
        self._waiting.pop(checksum, None)
        self._parts, self._parts_of = None, ""
