"""`_journal/shipped.json`: how far a journal has been shipped, and where to.  A hint, never the truth.

    {"format":"ml-dash-shipped","version":1,"prefix":…,"servers":{url: {"journal":…,"segment":…,"offset":…,
     "next_seq":…,"hash":…,"files":[sha256, …]}, …}}

A server is always asked where its copy ends.  The hint is for what has to do without: `ml-dash ship`, which looks for
what is waiting and where it should go, and for processes that wait while another one ships.  A position of null says
that the journal belongs to that server and nothing has arrived yet.  Lost, stale, foreign or damaged, it costs a
question more and changes nothing else.  In a folder that was copied or moved to another prefix it says which servers
the journal belongs to, and nothing of what they have: that was acknowledged under the other prefix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from ..journal.folder import JournalFolder
from ..journal.replacing import replace_file
from .protocol import Head

FORMAT = "ml-dash-shipped"
VERSION = 1
_TEMPORARY_NAME = re.compile(r"\.shipped\.[0-9a-z]+\.new")


@dataclass(frozen=True, slots=True)
class Mark:
    """What one server has acknowledged: the journal up to `head`, and the content of these files."""

    head: Head | None = None
    files: frozenset[str] = frozenset()


def marks(folder: JournalFolder) -> dict[str, Mark]:
    """By the server's address; empty where there is no hint that can be read."""
    disk = folder.disk
    try:
        descriptor = disk.open_read(folder.shipped_path)
        try:
            data = disk.read_at(descriptor, 0, disk.size_of(descriptor))
        finally:
            disk.close(descriptor)
    except OSError:
        return {}
    try:
        members = orjson.loads(data)
        if (members["format"], members["version"]) != (FORMAT, VERSION):
            return {}
        found = {url: _mark(each) for url, each in members["servers"].items()}
        return found if members["prefix"] == folder.prefix else dict.fromkeys(found, Mark())
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _mark(members: Mapping[str, object]) -> Mark:
    files = members["files"]
    if not isinstance(files, list) or not all(isinstance(each, str) for each in files):
        raise ValueError("no list of files")
    head = None if members["journal"] is None else Head.from_dict({"time": 0, **members})
    return Mark(head, frozenset(files))


def save(folder: JournalFolder, url: str, mark: Mark) -> None:
    """Replaces the hint of one server.  Raises OSError."""
    disk = folder.disk
    known = {**marks(folder), url: mark}
    servers = {each: _members(known[each]) for each in known}
    document = {"format": FORMAT, "version": VERSION, "prefix": folder.prefix, "servers": servers}
    for name in disk.list_names(folder.path):
        # Of who was killed here.  If it lives, its hint is not saved, and it tries again.
        if _TEMPORARY_NAME.fullmatch(name):
            disk.remove(f"{folder.path}/{name}")
    replace_file(disk, folder.shipped_path, orjson.dumps(document) + b"\n")


def _members(mark: Mark) -> dict[str, object]:
    head = mark.head
    place: dict[str, object] = dict.fromkeys(("journal", "segment", "offset", "next_seq", "hash"))
    if head is not None:
        place = {name: getattr(head, name) for name in place}
    return {**place, "files": sorted(mark.files)}
