"""Waiting for journals to go on: whatever happens to one is noticed, whether the kernel tells of it or not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash.journal.folder import JournalFolder
from ml_dash.reading import following
from ml_dash.reading.following import Follow

from .histories import Recorded, point
from .journals import append

PREFIX = "alice/ml/a"
DEADLINE_S = 60.0

APPEND = """
import sys
from pathlib import Path
from tests.histories import point
from tests.journals import append
for line in sys.stdin:
    append(Path(sys.argv[1]), ("s1", [point("train", step=int(line))]), segment_bytes_max=int(sys.argv[2]))
"""


def logged(*steps: int) -> list[Recorded]:
    return [point("train", step=step) for step in steps]


class Kernel:
    """Stands between us and what `watchfiles` tells, and counts how often it was asked."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.asked = 0

    def watch(self, *arguments: Any) -> Any:
        self.asked += 1
        return self.inner.watch(*arguments)

    def close(self) -> None:
        self.inner.close()


class Deaf:
    """What the kernel tells of a network share that another machine writes to: nothing."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self.happens = happens
        self.asked = 0

    def watch(self, *_: Any) -> str:
        self.asked += 1
        self.happens()
        return "timeout"

    def close(self) -> None:
        return


@pytest.fixture(params=["told by the kernel", "looking"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """With `watchfiles`, and without."""
    kernels: list[Kernel] = []
    if request.param == "looking":
        monkeypatch.setitem(sys.modules, "watchfiles._rust_notify", None)
    else:
        watch = following._watch
        monkeypatch.setattr(following, "_watch", lambda paths: kernels.append(Kernel(watch(paths))) or kernels[-1])
    yield request.param
    if request.param != "looking":
        assert any(kernel.asked for kernel in kernels), "the kernel was never asked"


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Any]:
    """Starts a process that appends a point whenever it is told a step."""
    processes = []

    def start(segment_bytes_max: int = 1 << 26) -> Any:
        command = [sys.executable, "-c", APPEND, str(tmp_path / PREFIX), str(segment_bytes_max)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
        processes.append(process)
        return lambda step: print(step, file=process.stdin, flush=True)

    yield start
    for process in processes:
        process.communicate()


def test_what_another_process_appends_ends_the_wait(tmp_path: Path, way: str, writing: Any) -> None:
    folder, write = append(tmp_path / PREFIX, ("s1", logged(0))), writing()
    with Follow([folder]) as follow:
        assert follow.wait(0.1) == []
        for step in range(1, 6):
            write(step)
            assert follow.wait(DEADLINE_S) == [folder]
        assert follow.wait(0.1) == []


def test_following_goes_on_through_segment_after_segment(tmp_path: Path, way: str, writing: Any) -> None:
    append(tmp_path / PREFIX, ("s1", logged(0)))
    write = writing(segment_bytes_max=10)
    events = ml_dash.events(PREFIX, dash_root=tmp_path, follow=True)
    assert next(events).data["fields"]["step"] == 0
    for step in range(1, 6):
        write(step)
        assert next(events).data["fields"]["step"] == step
    assert len(JournalFolder(tmp_path / PREFIX).segment_numbers()) >= 6


def test_what_happens_between_reading_and_waiting_ends_the_wait_at_once(tmp_path: Path) -> None:
    folder = append(tmp_path / PREFIX, ("s1", logged(0)))
    with Follow([folder]) as follow:
        append(tmp_path / PREFIX, ("s1", logged(1)))
        assert follow.wait(0) == [folder]
        assert follow.wait(0) == []
        append(tmp_path / PREFIX, ("s1", logged(2)))
        append(tmp_path / PREFIX, ("s1", logged(3)))
        assert follow.wait(0) == [folder]
        assert follow.wait(0) == []


def test_of_several_journals_it_names_those_that_have_changed(tmp_path: Path, way: str) -> None:
    folders = [append(tmp_path / f"alice/ml/{name}", ("s1", logged(0))) for name in "abc"]
    with Follow(folders) as follow:
        assert follow.wait(0.1) == []
        append(tmp_path / "alice/ml/b", ("s1", logged(1)))
        assert follow.wait(DEADLINE_S) == [folders[1]]
        append(tmp_path / "alice/ml/c", ("s1", logged(1)))
        append(tmp_path / "alice/ml/a", ("s1", logged(1)))
        assert follow.wait(DEADLINE_S) == [folders[0], folders[2]]


def test_a_journal_that_is_not_there_yet_is_waited_for_and_one_made_anew_is_followed(tmp_path: Path, way: str) -> None:
    folder = JournalFolder(tmp_path / PREFIX)
    with Follow([folder]) as follow:
        assert follow.wait(0.1) == []
        for _ in range(2):
            append(tmp_path / PREFIX, ("s1", logged(0)))
            assert follow.wait(DEADLINE_S) == [folder]
            assert follow.wait(0.1) == []
            append(tmp_path / PREFIX, ("s1", logged(1)))
            assert follow.wait(DEADLINE_S) == [folder]
            shutil.rmtree(tmp_path / PREFIX)
            assert follow.wait(DEADLINE_S) == [folder]


def test_what_the_kernel_does_not_tell_is_found_and_a_deaf_kernel_is_soon_not_asked_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(range(1, 9))

    def happens(*_: object) -> None:
        append(tmp_path / PREFIX, ("s1", logged(next(steps))))

    deaf = Deaf(happens)
    monkeypatch.setattr(following, "_watch", lambda paths: deaf)
    monkeypatch.setattr(following, "sleep_s", happens)
    folder = append(tmp_path / PREFIX, ("s1", logged(0)))
    with Follow([folder]) as follow:
        for _ in range(8):
            assert follow.wait(DEADLINE_S) == [folder]
    assert deaf.asked == following.UNTOLD_MAX
    assert not list(steps)


def test_an_interrupt_ends_the_wait(tmp_path: Path) -> None:
    append(tmp_path / PREFIX, ("s1", logged(0)))
    script = (
        "import sys, ml_dash\n"
        "events = ml_dash.events('alice/ml/a', dash_root=sys.argv[1], follow=True)\n"
        "try:\n"
        "    print(next(events).seq, flush=True)\n"
        "    next(events)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        process.send_signal(2)
        assert process.stdout.readline() == "interrupted\n"
