"""A disk in memory that fails as disks do: at the door of `ml_dash/journal/disk.py`, where nothing above it notices.

What the kernel shows and what the medium holds are kept apart.  A write changes what the kernel shows and waits; a sync
of the file brings its waiting writes to the medium, in their order, a sync of the folder the waiting names.  Power loss
keeps of what waits any part: each sector is kept, dropped or garbled, each name kept or dropped.  What a disk promises
beyond that, and what it does not, are the flags of `Hardware`.

A sync that fails behaves as Linux does: what waited is gone from the medium's queue, the kernel still shows it, and the
next sync of the same file reports success.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from errno import ENOENT, ENOSPC
from mmap import mmap
from random import Random

from ml_dash.journal.disk import Disk, FileStatus

CHANGING_CALLS = frozenset("create write sync_data sync_file sync_folder rename publish remove empty".split())
"""Calls at which power can fail: between two of them nothing on the medium changes."""
EMPTIED = -1
"""In the place of an offset, among the writes that wait."""


class PowerLoss(BaseException):
    """No `except Exception` may go on after this, as no program does."""


class Killed(BaseException):
    """The process is gone in the midst of a call; the kernel, and what it shows, stays."""


@dataclass(frozen=True)
class Hardware:
    """What a disk promises for the moment at which its power fails."""

    sector_bytes: int = 512
    """What it writes at once; each fares by itself."""
    reorders: bool = True
    """Writes, and names, that wait reach the medium in any order; else one is there only if all before it are."""
    garbles: bool = True
    """A sector that was being written holds rubbish; else it is the old or the new one."""
    syncs_truly: bool = True
    """What was synced is on the medium; else a sync returns while everything still waits in the drive's cache."""
    keeps_neighbours: bool = True
    """Bytes of a sector that were synced stay when the rest of it is being written; else rubbish takes all of it."""


@dataclass
class Inode:
    """A file: what the kernel shows, what the medium holds, and the writes that wait, oldest first."""

    number: int
    shown: bytearray = field(default_factory=bytearray)
    medium: bytearray = field(default_factory=bytearray)
    waiting: list[tuple[int, bytes]] = field(default_factory=list)
    version: int = 0

    def write_back(self) -> None:
        for offset, data in self.waiting:
            if offset == EMPTIED:
                self.medium.clear()
            else:
                _put(self.medium, offset, data)
        self.waiting.clear()


@dataclass
class Fault:
    """The `nth` call (from 1) of this name raises `error`; with `for_ever`, every later one too."""

    call: str
    nth: int
    error: int
    for_ever: bool = False


class SimulatedDisk(Disk):
    """Folders are not kept: every path may be created."""

    def __init__(self, seed: int = 0, hardware: Hardware | None = None) -> None:
        self.hardware = hardware or Hardware()
        self._random = Random(seed)
        self._descriptors: dict[int, Inode] = {}
        self._next_descriptor = 1_000_000
        self._next_inode = 1
        self.shown_names: dict[str, Inode] = {}
        self.medium_names: dict[str, Inode] = {}
        self.waiting_names: list[tuple[str, Inode | None]] = []
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()
        self.changes = 0
        self.power_fails_at = 0
        """The number of the changing call (from 1) at which power fails; 0 for never."""
        self.kills_at = 0
        """The number of the changing call at which the process that makes it is killed; 0 for none."""
        self.part_written: Callable[[int], int] = lambda length: self._random.randint(0, length)
        """How many of so many bytes arrive when a write fails."""
        self.evicts_after_failed_sync = False
        """Whether the kernel also forgets what a failed sync could not write, as some file systems do."""

    # -- for tests -----------------------------------------------------------------------------------------------

    @property
    def open_descriptors(self) -> int:
        return len(self._descriptors)

    def file(self, path: str) -> Inode:
        return self.shown_names[path]

    def contents(self, path: str) -> bytes:
        return bytes(self.shown_names[path].shown)

    def put(self, path: str, data: bytes) -> None:
        """Changes a file behind everybody's back, durably."""
        inode = self.shown_names.get(path) or self._new_inode()
        inode.shown, inode.medium, inode.waiting = bytearray(data), bytearray(data), []
        inode.version += 1
        self.shown_names[path] = self.medium_names[path] = inode

    def leave(self, path: str, data: bytes) -> None:
        """What a write leaves at the end of a file when the process dies in it."""
        self._write(self.shown_names[path], data)

    def delete(self, path: str) -> None:
        """Removes a file behind everybody's back, durably."""
        del self.shown_names[path]
        self.medium_names.pop(path, None)

    def copy(self) -> SimulatedDisk:
        """What the kernel shows, on a new disk, all of it durable."""
        disk = SimulatedDisk(hardware=self.hardware)
        for path, inode in self.shown_names.items():
            disk.put(path, bytes(inode.shown))
        return disk

    def after_power_loss(self, seed: int) -> SimulatedDisk:
        """A new disk with what the medium holds when power comes back."""
        random, reorders = Random(seed), self.hardware.reorders
        names = dict(self.medium_names)
        ways = (_a_prefix, _any_part) if reorders else (_a_prefix,)
        for path, inode in random.choice(ways)(self.waiting_names, random):
            if inode is None:
                names.pop(path, None)
            else:
                names[path] = inode
        disk = SimulatedDisk(seed, self.hardware)
        survivors = {id(inode): _survivor(inode, random, self.hardware) for inode in names.values()}
        for path, inode in names.items():
            disk.put(path, survivors[id(inode)])
        return disk

    # -- the door ------------------------------------------------------------------------------------------------

    def make_folder(self, path: str) -> None:
        self._enter("make_folder")

    def list_names(self, path: str) -> list[str]:
        self._enter("list_names")
        names = [name.removeprefix(f"{path}/") for name in self.shown_names if name.startswith(f"{path}/")]
        return [name for name in names if "/" not in name]

    def exists(self, path: str) -> bool:
        self._enter("exists")
        return path in self.shown_names or any(name.startswith(f"{path}/") for name in self.shown_names)

    def status(self, path: str) -> FileStatus | None:
        self._enter("status")
        inode = self.shown_names.get(path)
        if inode is None:
            return None
        return FileStatus(len(inode.shown), inode.number, inode.version, inode.version)

    def size_of(self, descriptor: int) -> int:
        self._enter("size_of")
        return len(self._descriptors[descriptor].shown)

    def same_file(self, descriptor: int, path: str) -> bool:
        self._enter("same_file")
        return self._descriptors[descriptor] is self.shown_names.get(path)

    def open_read(self, path: str) -> int:
        self._enter("open_read")
        return self._open(self._at(path))

    def open_append(self, path: str) -> int:
        self._enter("open_append")
        return self._open(self._at(path))

    def create(self, path: str) -> int:
        self._enter("create")
        if path in self.shown_names:
            raise FileExistsError(path)
        inode = self._new_inode()
        self._name(path, inode)
        return self._open(inode)

    def read_at(self, descriptor: int, offset: int, count: int) -> bytes:
        self._enter("read_at")
        return bytes(self._descriptors[descriptor].shown[offset : offset + max(0, count)])

    def write(self, descriptor: int, data: bytes) -> None:
        inode = self._descriptors[descriptor]
        try:
            self._enter("write")
        except BaseException:
            # Part of it may have arrived.
            self._write(inode, data[: self.part_written(len(data))])
            raise
        self._write(inode, data)

    def reserve_map(self, descriptor: int, size: int) -> mmap:
        raise OSError(ENOSPC, "a simulated disk has no maps")

    def sync_data(self, descriptor: int) -> None:
        self._sync("sync_data", descriptor)

    def sync_file(self, descriptor: int) -> None:
        self._sync("sync_file", descriptor)

    def sync_folder(self, path: str) -> None:
        self._enter("sync_folder")
        if not self.hardware.syncs_truly:
            return
        for name, inode in self.waiting_names:
            if inode is None:
                self.medium_names.pop(name, None)
            else:
                self.medium_names[name] = inode
        self.waiting_names.clear()

    def empty(self, descriptor: int) -> None:
        self._enter("empty")
        inode = self._descriptors[descriptor]
        inode.shown.clear()
        inode.waiting.append((EMPTIED, b""))

    def rename(self, source: str, target: str) -> None:
        self._enter("rename")
        self._name(target, self._at(source))
        self._name(source, None)

    def publish(self, temporary: str, final: str) -> None:
        self._enter("publish")
        if final in self.shown_names:
            raise FileExistsError(final)
        self._name(final, self._at(temporary))
        self._name(temporary, None)

    def remove(self, path: str) -> None:
        self._enter("remove")
        if path in self.shown_names:
            self._name(path, None)

    def close(self, descriptor: int) -> None:
        del self._descriptors[descriptor]

    def in_forked_child(self, action: Callable[[], None]) -> None:
        raise NotImplementedError("a simulated disk is not shared with children")

    # -- inside --------------------------------------------------------------------------------------------------

    def _enter(self, call: str) -> None:
        self.calls[call] += 1
        if call in CHANGING_CALLS:
            self.changes += 1
            if 0 < self.power_fails_at <= self.changes:
                raise PowerLoss(f"at change {self.changes}, {call}")
            if self.changes == self.kills_at:
                raise Killed(f"at change {self.changes}, {call}")
        for fault in self.faults:
            nth = self.calls[call]
            if fault.call == call and (nth == fault.nth or (fault.for_ever and nth > fault.nth)):
                raise OSError(fault.error, f"injected into {call} number {nth}")

    def _sync(self, call: str, descriptor: int) -> None:
        inode = self._descriptors[descriptor]
        try:
            self._enter(call)
        except OSError:
            inode.waiting.clear()
            if self.evicts_after_failed_sync:
                inode.shown[:] = inode.medium.ljust(len(inode.shown), b"\0")
            raise
        if self.hardware.syncs_truly:
            inode.write_back()

    def _write(self, inode: Inode, data: bytes) -> None:
        inode.waiting.append((len(inode.shown), data))
        inode.shown += data
        inode.version += 1

    def _name(self, path: str, inode: Inode | None) -> None:
        self.waiting_names.append((path, inode))
        if inode is None:
            del self.shown_names[path]
        else:
            self.shown_names[path] = inode

    def _at(self, path: str) -> Inode:
        inode = self.shown_names.get(path)
        if inode is None:
            raise FileNotFoundError(ENOENT, "no such file", path)
        return inode

    def _new_inode(self) -> Inode:
        self._next_inode += 1
        return Inode(self._next_inode)

    def _open(self, inode: Inode) -> int:
        self._next_descriptor += 1
        self._descriptors[self._next_descriptor] = inode
        return self._next_descriptor


def _put(target: bytearray, offset: int, data: bytes) -> None:
    target.extend(bytes(max(0, offset - len(target))))
    target[offset : offset + len(data)] = data


def _a_prefix(waiting: list[tuple[str, Inode | None]], random: Random) -> list[tuple[str, Inode | None]]:
    return waiting[: random.randint(0, len(waiting))]


def _any_part(waiting: list[tuple[str, Inode | None]], random: Random) -> list[tuple[str, Inode | None]]:
    return [each for each in waiting if random.random() < 0.5]


def _survivor(inode: Inode, random: Random, hardware: Hardware) -> bytes:
    """What the medium holds of a file: of each sector that a waiting write touches, the new, the old, or rubbish."""
    result = bytearray(inode.medium)
    keep, drop = random.choice(((1.0, 0.0), (0.0, 1.0), (0.5, 0.3), (0.9, 0.1)))
    sectors = [sector for offset, data in inode.waiting for sector in _sectors(offset, data, hardware.sector_bytes)]
    if not hardware.reorders:
        del sectors[random.randint(0, len(sectors)) :]
        keep, drop = 1.0, 0.0
    for number, (offset, data) in enumerate(sectors):
        fate = random.random()
        if offset == EMPTIED:
            if fate < keep:
                result.clear()
        elif hardware.garbles and (fate >= keep + drop or (not hardware.reorders and number == len(sectors) - 1)):
            start = offset - offset % hardware.sector_bytes
            low = offset if hardware.keeps_neighbours else start
            length = offset + len(data) - low
            _put(result, low, random.choice((bytes(length), random.randbytes(length))))
        elif fate < keep or (fate >= keep + drop and random.random() < 0.5):
            _put(result, offset, data)
    if hardware.reorders and len(result) > len(inode.medium) and random.random() < 0.3:
        # The new length may not have arrived, or not all of it.
        del result[random.randint(len(inode.medium), len(result)) :]
    return bytes(result)


def _sectors(offset: int, data: bytes, sector_bytes: int) -> Iterator[tuple[int, bytes]]:
    """A write, cut where sectors begin."""
    if offset == EMPTIED:
        yield offset, data
        return
    end = offset + len(data)
    for start in range(offset - offset % sector_bytes, end, sector_bytes):
        low, high = max(offset, start), min(end, start + sector_bytes)
        yield low, data[low - offset : high - offset]
