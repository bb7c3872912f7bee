"""Rules 1..6 of ml_dash/opening/lifecycle.py: how sessions begin and end, judged by replaying what is on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.errors import ExperimentError
from ml_dash.journal.folder import JournalFolder
from ml_dash.opening.failure import MESSAGE_CHARACTERS_MAX, TRACEBACK_CHARACTERS_MAX
from ml_dash.reading.replay import Replay
from ml_dash.state import Session, State

PREFIX = "alice/ml/run"
ENDS = {"complete": "COMPLETED", "fail": "FAILED", "cancel": "CANCELLED"}


def stored(root: Path, prefix: str = PREFIX) -> State:
    """What any other process would see now."""
    return Replay(JournalFolder(root / ".dash" / prefix)).refresh()


def last_session(root: Path, prefix: str = PREFIX) -> Session:
    return list(stored(root, prefix).sessions.values())[-1]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# --- rule 1: one beginning, one end -------------------------------------------------------------------------


def test_nothing_stands_on_disk_before_the_start(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX, tags=["x"])
    experiment.run.complete()
    assert experiment.status is None
    assert experiment.id is None
    assert experiment.data is None
    assert list(tmp_path.iterdir()) == []


def test_start_gives_the_experiment_and_repeating_it_begins_no_second_session(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX)
    assert experiment.run.start() is experiment
    assert experiment.run.start() is experiment
    assert experiment.run is experiment.run
    experiment.run.complete()
    assert len(stored(tmp_path).sessions) == 1


def test_no_recording_call_imports_anything(tmp_path: Path) -> None:
    """A child that is forked amid an import waits for its lock for ever; a signal handler finds half a module."""
    script = f"""
import sys
from ml_dash import Experiment
experiment = Experiment({PREFIX!r}, dash_root={str(tmp_path)!r}).run.start()
before = set(sys.modules)
experiment.log("a", level="error", b=float("nan"))
experiment.params.set(a=1, b={{"c": [2**70]}})
experiment.metrics("m").log(a=1, b=float("inf"), c=[object()])
experiment.metrics.log(train={{"a": 1}})
experiment.tracks("t").append(a=1)
new = sorted(set(sys.modules) - before)
experiment.run.complete()
assert not new, new
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_the_start_is_visible_to_others_when_it_returns(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX)
    experiment.run.start()
    assert stored(tmp_path).status == experiment.status == experiment.run.status == "RUNNING"
    assert experiment.durable_seq == 1
    experiment.run.complete()


@pytest.mark.parametrize(("end", "status"), ENDS.items())
def test_each_end_has_its_status_at_once_and_repeating_it_is_silent(end: str, status: str, tmp_path: Path) -> None:
    experiment = Experiment(PREFIX)
    experiment.run.start()
    getattr(experiment.run, end)()
    assert stored(tmp_path).status == experiment.status == status
    getattr(experiment.run, end)()
    assert stored(tmp_path).seq == experiment.durable_seq == 2


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", ENDS)
def test_a_second_different_end_is_an_error_that_names_both(first: str, second: str, tmp_path: Path) -> None:
    if first == second:
        return
    experiment = Experiment(PREFIX)
    experiment.run.start()
    getattr(experiment.run, first)()
    with pytest.raises(ExperimentError, match=f"ended as {ENDS[first]}.*{ENDS[second]}"):
        getattr(experiment.run, second)()
    assert stored(tmp_path).status == ENDS[first]


@pytest.mark.parametrize("end", ENDS)
def test_ending_what_never_began_does_nothing(end: str, tmp_path: Path) -> None:
    getattr(Experiment(PREFIX).run, end)()
    assert list(tmp_path.iterdir()) == []


def test_a_closed_experiment_can_be_started_again_and_goes_on(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX)
    train = None
    for _ in range(3):
        with experiment.run:
            train = train or experiment.metrics("train")
            train.log(loss=0.5)
    state = stored(tmp_path)
    assert [session.status for session in state.sessions.values()] == ["COMPLETED"] * 3
    assert [session.attempt for session in state.sessions.values()] == [1, 2, 3]
    assert state.metrics["train"].count == 3


def test_a_different_end_is_allowed_in_the_next_session(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX)
    experiment.run.start()
    experiment.run.fail()
    assert experiment.run.ended == "FAILED"
    experiment.run.start()
    assert experiment.run.ended is None
    experiment.run.complete()
    assert [session.status for session in stored(tmp_path).sessions.values()] == ["FAILED", "COMPLETED"]


def test_threads_that_start_at_once_share_one_session(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX)
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        experiment.run.start().metrics("train").log(step=1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    experiment.run.complete()
    assert len(stored(tmp_path).sessions) == 1
    assert stored(tmp_path).metrics["train"].count == 8


def test_two_objects_on_one_prefix_are_two_sessions_that_both_count(tmp_path: Path) -> None:
    first, second = Experiment(PREFIX), Experiment(PREFIX)
    first.run.start()
    second.run.start()
    first.metrics("train").log(loss=1.0)
    second.metrics("train").log(loss=2.0)
    first.run.fail()
    assert stored(tmp_path).status == "RUNNING"
    second.run.complete()
    state = stored(tmp_path)
    assert state.status == "FAILED", "one of the sessions that overlapped has failed"
    assert state.metrics["train"].count == 2
    assert first.id == second.id is not None


# --- prefix -------------------------------------------------------------------------------------------------


def test_the_prefix_can_be_moved_until_the_start(tmp_path: Path) -> None:
    experiment = Experiment("alice/ml/first")
    experiment.run.prefix = "bob/vision"
    assert (experiment.owner, experiment.project, experiment.name) == ("bob", "vision", "vision")
    experiment.run.prefix = "carol/ml/{EXP.name}-{EXP.id}"
    assert experiment.prefix == f"carol/ml/vision-{experiment.run.id}"
    with experiment.run:
        assert experiment.run.prefix == experiment.prefix
    assert stored(tmp_path, experiment.prefix).prefix == experiment.prefix
    assert [path.name for path in (tmp_path / ".dash").iterdir()] == ["carol"]


def test_the_prefix_cannot_change_while_the_experiment_is_open() -> None:
    experiment = Experiment(PREFIX)
    with experiment.run, pytest.raises(ExperimentError, match="Cannot change"):
        experiment.run.prefix = "bob/ml/elsewhere"
    assert experiment.prefix == PREFIX


def test_a_prefix_set_between_sessions_is_another_experiment(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX)
    with experiment.run:
        experiment.params.set(lr=1)
    experiment.run.prefix = "alice/ml/next"
    assert experiment.status is None
    with experiment.run:
        assert experiment.params.get() == {}
    assert stored(tmp_path).params == {"lr": 1}
    assert stored(tmp_path, "alice/ml/next").params == {}


def test_a_template_is_resolved_once_for_all_sessions(tmp_path: Path) -> None:
    experiment = Experiment("alice/ml/{name}", name="one")
    with experiment.run:
        pass
    experiment.run.name = "two"
    with experiment.run:
        pass
    assert len(stored(tmp_path, "alice/ml/one").sessions) == 2


# --- rule 3: with -------------------------------------------------------------------------------------------


def test_a_block_gives_the_experiment_itself_and_ends_completed(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX)
    with experiment.run as inside:
        assert inside is experiment
        assert experiment.status == "RUNNING"
    assert stored(tmp_path).status == experiment.status == "COMPLETED"


class OwnError(Exception):
    pass


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (ValueError("Training failed!"), "ValueError", "Training failed!"),
        (KeyboardInterrupt(), "KeyboardInterrupt", ""),
        (SystemExit(3), "SystemExit", "3"),
        (SystemExit("no data"), "SystemExit", "no data"),
        (OwnError("own"), f"{__name__}.OwnError", "own"),
    ],
)
def test_an_exception_leaves_the_block_unchanged_and_stands_in_the_journal(
    raised: BaseException, kind: str, message: str, tmp_path: Path
) -> None:
    def train() -> None:
        with Experiment(PREFIX).run as experiment:
            experiment.metrics("train").log(loss=0.5)
            raise raised

    with pytest.raises(type(raised)) as caught:
        train()
    assert caught.value is raised
    session = last_session(tmp_path)
    assert (session.status, session.reason) == ("FAILED", "exception")
    assert session.error is not None
    assert (session.error["type"], session.error["message"]) == (kind, message)
    assert "test_lifecycle.py" in session.error["traceback"]
    assert stored(tmp_path).metrics["train"].count == 1


@pytest.mark.parametrize("code", [None, 0])
def test_leaving_the_program_with_success_is_no_failure(code: int | None, tmp_path: Path) -> None:
    with pytest.raises(SystemExit), Experiment(PREFIX).run:
        sys.exit(code)
    assert last_session(tmp_path).status == "COMPLETED"


@pytest.mark.parametrize(("end", "status"), ENDS.items())
def test_an_end_that_was_stated_inside_the_block_stands(end: str, status: str, tmp_path: Path) -> None:
    def train(*, then_fail: bool) -> None:
        with Experiment(PREFIX).run as experiment:
            getattr(experiment.run, end)()
            if then_fail:
                raise ValueError("later")

    train(then_fail=False)
    assert last_session(tmp_path).status == status
    with pytest.raises(ValueError, match="later"):
        train(then_fail=True)
    assert last_session(tmp_path).status == status


def test_nested_blocks_belong_to_the_outermost(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX)
    with experiment.run:
        with experiment.run:
            pass
        with pytest.raises(ValueError, match="inner"), experiment.run:
            raise ValueError("inner")
        experiment.log("still open")
    assert len(stored(tmp_path).sessions) == 1
    assert last_session(tmp_path).status == "COMPLETED"


def test_a_block_around_what_is_open_already_ends_it(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX)
    experiment.run.start()
    with experiment.run:
        pass
    assert last_session(tmp_path).status == "COMPLETED"


# --- why it failed ------------------------------------------------------------------------------------------


def test_fail_takes_an_exception_or_words_or_nothing(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX)
    for error in (ValueError("x"), "out of memory", None):
        experiment.run.start()
        experiment.run.fail(error)
    sessions = list(stored(tmp_path).sessions.values())
    assert [session.reason for session in sessions] == ["exception", "stated", "stated"]
    errors = [session.error for session in sessions]
    assert errors[0] is not None
    assert errors[0]["type"] == "ValueError"
    assert errors[1] == {"type": None, "message": "out of memory", "traceback": None}
    assert errors[2] is None


def test_fail_without_an_argument_records_the_exception_being_handled(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX)
    experiment.run.start()
    try:
        raise ZeroDivisionError("handled")
    except ZeroDivisionError:
        experiment.run.fail()
    error = last_session(tmp_path).error
    assert error is not None
    assert (error["type"], error["message"]) == ("ZeroDivisionError", "handled")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def deep(levels: int) -> None:
    if levels == 0:
        raise RecursionError("x" * 10 * MESSAGE_CHARACTERS_MAX)
    (deep if levels % 2 else deeper)(levels - 1)


def deeper(levels: int) -> None:
    deep(levels)


@pytest.mark.parametrize("raised", [Unprintable(), ValueError("\ud800 \0"), OSError(2, "gone"), KeyError("k")])
def test_any_exception_can_be_recorded(raised: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(raised)), Experiment(PREFIX).run:
        raise raised
    error = last_session(tmp_path).error
    assert error is not None
    assert error["type"].endswith(type(raised).__name__)


def test_what_is_recorded_of_an_exception_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(RecursionError), Experiment(PREFIX).run:
        deep(300)
    error = last_session(tmp_path).error
    assert error is not None
    assert len(error["message"]) < MESSAGE_CHARACTERS_MAX + 100
    assert len(error["traceback"]) < TRACEBACK_CHARACTERS_MAX + 100
    assert error["traceback"].startswith("Traceback")
    assert error["traceback"].rstrip().endswith("xxx"), "the last lines say most"


# --- rules 4 to 6: processes that end -----------------------------------------------------------------------


def run_script(code: str, folder: Path, returncode: int = 0) -> subprocess.CompletedProcess[str]:
    (folder / "train.py").write_text(f"from ml_dash import Experiment\nexperiment = Experiment({PREFIX!r})\n{code}")
    command = [sys.executable, "train.py"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert ended.returncode == returncode, ended.stderr
    return ended


START = "experiment.run.start().metrics('train').log(step=1)\n"
BLOCK = "with experiment.run:\n    experiment.metrics('train').log(step=1)\n    "
CASES = {
    "a forgotten complete": (START, 0, "COMPLETED", None),
    "sys.exit(0), nothing stated": (f"{START}import sys; sys.exit(0)", 0, "COMPLETED", None),
    "sys.exit(3), nothing stated": (f"{START}import sys; sys.exit(3)", 3, "COMPLETED", None),
    "an uncaught exception": (f"{START}1 / 0", 1, "FAILED", "ZeroDivisionError"),
    "an uncaught exception, excepthook replaced": (
        f"{START}import sys; sys.excepthook = lambda *_: None\n1 / 0",
        1,
        "FAILED",
        "ZeroDivisionError",
    ),
    "an exception that was caught": (f"{START}try:\n    1 / 0\nexcept ZeroDivisionError: pass", 0, "COMPLETED", None),
    "an exception shown before the start": (
        f"import sys, code\ncode.InteractiveInterpreter().runcode(compile('1 / 0', 'cell', 'exec'))\n{START}",
        0,
        "COMPLETED",
        None,
    ),
    "an error at a prompt": (f"{START}import sys; sys.ps1 = '>>> '\nsys.last_value = KeyError()", 0, "COMPLETED", None),
    "an exception in a block": (f"{BLOCK}1 / 0", 1, "FAILED", "ZeroDivisionError"),
    "sys.exit(0) in a block": (f"{BLOCK}import sys; sys.exit(0)", 0, "COMPLETED", None),
    "sys.exit(3) in a block": (f"{BLOCK}import sys; sys.exit(3)", 3, "FAILED", "SystemExit"),
    "a generator left half-way": (
        "def steps():\n    with experiment.run:\n        experiment.metrics('train').log(step=1)\n        yield 1\n"
        "        yield 2\nfor step in steps():\n    break\nimport gc; gc.collect()",
        0,
        "COMPLETED",
        None,
    ),
    "an exception in another thread": (
        f"{START}import threading; threading.excepthook = lambda *_: None\n"
        "thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()",
        0,
        "COMPLETED",
        None,
    ),
    "a thread that records longest": (
        "experiment.run.start()\nimport threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), experiment.metrics('train').log(step=1))).start()",
        0,
        "COMPLETED",
        None,
    ),
    "an exit handler that records": (
        "import atexit\nexperiment.run.start()\natexit.register(lambda: experiment.metrics('train').log(step=1))",
        0,
        "COMPLETED",
        None,
    ),
    "os._exit": (f"{START}import os; os._exit(0)", 0, "FAILED", "lost"),
    "os._exit in a block": (f"{BLOCK}import os; os._exit(7)", 7, "FAILED", "lost"),
    "SIGTERM": (f"{START}import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, "FAILED", "lost"),
    "SIGKILL": (f"{START}import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, "FAILED", "lost"),
    "SIGINT": (
        f"{START}import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)",
        -signal.SIGINT,
        "FAILED",
        "KeyboardInterrupt",
    ),
}


@pytest.mark.parametrize(("code", "returncode", "status", "why"), CASES.values(), ids=CASES.keys())
def test_however_a_process_ends_its_status_is_right_and_its_events_are_kept(
    code: str, returncode: int, status: str, why: str | None, tmp_path: Path
) -> None:
    run_script(code, tmp_path, returncode)
    state, session = stored(tmp_path), last_session(tmp_path)
    assert state.status == session.status == status
    assert (session.error["type"] if session.error else session.reason) == why
    assert state.metrics["train"].count == 1
    # Damage or not, the next one goes on.
    with Experiment(PREFIX).run as experiment:
        experiment.metrics("train").log(step=2)
    state = stored(tmp_path)
    assert [each.status for each in state.sessions.values()] == [status, "COMPLETED"]
    assert state.metrics["train"].count == 2


FORKS = {
    "leaves by sys.exit": "sys.exit(0)",
    "leaves by an exception": "1 / 0",
    "leaves by os._exit": "os._exit(0)",
    "falls out of the block": "pass",
    "completes": "experiment.run.complete()",
    "fails": "experiment.run.fail()",
}


@pytest.mark.parametrize("code", FORKS.values(), ids=FORKS.keys())
@pytest.mark.parametrize("records", [True, False], ids=["records", "records nothing"])
def test_a_forked_child_never_ends_the_session_of_its_parent(code: str, records: bool, tmp_path: Path) -> None:
    child = "experiment.metrics('child').log(step=1)\n        " if records else ""
    ended = run_script(
        "import os, sys\nfrom pathlib import Path\n"
        "from ml_dash.journal.folder import JournalFolder\nfrom ml_dash.reading.replay import Replay\n"
        "with experiment.run:\n"
        "    parent = os.getpid()\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        sys.stderr = open(os.devnull, 'w')\n"
        f"        {child}{code}\n"
        "    else:\n"
        "        os.waitpid(child, 0)\n"
        "        experiment.metrics('parent').log(step=1)\n"
        "        experiment.flush()\n"
        f"        print(Replay(JournalFolder(Path('.dash/{PREFIX}').absolute())).refresh().status)\n",
        tmp_path,
    )
    assert ended.stdout.splitlines()[-1] == "RUNNING"
    state = stored(tmp_path)
    assert [session.status for session in state.sessions.values()] == ["COMPLETED"]
    assert state.metrics["parent"].count == 1
    assert ("child" in state.metrics) == records
    assert len(state.writers) == (2 if records else 1)


def test_workers_of_multiprocessing_record_into_the_session_of_their_parent(tmp_path: Path) -> None:
    run_script(
        "import multiprocessing\n"
        "def work(number):\n    experiment.metrics('train').log(worker=number)\n"
        "with experiment.run:\n"
        "    with multiprocessing.get_context('fork').Pool(3) as pool:\n"
        "        pool.map(work, range(30))\n"
        "        pool.close()\n        pool.join()\n",
        tmp_path,
    )
    state = stored(tmp_path)
    assert [session.status for session in state.sessions.values()] == ["COMPLETED"]
    assert state.metrics["train"].count == 30
    assert state.metrics["train"].fields["worker"].sum == sum(range(30))


def test_a_session_is_running_for_others_while_its_process_lives_and_lost_when_it_is_killed(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        f"from ml_dash import Experiment\nimport sys, time\nExperiment({PREFIX!r}).run.start()\n"
        "print('open', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "train.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        assert stored(tmp_path).status == Experiment(PREFIX).status == "RUNNING"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    assert stored(tmp_path).status == Experiment(PREFIX).status == "FAILED"
    assert last_session(tmp_path).reason == "lost"
