"""What Tab offers, asked as the shells ask it; in a real bash too."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from ml_dash.cli.commands import COMPLETE_VARIABLE, PROGRAM, group

from .conftest import Piped

SLOW, FAST, RESUMED = "alice/mnist/slow", "alice/mnist/fast", "alice/nlp/resumed"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sho", ["show"]),
        ("l", ["list", "log", "login", "logout"]),
        ("show alice/m", [FAST, SLOW]),
        ("show alice/nlp/", [RESUMED]),
        ("show bob", []),
        ("diff alice/nlp/resumed alice/mnist/s", [SLOW]),
        ("verify alice/mnist/fast alice/mnist/s", [SLOW]),
        ("list -p alice/n", [RESUMED]),
        ("list --status f", ["failed"]),
        ("list --sort train.l", ["train.loss"]),
        ("list --columns prefix,params.o", ["prefix,params.optimizer.name"]),
        ("events alice/nlp/resumed --type run.f", ["run.failed"]),
        ("log alice/mnist/slow --param m", ["model.depth"]),
        ("completion f", ["fish"]),
        ("show alice/mnist/slow --dash-u", ["--dash-url"]),
        ("show --dash-url http://127.0.0.1:9 alice/", []),
        ("show --dash-root /nowhere alice/", []),
    ],
)
def test_it_offers_what_there_is(
    trained: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: list[str]
) -> None:
    monkeypatch.setenv("ML_DASH_ROOT", str(trained))
    *words, incomplete = line.split(" ")
    shell = ShellComplete(group, {}, PROGRAM, COMPLETE_VARIABLE)
    offered = [item.value for item in shell.get_completions(words, incomplete)]
    assert [value.lower() for value in offered] == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_for_that_shell(piped: Piped, shell: str) -> None:
    script = piped("completion", shell).stdout.removesuffix("\n")
    assert f"{shell}_complete" in script
    assert json.loads(piped("completion", shell, "--json").stdout) == {"shell": shell, "script": script}


def test_another_shell_is_refused(piped: Piped) -> None:
    assert "tcsh" in piped("completion", "tcsh", code=2).stderr


def test_a_real_bash_completes_a_prefix(trained: Path, tmp_path: Path) -> None:
    program = tmp_path / "ml-dash"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ml_dash "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(ml-dash completion bash)"
        COMP_WORDS=(ml-dash show alice/mnist/s)
        COMP_CWORD=2
        $(complete -p ml-dash | sed 's/.*-F \\([^ ]*\\).*/\\1/') ml-dash
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ML_DASH_ROOT": str(trained)}
    ended = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines() == [SLOW], ended.stderr
