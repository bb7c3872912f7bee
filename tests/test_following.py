"""Reading while others write: every event once, in order, none before its commit is whole, no false alarm."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from pathlib import Path
from typing import IO

import pytest

import ml_dash
from ml_dash.errors import NotFoundError
from ml_dash.journal.folder import JournalFolder
from ml_dash.reading.following import Follow

from .histories import Recorded, point
from .journals import append, session

PREFIX = "alice/ml/a"
WRITERS = 3
POINTS = 2000

WRITE = """
import sys
from ml_dash import Experiment
experiment = Experiment(prefix="alice/ml/a", dash_root=sys.argv[1], console=False)
with experiment.run:
    print("open", flush=True)
    sys.stdin.readline()
    for step in range(int(sys.argv[3])):
        experiment.metrics(sys.argv[2]).log(step=step, text="x" * (step % 50))
        if step % 100 == 0:
            experiment.log(f"{sys.argv[2]} {step}")
    print("logged", flush=True)
    sys.stdin.readline()
"""


class WritingProcess:
    """Opens the experiment, logs when told, ends or is killed when told."""

    def __init__(self, root: Path, metric: str, points: int = POINTS) -> None:
        command = [sys.executable, "-c", WRITE, str(root), metric, str(points)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._await("open")

    def start(self) -> None:
        self._tell()

    def await_logged(self) -> None:
        self._await("logged")

    def end(self) -> None:
        self._tell()

    def await_end(self) -> None:
        assert self._process.wait(60) == 0

    def kill(self) -> None:
        self._process.kill()
        assert self._process.wait(60) == -signal.SIGKILL

    def _tell(self) -> None:
        print(file=self._stream(self._process.stdin), flush=True)

    def _await(self, word: str) -> None:
        assert self._stream(self._process.stdout).readline() == f"{word}\n"

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream

    def __enter__(self) -> WritingProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def ended(events: Iterator[ml_dash.Event], runs: int) -> list[ml_dash.Event]:
    """Up to the event that ends the last of so many sessions."""
    found: list[ml_dash.Event] = []
    while runs:
        found.append(next(events))
        runs -= found[-1].type in ("run.completed", "run.failed")
    return found


def test_a_reader_that_follows_sees_each_event_of_every_writer_once_in_order(tmp_path: Path) -> None:
    with (
        WritingProcess(tmp_path, "m0") as first,
        WritingProcess(tmp_path, "m1") as second,
        WritingProcess(tmp_path, "m2") as third,
    ):
        for writer in (first, second, third):
            writer.start()
            writer.end()
        found = ended(ml_dash.events(PREFIX, dash_root=tmp_path, follow=True), WRITERS)
    assert [each.seq for each in found] == list(range(1, len(found) + 1))
    for metric in ("m0", "m1", "m2"):
        points = [each.data["fields"] for each in found if each.type == "metric.logged" and each.data["name"] == metric]
        assert points == [{"step": step, "text": "x" * (step % 50)} for step in range(POINTS)]
    assert found == list(ml_dash.events(PREFIX, dash_root=tmp_path))


def test_what_a_writer_has_logged_is_seen_although_it_does_not_flush(tmp_path: Path) -> None:
    with WritingProcess(tmp_path, "train") as writer:
        events = ml_dash.events(PREFIX, dash_root=tmp_path, follow=True)
        assert next(events).type == "run.started"
        writer.start()
        writer.await_logged()
        logged = takewhile(lambda step: step != POINTS - 1, (each.data["fields"]["step"] for each in points_of(events)))
        assert list(logged) == list(range(POINTS - 1))
        assert ml_dash.load(PREFIX, dash_root=tmp_path).status == "RUNNING"


def points_of(events: Iterator[ml_dash.Event]) -> Iterator[ml_dash.Event]:
    return (each for each in events if each.type == "metric.logged")


def test_a_follower_sees_what_a_killed_writer_had_logged_and_then_that_it_is_lost(tmp_path: Path) -> None:
    with WritingProcess(tmp_path, "train") as writer:
        events = ml_dash.events(PREFIX, dash_root=tmp_path, follow=True)
        assert next(events).type == "run.started"
        writer.start()
        writer.await_logged()
        writer.kill()
        found = ended(events, 1)
    assert [each.data["fields"]["step"] for each in points_of(iter(found))] == list(range(POINTS))
    assert found[-1].data["reason"] == "lost"
    assert found[-1].seq == len(found) + 1


def test_loading_again_and_again_while_another_process_writes_never_alarms_and_never_goes_back(tmp_path: Path) -> None:
    with WritingProcess(tmp_path, "train", 20 * POINTS) as writer:
        writer.start()
        writer.end()
        seq, status, steps = 0, "RUNNING", 0
        while status == "RUNNING":
            run = ml_dash.load(PREFIX, dash_root=tmp_path)
            assert run.damage == ()
            assert ml_dash.verify(PREFIX, dash_root=tmp_path).ok
            assert run.seq >= seq
            found = run.metrics["train"].columns()["step"] if "train" in run.metrics else []
            assert found == list(range(len(found)))
            assert len(found) >= steps
            seq, status, steps = run.seq, run.status, len(found)
    assert steps == 20 * POINTS


def test_what_is_just_being_written_is_no_damage_and_what_nobody_can_be_writing_is(tmp_path: Path) -> None:
    with WritingProcess(tmp_path, "train") as writer:
        path = segment(JournalFolder(tmp_path / PREFIX))
        before = path.read_bytes()
        add(path, b'{"first":2,"count":1,"time":')
        assert ml_dash.load(PREFIX, dash_root=tmp_path).damage == ()
        assert ml_dash.experiments(dash_root=tmp_path)[0].damage == ()
        path.write_bytes(before)
        writer.start()
        writer.end()
        writer.await_end()
    folder = append(tmp_path / PREFIX, ("s2", logged(0)))
    add(segment(folder, folder.segment_numbers()[-1]), b'{"first":2,"count":1,"time":')
    for found in (ml_dash.load(PREFIX, dash_root=tmp_path), ml_dash.experiments(dash_root=tmp_path)[0]):
        assert "torn" in [each.kind.value for each in found.damage]


# --- one step at a time -------------------------------------------------------------------------------------


@pytest.fixture
def whenever_it_waits(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives what happens while the follower waits: one action a time; it must not wait more often than that."""

    def do(*actions: Callable[[], object]) -> None:
        waiting = iter(actions)
        monkeypatch.setattr(Follow, "wait", lambda *_: next(waiting)())

    return do


def steps_of(events: Iterator[ml_dash.Event], count: int) -> list[int]:
    return [each.data["fields"]["step"] for each in islice(events, count)]


def logged(*steps: int) -> list[Recorded]:
    return [point("train", step=step) for step in steps]


def test_a_commit_that_is_written_piece_by_piece_is_seen_when_it_is_whole(
    tmp_path: Path, whenever_it_waits: Callable[..., None]
) -> None:
    folder = append(tmp_path / PREFIX, ("s1", logged(0, 1)))
    before = segment(folder).read_bytes()
    append(tmp_path / PREFIX, ("s1", logged(2, 3)))
    commit = segment(folder).read_bytes()[len(before) :]
    segment(folder).write_bytes(before)
    pieces = [commit[:1], commit[1:20], commit[20:-1], commit[-1:]]
    whenever_it_waits(*(lambda piece=piece: add(segment(folder), piece) for piece in pieces))
    events = ml_dash.events(PREFIX, dash_root=tmp_path, follow=True)
    assert steps_of(events, 2) == [0, 1]
    assert steps_of(events, 2) == [2, 3]
    assert segment(folder).read_bytes() == before + commit


def segment(folder: JournalFolder, number: int = 1) -> Path:
    return Path(folder.segment_path(number))


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_a_follower_goes_on_into_the_next_segments(tmp_path: Path, whenever_it_waits: Callable[..., None]) -> None:
    append(tmp_path / PREFIX, ("s1", logged(0)))
    rotate = [
        lambda step=step: append(tmp_path / PREFIX, ("s1", logged(step)), segment_bytes_max=10) for step in range(1, 6)
    ]
    whenever_it_waits(*rotate)
    events = ml_dash.events(PREFIX, dash_root=tmp_path, follow=True)
    assert steps_of(events, 6) == list(range(6))
    assert len(JournalFolder(tmp_path / PREFIX).segment_numbers()) >= 6


def test_a_follower_passes_over_a_torn_tail_that_the_next_writer_leaves_behind(
    tmp_path: Path, whenever_it_waits: Callable[..., None]
) -> None:
    folder = append(tmp_path / PREFIX, ("s1", logged(0, 1)))
    whenever_it_waits(
        lambda: add(segment(folder), b'{"first":3,"count":1,"time":'),
        lambda: append(tmp_path / PREFIX, ("s2", logged(2, 3))),
    )
    events = ml_dash.events(PREFIX, dash_root=tmp_path, follow=True)
    assert steps_of(events, 4) == [0, 1, 2, 3]


def test_a_follower_begins_behind_the_number_that_it_is_given(
    tmp_path: Path, whenever_it_waits: Callable[..., None]
) -> None:
    append(tmp_path / PREFIX, ("s1", logged(0, 1, 2)))
    whenever_it_waits(lambda: append(tmp_path / PREFIX, ("s1", logged(3, 4, 5))))
    events = ml_dash.events(PREFIX, dash_root=tmp_path, after=4, follow=True)
    assert steps_of(events, 2) == [4, 5]


def test_a_follower_of_an_experiment_that_is_removed_ends_with_an_error(
    tmp_path: Path, whenever_it_waits: Callable[..., None]
) -> None:
    folder = append(tmp_path / PREFIX, *session("s1", logged(0)))

    def remove() -> None:
        for path in Path(folder.path).iterdir():
            path.unlink()
        Path(folder.path).rmdir()

    whenever_it_waits(remove)
    events = ml_dash.events(PREFIX, dash_root=tmp_path, follow=True)
    with pytest.raises(NotFoundError, match="removed while it was followed"):
        list(events)
