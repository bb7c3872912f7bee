"""RUN: defaults, where they come from, the templates that prefixes are made from, and the user's script."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from ml_dash import RUN, Experiment, find_project_root
from ml_dash.errors import PrefixError, TemplateError
from ml_dash.run import FIELDS, PROJECT_ROOT_FILES


@pytest.fixture(autouse=True)
def run_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(RUN), "values", dict(type(RUN).values))


# --- where a value comes from -------------------------------------------------------------------------------


def test_a_default_set_on_the_class_counts_for_instances_that_exist_already() -> None:
    run = RUN()
    RUN.user = "alice"
    assert run.user == "alice"


def test_a_field_of_an_instance_beats_the_class_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_USER", "from-environment")
    RUN.user = "from-class"
    assert RUN(user="own").user == "own"


def test_the_class_beats_the_environment_which_beats_the_login_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_USER", "from-environment")
    assert RUN().user == "from-environment"
    RUN.user = "from-class"
    assert RUN().user == "from-class"


def test_deleting_a_default_brings_back_what_is_built_in() -> None:
    built_in = RUN.api_url
    RUN.api_url = "http://elsewhere"
    del RUN.api_url
    assert RUN.api_url == built_in == "https://api.dash.ml"


def test_the_environment_names_prefix_and_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_PREFIX", "env/project/{date}")
    monkeypatch.setenv("ML_DASH_API_URL", "http://localhost:3000")
    assert RUN().prefix == f"env/project/{RUN.date}"
    assert RUN.api_url == "http://localhost:3000"


def test_owner_is_another_word_for_user() -> None:
    RUN.owner = "alice"
    assert RUN.user == "alice"
    assert RUN(prefix="{owner}/ml/x").prefix == "alice/ml/x"


@pytest.mark.parametrize("name", sorted(FIELDS - {"prefix", "id", "name", "readme"}))
def test_every_field_has_a_value_without_being_set(name: str) -> None:
    assert getattr(RUN(), name) is not None


def test_setting_an_unknown_field_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match="'prefix'"):
        RUN.prefx = "a/b"
    with pytest.raises(AttributeError, match="'job_name'"):
        RUN().jobname = "x"
    with pytest.raises(TypeError, match="'project'"):
        RUN(projct="x")


# --- job names ----------------------------------------------------------------------------------------------


def test_each_instance_takes_the_counter_which_then_goes_up_by_one() -> None:
    RUN.job_counter = 41
    assert [RUN().job_counter, Experiment().run.job_counter, RUN().job_counter] == [41, 42, 43]
    assert RUN.job_counter == 44


def test_a_counter_that_was_given_does_not_move_the_one_of_the_class() -> None:
    RUN.job_counter = 7
    assert RUN(job_counter=1).job_counter == 1
    assert RUN.job_counter == 7


def test_a_job_name_can_be_extended_as_a_template() -> None:
    RUN.now = datetime(2026, 2, 3, 4, 5, 6)
    RUN.job_counter = 9
    RUN.job_name = "{now:%H.%M.%S}"
    RUN.job_name += "/{job_counter:03d}"
    assert RUN().job_name == "04.05.06/009"


def test_the_default_prefix_says_who_when_which_script_and_which_job() -> None:
    RUN.user, RUN.now, RUN.job_counter = "alice", datetime(2026, 2, 3, 4, 5, 6), 1
    run = RUN(entry="/repo/src/train.py", project_root="/repo")
    assert re.fullmatch(r"alice/scratch/2026/02-03/src/train/04\.05\.06/001-[0-9a-z]{8}", run.prefix)
    assert run.prefix == run.prefix


def test_a_name_takes_the_place_of_the_job_name() -> None:
    run = RUN(user="alice", name="baseline", now=datetime(2026, 2, 3), entry="/repo/train.py", project_root="/repo")
    assert run.prefix == "alice/scratch/2026/02-03/train/baseline"


def test_a_readme_of_run_describes_every_experiment_that_has_no_other() -> None:
    RUN.readme = "about this sweep"
    assert Experiment("a/b").description == "about this sweep"
    assert Experiment("a/b", readme="own").description == "own"


@pytest.mark.parametrize(("project", "head"), [("vision", "alice/vision/"), ("{user}/deep", "alice/deep/")])
def test_a_project_takes_the_place_of_scratch(project: str, head: str) -> None:
    assert RUN(user="alice", project=project, entry="/repo/a.py", project_root="/repo").prefix.startswith(head)


def test_eight_processes_started_in_one_second_have_eight_prefixes(tmp_path: Path) -> None:
    script = "from ml_dash import Experiment, RUN\nimport datetime\nRUN.now = datetime.datetime(2026, 1, 1)\n"
    script += "print(Experiment().prefix)"
    started = [
        subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    prefixes = [process.communicate(timeout=60)[0].strip() for process in started]
    assert all("/00.00.00/001-" in prefix for prefix in prefixes)
    assert len(set(prefixes)) == 8


def test_a_forked_child_has_a_job_name_of_its_own(tmp_path: Path) -> None:
    script = """
import os
from ml_dash import RUN
RUN.job_counter = 1
print(RUN(job_counter=1).job_name, flush=True)
if os.fork() == 0:
    print(RUN(job_counter=1).job_name, flush=True)
    os._exit(0)
os.wait()
"""
    first, second = output_of([sys.executable, "-c", script], tmp_path).splitlines()
    assert first != second


# --- templates ----------------------------------------------------------------------------------------------


def test_every_placeholder_takes_a_format() -> None:
    run = RUN(prefix="{user}/p/{now:%Y-%m-%d}-{job_counter:03d}", user="u", now=datetime(2026, 5, 6), job_counter=7)
    assert run.prefix == "u/p/2026-05-06-007"


def test_date_and_datetime_stand_as_digits() -> None:
    run = RUN(now=datetime(2026, 5, 6, 7, 8, 9), prefix="a/{date}/{datetime_str}")
    assert run.prefix == "a/20260506/20260506.070809"


def test_templates_inside_values_are_resolved_too() -> None:
    run = RUN(prefix="{project}/{name}", project="{user}/p", user="u", name="{job_counter}x", job_counter=3)
    assert run.prefix == "u/p/3x"


def test_fields_may_be_written_behind_run_or_exp() -> None:
    assert (
        RUN(prefix="{RUN.user}/{EXP.project}/{EXP.now:%d}", user="u", project="p", now=datetime(2026, 5, 6)).prefix
        == "u/p/06"
    )


def test_a_text_without_braces_is_untouched() -> None:
    assert RUN(prefix="a/b/%Y:c d").prefix == "a/b/%Y:c d"


def test_an_id_is_made_when_it_is_asked_for_and_then_stays() -> None:
    run = RUN(prefix="a/b/{EXP.id}")
    assert run.id is None
    first = run.prefix
    assert re.fullmatch(r"a/b/\d{18}", first)
    assert first == f"a/b/{run.id}" == run.prefix


def test_ids_of_later_runs_are_greater_or_drawn_in_the_same_millisecond() -> None:
    ids = [int(RUN(prefix="{id}").prefix) for _ in range(50)]
    assert len(set(ids)) == 50
    assert [each >> 22 for each in ids] == sorted(each >> 22 for each in ids)


@pytest.mark.parametrize(
    "template",
    [
        "{userr}/x",
        "{RUN.userr}/x",
        "{EXP.datetime}/x",
        "{name}/x",
        "{EXP.name}/x",
        "{}/x",
        "{0}/x",
        "a/{",
        "a/}",
        "{user.foo}",
    ],
)
def test_a_placeholder_that_stands_for_nothing_is_an_error_that_shows_the_template(template: str) -> None:
    with pytest.raises(TemplateError) as refused:
        print(RUN(prefix=template).prefix)
    assert repr(template) in str(refused.value)
    assert isinstance(refused.value, (KeyError, AttributeError, ValueError))


def test_an_unknown_placeholder_names_the_nearest_field() -> None:
    with pytest.raises(TemplateError, match="Did you mean 'user'"):
        print(RUN(prefix="{userr}/x").prefix)


@pytest.mark.parametrize(
    "values", [{"user": "{user}"}, {"user": "{project}", "project": "{user}"}, {"user": "{{user}}{user}"}]
)
def test_braces_that_never_resolve_are_an_error_not_a_loop(values: dict[str, str]) -> None:
    with pytest.raises(TemplateError, match="never resolves"):
        print(RUN(prefix="{user}/x", **values).prefix)


@pytest.mark.parametrize("value", [7, b"a/b", ["a", "b"]])
def test_a_prefix_that_is_no_str_is_refused(value: object) -> None:
    with pytest.raises(PrefixError, match=type(value).__name__):
        print(RUN(prefix=value).prefix)  # type: ignore[arg-type]


# --- the user's script --------------------------------------------------------------------------------------

PRINT_STEM = "from ml_dash import Experiment\nprint(Experiment(user='u').run.path_stem)\n"


def output_of(command: list[str], folder: Path, **keywords: object) -> str:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, **keywords)  # type: ignore[call-overload]
    assert ended.returncode == 0, ended.stderr
    return str(ended.stdout).strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A project whose script makes an experiment, also through a helper module."""
    (tmp_path / "pyproject.toml").touch()
    package = tmp_path / "vision" / "resnet"
    package.mkdir(parents=True)
    (tmp_path / "vision/__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "train.py").write_text(PRINT_STEM)
    (tmp_path / "helper.py").write_text(f"def run():\n    {PRINT_STEM.replace(chr(10), chr(10) + '    ')}")
    return tmp_path


def test_a_script_is_named_relative_to_its_project(repository: Path) -> None:
    assert output_of([sys.executable, "vision/resnet/train.py"], repository) == "vision/resnet/train"
    assert output_of([sys.executable, "train.py"], repository / "vision/resnet") == "vision/resnet/train"


def test_a_module_started_by_name_is_named_by_its_file(repository: Path) -> None:
    assert output_of([sys.executable, "-m", "vision.resnet.train"], repository) == "vision/resnet/train"


def test_the_script_counts_not_the_helper_that_makes_the_experiment(repository: Path) -> None:
    (repository / "main.py").write_text("import helper\nhelper.run()\n")
    assert output_of([sys.executable, "main.py"], repository) == "main"


def test_under_pytest_it_is_the_test_file(repository: Path) -> None:
    (repository / "test_it.py").write_text(
        "def test_it():\n    from ml_dash import Experiment\n    print('stem:', Experiment(user='u').run.path_stem)\n"
    )
    printed = output_of(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_it.py"], repository
    )
    assert "stem: test_it" in printed


def test_code_without_a_file_has_a_word_for_a_name(repository: Path) -> None:
    assert output_of([sys.executable, "-c", PRINT_STEM], repository) == "interactive"
    assert output_of([sys.executable], repository, input=PRINT_STEM) == "interactive"
    assert output_of([sys.executable, "-c", "import helper; helper.run()"], repository) == "helper"


def test_a_notebook_is_named_by_its_file_where_its_kernel_knows_it(repository: Path) -> None:
    cell = "import sys, types\nsys.modules['ipykernel'] = types.ModuleType('ipykernel')\n"
    known = cell + f"__vsc_ipynb_file__ = {str(repository / 'notebooks/explore.ipynb')!r}\n" + PRINT_STEM
    assert output_of([sys.executable, "-c", known], repository) == "notebooks/explore"
    assert output_of([sys.executable, "-c", cell + PRINT_STEM], repository) == "notebook"


def test_a_spawned_worker_has_its_parents_script(repository: Path) -> None:
    (repository / "sweep.py").write_text(
        "import multiprocessing\n"
        f"def work():\n    {PRINT_STEM.replace(chr(10), chr(10) + '    ')}\n"
        "if __name__ == '__main__':\n"
        "    worker = multiprocessing.get_context('spawn').Process(target=work)\n"
        "    worker.start()\n"
        "    worker.join()\n"
    )
    assert output_of([sys.executable, "sweep.py"], repository) == "sweep"


def test_an_entry_that_was_set_is_not_looked_for(repository: Path) -> None:
    RUN.project_root = str(repository)
    RUN.entry = str(repository / "vision/resnet")
    assert RUN().path_stem == "vision/resnet"
    assert RUN(entry=repository / "vision/resnet/train.py").path_stem == "vision/resnet/train"


def test_an_entry_set_on_the_class_counts_for_instances_that_exist_already(repository: Path) -> None:
    run = RUN(project_root=str(repository))
    RUN.entry = str(repository / "vision/resnet/train.py")
    assert run.path_stem == "vision/resnet/train"


def test_fields_can_be_listed() -> None:
    assert set(dir(RUN)) & FIELDS == set(dir(RUN())) & FIELDS == FIELDS


def test_a_script_outside_its_project_root_is_named_by_its_file_alone(tmp_path: Path) -> None:
    assert RUN(entry="/elsewhere/tools/train.py", project_root=str(tmp_path)).path_stem == "train"


@pytest.mark.parametrize("name", PROJECT_ROOT_FILES)
def test_the_project_root_is_the_nearest_ancestor_with_a_project_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    script = tmp_path / "a/b/train.py"
    script.parent.mkdir(parents=True)
    script.touch()
    assert find_project_root(script) == find_project_root(script.parent) == str(tmp_path)
    (tmp_path / "a" / name).touch()
    assert find_project_root(str(script)) == str(tmp_path / "a")


def test_without_a_project_file_the_working_folder_is_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_project_root("/proc/self") == str(tmp_path)
