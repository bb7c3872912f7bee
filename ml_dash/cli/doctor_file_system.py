"""Whether the file system of a dash root can do what recording needs: tried out, in a folder that is then removed."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ..clock import monotonic_s
from ..errors import LockError
from ..journal.disk import OPERATING_SYSTEM
from ..journal.lock import JournalLock
from .finding import Finding, note, well, wrong
from .wording import size

SECTION = "file system"
FREE_BYTES_WRONG = 100 * 1024**2
FREE_BYTES_NOTE = 2 * 1024**3
FILES_FREE_WRONG = 1000
SYNCS = 20
SYNC_MS_NOTE = 100.0
MAP_BYTES = 1 << 20
OTHER_S_MAX = 60.0
SHARED = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "fuse.sshfs")
ELSEWHERE = "Put dash_root on a local disk, and use dash_url or a copy for what others are to see"
_TRY_LOCK = """
import sys
from ml_dash.errors import LockError
from ml_dash.journal.lock import JournalLock
try:
    with JournalLock(sys.argv[1], timeout_s=float(sys.argv[2])):
        print("held")
except LockError:
    print("refused")
"""


def examine(root: Path) -> Iterator[Finding]:
    """Everything about the file system that `root` is on, or would be."""
    there = root
    while not there.exists():
        there = there.parent
    if there == root:
        yield well(SECTION, "dash root", str(root))
    else:
        yield note(SECTION, "dash root", f"{root} does not exist yet; looked at {there}")
    kind, mounted = _type_of(there)
    if kind in SHARED:
        yield note(
            SECTION,
            "type",
            f"{kind} at {mounted}, a network share",
            "Its locks work or not by how it is mounted: see below",
        )
    elif kind:
        yield well(SECTION, "type", f"{kind} at {mounted}")
    yield from _room(there)
    try:
        folder = Path(tempfile.mkdtemp(prefix=".ml-dash-doctor-", dir=there))
    except OSError as error:
        yield wrong(
            SECTION,
            "writing",
            f"{there} cannot be written to: {error}",
            "Choose another dash_root, or have it made yours",
        )
        return
    try:
        for name, check in _CHECKS.items():
            try:
                yield check(folder)
            except OSError as error:
                yield wrong(SECTION, name, f"failed: {error}", ELSEWHERE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _type_of(path: Path) -> tuple[str, str]:
    """The type of the file system and where it is mounted; empty where the system does not say (other than Linux)."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:
        return "", ""
    real, found = os.path.realpath(path), ("", "")
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        place = before.split(" ")[4].encode().decode("unicode_escape")
        inside = place == "/" or real == place or real.startswith(f"{place}/")
        # Of two on one place the later one hides the other.
        if inside and len(place) >= len(found[1]):
            found = after.split(" ")[0], place
    return found


def _room(path: Path) -> Iterator[Finding]:
    free = os.statvfs(path)
    room = free.f_bavail * free.f_frsize
    text = f"{size(room)} free"
    advice = (
        "Make room: recording goes on without the disk, and what it cannot write is kept in memory and lost with it"
    )
    if room < FREE_BYTES_WRONG:
        yield wrong(SECTION, "free space", text, advice)
    else:
        yield note(SECTION, "free space", text, advice) if room < FREE_BYTES_NOTE else well(SECTION, "free space", text)
    if free.f_files > 0 and free.f_favail < FILES_FREE_WRONG:
        yield wrong(
            SECTION, "free files", f"{free.f_favail:,} more files fit", "Remove files: there are no inodes left"
        )


def _locks(folder: Path) -> Finding:
    """By two processes, as two trainings would."""
    path = str(folder / "lock")
    try:
        with JournalLock(path):
            while_held = _other_process(path, timeout_s=0.2)
        afterwards = _other_process(path, timeout_s=10.0)
    except LockError as error:
        return wrong(SECTION, "locks", str(error), ELSEWHERE)
    if (while_held, afterwards) == ("refused", "held"):
        return well(SECTION, "locks", "a lock that one process holds is refused to another, and free when it is let go")
    if while_held == "held":
        return wrong(SECTION, "locks", "two processes held one lock at the same time", ELSEWHERE)
    return wrong(SECTION, "locks", f"another process found: {while_held}, then: {afterwards}", ELSEWHERE)


def _other_process(path: str, timeout_s: float) -> str:
    command = [sys.executable, "-c", _TRY_LOCK, path, str(timeout_s)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=OTHER_S_MAX)
    return ended.stdout.strip() or ended.stderr.strip().rpartition("\n")[2] or f"exit code {ended.returncode}"


def _mapping(folder: Path) -> Finding:
    descriptor = os.open(folder / "map", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        mapped = OPERATING_SYSTEM.reserve_map(descriptor, MAP_BYTES)
        mapped[:4] = b"here"
        mapped.close()
        found = os.pread(descriptor, 4, 0)
    except OSError as error:
        return note(
            SECTION, "mapped files", f"not to be had: {error}", "Nothing is lost by it: a recording call takes longer"
        )
    finally:
        os.close(descriptor)
    if found != b"here":
        return wrong(SECTION, "mapped files", "what was written through memory is not in the file", ELSEWHERE)
    return well(SECTION, "mapped files", "blocks are reserved and mapped")


def _syncing(folder: Path) -> Finding:
    took_ms: list[float] = []
    descriptor = os.open(folder / "sync", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(SYNCS):
            os.write(descriptor, b"x" * 4096)
            began_s = monotonic_s()
            OPERATING_SYSTEM.sync_data(descriptor)
            took_ms.append(1000 * (monotonic_s() - began_s))
    finally:
        os.close(descriptor)
    text = f"median {statistics.median(took_ms):.2f} ms, longest {max(took_ms):.2f} ms of {SYNCS}"
    if statistics.median(took_ms) > SYNC_MS_NOTE:
        return note(SECTION, "syncing", text, "A flush and the end of a run wait so long; recording calls never do")
    return well(SECTION, "syncing", text)


def _links(folder: Path) -> Finding:
    (folder / "one").write_bytes(b"1")
    try:
        os.link(folder / "one", folder / "two")
    except OSError as error:
        return note(SECTION, "hard links", f"not to be had: {error}", "Segments and files get their names another way")
    return well(SECTION, "hard links", "work")


def _case(folder: Path) -> Finding:
    (folder / "case").write_bytes(b"")
    if (folder / "CASE").exists():
        return note(
            SECTION,
            "letters",
            "upper and lower case are the same",
            "Prefixes that differ in nothing else are one experiment",
        )
    return well(SECTION, "letters", "upper and lower case differ")


_CHECKS: dict[str, Callable[[Path], Finding]] = {
    "locks": _locks,
    "mapped files": _mapping,
    "syncing": _syncing,
    "hard links": _links,
    "letters": _case,
}
