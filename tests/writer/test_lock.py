"""Locks: one holder at a time, dead holders hold nothing, forked children neither; and what is wrong has a name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from errno import EINTR, ENOLCK, ENOSYS, EOPNOTSUPP
from pathlib import Path

import filelock
import pytest

from ml_dash.errors import LockError
from ml_dash.journal.disk import OPERATING_SYSTEM, Disk
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.lock import JournalLock, hold_alone, release
from ml_dash.journal.writer import Writer

from .support import ROOT, in_child, in_threads, log, points, reopen, start_python

HOLD = """
import os, sys, time
from ml_dash.journal.lock import JournalLock
with JournalLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


def lock(path: str) -> JournalLock:
    return JournalLock(path, timeout_s=0.05)


def test_a_second_holder_waits_for_the_first(path: str) -> None:
    counter = [0, 0]

    def count(_: int) -> None:
        own = JournalLock(path)
        for _ in range(50):
            with own:
                counter[0] += 1
                assert counter[0] == 1
                counter[1] += 1
                counter[0] -= 1

    in_threads(4, count)
    assert counter == [0, 200]


def test_a_lock_may_be_entered_again_by_its_holder(path: str) -> None:
    own = JournalLock(path)
    with own:
        with own:
            pass
        with pytest.raises(LockError), lock(path):
            pass
    with lock(path):
        pass


def test_a_lock_that_does_not_become_free_is_named(path: str) -> None:
    with JournalLock(path), pytest.raises(LockError, match=r"lock was not free within 0\.05 s: .*Ctrl-Z"), lock(path):
        pass


def test_a_killed_holder_holds_nothing(path: str) -> None:
    holder = start_python(HOLD, path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockError), lock(path):
        pass
    holder.kill()
    holder.communicate()
    with lock(path):
        pass


def test_other_programs_see_the_lock_as_filelock_takes_it(path: str) -> None:
    with JournalLock(path), pytest.raises(filelock.Timeout):
        filelock.FileLock(path, timeout=0).acquire()
    with filelock.FileLock(path), pytest.raises(LockError), lock(path):
        pass


def test_a_forked_child_neither_keeps_nor_frees_its_parents_lock(path: str, tmp_path: Path) -> None:
    started, ended = os.pipe(), os.pipe()
    with JournalLock(path):
        child = os.fork()
        if child == 0:
            os.write(started[1], b"x")
            os.read(ended[0], 1)
            os._exit(0)
        os.read(started[0], 1)
        with pytest.raises(LockError), lock(path):
            pass
    with lock(path):
        pass
    os.write(ended[1], b"x")
    os.waitpid(child, 0)
    for descriptor in (*started, *ended):
        os.close(descriptor)


def test_the_lock_of_a_killed_parent_is_free_although_its_child_lives(path: str) -> None:
    parent = start_python(
        "import os, sys, time\n"
        "from ml_dash.journal.lock import JournalLock\n"
        "with JournalLock(sys.argv[1]):\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        print(child, flush=True)\n"
        "    time.sleep(100)\n",
        path,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        # The child may still be on its way out of fork.
        parent.kill()
        parent.wait()
        with JournalLock(path, timeout_s=30):
            os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate()


def test_a_lock_file_that_was_removed_while_held_is_noticed_by_its_holder(path: str) -> None:
    with pytest.raises(LockError, match="was removed while it was held"), JournalLock(path):
        os.unlink(path)
    with lock(path):
        assert os.path.exists(path)


def test_who_waited_for_a_removed_lock_file_does_not_take_it_for_the_lock(path: str) -> None:
    holder = OPERATING_SYSTEM.create(path)
    assert hold_alone(holder, path)

    class Removing(Disk):
        opened = 0

        def open_append(self, path: str) -> int:
            descriptor = super().open_append(path)
            self.opened += 1
            if self.opened == 1:
                # Between its open and its lock, the file is removed and its holder lets go.
                os.unlink(path)
                release(holder, OPERATING_SYSTEM)
            return descriptor

    with JournalLock(path, disk=Removing()), pytest.raises(LockError), lock(path):
        pass


@pytest.mark.parametrize("error_number", [ENOLCK, ENOSYS, EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(
    folder: JournalFolder, monkeypatch: pytest.MonkeyPatch, error_number: int
) -> None:
    def refuse(descriptor: int, *, blocking: bool) -> bool:
        raise OSError(error_number, os.strerror(error_number))

    with monkeypatch.context() as patch:
        patch.setattr(filelock, "lock_descriptor", refuse)
        with pytest.raises(LockError, match=r"cannot be locked on this file system .*noflock.*dash_root"):
            Writer(folder)
    writer = Writer(folder)
    log(writer, "loss", 1)
    writer.close()
    assert points(reopen(folder), "loss") == [1]


def test_another_error_of_the_lock_is_not_taken_for_a_missing_one(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, *, blocking: bool) -> bool:
        raise OSError(EINTR, os.strerror(EINTR))

    monkeypatch.setattr(filelock, "lock_descriptor", refuse)
    with pytest.raises(InterruptedError), lock(path):
        pass


def test_flock_refused_by_the_kernel_is_named(folder: JournalFolder) -> None:
    """The same with the real system call, where strace can make it fail."""
    script = "import sys, pathlib\nfrom ml_dash.journal.folder import JournalFolder\n"
    script += "from ml_dash.journal.writer import Writer\n"
    command = ["strace", "-f", "-o", "/dev/null", "-e", "inject=flock:error=ENOLCK", sys.executable, "-c"]
    script += "Writer(JournalFolder(pathlib.Path(sys.argv[1])))"
    try:
        ran = subprocess.run(
            [*command, script, str(folder.experiment)], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
    except FileNotFoundError:
        ran = subprocess.run(
            [sys.executable, "-c", _INJECTED + script, str(folder.experiment)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ran.returncode == 1
    assert "LockError" in ran.stderr
    assert "noflock" in ran.stderr


_INJECTED = """
import errno, fcntl
def flock(descriptor, operation):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""


def test_a_child_closes_what_its_parent_held_before_its_own_code_goes_on(path: str) -> None:
    descriptor = OPERATING_SYSTEM.create(path)
    assert hold_alone(descriptor, path)

    def look() -> None:
        try:
            os.fstat(descriptor)
        except OSError:
            return
        raise AssertionError("the child still has the descriptor")

    assert in_child(look) == 0
    release(descriptor, OPERATING_SYSTEM)
