"""`ml-dash list` finds, sorts and shows what it is asked for."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from ml_dash import Experiment
from ml_dash.errors import ConfigurationError

from .conftest import Asked, on_a_terminal

SLOW, FAST, RESUMED = "alice/mnist/slow", "alice/mnist/fast", "alice/nlp/resumed"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [RESUMED, FAST, SLOW]),
        (["--reverse"], [SLOW, FAST, RESUMED]),
        (["--sort", "prefix"], [FAST, SLOW, RESUMED]),
        (["--sort", "created"], [RESUMED, FAST, SLOW]),
        (["--sort", "events"], [RESUMED, FAST, SLOW]),
        (["--sort", "train.loss:min"], [FAST, RESUMED, SLOW]),
        (["--sort", "train.loss:max", "--reverse"], [FAST, SLOW, RESUMED]),
        (["--sort", "train.accuracy", "--reverse"], [FAST, SLOW, RESUMED]),
        (["--sort", "params.lr"], [SLOW, FAST, RESUMED]),
        (["--sort", "train.loss:min", "-n", "1"], [FAST]),
        (["--tags", "best,nothing"], [FAST]),
        (["--tag", "small", "--tag", "best"], [FAST]),
        (["--tags", "small, best"], [FAST, SLOW]),
        (["--proj", "alice/mnist/*"], [FAST, SLOW]),
        (["--pref", "alice/nlp"], [RESUMED]),
        (["-p", "alice/**/s*"], [SLOW]),
    ],
)
def test_they_are_chosen_and_sorted(asked: Asked, arguments: list[str], expected: list[str]) -> None:
    assert [summary["prefix"] for summary in asked("list", "--json", *arguments).json] == expected


def test_what_it_is_sorted_by_is_a_column(asked: Asked) -> None:
    rows = asked("list", "--sort", "train.loss:min").rows
    assert [row[2] for row in rows] == ["1.025", "1.5", "1.9025"]


def test_columns_may_be_facts_params_and_metrics_and_are_exact_in_a_pipe(asked: Asked) -> None:
    rows = asked(
        "list", "alice/mnist/**", "--columns", "prefix,params.lr,train.accuracy:max,train.loss:count,tags"
    ).rows
    assert rows == [
        [FAST, "0.01", "0.9750000000000001", "40", "small, best"],
        [SLOW, "0.001", "0.0975", "40", "small"],
    ]


def test_json_has_the_columns_that_were_asked_for(asked: Asked) -> None:
    (found, _) = asked("list", "alice/mnist/**", "--columns", "params.lr", "--sort", "train.loss", "--json").json
    assert found["columns"] == {"params.lr": 0.01, "train.loss": 1.025}


def test_a_column_that_nobody_has_is_an_error_with_the_nearest_names(asked: Asked) -> None:
    with pytest.raises(ConfigurationError, match=r"train\.loss"):
        asked("list", "--sort", "trian.loss")
    with pytest.raises(ConfigurationError, match="last, min, max"):
        asked("list", "--sort", "train.loss:best")


def test_names_with_dots_and_slashes_and_the_unnamed_metric_are_found(tmp_path: Path, asked: Asked) -> None:
    with Experiment("a/b/c", dash_root=tmp_path, console=False).run as run:
        run.metrics("a/b.c").log(**{"x.y": 1})
        run.metrics("a").log(x=2)
        run.metrics.log(loss=3)
    columns = "a/b.c.x.y,a.x,loss"
    assert asked("list", "--columns", f"{columns},started", root=tmp_path).rows[0][:3] == ["1", "2", "3"]


def test_those_without_the_value_come_last_either_way(asked: Asked) -> None:
    for options in ([], ["--reverse"]):
        found = asked("list", "--sort", "train.accuracy", "--json", *options).json
        assert found[-1]["prefix"] == RESUMED


def test_a_status_that_is_none_is_refused(asked: Asked) -> None:
    with pytest.raises(click.BadParameter, match="ASLEEP"):
        asked("list", "--status", "ASLEEP")


@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_narrow_terminal_the_column_it_is_sorted_by_stays(trained: Path, columns: int) -> None:
    lines = on_a_terminal(["list", "--sort", "train.loss:min"], trained, columns)
    assert any("1.025" in line for line in lines)
    assert [line for line in lines if len(line) > columns] == []
