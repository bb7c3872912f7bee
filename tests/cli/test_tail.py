"""`ml-dash tail` shows experiments while they go on, also before they begin, and leaves when it is told to."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.cli.commands import Source
from ml_dash.cli.tail import Watched
from ml_dash.cli.tail_screen import Rates, duration, screen
from ml_dash.errors import NotFoundError
from ml_dash.journal.folder import JournalFolder
from ml_dash.reading.trend import MEANS_MAX
from ml_dash.reading.watching import Watch

from .conftest import COMMAND, Asked

SLOW, RESUMED = "alice/mnist/slow", "alice/nlp/resumed"
PATIENCE_S = 60.0
TRAINING = """
import sys, time
from ml_dash import Experiment
with Experiment("a/b/run", dash_root=sys.argv[1], console=False).run as run:
    step = 0
    while True:
        run.metrics("train").log(step=step, loss=1 / (step + 1))
        step += 1
        if step % 10 == 0:
            run.log(f"step {step}")
        time.sleep(0.01)
"""


@contextmanager
def training(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", TRAINING, str(root)]) as process:
        try:
            yield process
        finally:
            process.kill()


class Screen:
    """A command on a terminal of 100 columns and 20 lines."""

    def __init__(self, root: Path, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 100, 0, 0))
        environment = os.environ | {"ML_DASH_ROOT": str(root), "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            # Ctrl-C on a terminal is a signal to the session that it belongs to.
            start_new_session=True,
            preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self.seen = ""

    def wait_for(self, pattern: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.seen):
            assert time.monotonic() < deadline_s, self.seen[-2000:]
            assert select.select([self._ours], [], [], PATIENCE_S)[0], self.seen[-2000:]
            part = os.read(self._ours, 65536).decode("utf-8", "replace")
            self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part)

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def end(self) -> int:
        deadline_s = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < deadline_s:
            if select.select([self._ours], [], [], 0.05)[0]:
                try:
                    os.read(self._ours, 65536)
                except OSError:
                    break
        code = self.process.wait(PATIENCE_S)
        os.close(self._ours)
        return code


def test_once_prints_each_field_as_it_stands(asked: Asked) -> None:
    rows = asked("tail", "--once", SLOW).rows
    assert [row[4:] for row in rows] == [
        ["train", "loss", "40", "39", "1.9025", "1.9025", "2.0"],
        ["train", "accuracy", "40", "39", "0.0975", "0.0", "0.0975"],
    ]
    assert all(row[:2] == [SLOW, "COMPLETED"] for row in rows)


def test_json_has_trend_and_last_lines(asked: Asked) -> None:
    found = asked("tail", "--once", SLOW, "--json").json
    assert found["metrics"][0]["trend"] == [2 - 0.01 * step / 4 for step in range(40)]
    assert [line["message"] for line in found["lines"]] == ["lowered the learning rate"]


def test_what_has_ended_is_shown_and_not_waited_for(asked: Asked) -> None:
    assert {row[0] for row in asked("tail", SLOW, RESUMED).rows} == {SLOW, RESUMED}


def test_a_glob_means_the_last_one_where_none_runs(asked: Asked) -> None:
    assert {row[0] for row in asked("tail", "alice/**").rows} == {RESUMED}


def test_once_says_what_is_not_there(asked: Asked) -> None:
    with pytest.raises(NotFoundError, match=SLOW):
        asked("tail", "--once", "alice/mnist/slov")


@pytest.mark.parametrize("prefix", ["a/b/run", "a/**"])
def test_it_waits_for_a_run_and_goes_with_it_until_it_is_killed(tmp_path: Path, prefix: str) -> None:
    root = tmp_path / "not there yet"
    command = [*COMMAND, "tail", prefix, "--json", "--interval", "0.1", "--dash-root", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        with training(root) as process:
            looks = [json.loads(tail.stdout.readline()) for _ in range(3)]
            process.kill()
            rest = [json.loads(line) for line in tail.stdout]
    assert tail.returncode == 0
    assert [look["status"] for look in looks] == ["RUNNING"] * 3
    assert looks[0]["seq"] < looks[1]["seq"] < looks[2]["seq"]
    # Who watches finds out that the process is gone, and commits what it had accepted.
    assert rest[-1]["status"] == "FAILED"
    run = ml_dash.load("a/b/run", dash_root=root)
    (loss,) = rest[-1]["metrics"]
    assert (rest[-1]["seq"], loss["points"]) == (run.seq, run.metrics["train"].count)


@pytest.mark.parametrize("keys", [b"q", b"\x03"])
def test_q_and_ctrl_c_leave_a_run_that_goes_on(tmp_path: Path, keys: bytes) -> None:
    with training(tmp_path):
        tail = Screen(tmp_path, "tail", "a/b/run")
        tail.wait_for(r"RUNNING")
        tail.wait_for(r"train\.loss +[0-9.]+.*/s")
        tail.press(keys)
        assert tail.end() == 0


def test_follow_stays_when_the_run_has_ended_and_shows_that_it_is_resumed(tmp_path: Path) -> None:
    with Experiment("a/b/run", dash_root=tmp_path, console=False).run as run:
        run.metrics("train").log(step=1, loss=1.0)
    tail = Screen(tmp_path, "tail", "-f", "a/b/run")
    tail.wait_for("COMPLETED")
    with Experiment("a/b/run", dash_root=tmp_path, console=False).run as run:
        run.metrics("eval").log(step=1, loss=0.25)
        run.flush()
        tail.wait_for(r"RUNNING(.|\n)*eval\.loss +0\.25")
    tail.process.send_signal(signal.SIGINT)
    assert tail.end() == 0


def test_a_journal_without_any_event_yet_has_not_ended(tmp_path: Path) -> None:
    (tmp_path / "a/b/run/_journal").mkdir(parents=True)
    watched = Watched("a/b/run", Source(str(tmp_path), None))
    watched.refresh(PATIENCE_S)
    assert watched.watch is not None
    assert not watched.is_over
    with Experiment("a/b/run", dash_root=tmp_path, console=False).run:
        watched.refresh(PATIENCE_S)
        assert not watched.is_over
    watched.refresh(PATIENCE_S)
    assert watched.is_over


# -- what it reads -------------------------------------------------------------------------------------------------


def test_a_watch_reads_in_pieces_what_it_would_read_at_once(tmp_path: Path) -> None:
    with Experiment("a/b/c", dash_root=tmp_path, console=False).run as run:
        for step in range(3000):
            run.metrics("train").log(step=step, loss=step)
            if step % 100 == 0:
                run.log(f"step {step}")
                run.flush()
    folder = JournalFolder(tmp_path / "a/b/c")
    at_once, in_pieces = Watch(folder), Watch(folder)
    assert at_once.refresh(PATIENCE_S)
    looks = 1
    while not in_pieces.refresh(0.0):
        looks += 1
    assert looks > 20
    assert in_pieces.state == at_once.state
    means = at_once.trends["train", "loss"].means()
    assert means == in_pieces.trends["train", "loss"].means()
    assert len(means) <= MEANS_MAX
    assert [line[2] for line in in_pieces.lines] == [f"step {step}" for step in range(1000, 3000, 100)]


def test_a_watch_gives_each_point_once_however_often_it_looks(tmp_path: Path) -> None:
    watch = None
    with Experiment("a/b/c", dash_root=tmp_path, console=False).run as run:
        for step in range(200):
            run.metrics("train").log(step=step, loss=step)
            if step % 20 == 0:
                run.flush()
                watch = watch or Watch(JournalFolder(tmp_path / "a/b/c"))
                watch.refresh(PATIENCE_S)
    assert watch is not None
    watch.refresh(PATIENCE_S)
    assert watch.trends["train", "loss"].means() == [float(step) for step in range(200)]


def test_a_fork_shows_the_trend_from_before_it(tmp_path: Path) -> None:
    with Experiment("a/b/parent", dash_root=tmp_path, console=False).run as run:
        for step in range(5):
            run.metrics("train").log(step=step, loss=step)
    with Experiment("a/b/fork", fork="a/b/parent", dash_root=tmp_path, console=False).run as run:
        run.metrics("train").log(step=5, loss=5)
    watch = Watch(JournalFolder(tmp_path / "a/b/fork"))
    watch.refresh(PATIENCE_S)
    assert watch.trends["train", "loss"].means() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("width", [20, 80, 200])
@pytest.mark.parametrize("height", [3, 8, 40])
def test_no_screen_is_wider_or_higher_than_the_terminal(trained: Path, width: int, height: int) -> None:
    watch = Watch(JournalFolder(trained / SLOW))
    watch.refresh(PATIENCE_S)
    rates = Rates()
    rates.see(0.0, {"train": 0})
    rates.see(10.0, {"train": 40})
    lines = screen(SLOW, watch, rates, 2 * 10**15, width, height, is_behind=True)
    assert 0 < len(lines) <= height
    assert max(line.cell_len for line in lines) <= width


def test_a_rate_is_points_over_the_seconds_between_looks() -> None:
    rates = Rates()
    rates.see(0.0, {"train": 0})
    assert rates.of("train") is None
    for second in range(1, 31):
        rates.see(float(second), {"train": 5 * second if second <= 15 else 75})
    assert rates.of("train") == 0.0
    rates.see(31.0, {"train": 175})
    assert rates.of("train") == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (75, "1 min 15 s"), (7500, "2 h 5 min"), (10**6, "11 d 13 h")]
)
def test_durations_are_said_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
