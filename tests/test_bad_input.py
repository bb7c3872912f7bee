"""Whatever is wrong with what was given: the error names it, what was expected and what to do, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

import ml_dash
from ml_dash import Experiment, ml_dash_experiment
from ml_dash.errors import (
    ConfigurationError,
    JournalCorruptError,
    JournalVersionError,
    MlDashError,
    PrefixError,
    StorageError,
)
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import GENESIS_HASH, chain_hash
from ml_dash.reading.replay import Replay

PREFIX = "alice/ml/run"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def contents(root: Path) -> dict[str, bytes]:
    """Every file below `root` except the lock, which is empty and says nothing."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


# --- arguments ----------------------------------------------------------------------------------------------

WRONG_ARGUMENTS: list[tuple[dict[str, Any], type[Exception], list[str]]] = [
    ({"prefix": "alice"}, PrefixError, ["'alice'", "one part only", "owner/project"]),
    ({"prefix": "alice/../etc"}, PrefixError, ["'..'", "owner/project"]),
    ({"prefix": Path("alice/ml/run")}, PrefixError, ["PosixPath", "not a str"]),
    ({"prefix": "alice/{usr}/x"}, PrefixError, ["{usr}", "'user'"]),
    ({"prefix": ""}, PrefixError, ["''", "empty"]),
    ({"perfix": PREFIX}, TypeError, ["'perfix'", "Did you mean 'prefix'?"]),
    ({"prefix": PREFIX, "projct": "x"}, TypeError, ["'projct'", "Did you mean 'project'?"]),
    ({"prefix": PREFIX, "dash_rot": "x"}, TypeError, ["'dash_rot'", "Did you mean 'dash_root'?"]),
    ({"prefix": PREFIX, "whatever": 1}, TypeError, ["'whatever'", "dash_root"]),
    ({"prefix": PREFIX, "dash_root": 7}, ConfigurationError, ["dash_root=7", "int", "path"]),
    ({"prefix": PREFIX, "dash_root": b".dash"}, ConfigurationError, ["bytes", "path"]),
    ({"prefix": PREFIX, "dash_root": " "}, ConfigurationError, ["dash_root=' '", "folder"]),
    ({"prefix": PREFIX, "dash_root": "a\0b"}, ConfigurationError, ["dash_root", "folder"]),
    ({"prefix": PREFIX, "dash_root": None}, ConfigurationError, ["dash_root=None", "dash_url"]),
    ({"prefix": PREFIX, "dash_url": "api.dash.ml"}, ConfigurationError, ["'api.dash.ml'", "https://"]),
    ({"prefix": PREFIX, "dash_url": "ftp://x"}, ConfigurationError, ["'ftp://x'", "https://"]),
    ({"prefix": PREFIX, "dash_url": 80}, ConfigurationError, ["dash_url=80", "https://"]),
    ({"prefix": PREFIX, "durability": "eventual"}, ConfigurationError, ["'eventual'", "'normal' or 'strict'"]),
    ({"prefix": PREFIX, "tags": 5}, ConfigurationError, ["tags=5", "list of str"]),
    ({"prefix": PREFIX, "tags": ["a", 5]}, ConfigurationError, ["tags", "5", "list of str"]),
    ({"prefix": PREFIX, "tags": {"a": 1}}, ConfigurationError, ["tags", "list of str"]),
    ({"prefix": PREFIX, "bindrs": [None]}, ConfigurationError, ["bindrs", "None", "list of str"]),
    ({"prefix": PREFIX, "metadata": ["a"]}, ConfigurationError, ["metadata", "dict"]),
    ({"prefix": PREFIX, "description": 3}, ConfigurationError, ["description=3", "str"]),
    ({"prefix": PREFIX, "description": "a", "readme": "b"}, ConfigurationError, ["'a'", "'b'", "give one"]),
]


@pytest.mark.parametrize(("arguments", "kind", "named"), WRONG_ARGUMENTS, ids=lambda value: str(value)[:40])
def test_a_wrong_argument_is_named_before_anything_is_made(
    arguments: dict[str, Any], kind: type[Exception], named: list[str], tmp_path: Path
) -> None:
    with pytest.raises(kind) as refused:
        Experiment(**arguments)
    assert all(word in str(refused.value) for word in named), refused.value
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_argument_of_the_decorator_is_named_when_the_function_is_called() -> None:
    @ml_dash_experiment(PREFIX, dash_rot="x")
    def train(experiment: Experiment) -> None: ...

    with pytest.raises(TypeError, match="'dash_rot'"):
        train()


def test_a_wrong_attribute_is_named_and_changes_nothing() -> None:
    with Experiment(PREFIX, tags=["a"]).run as experiment:
        with pytest.raises(ConfigurationError, match="list of str"):
            experiment.tags = [1]  # type: ignore[list-item]
        assert experiment.tags == ["a"]


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("ML_DASH_CONSOLE", "maybe", "on, true"),
        ("ML_DASH_DURABILITY", "eventual", "normal, strict"),
        ("ML_DASH_MODE", "offline", "disabled"),
        ("ML_DASH_FLUSH_INTERVAL", "soon", "seconds"),
        ("ML_DASH_FLUSH_INTERVAL", "nan", "seconds"),
        ("ML_DASH_FLUSH_INTERVAL", "-1", "seconds"),
        ("ML_DASH_FLUSH_INTERVAL", "0", "seconds"),
    ],
)
def test_a_wrong_environment_variable_is_named(
    variable: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as refused:
        Experiment(PREFIX)
    assert f"{variable}={value!r}" in str(refused.value)
    assert expected in str(refused.value)


def test_a_wrong_prefix_in_the_environment_is_named_when_the_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_DASH_PREFIX", "../outside/x")
    experiment = Experiment()
    with pytest.raises(PrefixError, match=r"'\.\./outside/x'"):
        experiment.run.start()
    with pytest.raises(PrefixError):
        print(experiment.owner)
    assert "../outside/x" in repr(experiment)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["true", "false", "1", "0", "yes", "anything"])
def test_switches_of_the_package_we_replace_are_accepted_and_mean_nothing(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BUFFER_ENABLED", "LOG_BATCH_SIZE", "METRIC_BATCH_SIZE", "TRACK_BATCH_SIZE", "FILE_UPLOAD_WORKERS"):
        monkeypatch.setenv(f"ML_DASH_{name}", value)
    monkeypatch.setenv("ML_DASH_FLUSH_INTERVAL", "5.0")
    with Experiment(PREFIX).run as experiment:
        experiment.metrics("train").log(step=1)
        assert len(experiment.metrics("train").read()["data"]) == 1


# --- levels and ends ----------------------------------------------------------------------------------------


def test_a_level_that_does_not_exist_is_named_and_nothing_is_recorded(tmp_path: Path) -> None:
    with Experiment(PREFIX, console=False).run as experiment:
        for level in ("verbose", "", "INFOO"):
            with pytest.raises(ConfigurationError, match=f"{level!r}"):
                experiment.log("x", level=level)
    assert Replay(JournalFolder(tmp_path / ".dash" / PREFIX)).refresh().log_counts == {}


def test_a_run_has_no_end_that_does_not_exist() -> None:
    experiment = Experiment(PREFIX)
    with pytest.raises(AttributeError, match="succeed"):
        experiment.run.succeed()
    with pytest.raises(AttributeError, match="'status'"):
        experiment.run.status = "DONE"


# --- places -------------------------------------------------------------------------------------------------


def test_a_root_that_is_a_file_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(StorageError, match=r"notes.*is a file.*another dash_root"):
        Experiment(PREFIX, dash_root="notes").run.start()
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize("file", ["notes", "root/alice", "root/alice/ml"])
def test_a_file_on_the_way_to_the_experiment_is_named_and_left_as_it_is(file: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("mine")
    root = "notes/below" if file == "notes" else "root"
    with pytest.raises(StorageError) as refused:
        Experiment(PREFIX, dash_root=root).run.start()
    assert str(tmp_path / root / PREFIX) in str(refused.value)
    assert "another dash_root" in str(refused.value)
    assert contents(tmp_path) == {file: b"mine"}


def test_a_root_that_cannot_be_written_is_named() -> None:
    # `/proc` refuses everybody, the superuser too.
    with pytest.raises(StorageError, match=r"/proc/nowhere/alice/ml/run.*another dash_root"):
        Experiment(PREFIX, dash_root="/proc/nowhere").run.start()


def test_a_path_that_is_too_long_for_the_system_is_named(tmp_path: Path) -> None:
    root = tmp_path.joinpath(*["n" * 200] * 30)
    with pytest.raises(StorageError, match="name too long"):
        Experiment(PREFIX, dash_root=root).run.start()
    with pytest.raises(StorageError, match="does not exist"):
        ml_dash.load(PREFIX, dash_root=root)


def test_a_relative_root_in_a_working_folder_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigurationError, match=r"'\.dash'.*absolute path"):
        Experiment(PREFIX)


def test_after_a_refused_start_the_experiment_can_be_started_elsewhere(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX, dash_root="root", tags=["kept"])
    (tmp_path / "root").write_text("")
    with pytest.raises(StorageError):
        experiment.run.start()
    assert experiment.status is None
    (tmp_path / "root").unlink()
    with experiment.run:
        assert experiment.tags == ["kept"]


# --- journals -----------------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The only segment of an experiment with three sessions."""
    for step in range(3):
        with Experiment(PREFIX).run as experiment:
            experiment.metrics("train").log(step=step)
    return tmp_path / ".dash" / PREFIX / "_journal/00000001.jsonl"


def damaged(data: bytes) -> bytes:
    """One bit of the third line is turned over: a commit that others follow."""
    lines = data.splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"count":', b'"cOunt":', 1)
    return b"".join(lines)


def of_newer_version(data: bytes) -> bytes:
    """A valid header of version 2, which may have members that nobody knows yet."""
    header, rest = data.split(b"\n", 1)
    body = header[: header.index(b',"hash":')].replace(b'"version":1', b'"version":2,"more":[]', 1)
    line_hash = chain_hash(GENESIS_HASH, orjson.loads(header)["journal"], body)
    return body + b',"hash":"%b"}\n' % line_hash.encode() + rest


@pytest.mark.parametrize(
    ("change", "kind", "named"),
    [
        (damaged, JournalCorruptError, ["00000001", "ml-dash verify", "ml-dash recover", "Nothing was changed"]),
        (of_newer_version, JournalVersionError, ["version 2", "upgrade ml_dash", "Nothing was changed"]),
    ],
)
def test_a_journal_that_must_not_be_appended_to_is_refused_and_not_touched(
    change: Callable[[bytes], bytes], kind: type[MlDashError], named: list[str], journal: Path, tmp_path: Path
) -> None:
    data = journal.read_bytes()
    assert change(data) != data
    journal.write_bytes(change(data))
    # A checkpoint that was written before the damage must not hide it.
    before = contents(tmp_path)
    experiment = Experiment(PREFIX)
    for _ in range(2):
        with pytest.raises(kind) as refused:
            experiment.run.start()
        assert all(word in str(refused.value) for word in named), refused.value
    assert contents(tmp_path) == before
    with pytest.raises(RuntimeError, match="not started"):
        experiment.metrics("train").log(step=1)


def test_what_is_intact_of_a_damaged_journal_is_read(journal: Path, tmp_path: Path) -> None:
    journal.write_bytes(damaged(journal.read_bytes()))
    replay = Replay(JournalFolder(tmp_path / ".dash" / PREFIX))
    assert replay.refresh().metrics["train"].count >= 1
    assert [each.segment for each in replay.damage if each.refuses_writing] == [1]


def test_a_torn_tail_heals_by_itself(journal: Path, tmp_path: Path) -> None:
    with journal.open("ab") as file:
        file.write(b'{"first":10,"count":1,"ti')
    with Experiment(PREFIX).run as experiment:
        experiment.metrics("train").log(step=3)
    state = Replay(JournalFolder(tmp_path / ".dash" / PREFIX)).refresh()
    assert state.metrics["train"].count == 4
    assert len(state.sessions) == 4


FULL_DISK = """
import os, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def fill():
    size = os.path.getsize(".dash/alice/ml/run/_journal/00000001.jsonl")
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
from ml_dash import Experiment
with Experiment("alice/ml/run", ARGUMENTS).run as experiment:
    experiment.metrics("train").log(step=1)
    experiment.flush()
    fill()
    BODY
"""


def on_a_full_disk(folder: Path, *, arguments: str = "", body: str = "", **environment: str) -> tuple[int, str]:
    """Exit code and standard error of a run whose journal takes no further byte."""
    script = FULL_DISK.replace("ARGUMENTS", arguments).replace("BODY", body)
    variables = os.environ | environment
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stderr


def test_an_end_that_cannot_be_written_waits_for_whoever_comes_next(tmp_path: Path) -> None:
    code, printed = on_a_full_disk(tmp_path)
    assert code == 0, printed
    assert printed.count("WARNING: the end of alice/ml/run could not be written") == 1
    with Experiment(PREFIX).run:
        pass
    state = Replay(JournalFolder(tmp_path / ".dash" / PREFIX)).refresh()
    assert [session.status for session in state.sessions.values()] == ["COMPLETED", "COMPLETED"]
    assert state.metrics["train"].count == 1


@pytest.mark.parametrize(
    "strictly",
    [{"arguments": "durability='strict'"}, {"ML_DASH_DURABILITY": "strict"}],
    ids=["argument", "environment"],
)
def test_with_strict_durability_an_end_that_cannot_be_written_is_an_error(
    strictly: dict[str, str], tmp_path: Path
) -> None:
    code, printed = on_a_full_disk(tmp_path, **strictly)
    assert code == 1
    assert "StorageError" in printed.splitlines()[-1]


@pytest.mark.parametrize("durability", ["normal", "strict"])
def test_a_disk_that_refuses_hides_no_exception_of_the_training(durability: str, tmp_path: Path) -> None:
    code, printed = on_a_full_disk(tmp_path, arguments=f"durability={durability!r}", body="raise KeyError('diverged')")
    assert code == 1
    assert printed.splitlines()[-1] == "KeyError: 'diverged'"
    assert "the end of alice/ml/run could not be" in printed


def test_the_interval_of_the_environment_counts_up_to_the_second_that_is_promised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for given, seconds in [("0.05", 0.05), ("1", 1.0), ("5.0", 1.0)]:
        monkeypatch.setenv("ML_DASH_FLUSH_INTERVAL", given)
        with Experiment(PREFIX).run as experiment:
            assert experiment._recorder.writer()._commit_interval_s == seconds


def test_the_journal_of_a_start_says_only_what_json_can_say(journal: Path) -> None:
    for line in journal.read_bytes().splitlines():
        assert isinstance(orjson.loads(line), dict)
