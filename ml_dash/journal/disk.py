"""The one door to the operating system: every call that touches a file of a journal stands here.

Faults are injected at this door: a test hands a `Disk` of its own to `JournalFolder`, and nothing below notices.
All paths are absolute.  Errors are the operating system's own, `OSError`, raised as they come; the callers above know
what each of them means for a promise, and this file does not.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from errno import EACCES, EBADF, EEXIST, EINVAL, ENOSYS, ENOTSUP, EOPNOTSUPP, EPERM
from typing import BinaryIO

# The number of the ioctl that makes one file share the blocks of another (linux/fs.h, `FICLONE`).
_FICLONE = 0x40049409


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What identifies the content of a file without reading it: any change through the file system changes it."""

    size: int
    inode: int
    modified_ns: int
    changed_ns: int


class Disk:
    """The real operating system."""

    def make_folder(self, path: str) -> None:
        """Also the folders above it that are missing; all of them are on the medium when this returns."""
        made = []
        above = os.path.abspath(path)
        while not os.path.isdir(above):
            made.append(above)
            above = os.path.dirname(above)
        os.makedirs(path, exist_ok=True)
        for folder in made:
            self.sync_folder(os.path.dirname(folder))

    def list_names(self, path: str) -> list[str]:
        """Names in a folder, in no order; empty where there is no such folder."""
        try:
            return os.listdir(path)
        except FileNotFoundError:
            return []

    def list_folders(self, path: str) -> list[str]:
        """Names of the folders in a folder, in no order; empty where it is none, or cannot be looked into."""
        try:
            with os.scandir(path) as entries:
                return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def status(self, path: str) -> FileStatus | None:
        """None where there is no such file."""
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        return FileStatus(found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)

    def size_of(self, descriptor: int) -> int:
        return os.fstat(descriptor).st_size

    def same_file(self, descriptor: int, path: str) -> bool:
        """Whether the open file is still the one that stands under this path."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(path))
        except FileNotFoundError:
            return False

    def open_read(self, path: str) -> int:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def open_append(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def create(self, path: str) -> int:
        """A new file, open for reading and appending; FileExistsError where the name is taken."""
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def create_private(self, path: str) -> int:
        """As `create`, and nobody but its owner may read it, from its first moment on."""
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def read_at(self, descriptor: int, offset: int, count: int) -> bytes:
        """Up to `count` bytes; fewer only at the end of the file."""
        parts = []
        while count > 0 and (part := os.pread(descriptor, count, offset)):
            parts.append(part)
            offset += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, descriptor: int, data: bytes) -> None:
        """All of `data`, or an OSError after an unknown part of it."""
        written = os.write(descriptor, data)
        while written < len(data):
            written += os.write(descriptor, memoryview(data)[written:])

    def overwrite(self, path: str, offset: int, data: bytes) -> None:
        """Puts `data` in the place of as many bytes of a file; on the medium when this returns."""
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(descriptor, memoryview(data)[written:], offset + written)
            self.sync_file(descriptor)
        finally:
            os.close(descriptor)

    def keeps_reserved_blocks(self, path: str) -> bool:
        """Whether a block that was reserved in this folder can be written to whatever happens to the file system.

        Not so where a server may vanish, nor where blocks are never written in place (zfs): a map would end in SIGBUS.
        """
        try:
            with open("/proc/self/mounts", "rb") as mounts:
                return file_system_of(os.path.realpath(path), os.fsdecode(mounts.read())) in _KEEPS_RESERVED_BLOCKS
        except OSError:
            return False

    def reserve_map(self, descriptor: int, size: int) -> mmap.mmap:
        """A writable, shared map of the file's first `size` bytes, on blocks that are really reserved.

        Without the reservation a full disk would kill the process with SIGBUS instead of raising here.
        """
        if not hasattr(os, "posix_fallocate"):
            raise OSError(EOPNOTSUPP, "this system cannot reserve blocks")
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def private_map(self, size: int) -> mmap.mmap:
        """Memory of this process alone, all zeros; takes no room before it is written to."""
        return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE)

    def fault_in(self, target: mmap.mmap, start: int, length: int) -> None:
        """Makes the kernel find the pages of a map now, so that writing to them later takes no time; a hint."""
        with suppress(OSError):
            target.madvise(_MADV_POPULATE_WRITE, start, length)

    def sync_data(self, descriptor: int) -> None:
        """Bytes and length of the file are on the medium when this returns."""
        if sys.platform == "darwin":
            self.sync_file(descriptor)
        else:
            os.fdatasync(descriptor)

    def sync_file(self, descriptor: int) -> None:
        if sys.platform == "darwin":
            # There fsync leaves the bytes in the drive's cache, which a power failure takes with it.
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        else:
            os.fsync(descriptor)

    def sync_folder(self, path: str) -> None:
        """Names created in, or removed from, the folder are on the medium when this returns."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Network shares and some FUSE file systems know no syncing of folders: names are durable there, or none is.
            if error.errno not in (EINVAL, ENOSYS, ENOTSUP):
                raise
        finally:
            os.close(descriptor)

    def empty(self, descriptor: int) -> None:
        """Gives back all blocks of a file that no map of this process shows any more."""
        os.ftruncate(descriptor, 0)

    def rename(self, source: str, target: str) -> None:
        """Atomic; replaces `target`."""
        os.replace(source, target)

    def publish(self, temporary: str, final: str) -> None:
        """Gives a complete file its name, atomically; FileExistsError where the name is taken."""
        try:
            os.link(temporary, final)
        except OSError as error:
            if error.errno not in (EACCES, EPERM, ENOSYS, ENOTSUP):
                raise
            # FAT, Android and some network shares have no hard links.
            if os.path.lexists(final):
                raise FileExistsError(EEXIST, os.strerror(EEXIST), final) from error
            os.rename(temporary, final)
            return
        os.unlink(temporary)

    def remove(self, path: str) -> None:
        """Removes the name; nothing happens where it is gone already."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            return

    def remove_folder(self, path: str) -> bool:
        """Whether the folder is gone; one that holds anything stays."""
        try:
            os.rmdir(path)
        except OSError:
            return False
        return True

    def remove_tree(self, path: str) -> None:
        """Removes a folder and all that is in it."""
        import shutil

        shutil.rmtree(path)

    def close(self, descriptor: int) -> None:
        """The descriptor is gone whatever the system says; what has to be on the medium was synced before."""
        try:
            os.close(descriptor)
        except OSError as error:
            # A file server tells here what it could not write behind (EIO, EDQUOT), and nobody could do anything.
            if error.errno == EBADF:
                raise

    def in_forked_child(self, action: Callable[[], None]) -> None:
        """`action` is called in every forked child, before its code goes on."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=action)

    def around_fork(
        self, before: Callable[[], None], in_parent: Callable[[], None], in_child: Callable[[], None]
    ) -> None:
        """As above, and also `before` every fork and `in_parent` behind it."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)

    # -- content of saved files ----------------------------------------------------------------------------------

    def create_draft(self, path: str) -> int:
        """A new file, open for reading and for writing anywhere; FileExistsError where the name is taken."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def clone(self, source: int, target: int) -> bool:
        """Whether the empty file `target` now shares all blocks of `source`, which only some file systems can do."""
        if sys.platform != "linux":
            return False
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError:
            return False
        return True

    def copy_range(self, source: int, offset: int, target: int, count: int) -> int:
        """Copies up to `count` bytes from `offset` to where `target` is, inside the kernel; 0 only at the end, or where
        the kernel knows no length of the source.  OSError where the two files cannot be copied this way."""
        if sys.platform != "linux":
            raise OSError(ENOSYS, "this system has no copy_file_range")
        return os.copy_file_range(source, target, count, offset_src=offset)

    def file_object(self, descriptor: int) -> BinaryIO:
        """A file object for libraries that write by themselves; closing it leaves the descriptor open."""
        return open(descriptor, "r+b", closefd=False)

    def make_read_only(self, descriptor: int) -> None:
        os.fchmod(descriptor, os.fstat(descriptor).st_mode & 0o555)

    def make_private(self, descriptor: int) -> None:
        """From now on nobody but its owner may read it."""
        if os.fstat(descriptor).st_mode & 0o077:
            os.fchmod(descriptor, 0o600)


_KEEPS_RESERVED_BLOCKS = frozenset("bcachefs btrfs ext2 ext3 ext4 f2fs jfs overlay tmpfs xfs".split())
_ESCAPED = re.compile(r"\\([0-7]{3})")


def file_system_of(path: str, mounts: str) -> str:
    """The type of the file system that an absolute path lies on, by the table of mounts as Linux prints it."""
    found = ("", "")
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split(" ")
        place = _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 8)), place)
        # The last one mounted on a place hides the others.
        if len(place) >= len(found[0]) and f"{path}/".startswith(place.rstrip("/") + "/"):
            found = (place, kind)
    return found[1]


Map = mmap.mmap
"""A memory map; only this file makes one."""
_MADV_POPULATE_WRITE = 23
"""Linux 5.14; Python has no name for it."""

OPERATING_SYSTEM = Disk()
