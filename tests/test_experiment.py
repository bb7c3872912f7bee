"""Experiment: what its arguments mean, what is stored of them, and how functions become sessions."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment, OperationMode, ml_dash_experiment
from ml_dash.errors import ExperimentError
from ml_dash.journal.disk import Disk
from ml_dash.journal.folder import JournalFolder
from ml_dash.opening.arguments import ARGUMENTS
from ml_dash.opening.disabled import NullDisk
from ml_dash.reading.replay import Replay
from ml_dash.state import State

PREFIX = "alice/ml/run"


def stored(root: Path, prefix: str = PREFIX) -> State:
    """What any other process would see now."""
    return Replay(JournalFolder(root / prefix)).refresh()


@pytest.fixture(autouse=True)
def dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".dash"


# --- where it is kept ---------------------------------------------------------------------------------------


def test_an_empty_run_exists_in_the_folder_of_its_prefix(dash: Path) -> None:
    with Experiment(PREFIX).run:
        pass
    assert (dash / PREFIX / "_journal/00000001.jsonl").is_file()
    assert stored(dash).prefix == PREFIX


def test_the_root_is_an_argument_else_the_environment_else_dash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path / "from-environment"))
    for arguments, root in [
        ({}, "from-environment"),
        ({"dash_root": "given"}, "given"),
        ({"dash_root": ".dash"}, ".dash"),
    ]:
        with Experiment(PREFIX, **arguments).run:
            assert (tmp_path / root / PREFIX).is_dir()


def test_the_root_stays_where_it_was_when_the_working_folder_changes(
    tmp_path: Path, dash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment(PREFIX)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with experiment.run:
        pass
    assert stored(dash).status == "COMPLETED"


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with Experiment(PREFIX, dash_root="~/dash").run:
        pass
    assert (tmp_path / "home/dash" / PREFIX).is_dir()


def test_modes_follow_from_url_and_root() -> None:
    url = "https://api.dash.ml"
    assert Experiment(PREFIX).mode is OperationMode.LOCAL
    assert Experiment(PREFIX, dash_url=url).mode is OperationMode.HYBRID
    assert Experiment(PREFIX, dash_url=True, dash_root="x").mode is OperationMode.HYBRID
    assert Experiment(PREFIX, dash_url=url, dash_root=None).mode is OperationMode.REMOTE


def test_what_cannot_be_shipped_is_kept_here_and_warnings_say_where(
    dash: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("one", "two"):
        with Experiment(
            f"alice/ml/{name}", dash_url="http://127.0.0.1:1", console=False, ship_timeout_s=0
        ).run as found:
            found.log("kept")
        assert stored(dash, f"alice/ml/{name}").log_counts == {"info": 1}
    printed = capsys.readouterr().err
    assert printed.count("Everything is recorded on this machine") == 1, "once a server"
    assert printed.count("ml-dash ship alice/ml/") == 2, "once an experiment"
    assert str(dash) in printed

    with Experiment(
        PREFIX, dash_url="http://127.0.0.1:2", dash_root=None, console=False, ship_timeout_s=0
    ).run as found:
        found.log("kept")
    kept = tmp_path / "state/ml_dash/journals/http%3A%2F%2F127.0.0.1%3A2"
    assert stored(kept).log_counts == {"info": 1}
    assert str(kept) in capsys.readouterr().err


def test_old_names_of_arguments_still_count_and_warn(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="dash_root") as warned, Experiment(PREFIX, local_path="old").run:
        assert (tmp_path / "old" / PREFIX).is_dir()
    assert warned[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="dash_url"):
        assert Experiment(PREFIX, remote="http://x").mode is OperationMode.HYBRID
    with pytest.warns(DeprecationWarning, match="dash_root"), Experiment(PREFIX, local_path="old", dash_root="new").run:
        assert (tmp_path / "new" / PREFIX).is_dir()


# --- what it is ---------------------------------------------------------------------------------------------


def test_an_experiment_says_what_it_is(dash: Path) -> None:
    experiment = Experiment("alice/ml/2026/run")
    assert (experiment.prefix, experiment.owner, experiment.project, experiment.name) == (
        "alice/ml/2026/run",
        "alice",
        "ml",
        "run",
    )
    assert (experiment.run.prefix, experiment.run.owner, experiment.run.name) == ("alice/ml/2026/run", "alice", "run")
    with experiment.run:
        data = experiment.data
        assert data is not None
        assert (data["id"], data["prefix"], data["status"]) == (experiment.id, "alice/ml/2026/run", "RUNNING")
        assert data["createdAt"] <= data["updatedAt"]
    assert Experiment("alice/ml/2026/run").id == experiment.id


def test_run_fields_are_keywords_of_the_experiment() -> None:
    experiment = Experiment(
        "{user}/{project}/{job_name}", user="alice", project="ml", job_name="j{job_counter}", job_counter=3
    )
    assert experiment.prefix == "alice/ml/j3"


def test_what_is_given_replaces_and_what_is_not_given_stays(dash: Path) -> None:
    first: dict[str, Any] = {"description": "d", "tags": ["a", "b"], "bindrs": ["g"], "metadata": {"k": {"n": 1}}}

    def facts() -> dict[str, Any]:
        state = stored(dash)
        return {key: value if (value := getattr(state, key)) is None else type(first[key])(value) for key in first}

    with Experiment(PREFIX, **first).run:
        assert facts() == first
    with Experiment(PREFIX, description=None, tags=None).run:
        assert facts() == first
    with Experiment(PREFIX, tags=["c"], metadata={"other": 2}).run:
        assert facts() == {**first, "tags": ["c"], "metadata": {"other": 2}}
    with Experiment(PREFIX, tags=[], readme="r").run:
        assert facts() == {**first, "tags": [], "metadata": {"other": 2}, "description": "r"}


def test_attributes_set_before_the_start_count(dash: Path) -> None:
    experiment = Experiment(PREFIX, tags=["a"])
    assert experiment.tags is not None
    experiment.tags.append("b")
    experiment.description = "later"
    experiment.bindrs = ["g"]
    assert list(dash.parent.iterdir()) == []
    with experiment.run:
        pass
    state = stored(dash)
    assert (state.tags, state.description, state.bindrs) == (("a", "b"), "later", ("g",))


def test_attributes_set_while_open_are_recorded_and_read_back_at_once(dash: Path) -> None:
    with Experiment(PREFIX).run as experiment:
        assert (experiment.tags, experiment.description, experiment.metadata) == ([], None, None)
        experiment.tags = ["x"]
        experiment.readme = "about"
        experiment.metadata = {"seed": 1}
        experiment.description = None
        assert (experiment.tags, experiment.description, experiment.metadata) == (["x"], "about", {"seed": 1})
    assert (experiment.tags, experiment.readme, experiment.metadata) == (["x"], "about", {"seed": 1})
    assert Experiment(PREFIX).tags == ["x"]


def test_a_second_session_does_not_bring_back_what_another_one_has_changed(dash: Path) -> None:
    experiment = Experiment(PREFIX, tags=["first"])
    with experiment.run:
        pass
    with Experiment(PREFIX, tags=["changed"]).run:
        pass
    with experiment.run:
        assert experiment.tags == ["changed"]


def test_one_tag_may_be_a_single_str() -> None:
    assert Experiment(PREFIX, tags="baseline").tags == ["baseline"]  # type: ignore[arg-type]


def test_bindrs_are_names_and_answer_calls_only_while_open() -> None:
    experiment = Experiment(PREFIX, bindrs=["gpu-cluster", "team-a"])
    assert experiment.bindrs == ["gpu-cluster", "team-a"]
    with pytest.raises(RuntimeError, match="not started"):
        experiment.bindrs("team-a")
    with experiment.run:
        assert experiment.bindrs("team-a").list() == []


# --- recording ----------------------------------------------------------------------------------------------

RECORDING = {
    "params": lambda experiment: experiment.params.set(lr=1),
    "log": lambda experiment: experiment.log("x"),
    "logs": lambda experiment: experiment.logs.info("x"),
    "metrics": lambda experiment: experiment.metrics("train").log(loss=1),
    "unnamed metric": lambda experiment: experiment.metrics.log(loss=1),
    "tracks": lambda experiment: experiment.tracks("arm").append(q=1, _ts=1.0),
    "files": lambda experiment: experiment.files.save_text("x", to="x.txt"),
}


@pytest.mark.parametrize("record", RECORDING.values(), ids=RECORDING.keys())
def test_recording_before_the_start_and_after_the_end_shows_the_two_ways_to_start(record: Any, dash: Path) -> None:
    experiment = Experiment(PREFIX, console=False)
    for _ in range(2):
        with pytest.raises(ExperimentError, match="not started") as refused:
            record(experiment)
        for name in ("params", "logs", "metrics", "tracks", "files"):
            with pytest.raises(ExperimentError, match="not started"):
                getattr(experiment, name)
        assert isinstance(refused.value, RuntimeError)
        assert "with experiment.run" in str(refused.value)
        assert "experiment.run.start()" in str(refused.value)
        with experiment.run:
            record(experiment)


def test_a_builder_that_was_kept_refuses_after_the_end_and_goes_on_after_the_next_start(dash: Path) -> None:
    experiment = Experiment(PREFIX, console=False)
    with experiment.run:
        kept = [experiment.metrics("train").log, experiment.tracks("arm").append]
        info, set_params = experiment.logs.info, experiment.params.set
    for call in (lambda: kept[0](loss=1), lambda: kept[1](q=1, _ts=1.0), lambda: info("x"), lambda: set_params(a=1)):
        with pytest.raises(ExperimentError, match="not started"):
            call()
    with experiment.run:
        kept[0](loss=1)
        kept[1](q=1, _ts=1.0)
        info("x")
        set_params(a=1)
    state = stored(dash)
    assert (state.metrics["train"].count, state.tracks["arm"].count, state.log_counts["info"]) == (1, 1, 1)
    assert state.params == {"a": 1}


def test_flush_says_up_to_which_event_all_is_durable(dash: Path) -> None:
    experiment = Experiment(PREFIX)
    assert experiment.flush() == 0
    with experiment.run:
        for step in range(10):
            experiment.metrics("train").log(step=step)
        assert experiment.flush() == experiment.durable_seq == stored(dash).seq == 11
    assert experiment.flush() == experiment.durable_seq == 12


def test_threads_record_into_one_experiment(dash: Path) -> None:
    with Experiment(PREFIX).run as experiment:

        def work(number: int) -> None:
            for step in range(100):
                experiment.metrics(f"thread-{number % 2}").log(step=step)
                if step % 50 == 0:
                    experiment.params.set(**{f"p{number}": step})
                    assert experiment.params.get()[f"p{number}"] == step

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert experiment.params.get() == {f"p{number}": 50 for number in range(4)}
    assert [stored(dash).metrics[f"thread-{number}"].count for number in range(2)] == [200, 200]


def test_threads_that_read_while_others_record_count_each_event_once(dash: Path) -> None:
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with Experiment(PREFIX).run as experiment:
            replay = experiment._recorder.replay()
            is_done = threading.Event()
            problems: list[Exception] = []

            def read() -> None:
                while not is_done.is_set():
                    try:
                        replay.refresh()
                    except Exception as problem:
                        problems.append(problem)

            threads = [threading.Thread(target=read) for _ in range(4)]
            for thread in threads:
                thread.start()
            for step in range(600):
                experiment.metrics("train").log(step=step)
                if step % 3 == 0:
                    experiment._recorder.replay()
            is_done.set()
            for thread in threads:
                thread.join()
            assert problems == []
            assert experiment._recorder.replay().refresh().metrics["train"].count == 600
    finally:
        sys.setswitchinterval(switch_interval)


def test_a_forked_child_reads_what_it_and_its_parent_have_recorded(tmp_path: Path) -> None:
    script = f"""
import os
from ml_dash import Experiment
with Experiment({PREFIX!r}).run as experiment:
    experiment.params.set(parent=1)
    assert experiment.params.get() == {{"parent": 1}}
    experiment._recorder.replay()._refreshing.acquire()  # as if another thread were reading at the fork
    child = os.fork()
    if child == 0:
        experiment.params.set(child=2)
        assert experiment.params.get() == {{"parent": 1, "child": 2}}
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60)


def test_console_is_switched_off_by_argument_or_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Experiment(PREFIX).run as experiment:
        experiment.log("heard")
    with Experiment(PREFIX, console=False).run as experiment:
        experiment.log("silent")
    monkeypatch.setenv("ML_DASH_CONSOLE", "off")
    with Experiment(PREFIX).run as experiment:
        experiment.log("silent")
    printed = capsys.readouterr()
    assert printed.out == "[INFO] heard\n"
    assert printed.err == ""


def test_opening_and_closing_says_nothing(dash: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Experiment(PREFIX).run as experiment:
        experiment.metrics("train").log(loss=1)
        experiment.flush()
    assert capsys.readouterr() == ("", "")


# --- ML_DASH_MODE=disabled ----------------------------------------------------------------------------------


def test_disabled_accepts_everything_and_records_nothing(dash: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Experiment(PREFIX, tags=["real"]).run as experiment:
        experiment.params.set(lr=1)
    before = stored(dash)
    monkeypatch.setenv("ML_DASH_MODE", "disabled")
    experiment = Experiment(PREFIX, console=False)
    assert experiment.status is None
    with pytest.raises(RuntimeError, match="not started"):
        experiment.params.set(lr=2)
    with experiment.run as inside:
        assert inside is experiment
        assert experiment.status == "RUNNING"
        for record in RECORDING.values():
            record(experiment)
        experiment.tags = ["x"]
        assert experiment.params.get() == {}
        assert experiment.metrics("train").read()["data"] == []
        assert (experiment.flush(), experiment.durable_seq, experiment.id, experiment.data) == (0, 0, None, None)
    assert experiment.status == "COMPLETED"
    assert stored(dash) == before
    with Experiment("alice/ml/other").run:
        pass
    assert [path.name for path in (dash / "alice/ml").iterdir()] == ["run"]


def test_the_disk_of_a_disabled_run_answers_for_every_path_itself() -> None:
    takes_a_path = {
        name
        for name, method in inspect.getmembers(Disk, inspect.isfunction)
        if any(parameter.annotation == "str" for parameter in inspect.signature(method).parameters.values())
    }
    assert takes_a_path >= {"create", "exists", "rename"}
    assert takes_a_path - vars(NullDisk).keys() == set()


# --- as an object -------------------------------------------------------------------------------------------


def test_a_copied_configuration_still_means_this_experiment() -> None:
    experiment = Experiment(PREFIX)
    assert copy.deepcopy({"experiment": experiment})["experiment"] is experiment
    assert copy.copy(experiment) is experiment


def test_in_another_process_it_is_the_same_experiment_not_started(dash: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Experiment("{user}/ml/{EXP.id}", user="alice", console=False).run as experiment:
        twin = pickle.loads(pickle.dumps(experiment))
        assert (twin.prefix, twin.mode) == (experiment.prefix, experiment.mode)
        with pytest.raises(RuntimeError, match="not started"):
            twin.params.set(lr=1)
        with twin.run:
            twin.params.set(lr=1)
    assert len(stored(dash, experiment.prefix).sessions) == 2
    assert experiment.status == twin.status == "COMPLETED"


# --- decorators ---------------------------------------------------------------------------------------------


def test_each_call_of_a_decorated_function_is_a_session(dash: Path) -> None:
    @ml_dash_experiment(prefix=PREFIX, tags=["decorated"])
    def train(experiment: Experiment, epochs: int, *, rate: float = 0.1) -> str:
        """Trains."""
        for epoch in range(epochs):
            experiment.metrics("train").log(epoch=epoch, rate=rate)
        return f"{epochs} at {rate}"

    assert (train.__name__, train.__doc__) == ("train", "Trains.")
    assert train(epochs=2) == "2 at 0.1"
    assert train(epochs=3, rate=0.2) == "3 at 0.2"
    state = stored(dash)
    assert [session.status for session in state.sessions.values()] == ["COMPLETED", "COMPLETED"]
    assert (state.metrics["train"].count, state.tags) == (5, ("decorated",))


def test_what_a_decorated_function_raises_comes_through_and_is_recorded(dash: Path) -> None:
    raised = ValueError("diverged")

    @ml_dash_experiment(PREFIX)
    def train(experiment: Experiment) -> None:
        raise raised

    with pytest.raises(ValueError, match="diverged") as caught:
        train()
    assert caught.value is raised
    (session,) = stored(dash).sessions.values()
    assert session.error is not None
    assert (session.status, session.error["message"]) == ("FAILED", "diverged")


def test_a_method_can_be_decorated(dash: Path) -> None:
    class Trainer:
        rate = 0.5

        @ml_dash_experiment(PREFIX)
        def fit(self, experiment: Experiment) -> float:
            experiment.params.set(rate=self.rate)
            return self.rate

        @staticmethod
        @ml_dash_experiment(PREFIX)
        def check(experiment: Experiment) -> str:
            return experiment.prefix

        @classmethod
        @ml_dash_experiment(PREFIX)
        def build(cls, experiment: Experiment) -> float:
            return cls.rate

    assert (Trainer().fit(), Trainer.check(), Trainer.build()) == (0.5, PREFIX, 0.5)
    assert len(stored(dash).sessions) == 3


def test_an_async_function_can_be_decorated_and_runs_beside_itself(dash: Path) -> None:
    @ml_dash_experiment("alice/ml/{EXP.id}")
    async def train(experiment: Experiment, number: int) -> str:
        await asyncio.sleep(0)
        experiment.params.set(number=number)
        await asyncio.sleep(0)
        return experiment.prefix

    async def both() -> list[str]:
        return await asyncio.gather(train(number=1), train(number=2))

    assert inspect.iscoroutinefunction(train)
    first, second = asyncio.run(both())
    assert (stored(dash, first).params, stored(dash, second).params) == ({"number": 1}, {"number": 2})


def test_a_generator_can_be_decorated_and_its_session_lasts_as_long_as_it(dash: Path) -> None:
    @ml_dash_experiment(PREFIX)
    def steps(experiment: Experiment, count: int) -> Iterator[int]:
        for step in range(count):
            experiment.metrics("train").log(step=step)
            yield step

    running = steps(count=3)
    assert next(running) == 0
    assert stored(dash).status == "RUNNING"
    assert list(running) == [1, 2]
    assert stored(dash).status == "COMPLETED"

    @ml_dash_experiment(PREFIX)
    async def async_steps(experiment: Experiment, count: int) -> AsyncIterator[int]:
        for step in range(count):
            experiment.metrics("train").log(step=step)
            yield step

    async def collect() -> list[int]:
        return [step async for step in async_steps(count=2)]

    assert asyncio.run(collect()) == [0, 1]
    assert stored(dash).metrics["train"].count == 5


def test_a_generator_that_is_closed_early_cleans_up_inside_its_session(dash: Path) -> None:
    @ml_dash_experiment(PREFIX)
    async def steps(experiment: Experiment) -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            experiment.params.set(cleaned_up=True)

    async def take_one() -> int:
        running = steps()  # type: ignore[call-arg]
        async for step in running:
            await running.aclose()  # type: ignore[attr-defined]
            return step
        return 0

    assert asyncio.run(take_one()) == 1
    assert (stored(dash).status, dict(stored(dash).params)) == ("COMPLETED", {"cleaned_up": True})


def test_the_parameter_may_be_called_exp_or_be_any_keyword(dash: Path) -> None:
    @ml_dash_experiment(PREFIX)
    def short(exp: Experiment) -> str:
        return exp.prefix

    @ml_dash_experiment(PREFIX)
    def keywords(**given: Any) -> str:
        return str(given["experiment"].prefix)

    assert short() == keywords() == PREFIX  # type: ignore[call-arg]


def test_a_function_that_cannot_take_the_experiment_is_refused_where_it_is_decorated(dash: Path) -> None:
    with pytest.raises(TypeError, match="train has no parameter for the experiment: expected one called 'experiment'"):

        @ml_dash_experiment(PREFIX)
        def train() -> None: ...

    with pytest.raises(ValueError, match=r"ml_dash_experiment\(\)"):

        @ml_dash_experiment  # type: ignore[arg-type]
        def bare(experiment: Experiment) -> None: ...

    with pytest.raises(TypeError, match="no experiment can decorate"):
        ml_dash_experiment(PREFIX)(7)  # type: ignore[arg-type]
    assert not dash.exists()


def test_the_run_of_an_experiment_is_a_decorator_too(dash: Path) -> None:
    experiment = Experiment(PREFIX)

    @experiment.run
    def train(rate: float) -> float:
        experiment.metrics("train").log(rate=rate)
        return rate

    @experiment.run
    def evaluate(experiment: Experiment) -> str:
        train(rate=0.3)
        return experiment.prefix

    assert train(rate=0.5) == 0.5
    assert evaluate() == PREFIX  # type: ignore[call-arg]
    state = stored(dash)
    assert [session.status for session in state.sessions.values()] == ["COMPLETED", "COMPLETED"]
    assert state.metrics["train"].count == 2


# --- the package --------------------------------------------------------------------------------------------


def test_every_public_name_can_be_imported() -> None:
    for name in ml_dash.__all__:
        assert getattr(ml_dash, name) is not None
        assert name in dir(ml_dash)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        print(ml_dash.nothing)


def test_importing_everything_makes_no_experiment_and_no_module_hides_a_function() -> None:
    script = """
from ml_dash import *
import ml_dash, ml_dash.experiment, ml_dash.history, inspect
assert inspect.isfunction(events) and inspect.isfunction(ml_dash.events), ml_dash.events
from ml_dash.facts.events import Event as Again
assert Again is Event and RUN.job_counter == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_program_that_records_nothing_never_loads_the_journal() -> None:
    script = """
import atexit, sys
from ml_dash import Experiment, RUN
Experiment("a/b/c")
atexit._run_exitfuncs()
print(*(name for name in sys.modules if name.startswith(("ml_dash.journal", "filelock", "orjson", "subprocess"))))
"""
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=60).stdout == b"\n"


def test_the_version_is_the_one_that_is_packaged() -> None:
    project = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'^version = "(.+)"$', project, re.MULTILINE) == [ml_dash.__version__]


def test_the_signature_shows_the_defaults_that_people_read_about() -> None:
    parameters = inspect.signature(Experiment).parameters
    assert list(parameters)[:10] == (
        "prefix description readme tags bindrs metadata dash_url dash_root durability console".split()
    )
    assert parameters.keys() - {"run_fields"} == ARGUMENTS, "what a misspelt argument is compared with"
    assert (parameters["dash_root"].default, parameters["durability"].default) == (".dash", "normal")
    assert (parameters["prefix"].default, parameters["console"].default) == (None, True)
