"""What run.started says of the process, and what it must never say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.journal.folder import JournalFolder
from ml_dash.opening import environment
from ml_dash.opening.environment import capture, describe_process, rank
from ml_dash.opening.secrets_mask import ARGUMENT_CHARACTERS_MAX, ARGUMENTS_MAX, MASK, looks_secret, mask_arguments
from ml_dash.reading.replay import Replay


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    environment._git_of.cache_clear()


def git(*arguments: str, folder: Path) -> str:
    identity = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "-c",
        "init.defaultBranch=main",
        "-c",
        "commit.gpgsign=false",
    ]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git("init", folder=tmp_path)
    (tmp_path / "train.py").write_text("print('x')\n")
    (tmp_path / "src").mkdir()
    git("add", ".", folder=tmp_path)
    git("commit", "-m", "first", folder=tmp_path)
    return tmp_path


def git_of(script: Path) -> Any:
    environment._git_of.cache_clear()
    return capture(str(script))["git"]


# --- git ----------------------------------------------------------------------------------------------------


def test_commit_and_branch_are_those_of_the_scripts_folder(repository: Path) -> None:
    commit = git("rev-parse", "HEAD", folder=repository)
    assert git_of(repository / "train.py") == {"commit": commit, "dirty": False, "branch": "main"}
    assert git_of(repository / "src/other.py") == {"commit": commit, "dirty": False, "branch": "main"}


def test_a_changed_file_makes_it_dirty_and_a_new_one_does_not(repository: Path) -> None:
    (repository / "results.txt").write_text("new\n")
    assert git_of(repository / "train.py")["dirty"] is False
    (repository / "train.py").write_text("print('changed')\n")
    assert git_of(repository / "train.py")["dirty"] is True


def test_a_detached_head_has_no_branch_and_an_unborn_one_no_commit(repository: Path, tmp_path: Path) -> None:
    git("checkout", "--detach", folder=repository)
    assert git_of(repository / "train.py")["branch"] is None
    (tmp_path / "unborn").mkdir()
    git("init", folder=tmp_path / "unborn")
    assert git_of(tmp_path / "unborn/train.py") == {"commit": None, "dirty": False, "branch": "main"}


def test_a_work_tree_of_its_own_is_recognised(repository: Path) -> None:
    git("worktree", "add", "-b", "side", "elsewhere", folder=repository)
    assert git_of(repository / "elsewhere/train.py")["branch"] == "side"


def test_outside_a_work_tree_there_is_no_git(tmp_path: Path) -> None:
    assert git_of(tmp_path / "train.py") is None


def test_without_the_git_command_or_with_one_that_hangs_the_start_goes_on(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "GIT_TIMEOUT_S", 0.2)
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (slow / "git").chmod(0o755)
    for path in (str(slow), str(tmp_path / "nowhere")):
        with monkeypatch.context() as patch:
            patch.setenv("PATH", path + (os.pathsep + os.environ["PATH"] if path == str(slow) else ""))
            assert git_of(repository / "train.py") is None


def test_nothing_in_the_repository_is_run_or_written(repository: Path) -> None:
    git("config", "core.fsmonitor", f"touch {repository}/was-run", folder=repository)
    index = (repository / ".git/index").read_bytes()
    os.utime(repository / "train.py", (1e9, 1e9))
    assert git_of(repository / "train.py")["dirty"] is False
    assert not (repository / "was-run").exists()
    assert (repository / ".git/index").read_bytes() == index


# --- the process --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"RANK": "3"}, 3),
        ({"LOCAL_RANK": "1"}, 1),
        ({"SLURM_PROCID": "7"}, 7),
        ({"RANK": "5", "LOCAL_RANK": "1", "SLURM_PROCID": "0"}, 5),
        ({"RANK": "", "SLURM_PROCID": "2"}, 2),
        ({"RANK": "first", "LOCAL_RANK": "4"}, 4),
        ({"RANK": "-1"}, None),
        ({"RANK": "²"}, None),
    ],
)
def test_the_rank_is_the_first_variable_that_is_a_number(
    variables: dict[str, str], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in environment.RANK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert rank() == describe_process()["rank"] == expected


def test_the_environment_names_python_platform_and_packages() -> None:
    found = capture("interactive")
    assert found["python"] == sys.version.split()[0]
    assert found["executable"] == sys.executable
    assert found["cwd"] == os.getcwd()
    assert found["platform"].startswith(os.uname().sysname)
    assert found["packages"]["pytest"] == pytest.__version__
    assert all(isinstance(version, str) and version[:1].isdigit() for version in found["packages"].values())


def test_a_session_says_where_it_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "2")
    with Experiment("a/b/c", dash_root=tmp_path).run:
        pass
    (session,) = Replay(JournalFolder(tmp_path / "a/b/c")).refresh().sessions.values()
    assert (session.host, session.pid, session.rank) == (os.uname().nodename, os.getpid(), 2)
    assert session.environment is not None
    assert session.environment.keys() >= {"python", "platform", "user", "argv", "git", "packages"}


def test_a_working_folder_that_is_gone_stops_no_start(tmp_path: Path) -> None:
    script = """
import os, sys
os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")
from ml_dash import Experiment
with Experiment("a/b/c", dash_root=sys.argv[1]).run as experiment:
    experiment.params.set(lr=1)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "root")], cwd=tmp_path, check=True, timeout=60)
    (session,) = Replay(JournalFolder(tmp_path / "root/a/b/c")).refresh().sessions.values()
    assert session.environment is not None
    assert (session.status, session.environment["cwd"]) == ("COMPLETED", None)


def test_no_secret_of_the_command_line_or_the_environment_reaches_the_journal(tmp_path: Path) -> None:
    script = 'from ml_dash import Experiment\nExperiment("a/b/c").run.start()\n'
    secrets = {"SERVICE_TOKEN": "hidden-value-1", "ML_DASH_TOKEN": "hidden-value-2", "PLAIN": "hidden-value-3"}
    arguments = [
        "--password",
        "hidden-value-4",
        "--api-key=hidden-value-5",
        "hidden-value-1",
        "--lr",
        "0.1",
    ]
    subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=tmp_path, env=os.environ | secrets, check=True, timeout=60
    )
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*.jsonl"))
    assert b'"argv":["-c","--password","***","--api-key=***","***","--lr","0.1"]' in written
    assert b"hidden-value" not in written


# --- masking ------------------------------------------------------------------------------------------------

MASKED = [
    (["--token", "abc"], ["--token", MASK]),
    (["--hf_token", "abc"], ["--hf_token", MASK]),
    (["-token", "abc"], ["-token", MASK]),
    (["--token=abc"], [f"--token={MASK}"]),
    (["--apiKey", "abc"], ["--apiKey", MASK]),
    (["--API_KEY=abc"], [f"--API_KEY={MASK}"]),
    (["--wandbkey", "abc"], ["--wandbkey", MASK]),
    (["--db-password", "-starts-with-dash"], ["--db-password", MASK]),
    (["--password", "a", "--secret", "b"], ["--password", MASK, "--secret", MASK]),
    (["--use-auth", "--lr", "1"], ["--use-auth", "--lr", "1"]),
    (["db.password=abc"], [f"db.password={MASK}"]),
    (["+trainer.logger.api_key=abc"], [f"+trainer.logger.api_key={MASK}"]),
    (["WANDB_API_KEY=abc"], [f"WANDB_API_KEY={MASK}"]),
    (['{"secret": "a b", "lr": 1}'], [f'{{"secret": "{MASK}", "lr": 1}}']),
    (["{'password':'a'}"], [f"{{'password':'{MASK}'}}"]),
    (["https://bob:pw@host/x"], [f"https://{MASK}@host/x"]),
    (["--url=https://token@host"], [f"--url=https://{MASK}@host"]),
    (["postgres://u:p@db:5432/x?sslkey=1"], [f"postgres://{MASK}@db:5432/x?sslkey={MASK}"]),
    (["https://host/x?access_token=abc&page=2"], [f"https://host/x?access_token={MASK}&page=2"]),
    (["--header", "X: Bearer abc.def"], ["--header", f"X: Bearer {MASK}"]),
    (["hf_abcdefghijklmnopqrstuv"], [MASK]),
    (["mld_VMOjneCK_37NhDN80HdOxt6d7aM2AXzopOMT2n43y9-"], [MASK]),
    (["--x", "ghp_abcdefghijklmnopqrstuv"], ["--x", MASK]),
    (["AKIAABCDEFGHIJKLMNOP"], [MASK]),
]
KEPT = [
    ["train.py", "--lr", "0.1", "--epochs=3"],
    ["--max-tokens", "512", "--num_tokens=3", "--tokenizer", "bert"],
    ["--author", "alice", "--passes=3", "--compass", "n", "--keyboard=us", "--keypoints", "17"],
    ["model.depth=50", "https://host/data.csv?page=2", "s3://bucket/key", "a@b.c"],
    ["--secretary", "bob", "--authors=x"],
]


@pytest.mark.parametrize(("arguments", "expected"), MASKED, ids=lambda value: " ".join(value))
def test_a_secret_in_an_argument_is_masked(arguments: list[str], expected: list[str]) -> None:
    assert mask_arguments(arguments) == expected


@pytest.mark.parametrize("arguments", KEPT, ids=lambda value: value[0])
def test_what_is_no_secret_is_kept(arguments: list[str]) -> None:
    assert mask_arguments(arguments) == arguments


def test_values_of_secret_variables_are_masked_wherever_they_stand() -> None:
    variables = {"MY_SECRET": "s3cr3t-value", "HOME": "/home/alice", "SHORT_KEY": "ab"}
    assert mask_arguments(["x-s3cr3t-value-y", "/home/alice/ab"], variables) == [f"x-{MASK}-y", "/home/alice/ab"]


def test_a_command_line_of_any_length_is_recorded_in_bounds() -> None:
    found = mask_arguments(["x" * 10 * ARGUMENT_CHARACTERS_MAX] + ["y"] * 2 * ARGUMENTS_MAX)
    assert len(found) == ARGUMENTS_MAX + 1
    assert len(found[0]) < ARGUMENT_CHARACTERS_MAX + 50
    assert str(10 * ARGUMENT_CHARACTERS_MAX) in found[0]
    assert str(2 * ARGUMENTS_MAX + 1) in found[-1]


@pytest.mark.parametrize(
    "name", ["--token", "apiKey", "AWS_SECRET_ACCESS_KEY", "db.passwd", "credentials", "Authorization"]
)
def test_names_of_secrets_are_recognised_however_they_are_written(name: str) -> None:
    assert looks_secret(name)
