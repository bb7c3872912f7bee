"""What holds for every command that answers: JSON that parses, pipes without colour, codes that say how it went."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from click import NoSuchOption

from ml_dash.cli.commands import COMMANDS

from .conftest import Asked, Piped, on_a_terminal

SLOW, FAST = "alice/mnist/slow", "alice/mnist/fast"
ANSWERING = {
    "diff": ["diff", SLOW, FAST],
    "doctor": ["doctor"],
    "events": ["events", SLOW],
    "export": ["export", SLOW],
    "list": ["list"],
    "log": ["log", SLOW],
    "recover": ["recover", SLOW, "--dry-run"],
    "show": ["show", SLOW],
    "tail": ["tail", "--once", SLOW],
    "verify": ["verify", SLOW],
    "version": ["version"],
    "completion": ["completion", "bash"],
}
ELSEWHERE = {
    "archive",
    "demo",
    "import",
    "login",
    "logout",
    "profile",
    "pull",
    "redact",
    "serve",
    "server",
    "ship",
    "whoami",
}
"""Those that change something or talk to a server have tests of their own."""
OF_AN_EXPERIMENT = ["diff", "events", "log", "recover", "show", "tail", "verify"]
A_DOCUMENT_A_LINE = {"events", "export", "tail", "verify"}


def test_every_command_is_here_or_elsewhere() -> None:
    assert sorted([*ANSWERING, *ELSEWHERE]) == sorted(COMMANDS)


@pytest.mark.parametrize("name", ANSWERING)
def test_in_a_pipe_nothing_is_coloured_cut_or_drawn(asked: Asked, name: str) -> None:
    text = asked(*ANSWERING[name]).text
    assert text
    assert not re.search(r"\x1b|…|[─━│]", text)


@pytest.mark.parametrize("name", ANSWERING)
def test_json_parses(asked: Asked, name: str) -> None:
    text = asked(*ANSWERING[name], "--json").text
    for document in text.splitlines() if name in A_DOCUMENT_A_LINE else [text]:
        assert json.loads(document)


@pytest.mark.parametrize("name", OF_AN_EXPERIMENT)
def test_an_unknown_prefix_ends_with_one_and_the_nearest_names(piped: Piped, trained: Path, name: str) -> None:
    arguments = ["alice/mnist/slwo" if word == SLOW else word for word in ANSWERING[name]]
    ended = piped(*arguments, root=trained, code=1)
    assert ended.stdout == ""
    assert ended.stderr.startswith("ml-dash: ")
    assert SLOW in ended.stderr


@pytest.mark.parametrize("name", ANSWERING)
def test_a_wrong_option_is_refused(asked: Asked, name: str) -> None:
    with pytest.raises(NoSuchOption, match="--colour"):
        asked(*ANSWERING[name], "--colour")


@pytest.mark.parametrize("name", ["diff", "events", "log", "show", "tail"])
def test_of_a_damaged_journal_what_is_intact_is_shown_and_the_code_is_one(
    piped: Piped, trained: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(trained, tmp_path / "damaged")
    segment = next((tmp_path / "damaged" / SLOW / "_journal").glob("0*.jsonl"))
    data = bytearray(segment.read_bytes())
    data[data.index(b"file.saved")] ^= 1
    segment.write_bytes(data)
    for cache in segment.parent.glob("checkpoint.json"):
        cache.unlink()
    for options in ([], ["--json"]):
        ended = piped(*ANSWERING[name], *options, root=tmp_path / "damaged", code=1)
        assert "lr" in ended.stdout or "train" in ended.stdout
        assert f"ml-dash: {SLOW} is damaged" in ended.stderr
        assert f"ml-dash verify {SLOW}" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", SLOW, "--at", "100000"], "has events 1 to"),
        (["show", SLOW, "--at", "a year ago"], "before its first event"),
        (["diff", f"{SLOW}@100000"], "has events 1 to"),
        (["show", SLOW, "--at", "soon"], "neither the number of an event nor a time"),
        (["log", SLOW, "--since", "soon"], "is not a time"),
        (["list", "alice/../bob"], "matches nothing"),
        (["list", "--sort", "nothing.there"], "no experiment that is listed has it"),
        (["events", SLOW, "--after", "-1"], "is no fork"),
        (["tail", "--once", "alice"], "names no experiment"),
    ],
)
def test_what_cannot_be_meant_ends_with_two_and_says_what_can(
    piped: Piped, trained: Path, arguments: list[str], said: str
) -> None:
    ended = piped(*arguments, root=trained, code=2)
    assert said in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("name", ["events", "list", "show", "tail", "verify"])
def test_on_a_terminal_nothing_is_wider_than_it(trained: Path, name: str, columns: int) -> None:
    lines = on_a_terminal(ANSWERING[name], trained, columns)
    assert any(SLOW in line or "run.started" in line for line in lines)
    assert [line for line in lines if len(line) > columns] == []
