"""What somebody else recorded is shown as text: none of it acts in the terminal of whoever looks at it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import ml_dash
from ml_dash.visible import visible

PREFIX = "mallory/evil/run"
# The title of the window, the screen cleared, a line written over, letters reversed; in seven bits and in eight.
EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[1;1H\rovr\x9b2J\x9d0;owned\x9c\u202eright\x7f\x08"
ACTS = ["\x1b]", "\x1b[2J", "\x1b[1;1H", "\rovr", "\x9b", "\x9d", "\u202e", "\x7f", "\x08", "\x07"]
COMMANDS = [
    ["list"],
    ["list", "--columns", "prefix,tags,description"],
    ["show", PREFIX],
    ["events", PREFIX],
    ["log", PREFIX, "--no-pager"],
    ["log", PREFIX, "--no-pager", "--oneline"],
    ["diff", f"{PREFIX}@1", PREFIX],
    ["tail", PREFIX, "--once"],
    ["verify", PREFIX],
    ["show", f"mallory/{EVIL}"],
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evil")
    experiment = ml_dash.Experiment(PREFIX, dash_root=root, tags=[EVIL, "plain"], readme=EVIL)
    with experiment.run:
        experiment.params.set(**{f"key {EVIL}": EVIL, "nested": {EVIL: [EVIL]}})
        experiment.metrics(f"metric {EVIL}").log(**{f"loss {EVIL}": 0.5, "step": 1})
        experiment.logs.error(f"line {EVIL}", **{EVIL: EVIL})
        experiment.files.save_text(EVIL, to="evil.txt", description=EVIL, tags=[EVIL])
    return root


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "ML_DASH_ROOT": str(root), "TERM": "xterm-256color", "COLUMNS": "200", "PAGER": "cat"}


JSON = [[*command, "--json"] for command in COMMANDS[2:4]]


@pytest.mark.parametrize("command", COMMANDS + JSON, ids=range(len(COMMANDS + JSON)))
def test_nothing_that_was_recorded_acts_in_a_terminal(root: Path, command: list[str]) -> None:
    shown = in_terminal(command, environment(root)).decode()
    for act in ACTS:
        # The terminal itself ends lines with a carriage return.
        assert act not in shown.replace("\r\n", "\n"), shown


@pytest.mark.parametrize("command", [COMMANDS[0], *COMMANDS[2:5], *COMMANDS[6:8]], ids=lambda command: command[0])
def test_in_a_pipe_a_line_is_a_line_and_a_cell_a_cell(root: Path, command: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "ml_dash", *command], capture_output=True, env=environment(root), check=True, timeout=60
    )
    text = ended.stdout.decode()
    assert text
    assert visible(text) == text
    counts = {line.count("\t") for line in text.splitlines()}
    assert len(counts) == 1 or command[0] == "show"


def test_json_says_exactly_what_was_recorded(root: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "ml_dash", "show", PREFIX, "--json"],
        capture_output=True,
        env=environment(root),
        check=True,
        timeout=60,
    )
    assert EVIL in json.loads(ended.stdout)["tags"]


def in_terminal(command: list[str], environment: dict[str, str]) -> bytes:
    """What a command writes where a terminal is, on stdout and stderr."""
    above, below = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "ml_dash", *command],
        stdin=subprocess.DEVNULL,
        stdout=below,
        stderr=below,
        env=environment,
    ) as process:
        os.close(below)
        shown = b"".join(_read(above))
        os.close(above)
        process.wait(60)
    return shown


def _read(descriptor: int) -> Iterator[bytes]:
    # Linux raises EIO where the other end is closed.
    with suppress(OSError):
        while data := os.read(descriptor, 65536):
            yield data
