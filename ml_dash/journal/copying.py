"""Copies the content of a file in the cheapest way there is, hashing it on the way: one pass, little memory.

1. The two files share blocks where the file system can do that, else the kernel copies, else it is read and written.
2. What is hashed is the copy, so a source that changes meanwhile cannot make content and hash disagree.
3. A source that grows meanwhile is copied with the length that it had, one that shrinks to its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from ..errors import StorageError
from .disk import Disk

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """What identifies content: its SHA-256 in lower-case hexadecimal, and its length."""

    checksum: str
    size_bytes: int


def copy(disk: Disk, source: int, target: int, name: str) -> Content:
    """Copies all of an open file to the empty file `target`, and hashes what arrived.

    Raises StorageError where the source, called `name`, cannot be read; an OSError is the target's.
    """
    size = disk.size_of(source)
    if size and disk.clone(source, target):
        return hash_of(disk, target)
    digest, offset, in_kernel = sha256(), 0, True
    # A file of the kernel's own, as in /proc, says that it has no bytes until it is read.
    while offset < size or not size:
        count = min(CHUNK_BYTES, size - offset) if size else CHUNK_BYTES
        copied = _copy_in_kernel(disk, source, offset, target, count) if in_kernel and size else 0
        in_kernel = copied > 0
        if in_kernel:
            piece = disk.read_at(target, offset, copied)
        else:
            piece = _read_source(disk, source, offset, count, name)
            disk.write(target, piece)
        if not piece:
            break
        digest.update(piece)
        offset += len(piece)
    return Content(digest.hexdigest(), offset)


def _copy_in_kernel(disk: Disk, source: int, offset: int, target: int, count: int) -> int:
    """How many bytes were copied; 0 where it does not work, for whatever reason: copying by hand finds out which."""
    try:
        return disk.copy_range(source, offset, target, count)
    except OSError:
        return 0


def _read_source(disk: Disk, source: int, offset: int, count: int, name: str) -> bytes:
    try:
        return disk.read_at(source, offset, count)
    except OSError as error:
        raise StorageError(f"{name} cannot be read: {error}. Nothing was saved") from error


def hash_of(disk: Disk, descriptor: int) -> Content:
    """The content of an open file.  Raises OSError."""
    digest, offset = sha256(), 0
    while piece := disk.read_at(descriptor, offset, CHUNK_BYTES):
        digest.update(piece)
        offset += len(piece)
    return Content(digest.hexdigest(), offset)
