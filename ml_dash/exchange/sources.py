"""What can be imported: a source is one experiment as some other program left it.

A source is opened lazily: looking for sources reads as little as it can, `events` reads them through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from ..facts.events import FILE_SAVED, Event
from ..ids import new_id
from ..journal.contents import ContentStore
from ..journal.copying import Content
from ..recording.file_records import content_type_of
from .reports import Tally

SAMPLE_BYTES = 64 * 1024
_NOT_IN_A_PART = re.compile("[\x00-\x1f\x7f-\x9f\\\\/]")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a source goes: the prefix, the store for its files, and what its sessions say of the import itself."""

    prefix: str
    store: ContentStore
    imported: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """One experiment to import.

    `path` is what it is read from, `prefix` where it goes unless the user says otherwise, `name` its place among the
    others of the same source, `files` what the fingerprint covers, `version` which release of which program wrote it.
    `open` gives its events in order of time: with their own times, sessions and writers, and without numbers.
    """

    format: str
    path: Path
    prefix: str
    name: str
    open: Callable[[Target, Tally], Iterator[Event]] = field(repr=False)
    files: tuple[Path, ...] = ()
    version: str | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names, sizes, beginnings and ends of the files: the same source elsewhere has the same."""
        digest = sha256(self.format.encode())
        for path in sorted(self.files):
            size = path.stat().st_size
            relative = path.relative_to(self.path) if path.is_relative_to(self.path) else path.name
            digest.update(f"\n{relative}\n{size}\n".encode("utf-8", "surrogateescape"))
            with path.open("rb") as file:
                digest.update(file.read(SAMPLE_BYTES))
                file.seek(max(0, size - SAMPLE_BYTES))
                digest.update(file.read(SAMPLE_BYTES))
        return digest.hexdigest()


class Finder(Protocol):
    """What each `from_*.py` has: the sources of its format at a path, none where there are none."""

    def __call__(self, path: Path, owner: str) -> Iterable[Found]: ...


def part(text: str) -> str:
    """A text as one part of a prefix."""
    cleaned = _NOT_IN_A_PART.sub("-", text.encode("utf-8", "ignore").decode()).strip()
    cleaned = cleaned.encode()[:200].decode("utf-8", "ignore")
    return f"{cleaned}_" if cleaned.lower() in ("", ".", "..", "_journal", "_files") else cleaned


def split_name(text: str) -> tuple[str | None, str]:
    """`train/loss` → metric `train`, field `loss`; without a `/`, a field of the unnamed metric."""
    name, _, key = text.rpartition("/")
    return (name, key) if name and key else (None, text)


def file_saved(
    content: Content, path: str, filename: str, *, file_id: str | None = None, **said: Any
) -> dict[str, Any]:
    """The payload of `file.saved`; the content is in the store already."""
    return {
        "id": file_id or new_id(),
        "path": path,
        "filename": filename,
        "description": said.get("description"),
        "tags": list(said.get("tags") or ()),
        "bindrs": list(said.get("bindrs") or ()),
        "metadata": said.get("metadata"),
        "contentType": said.get("content_type") or content_type_of(filename),
        "sizeBytes": content.size_bytes,
        "checksum": content.checksum,
    }


@dataclass(frozen=True, slots=True)
class Author:
    """Makes the events of one session, whose only writer has its name."""

    session: str = field(default_factory=new_id)

    def event(self, time_us: int, event_type: str, data: dict[str, Any]) -> Event:
        return Event(0, event_type, time_us, data, self.session, self.session)

    def saved(self, time_us: int, payload: dict[str, Any]) -> Event:
        return self.event(time_us, FILE_SAVED, payload)
