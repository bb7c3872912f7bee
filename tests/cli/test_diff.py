"""`ml-dash diff` says what differs, exactly in a pipe and readably on a terminal."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

import ml_dash
from ml_dash.errors import ConfigurationError, NotFoundError
from ml_dash.state.differences import ABSENT

from .conftest import Asked, on_a_terminal

SLOW, FAST, RESUMED = "alice/mnist/slow", "alice/mnist/fast", "alice/nlp/resumed"


def test_it_names_each_changed_param_tag_number_and_file_with_old_and_new(asked: Asked) -> None:
    rows = asked("diff", SLOW, FAST).rows
    assert ["params", "~", "lr", "", "0.001", "0.01", ""] in rows
    assert ["metadata", "~", "tags", "", '["small"]', '["small","best"]', ""] in rows
    assert ["metadata", "~", "metadata.seed", "", "0.01", "0.1", ""] in rows
    assert ["metrics", "~", "train.accuracy", "max", "0.0975", "0.9750000000000001", "+900.0%"] in rows
    (file,) = [row for row in rows if row[0] == "files"]
    assert file[:4] == ["files", "~", "models/best.txt", ""]
    assert len(file[4]) == len(file[5]) == 64
    assert not [row for row in rows if "notes.txt" in row]


def test_what_is_only_in_one_of_them_is_added_or_removed(asked: Asked) -> None:
    rows = asked("diff", SLOW, RESUMED).rows
    assert ["params", "-", "model.depth", "", "50", "", ""] in rows
    assert ["params", "+", "optimizer.name", "", "", "sgd", ""] in rows
    assert [row[:4] for row in rows if row[0] == "files"] == [
        ["files", "-", "notes.txt", ""],
        ["files", "-", "models/best.txt", ""],
    ]
    assert ["tracks", "-", "arm", "", "1", "", ""] in rows


def test_two_moments_of_one_experiment_are_compared(asked: Asked) -> None:
    assert ["params", "~", "lr", "", "10", "0.5", ""] in asked("diff", f"{RESUMED}@4", f"{RESUMED}@8").rows
    assert asked("diff", f"{RESUMED}@4", "@8").text == asked("diff", f"{RESUMED}@4", f"{RESUMED}@8").text


def test_a_moment_alone_is_compared_with_how_it_stands_now(asked: Asked) -> None:
    assert ["status", "~", "status", "", "RUNNING", "COMPLETED", ""] in asked("diff", f"{RESUMED}@2").rows


def test_a_metric_that_was_corrected_differs_from_itself_before(asked: Asked, trained: Path) -> None:
    last = ml_dash.load(RESUMED, dash_root=trained).seq
    rows = asked("diff", f"{RESUMED}@{last - 1}").rows
    assert ["metrics", "~", "train.loss", "max", "1.5", "9.0", "+500.0%"] in rows


def test_only_what_is_asked_for_is_compared(asked: Asked) -> None:
    assert {row[0] for row in asked("diff", SLOW, FAST, "--only", "params,files").rows} == {"params", "files"}
    with pytest.raises(click.BadParameter, match="colour"):
        asked("diff", SLOW, FAST, "--only", "params,colour")


def test_the_exit_code_says_whether_they_differ_only_if_asked(asked: Asked) -> None:
    assert asked("diff", SLOW, FAST).code == 0
    assert asked("diff", SLOW, FAST, "--exit-code").code == 1
    assert asked("diff", SLOW, SLOW, "--exit-code").code == 0
    assert asked("diff", SLOW, SLOW).text == ""


def test_json_says_it_all_in_numbers(asked: Asked) -> None:
    found = asked("diff", SLOW, FAST, "--json").json
    assert not found["is_empty"]
    assert found["a"]["prefix"] == SLOW
    assert {"name": "lr", "old": 0.001, "new": 0.01} in found["params"]
    (train,) = found["metrics"]
    assert train["changed"]["fields.accuracy"]["max"] == {"old": 0.0975, "new": 0.9750000000000001}


def test_one_experiment_without_a_moment_is_no_comparison(asked: Asked) -> None:
    with pytest.raises(click.UsageError, match="compared with what"):
        asked("diff", SLOW)


def test_what_is_no_moment_belongs_to_the_prefix(asked: Asked) -> None:
    with pytest.raises(NotFoundError, match="'alice/mnist/slow@home'"):
        asked("diff", "alice/mnist/slow@home", FAST)


@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_terminal_it_fits_and_shows_old_and_new(trained: Path, columns: int) -> None:
    lines = on_a_terminal(["diff", SLOW, FAST], trained, columns)
    assert any("0.001 → 0.01" in line for line in lines)
    assert [line for line in lines if len(line) > columns] == []


# -- the same in Python ------------------------------------------------------------------------------------------


def test_diff_takes_prefixes_moments_pairs_and_runs(trained: Path) -> None:
    run = ml_dash.load(RESUMED, dash_root=trained)
    forms = [f"{RESUMED}@4", (RESUMED, 4), ml_dash.load(RESUMED, dash_root=trained, at=4)]
    found = [ml_dash.diff(form, run, dash_root=trained) for form in forms]
    # By their text: NaN, which is among what differs, is not equal to itself.
    assert repr(found[0]) == repr(found[1]) == repr(found[2])
    assert found[0].params["optimizer"].new is ABSENT
    assert found[0].params["optimizer.name"].is_added
    assert not ml_dash.diff(run, RESUMED, dash_root=trained)


def test_diff_says_what_is_no_experiment(trained: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no experiment"):
        ml_dash.diff(5, RESUMED, dash_root=trained)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="has events 1 to"):
        ml_dash.diff(f"{RESUMED}@5000", RESUMED, dash_root=trained)
