"""F13: the disk is full for real, then there is space again.  Training goes on, one warning says so, all is kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash.journal.folder import JournalFolder

from .support import ROOT, points, reopen, run_python

FILL = """
import json, os, resource, shutil, sys, time
from pathlib import Path
from ml_dash.errors import StorageError
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.writer import Writer
folder = JournalFolder(Path(sys.argv[1]))
make_full, make_room = {make_full}, {make_room}
writer = Writer(folder, is_strict={is_strict})
stream = writer.stream("metric.logged", "loss")
kept, i = 0, 0
def log(text=""):
    global i, kept
    i += 1
    try:
        writer.record_stream(stream, {{"i": i, "text": text}})
        kept = i
        return True
    except StorageError:
        assert {is_strict}
        return False
for _ in range(1000): log()
durable = writer.flush()
make_full()
refused = 0
for _ in range(3000): refused += not log("x" * 2000)
failed = 0
try:
    writer.flush()
except StorageError as error:
    failed += 1
    assert "wait in the spool" in str(error), error
make_room()
deadline = time.monotonic() + 60
while True:
    try:
        last = writer.flush()
        break
    except StorageError:
        assert time.monotonic() < deadline
        time.sleep(0.05)
for _ in range(1000): assert log("after")
writer.close()
print(json.dumps([i, kept, refused, failed, durable, last]))
"""


def can_mount() -> bool:
    """Whether we may mount a file system: tried where nobody else sees it."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True).returncode == 0


WAYS_TO_FILL = ["limit", "tmpfs"] if can_mount() else ["limit"]
"""No file may grow any more, which every system knows; and a file system of 8 MiB that is full."""


@pytest.fixture(params=WAYS_TO_FILL)
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param == "limit":
        yield tmp_path / "limit"
        return
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount)], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)


IMPORTS = "import os, resource, shutil, sys\nfrom pathlib import Path\n"
MOUNTED = (
    "lambda: (Path(sys.argv[1]).parent / 'ballast').write_bytes(bytes(shutil.disk_usage(sys.argv[1]).free))",
    "lambda: os.unlink(Path(sys.argv[1]).parent / 'ballast')",
)
LIMITED = (
    "lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, -1))",
    "lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))",
)


def fill(small_disk: Path, *, is_strict: bool) -> tuple[list[int], str, JournalFolder]:
    is_mounted = small_disk.name == "disk"
    make_full, make_room = MOUNTED if is_mounted else LIMITED
    folder = JournalFolder(small_disk / "run")
    ran = run_python(FILL.format(make_full=make_full, make_room=make_room, is_strict=is_strict), folder.experiment)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout), ran.stderr, folder


def test_f13_a_full_disk_costs_nothing_but_a_warning(small_disk: Path) -> None:
    [recorded, kept, refused, failed, durable, _], errors, folder = fill(small_disk, is_strict=False)
    assert (refused, failed) == (0, 1)
    assert recorded == kept == 5000
    assert durable == 1000
    assert errors.count("WARNING") == 1, errors
    assert points(reopen(folder), "loss") == list(range(1, 5001))


def test_f13_a_full_disk_raises_where_durability_is_strict(small_disk: Path) -> None:
    [recorded, _, refused, failed, durable, _], _, folder = fill(small_disk, is_strict=True)
    assert refused > 0
    assert failed == 1
    assert durable == 1000
    found = points(reopen(folder), "loss")
    assert found == sorted(set(found))
    assert len(found) == recorded - refused
    assert found[:1000] == list(range(1, 1001))
    assert found[-1000:] == list(range(4001, 5001))


def test_f13_a_process_that_is_killed_while_the_disk_is_full_leaves_a_journal_that_goes_on(small_disk: Path) -> None:
    is_mounted = small_disk.name == "disk"
    make_full, make_room = MOUNTED if is_mounted else LIMITED
    folder = JournalFolder(small_disk / "run")
    script = FILL.partition("make_room()\ndeadline")[0] + "os.kill(os.getpid(), 9)\n"
    ran = run_python(script.format(make_full=make_full, make_room=make_room, is_strict=False), folder.experiment)
    assert ran.returncode == -9, ran.stderr
    if is_mounted:
        os.unlink(small_disk / "ballast")
    found = points(reopen(folder), "loss")
    assert found == list(range(1, len(found) + 1)), "what waited in memory is lost, and only that: the end"
    assert len(found) >= 1000


def test_f13_an_experiment_cannot_be_opened_on_a_full_disk_and_can_when_there_is_space(small_disk: Path) -> None:
    is_mounted = small_disk.name == "disk"
    make_full, make_room = MOUNTED if is_mounted else LIMITED
    script = (
        IMPORTS + "from ml_dash.errors import StorageError\n"
        "from ml_dash.journal.folder import JournalFolder\n"
        "from ml_dash.journal.writer import Writer\n"
        "folder = JournalFolder(Path(sys.argv[1]))\n"
        "folder.experiment.mkdir(parents=True)\n"
        f"({make_full})()\n"
        "try:\n"
        "    Writer(folder)\n"
        "    raise SystemExit('it was opened')\n"
        "except StorageError as error:\n"
        "    assert 'free space' in str(error), error\n"
        f"({make_room})()\n"
        "Writer(folder).close()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(small_disk / "run")], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
