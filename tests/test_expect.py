"""`experiment.expect`: one commit if nobody else has written, else nothing; with real processes and real kills."""

# What raises is the end of a block, so there is more in it than one statement.
# ruff: noqa: PT012

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import ConfigurationError, ConflictError, Experiment, ExperimentError
from ml_dash.journal import held
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.reader import JournalReader

from .histories import point
from .journals import append

PREFIX = "alice/ml/a"
PROCESSES = 8
INCREMENTS = 25


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    experiment = Experiment(PREFIX, dash_root=tmp_path, console=False)
    with experiment.run:
        yield experiment


def someone_else_records(root: Path) -> None:
    append(root / PREFIX, ("other", [point("other", step=1)]))


def recorded_events(root: Path) -> list[tuple[str, Any]]:
    return [(each.type, each.data) for each in ml_dash.events(PREFIX, dash_root=root)]


def params(root: Path) -> dict[str, Any]:
    return dict(ml_dash.load(PREFIX, dash_root=root).params)


# --- all or nothing -----------------------------------------------------------------------------------------


def test_what_is_recorded_inside_becomes_one_commit_in_the_order_of_the_calls(
    experiment: Experiment, tmp_path: Path
) -> None:
    seq = experiment.seq
    with experiment.expect(seq):
        experiment.params.set(lr=0.1)
        experiment.metrics("train").log(step=1, loss=float("nan"))
        experiment.metrics("train").log(step=2, loss=0.5, text="ü")
        experiment.tracks("arm").append(q=[0.1], _ts=1.5)
        experiment.log("decided")
        experiment.tags = ["best"]
        experiment.description = "the best one"
        experiment.files.save_text("content", to="notes.txt")
    lines = [line for line in JournalReader(JournalFolder(tmp_path / PREFIX)).commits() if line.last > seq]
    assert [line.first for line in lines] == [seq + 1]
    types = [each.type for each in ml_dash.events(PREFIX, dash_root=tmp_path, after=seq)]
    assert types == [
        *("params.set", "metric.logged", "metric.logged", "track.appended", "log.written"),
        *("experiment.described", "experiment.described", "file.saved"),
    ]
    assert (lines[0].counter, lines[0].session) == (1, ml_dash.load(PREFIX, dash_root=tmp_path).sessions[0].id)
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    assert (run.params["lr"], run.tags, run.description) == (0.1, ("best",), "the best one")
    assert run.metrics["train"].columns()["step"] == [1, 2]
    assert run.files[0].size_bytes == len("content")
    assert experiment.seq == seq + 8
    assert ml_dash.verify(PREFIX, dash_root=tmp_path).ok


def test_nothing_is_recorded_where_somebody_else_was_first(experiment: Experiment, tmp_path: Path) -> None:
    seq = experiment.seq
    with (
        pytest.raises(ConflictError, match=f"event {seq}, and ends in event {seq + 1}") as caught,
        experiment.expect(seq),
    ):
        experiment.params.set(lr=0.1)
        experiment.files.save_text("content", to="notes.txt")
        someone_else_records(tmp_path)
    assert (caught.value.expected, caught.value.found) == (seq, seq + 1)
    assert [kind for kind, _ in recorded_events(tmp_path)[seq:]] == ["metric.logged"]
    assert experiment.seq == seq + 1
    with experiment.expect(experiment.seq):
        experiment.params.set(lr=0.2)
    assert params(tmp_path) == {"lr": 0.2}


def test_an_exception_in_the_block_records_nothing_and_comes_out_as_it_is(
    experiment: Experiment, tmp_path: Path
) -> None:
    before = recorded_events(tmp_path)
    with pytest.raises(ZeroDivisionError), experiment.expect(experiment.seq):
        experiment.params.set(lr=0.1)
        experiment.params.set(lr=1 / 0)
    experiment.flush()
    assert recorded_events(tmp_path) == before
    experiment.params.set(lr=0.3)
    assert experiment.params.get("lr") == 0.3


def test_a_number_that_the_journal_has_not_reached_is_a_conflict(experiment: Experiment) -> None:
    with pytest.raises(ConflictError), experiment.expect(experiment.seq + 1):
        experiment.params.set(lr=0.1)
    assert experiment.params.get("lr") is None


def test_an_empty_block_records_nothing_and_still_tells_of_others(experiment: Experiment, tmp_path: Path) -> None:
    seq = experiment.seq
    with experiment.expect(seq):
        pass
    assert experiment.seq == seq
    with pytest.raises(ConflictError), experiment.expect(seq):
        someone_else_records(tmp_path)


def test_what_was_recorded_before_the_block_stands_before_it_and_is_a_conflict(experiment: Experiment) -> None:
    seq = experiment.seq
    experiment.params.set(lr=0.1)
    with pytest.raises(ConflictError), experiment.expect(seq):
        experiment.params.set(lr=0.2)
    assert experiment.params.get("lr") == 0.1


def test_a_changed_value_after_the_call_changes_nothing(experiment: Experiment) -> None:
    layers = [1, 2]
    with experiment.expect(experiment.seq):
        experiment.params.set(layers=layers)
        layers.append(3)
    assert experiment.params.get("layers") == [1, 2]


def test_a_description_of_a_metric_is_given_again_where_its_block_came_to_nothing(
    experiment: Experiment, tmp_path: Path
) -> None:
    seq = experiment.seq
    with pytest.raises(ConflictError), experiment.expect(seq - 1):
        experiment.metrics("train", description="of the training set").log(step=1)
    with experiment.expect(seq):
        experiment.metrics("train", description="of the training set").log(step=1)
    assert ml_dash.load(PREFIX, dash_root=tmp_path).metrics["train"].description == "of the training set"


def test_buffered_numbers_wait_for_the_next_summary_where_their_block_came_to_nothing(
    experiment: Experiment, tmp_path: Path
) -> None:
    train = experiment.metrics("train")
    for loss in (1, 2):
        train.buffer(loss=loss)
        train.summary_cache.store(loss=loss)
    train.summary_cache.set(epoch=1)
    with pytest.raises(ConflictError), experiment.expect(experiment.seq):
        someone_else_records(tmp_path)
        experiment.metrics.buffer.log_summary("mean")
        train.summary_cache.summarize()
        train.buffer(loss=3)
    with experiment.expect(experiment.seq):
        experiment.metrics.buffer.log_summary("mean", "first")
        train.summary_cache.summarize()
    columns = train.columns()
    assert columns["loss.mean"] == [2.0, 1.5]
    assert columns["loss.first"] == [1.0, None]
    assert columns["epoch"] == [None, 1]


def test_a_correction_inside_is_part_of_the_commit_and_knows_its_number(experiment: Experiment, tmp_path: Path) -> None:
    experiment.metrics("train").log(step=1, loss=0.7)
    seq = experiment.seq
    with experiment.expect(seq):
        experiment.log("the loss was in bits")
        number = ml_dash.correct(PREFIX, seq, loss=0.5, reason="bits", dash_root=tmp_path)
    assert number == seq + 2
    events = list(ml_dash.events(PREFIX, dash_root=tmp_path, after=seq))
    assert [(each.seq, each.type) for each in events] == [(seq + 1, "log.written"), (seq + 2, "value.corrected")]
    assert experiment.metrics("train").columns()["loss"] == [0.5]


# --- refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("A flush", lambda experiment: experiment.flush()),
        ("A flush", lambda experiment: experiment.metrics("train").log(step=1, _flush=True)),
        ("A flush", lambda experiment: experiment.tracks.flush()),
        ("Ending the session", lambda experiment: experiment.run.complete()),
        ("`experiment.expect`", lambda experiment: experiment.expect(1).__enter__()),
    ],
)
def test_what_cannot_be_inside_is_refused_and_records_nothing(
    experiment: Experiment, tmp_path: Path, what: str, call: Callable[[Experiment], object]
) -> None:
    seq = experiment.seq
    with pytest.raises(ExperimentError, match=what), experiment.expect(seq):
        experiment.params.set(lr=0.1)
        call(experiment)
    experiment.flush()
    assert experiment.seq == seq
    assert experiment.run.status == "RUNNING"
    with experiment.expect(seq):
        experiment.params.set(lr=0.2)
    assert params(tmp_path) == {"lr": 0.2}


def test_redacting_inside_is_refused(experiment: Experiment, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="Redacting"), experiment.expect(experiment.seq):
        ml_dash.redact(PREFIX, 1, "host", reason="secret", dash_root=tmp_path)


def test_a_block_that_is_too_large_for_a_commit_is_refused(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "HELD_BYTES_MAX", 10_000)
    seq = experiment.seq
    with pytest.raises(ExperimentError, match="one commit"), experiment.expect(seq):
        for step in range(1000):
            experiment.metrics("train").log(step=step)
    assert experiment.seq == seq


@pytest.mark.parametrize("seq", [-1, True, 1.0, "1", None])
def test_a_seq_that_is_no_number_of_an_event_is_named(experiment: Experiment, seq: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected the number of an event"):
        experiment.expect(seq)


def test_an_experiment_that_is_not_open_expects_nothing(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX, dash_root=tmp_path, console=False)
    assert experiment.seq == 0
    with pytest.raises(ExperimentError, match="not started"):
        experiment.expect(0)
    with experiment.run:
        experiment.params.set(lr=0.1)
    assert experiment.seq == 3
    assert Experiment(PREFIX, dash_root=tmp_path).seq == 3


def test_an_experiment_that_is_closed_by_another_thread_meanwhile_records_nothing(
    experiment: Experiment, tmp_path: Path
) -> None:
    with pytest.raises(ExperimentError, match="closed inside"), experiment.expect(experiment.seq):
        experiment.params.set(lr=0.1)
        thread = threading.Thread(target=experiment.run.complete)
        thread.start()
        thread.join()
    assert params(tmp_path) == {}
    assert ml_dash.load(PREFIX, dash_root=tmp_path).status == "COMPLETED"


def test_a_conflict_can_be_sent_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(ConflictError(3, 5)))
    assert (error.expected, error.found, str(error)) == (3, 5, str(ConflictError(3, 5)))


def test_where_nothing_is_recorded_nothing_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_MODE", "disabled")
    experiment = Experiment(PREFIX, dash_root=tmp_path, console=False)
    with experiment.run, experiment.expect(experiment.seq):
        experiment.metrics("train", description="x").log(step=1)
    assert experiment.seq == 0
    assert not list(tmp_path.iterdir())


# --- threads and forks --------------------------------------------------------------------------------------


def test_only_the_thread_in_the_block_is_held_back(experiment: Experiment) -> None:
    seq = experiment.seq

    def record() -> None:
        experiment.params.set(other=1)
        experiment.metrics("other").log(step=1)
        experiment.flush()

    with pytest.raises(ConflictError), experiment.expect(seq):
        experiment.params.set(mine=1)
        thread = threading.Thread(target=record)
        thread.start()
        thread.join()
        assert experiment.seq == seq + 2
        assert experiment.params.get("mine") is None
    assert experiment.params.get() == {"other": 1}


def test_threads_that_increment_at_once_lose_nothing(experiment: Experiment) -> None:
    def increment() -> None:
        for _ in range(10):
            retry(experiment, lambda: experiment.params.set(count=experiment.params.get("count", 0) + 1))

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert experiment.params.get("count") == 40


def retry(experiment: Experiment, action: Callable[[], object]) -> None:
    while True:
        try:
            with experiment.expect(experiment.seq):
                action()
            return
        except ConflictError:
            continue


def test_a_child_that_is_forked_inside_neither_records_what_its_parent_holds_back_nor_is_held_back(
    experiment: Experiment, tmp_path: Path
) -> None:
    with pytest.raises(ConflictError), experiment.expect(experiment.seq):
        experiment.params.set(parent=1)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                experiment.params.set(child=1)
                experiment.flush()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert params(tmp_path) == {"child": 1}


# --- processes ----------------------------------------------------------------------------------------------

INCREMENT = """
import sys
from ml_dash import ConflictError, Experiment
experiment = Experiment("alice/ml/a", dash_root=sys.argv[1], console=False)
with experiment.run:
    print("open", flush=True)
    sys.stdin.readline()
    for _ in range(int(sys.argv[2])):
        while True:
            try:
                with experiment.expect(experiment.seq):
                    experiment.params.set(count=experiment.params.get("count", 0) + 1)
                    experiment.metrics("counts").log(count=experiment.params.get("count", 0) + 1)
                break
            except ConflictError:
                continue
        print("done", flush=True)
"""


def incrementing(root: Path, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", INCREMENT, str(root), str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_eight_processes_that_increment_one_parameter_lose_no_increment(tmp_path: Path) -> None:
    processes = [incrementing(tmp_path, INCREMENTS) for _ in range(PROCESSES)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
    for process in processes:
        process.communicate("\n")
        assert process.returncode == 0
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    assert run.params["count"] == PROCESSES * INCREMENTS
    assert run.metrics["counts"].columns()["count"] == list(range(1, PROCESSES * INCREMENTS + 1))
    assert ml_dash.verify(PREFIX, dash_root=tmp_path).ok


def test_a_process_that_is_killed_in_the_midst_of_it_leaves_whole_increments_only(tmp_path: Path) -> None:
    confirmed = 0
    for kill in range(6):
        with incrementing(tmp_path, 1000) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "open\n"
            print(file=process.stdin, flush=True)
            for _ in range(3 + kill):
                assert process.stdout.readline() == "done\n"
            process.kill()
            rest = process.stdout.read().count("done\n")
            assert process.wait(60) == -signal.SIGKILL
        confirmed += 3 + kill + rest
        run = ml_dash.load(PREFIX, dash_root=tmp_path)
        counts = run.metrics["counts"].columns()["count"]
        assert counts == list(range(1, run.params["count"] + 1))
        # One more may stand there than could say so.
        assert confirmed <= run.params["count"] <= confirmed + kill + 1
    assert ml_dash.verify(PREFIX, dash_root=tmp_path).ok
