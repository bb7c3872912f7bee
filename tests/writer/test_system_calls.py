"""F6 and F7 with real system calls that fail: strace makes them, and where it is not there, the functions of `os` do.

A training opens the experiment, records and closes; what it is refused it asks for again, as its errors tell it to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from errno import EDQUOT, EIO, EOPNOTSUPP
from pathlib import Path

import pytest

from ml_dash.journal.folder import JournalFolder

from .support import ROOT, points, reopen

EVENTS = 600
TRAIN = """
import json, sys
from pathlib import Path
from ml_dash.errors import StorageError
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.writer import Writer
refused = []
def insist(action):
    for _ in range(5):
        try:
            return action()
        except StorageError as error:
            refused.append(str(error))
    raise SystemExit("five attempts were not enough: " + refused[-1])
folder = JournalFolder(Path(sys.argv[1]))
writer = insist(lambda: Writer(folder))
stream = writer.stream("metric.logged", "loss")
durable = []
for i in range(600):
    writer.record_stream(stream, {"i": i, "text": "x" * 50})
    if i % 150 == 149:
        insist(writer.flush)
        durable.append(writer.durable_seq)
insist(writer.close)
print(json.dumps([refused, durable]))
"""
WITHOUT_STRACE = """
import os
def failing(call, first, last, number):
    counted = 0
    def fail(*arguments, **named):
        nonlocal counted
        counted += 1
        if first <= counted <= last:
            raise OSError(number, os.strerror(number))
        return call(*arguments, **named)
    return fail
os.{name} = failing(os.{name}, {first}, {last}, {number})
"""
SYSTEM_CALLS = {"link": "link,linkat", "posix_fallocate": "fallocate", "replace": "rename,renameat,renameat2"}
"""Of functions of `os` that are not called like that."""


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", sys.executable, "-c", "pass"]
    return subprocess.run(command, capture_output=True).returncode == 0


def command(name: str, first: int, last: int | None, number: int, folder: JournalFolder) -> list[str]:
    if can_trace():
        when = f"{first}+" if last is None else f"{first}..{last}"
        injected = f"inject={SYSTEM_CALLS.get(name, name)}:error={number}:when={when}"
        traced = ["strace", "-f", "-o", "/dev/null", "-e", injected, sys.executable, "-c", TRAIN]
    else:
        door = WITHOUT_STRACE.format(name=name, first=first, last=last or 1 << 30, number=number)
        traced = [sys.executable, "-c", door + TRAIN]
    return [*traced, str(folder.experiment)]


@pytest.mark.parametrize(
    ("name", "first", "last", "number"),
    [
        ("fdatasync", 1, 1, EIO),
        ("fdatasync", 2, 3, EIO),
        ("fsync", 1, 1, EIO),
        ("fsync", 2, 4, EDQUOT),
        ("link", 1, 1, EIO),
        ("posix_fallocate", 1, None, EOPNOTSUPP),
    ],
)
def test_f7_a_system_call_that_fails_costs_nothing(
    tmp_path: Path, name: str, first: int, last: int | None, number: int
) -> None:
    folder = JournalFolder(tmp_path / "run")
    arguments = command(name, first, last, number, folder)
    ran = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    refused, durable = json.loads(ran.stdout)
    assert all(os.strerror(number) in error or "journal could not be written" in error for error in refused), refused
    assert bool(refused) == (name in ("fsync", "link")), "opening says so"
    assert (len(folder.segment_numbers()) > 1) == (name == "fdatasync"), "that segment takes no further byte"
    assert durable == [150, 300, 450, 600], "what a flush has confirmed is durable up to there, and not before"
    assert points(reopen(folder), "loss") == list(range(EVENTS))
