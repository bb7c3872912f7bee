"""What `show` and `verify` say of attempts and forks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ml_dash import Experiment

from .conftest import Asked, on_a_terminal

PARENT, FORK = "alice/ml/a", "alice/ml/forks/b"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A training that went back twice, in its next session and within it, and a fork of its beginning."""
    for first, rewound in ((0, None), (10, 9)):
        with Experiment(PARENT, dash_root=tmp_path, console=False).run as experiment:
            if rewound is not None:
                experiment.rewind(step=rewound)
            for step in range(first, first + 15):
                experiment.metrics("train").log(step=step, loss=1.0)
                experiment.metrics("val").log(step=step, acc=0.5)
            if rewound is not None:
                experiment.rewind(step=20)
    with Experiment(FORK, dash_root=tmp_path, fork=f"{PARENT}@21", console=False).run as experiment:
        for step in range(8, 12):
            experiment.metrics("train").log(step=step, loss=2.0)
    return tmp_path


def test_show_says_what_each_attempt_went_back_to_and_what_it_superseded(asked: Asked, root: Path) -> None:
    rows = asked("show", PARENT, root=root).rows
    assert ["2.1", "step 9", "step above 9, to 14", "1", "train, val"] in rows
    assert ["2.2", "step 20", "step above 20, to 24", "2.1", "train, val"] in rows
    screen = on_a_terminal(["show", PARENT], root, 80)
    assert any("rewound to" in line and "supersedes" in line and "of attempt" in line for line in screen)


def test_show_says_where_a_fork_comes_from_and_which_sessions_are_the_parents(asked: Asked, root: Path) -> None:
    rows = asked("show", FORK, root=root).rows
    assert ["forked from", f"{PARENT} at event 21"] in rows
    [first, second] = [row for row in rows if row[0] in ("1", "2") and row[1:2] == ["COMPLETED"]]
    assert (first[-1], second[-1]) == (f"forked in {PARENT}", "")
    assert ["2", "", "step 8 to 9", "1", "train"] in rows


def test_show_in_json_has_the_attempts_and_the_fork(asked: Asked, root: Path) -> None:
    shown = asked("show", PARENT, "--json", root=root).json
    assert shown["fork"] is None
    assert [each["name"] for each in shown["attempts"]] == ["1", "2", "2.1", "2.2"]
    assert shown["attempts"][3]["rewound"] == {"step": 20}
    assert shown["attempts"][2]["supersedes"] == [
        {"attempt": "1", "field": "step", "first": 9, "last": 14, "above_first": True, "metrics": ["train", "val"]}
    ]
    fork = asked("show", FORK, "--json", root=root).json
    assert (fork["fork"]["prefix"], fork["fork"]["seq"]) == (PARENT, 21)
    assert [session["inherited"] for session in fork["sessions"]] == [True, False]
    listed = {each["prefix"]: each["forkedFrom"] for each in asked("list", "--json", root=root).json}
    assert listed == {PARENT: None, FORK: f"{PARENT}@21"}


def test_a_parent_that_is_gone_is_said_by_show_and_by_verify(asked: Asked, root: Path) -> None:
    shutil.rmtree(root / PARENT)
    shown = asked("show", FORK, root=root)
    said = f"events -20 to 0 cannot be had from what it was forked from: expected the experiment '{PARENT}'"
    assert said in shown.text
    verified = asked("verify", FORK, root=root)
    assert verified.code == 1
    assert f"absent: events -20 to 0, which are {PARENT}'s" in verified.text
    [damage] = asked("verify", FORK, "--json", root=root).json["damage"]
    assert (damage["kind"], damage["prefix"], damage["first_seq"], damage["last_seq"]) == ("absent", PARENT, -20, 0)
