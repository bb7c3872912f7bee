"""F6 for whole programs: the N-th call at the door to the disk fails, whatever call it is and whoever makes it.

Each program runs in a child of its own, on a copy of the same folder.  It ends well or with an error of ours, nothing
else; then the disk is well, the same program runs again, and everything is as if nothing had happened.
"""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from errno import EACCES, EDQUOT, EINTR, EIO, ENOSPC, EROFS, ESTALE
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment, MlDashError
from ml_dash.journal.disk import Disk
from ml_dash.journal.folder import JournalFolder

from .histories import point
from .journals import append
from .promises import RecordProperty
from .writer.support import in_child

PREFIX = "alice/ml/run"
SECRET = "hunter2-hunter2"
ERRORS = (EIO, ENOSPC, EDQUOT, EINTR, EACCES, EROFS, ESTALE)
CALLS_THAT_FAIL = (
    "make_folder list_names status size_of same_file open_read open_append create create_private read_at write "
    "overwrite reserve_map sync_data sync_file sync_folder empty rename publish remove remove_tree create_draft "
    "copy_range make_read_only make_private"
).split()
"""The others of `Disk` have an answer for every error, or ask nothing of a file."""
FAILED = 3


class FailingDoor:
    """Of all disks of this process: the `nth` call fails; 0 for none."""

    def __init__(self, nth: int, error: int, calls: memoryview) -> None:
        self._nth, self._error, self._calls = nth, error, calls
        self._counter = count(1)
        for name in CALLS_THAT_FAIL:
            setattr(Disk, name, self._counted(name, getattr(Disk, name)))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            number = next(self._counter)
            self._calls[:] = struct.pack("<q", number)
            if number != self._nth:
                return call(*arguments)
            if name == "write":
                descriptor, data = arguments[1:]
                call(arguments[0], descriptor, data[: len(data) // 2])
            raise OSError(self._error, os.strerror(self._error), f"{name}, call {number}")

        return counted


@dataclass(frozen=True)
class Program:
    """`prepare` makes the folder; `run` is what fails; `judge` is asked once it has run on a disk that is well."""

    prepare: Callable[[Path], None]
    run: Callable[[Path, memoryview], None]
    judge: Callable[[Path, int], None]


# -- the programs ------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from ml_dash import Experiment
experiment = Experiment("alice/ml/run", dash_root=sys.argv[1], console=False)
experiment.run.start()
for i in range(40):
    experiment.metrics("killed").log(i=i)
    if i == 20:
        experiment.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_amidst(root: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(root)], timeout=60)
    assert ended.returncode == -signal.SIGKILL


def train(root: Path, returned: memoryview) -> None:
    with Experiment(PREFIX, dash_root=root, console=False).run as experiment:
        for i in range(30):
            experiment.metrics("train").log(i=i)
            returned[:] = struct.pack("<q", i + 1)
            if i == 10:
                experiment.flush()


def everything_is_there(root: Path, returned: int) -> None:
    run = ml_dash.load(PREFIX, dash_root=root)
    assert run.metrics["killed"].columns("all")["i"] == list(range(40))
    # What returned to the program that failed, and then all of the one that did not.
    assert run.metrics["train"].columns("all")["i"] == [*range(returned), *range(30)]
    assert ml_dash.verify(PREFIX, dash_root=root).ok
    assert not list((root / PREFIX / "_journal/spool").iterdir())


def sealed(root: Path) -> None:
    points = [("s1", [point("train", i=i, note=f"{i} {SECRET}")]) for i in range(30)]
    append(root / PREFIX, *points, segment_bytes_max=1500)
    assert len(JournalFolder(root / PREFIX).segment_numbers()) > 3


def all_points(root: Path) -> None:
    run = ml_dash.load(PREFIX, dash_root=root)
    assert run.metrics["train"].columns("all")["i"] == list(range(30))
    assert ml_dash.verify(PREFIX, dash_root=root).ok
    assert not [path for path in (root / PREFIX / "_journal").iterdir() if path.suffix == ".new"]


def look(root: Path, _: memoryview) -> None:
    assert len(list(ml_dash.events(PREFIX, dash_root=root))) == 30
    assert ml_dash.load(PREFIX, dash_root=root).metrics["train"].columns("all")["i"] == list(range(30))
    assert ml_dash.verify(PREFIX, dash_root=root).ok


def archive(root: Path, _: memoryview) -> None:
    ml_dash.archive(PREFIX, dash_root=root)


def archived(root: Path, _: int) -> None:
    all_points(root)
    assert len(list((root / PREFIX / "_journal").glob("*.zst"))) > 2


def unpack(root: Path, _: memoryview) -> None:
    ml_dash.archive(PREFIX, dash_root=root, undo=True)


def unpacked(root: Path, _: int) -> None:
    all_points(root)
    assert not list((root / PREFIX / "_journal").glob("*.zst"))


def prepare_archived(root: Path) -> None:
    sealed(root)
    ml_dash.archive(PREFIX, dash_root=root)


def redact(root: Path, _: memoryview) -> None:
    """As the error says: again, where it was not completed."""
    if any(f'"3 {SECRET}'.encode() in path.read_bytes() for path in (root / PREFIX / "_journal").glob("*.jsonl")):
        ml_dash.redact(PREFIX, 4, "note", reason="it leaked", dash_root=root)


def redacted(root: Path, _: int) -> None:
    all_points(root)
    for path in (root / PREFIX / "_journal").iterdir():
        assert path.is_dir() or f'"3 {SECRET}'.encode() not in path.read_bytes()
    report = ml_dash.verify(PREFIX, dash_root=root)
    assert report.ok
    assert all(each.is_done for each in report.redactions)
    assert report.redactions


def damaged(root: Path) -> None:
    sealed(root)
    path = root / PREFIX / "_journal/00000002.jsonl"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def recover(root: Path, _: memoryview) -> None:
    ml_dash.recover(PREFIX, dash_root=root)


def recovered(root: Path, _: int) -> None:
    kept = ml_dash.load(PREFIX, dash_root=root).metrics["train"].columns("all")["i"]
    assert 24 <= len(kept) < 30
    assert kept == sorted(set(kept))
    with Experiment(PREFIX, dash_root=root, console=False).run as experiment:
        experiment.metrics("train").log(i=100)
    assert ml_dash.load(PREFIX, dash_root=root).metrics["train"].columns("all")["i"] == [*kept, 100]


def save(root: Path, _: memoryview) -> None:
    with Experiment(PREFIX, dash_root=root, console=False).run as experiment:
        experiment.files.save_text("content", to="a.txt")
        experiment.files.upload(str(root / "source"), to="b.bin")


def with_a_source(root: Path) -> None:
    sealed(root)
    (root / "source").write_bytes(bytes(5000))


def saved(root: Path, _: int) -> None:
    all_points(root)
    with Experiment(PREFIX, dash_root=root, console=False).run as experiment:
        assert experiment.files.read_text("a.txt") == "content"
        assert Path(str(experiment.files("b.bin").download(to=root / "again"))).read_bytes() == bytes(5000)
        assert not list((root / PREFIX / "_files").glob(".draft-*"))


def fork(root: Path, _: memoryview) -> None:
    with Experiment("alice/ml/fork", dash_root=root, fork=f"{PREFIX}@20", console=False).run as experiment:
        experiment.metrics("train").log(i=50)


def forked(root: Path, _: int) -> None:
    all_points(root)
    found = ml_dash.load("alice/ml/fork", dash_root=root).metrics["train"].columns("all")["i"]
    assert found in ([*range(20), 50], [*range(20), 50, 50])


PROGRAMS = {
    "train": Program(killed_amidst, train, everything_is_there),
    "look": Program(sealed, look, lambda root, _: all_points(root)),
    "archive": Program(sealed, archive, archived),
    "unpack": Program(prepare_archived, unpack, unpacked),
    "redact": Program(sealed, redact, redacted),
    "recover": Program(damaged, recover, recovered),
    "save files": Program(with_a_source, save, saved),
    "fork": Program(sealed, fork, forked),
}


# -- the tests ---------------------------------------------------------------------------------------------------


def run(program: Program, root: Path, nth: int, error: int) -> tuple[int, int, int]:
    """The exit code of a child in which the `nth` call fails, how often its calls returned, how many it made."""
    shared = mmap.mmap(-1, 16)
    returned, calls = memoryview(shared)[:8], memoryview(shared)[8:]

    def live() -> None:
        FailingDoor(nth, error, calls)
        try:
            program.run(root, returned)
        except MlDashError:
            traceback.print_exc()
            os._exit(FAILED)

    code = in_child(live)
    return code, struct.unpack("<q", returned)[0], struct.unpack("<q", calls)[0]


def fail_calls(tmp_path: Path, name: str, places: Callable[[int], list[tuple[int, int]]]) -> int:
    """`places` gives, for so many calls, which of them fail with which error; how many did."""
    program = PROGRAMS[name]
    program.prepare(tmp_path / "begin")
    for copy in ("warm", "whole"):
        shutil.copytree(tmp_path / "begin", tmp_path / copy)
    # Whatever it imports is there, and not loaded anew by each child.
    program.run(tmp_path / "warm", memoryview(bytearray(8)))
    code, _, calls = run(program, tmp_path / "whole", 0, 0)
    assert code == 0
    tried = places(calls)
    for nth, error in tried:
        root = tmp_path / "root"
        shutil.copytree(tmp_path / "begin", root)
        code, returned, _ = run(program, root, nth, error)
        assert code in (0, FAILED), f"call {nth} failed with {error}: the program ended with {code}"
        again = in_child(partial(program.run, root, memoryview(bytearray(8))))
        assert again == 0, f"call {nth} had failed with {error}: the program does not run on a disk that is well again"
        program.judge(root, returned)
        shutil.rmtree(root)
    return len(tried)


@pytest.mark.parametrize("name", PROGRAMS)
def test_f6_a_call_that_fails_ends_well_or_with_a_named_error_and_the_next_run_is_whole(
    tmp_path: Path, name: str, record_property: RecordProperty
) -> None:
    def some(calls: int) -> list[tuple[int, int]]:
        return [(nth, ERRORS[index % 7]) for index, nth in enumerate(range(1, calls + 1, max(1, calls // 4)))]

    record_property("failing calls", fail_calls(tmp_path, name, some))


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_f6_every_call_of_a_program_fails_with_every_error(
    tmp_path: Path, name: str, error: int, record_property: RecordProperty
) -> None:
    record_property(
        "failing calls", fail_calls(tmp_path, name, lambda calls: [(nth, error) for nth in range(1, calls + 1)])
    )


def test_a_door_that_always_works_makes_no_difference(tmp_path: Path) -> None:
    """What is counted is what the programs do: each call of `Disk` is in the list, or never fails."""
    never = (
        "close exists list_folders remove_folder fault_in private_map keeps_reserved_blocks clone file_object".split()
    )
    never += ["file_object", "in_forked_child", "around_fork"]
    public = {name for name in vars(Disk) if not name.startswith("_")}
    assert public == set(CALLS_THAT_FAIL) | set(never)
