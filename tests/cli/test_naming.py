"""Experiments, columns and commands by the names that people try first."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from click import MissingParameter, UsageError

from ml_dash.errors import ConfigurationError, NotFoundError

from .conftest import COMMAND, Asked, Piped

SLOW, FAST = "alice/mnist/slow", "alice/mnist/fast"
OF_ONE = (["show"], ["log"], ["events"], ["recover", "--dry-run"])
OF_SEVERAL = (["verify"], ["tail", "--once"], ["archive"])


@pytest.mark.parametrize("command", [*OF_ONE, *OF_SEVERAL])
@pytest.mark.parametrize("option", ["-p", "--prefix", "--project"])
def test_an_experiment_may_be_named_by_an_option(asked: Asked, command: list[str], option: str) -> None:
    named = asked(*command, option, SLOW)
    assert (named.text, named.code) == (asked(*command, SLOW).text, 0)
    assert named.text


@pytest.mark.parametrize("command", OF_ONE)
def test_a_glob_that_matches_one_experiment_is_that_one_and_of_several_one_has_to_be_chosen(
    asked: Asked, command: list[str]
) -> None:
    assert asked(*command, "alice/*/slo?").text == asked(*command, SLOW).text
    with pytest.raises(ConfigurationError, match=f"one of {FAST}, {SLOW}"):
        asked(*command, "alice/mnist/*")
    with pytest.raises(NotFoundError, match="no experiment matches 'bob/"):
        asked(*command, "bob/**")


def test_verify_checks_all_that_a_glob_matches(asked: Asked) -> None:
    found = [line.partition(":")[0] for line in asked("verify", "alice/mnist/*").text.splitlines()]
    assert found == [FAST, SLOW]


@pytest.mark.parametrize("command", [*OF_ONE, *OF_SEVERAL])
def test_without_a_name_it_is_said_what_is_missing(asked: Asked, command: list[str]) -> None:
    with pytest.raises(MissingParameter, match="ml-dash list"):
        asked(*command)


def test_a_name_with_the_characters_of_a_glob_is_that_name(tmp_path: Path, piped: Piped) -> None:
    from ml_dash import Experiment

    with Experiment("alice/ml/run[1]", dash_root=tmp_path, console=False).run:
        pass
    assert "COMPLETED" in piped("show", "alice/ml/run[1]", root=tmp_path).stdout


@pytest.mark.parametrize("options", [["--json"], ["--dash-root=ROOT"], ["--dash-root", "ROOT", "--json"]])
def test_where_to_look_may_stand_before_the_command(asked: Asked, trained: Path, options: list[str]) -> None:
    before = [option.replace("ROOT", str(trained)) for option in options]
    assert asked(*before, "list").text == asked("list", *before).text != ""


def test_a_command_that_is_misspelt_is_answered_with_the_nearest(asked: Asked) -> None:
    with pytest.raises(UsageError, match=r"No such command 'shwo'. Did you mean show"):
        asked("shwo")


def test_a_column_may_be_named_by_what_is_last_in_its_name_where_that_is_one(asked: Asked) -> None:
    for short, whole in (("accuracy", "train.accuracy"), ("train/loss:min", "train.loss:min"), ("lr", "params.lr")):
        assert asked("list", "--sort", short).text == asked("list", "--sort", whole).text
    with pytest.raises(ConfigurationError, match=r"nearest are .*accuracy"):
        asked("list", "--sort", "acuracy")


def test_a_column_that_may_be_several_is_none_of_them(tmp_path: Path, asked: Asked) -> None:
    from ml_dash import Experiment

    with Experiment("alice/ml/run", dash_root=tmp_path, console=False).run as experiment:
        experiment.metrics.log(train={"loss": 1}, eval={"loss": 2})
    with pytest.raises(ConfigurationError, match=r"It may be train.loss, eval.loss"):
        asked("list", "--sort", "loss", root=tmp_path)


@pytest.mark.parametrize("command", [["events", SLOW], ["events", SLOW, "-f"], ["log", SLOW], ["export", SLOW]])
def test_a_reader_who_has_enough_is_no_failure(trained: Path, command: list[str]) -> None:
    # A pipe that nobody reads: the first byte that is written finds it broken.
    line = f"set -o pipefail; {shlex.join([*COMMAND, *command])} | true"
    ended = subprocess.run(
        ["bash", "-c", line],
        env=os.environ | {"ML_DASH_ROOT": str(trained)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
