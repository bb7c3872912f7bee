"""`ml-dash log` says who did what and when, and answers who changed a parameter."""

from __future__ import annotations

import json
import os
import re
from getpass import getuser
from itertools import pairwise
from pathlib import Path

import click
import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import ConfigurationError

from .conftest import Asked, on_a_terminal

SLOW, RESUMED = "alice/mnist/slow", "alice/nlp/resumed"
ME = f"{getuser()}@{os.uname().nodename}"


def test_entries_cover_every_event_once_newest_first(asked: Asked, trained: Path) -> None:
    entries = asked("log", SLOW, "--json").json
    spans = [(entry["first"], entry["last"]) for entry in reversed(entries)]
    assert spans[0][0] == 1
    assert spans[-1][1] == ml_dash.load(SLOW, dash_root=trained).seq
    assert all(after[0] == before[1] + 1 for before, after in pairwise(spans))
    counts = [count for entry in entries for count in entry["counts"].values()]
    assert sum(counts) == spans[-1][1]


def test_it_says_who_in_which_process_and_session(asked: Asked) -> None:
    newest, *_, oldest = asked("log", RESUMED, "--json").json
    assert newest["authors"][0]["user"] == getuser()
    assert newest["events"][0]["type"] == "value.corrected"
    author = oldest["authors"][0]
    assert (author["user"], author["host"], author["pid"]) == (getuser(), os.uname().nodename, os.getpid())
    assert [session["attempt"] for session in oldest["sessions"]] == [1]


def test_who_changed_a_parameter_is_answered_with_old_and_new(asked: Asked) -> None:
    entries = asked("log", SLOW, "--param", "lr", "--json").json
    changes = [event["changes"] for entry in entries for event in entry["events"]]
    assert changes == [[{"param": "lr", "old": 0.01, "new": 0.001}], [{"param": "lr", "new": 0.01}]]
    rows = asked("log", SLOW, "--param", "lr").rows
    assert [row[-1] for row in rows] == ["params.set lr 0.01 → 0.001", "params.set lr 0.01"]
    assert all(row[5].startswith(ME) for row in rows)


def test_a_parameter_that_another_one_replaced_is_gone(asked: Asked) -> None:
    newest = asked("log", RESUMED, "--param", "optimizer", "--json").json[0]["events"][0]["changes"]
    assert newest == [{"param": "optimizer", "old": "adam"}, {"param": "optimizer.name", "new": "sgd"}]


def test_a_parameter_that_never_was_is_an_error_that_names_those_there_are(asked: Asked) -> None:
    with pytest.raises(ConfigurationError, match=r"lr, model\.depth"):
        asked("log", SLOW, "--param", "lrr")


def test_points_that_follow_each_other_are_one_entry(tmp_path: Path, asked: Asked) -> None:
    with Experiment("a/b/c", dash_root=tmp_path, console=False).run as run:
        run.flush()
        for step in range(30):
            run.metrics("train").log(step=step)
            if step % 5 == 0:
                run.flush()
        run.flush()
    entries = asked("log", "a/b/c", "--json", root=tmp_path).json
    (points,) = [entry for entry in entries if "metric.logged" in entry["counts"]]
    assert points["counts"] == {"metric.logged": 30}
    assert points["commits"] >= 6
    assert points["streams"] == [{"type": "metric.logged", "name": "train", "count": 30}]


@pytest.mark.parametrize(
    ("arguments", "types"),
    [
        (["-n", "1"], {"value.corrected"}),
        (["--type", "run.failed"], {"run.failed"}),
        (["--session", "2", "--type", "run.started"], {"run.started"}),
        (["--until", "yesterday"], set()),
        (["--since", "1 day ago", "--type", "params.set"], {"params.set"}),
        (["--writer", str(os.getpid()), "--type", "value.corrected"], set()),
        (["--writer", ME, "--type", "value.corrected"], {"value.corrected"}),
    ],
)
def test_entries_are_chosen_by_number_type_session_time_and_writer(
    asked: Asked, arguments: list[str], types: set[str]
) -> None:
    entries = asked("log", RESUMED, "--json", *arguments).json
    assert {kind for entry in entries for kind in entry["counts"]} == types


def test_reverse_is_oldest_first(asked: Asked) -> None:
    assert asked("log", RESUMED, "--reverse").rows == asked("log", RESUMED).rows[::-1]


def test_what_happened_is_told_in_words(asked: Asked) -> None:
    text = asked("log", RESUMED).text
    for expected in (
        "session 1 FAILED: loss is nan",
        "session 2 opened, Python",
        "lr 10 → 0.5, optimizer.name sgd",
        f"event 3: loss = 9.0 by {ME} (overflow)",
        "metric.logged 10 points: train 10",
    ):
        assert expected in text
    assert re.search(r"file\.saved models/best\.txt 4 B [0-9a-f]{12}", asked("log", SLOW).text)


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("options", [[], ["--oneline"], ["--param", "lr"]])
def test_on_a_terminal_it_fits(trained: Path, columns: int, options: list[str]) -> None:
    lines = on_a_terminal(["log", RESUMED, "--no-pager", *options], trained, columns)
    assert any("lr 10 → 0.5" in line for line in lines)
    assert any(ME in line for line in lines)
    assert [line for line in lines if len(line) > columns] == []


def test_a_time_that_is_none_is_refused(asked: Asked) -> None:
    with pytest.raises(click.BadParameter, match="'soon' is not a time"):
        asked("log", SLOW, "--since", "soon")


def test_of_a_forked_child_it_says_whose_child_it_is(tmp_path: Path, asked: Asked) -> None:
    with Experiment("a/b/forked", dash_root=tmp_path, console=False).run as run:
        run.log("parent")
        child = os.fork()
        if child == 0:
            run.log("child")
            run.flush()
            os._exit(0)
        os.waitpid(child, 0)
    text = asked("log", "a/b/forked", root=tmp_path).text
    assert f"process {child}, forked from writer" in text
    assert f"{ME} pid {child}" in text


def test_of_a_fork_it_shows_what_comes_from_the_parent_and_numbers_sessions_as_the_state_does(
    tmp_path: Path, asked: Asked
) -> None:
    with Experiment("a/b/parent", dash_root=tmp_path, console=False).run as run:
        run.params.set(lr=0.1)
    with Experiment("a/b/fork", fork="a/b/parent", dash_root=tmp_path, console=False).run as run:
        run.params.set(lr=0.2)
        run.rewind(step=3)
    entries = asked("log", "a/b/fork", "--reverse", "--json", root=tmp_path).json
    assert entries[0]["first"] < 0
    text = asked("log", "a/b/fork", root=tmp_path).text
    for expected in ("experiment.forked from a/b/parent@", "lr 0.1 → 0.2", "session 2 goes on from step 3"):
        assert expected in text
    assert "session 3" not in text


def test_an_edit_that_expected_a_revision_is_of_who_opened_the_session(tmp_path: Path, asked: Asked) -> None:
    with Experiment("a/b/c", dash_root=tmp_path, console=False).run as run:
        run.flush()
        with run.expect(run.seq):
            run.params.set(lr=0.5)
    (edit,) = asked("log", "a/b/c", "--param", "lr", "--json", root=tmp_path).json
    assert [author["user"] for author in edit["authors"]] == [getuser()]


@pytest.mark.parametrize("more", [(), ("--reverse",), ("-n", "3"), ("--reverse", "-n", "3")])
def test_lines_of_json_are_the_entries_of_the_document(asked: Asked, more: tuple[str, ...]) -> None:
    lines = asked("log", "alice/nlp/resumed", "--jsonl", *more).text.splitlines()
    assert len(lines) >= 3
    assert [json.loads(line) for line in lines] == asked("log", "alice/nlp/resumed", "--json", *more).json


@pytest.mark.parametrize("command", ["log", "events"])
def test_a_misspelt_type_is_an_error_with_the_nearest_ones(asked: Asked, command: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'metric\.loged'.* Did you mean metric\.logged"):
        asked(command, "alice/nlp/resumed", "--type", "metric.loged")
    assert asked(command, "alice/nlp/resumed", "--type", "track.appended").text == ""
