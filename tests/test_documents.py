"""Every Python example of README.md and of the user's own document runs as it stands and does what it claims.

Each example is a fresh process in an empty folder; what it left is judged by reading it back afterwards.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import ml_dash

from .server.serving import serve

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
USER_DOCUMENT = ROOT / "tests/documents/experiment-configuration.md"


def blocks(document: Path, language: str) -> list[tuple[str, str]]:
    """(heading above it, text) of every fenced block in that language, in order."""
    found, heading, fence, lines = [], "", None, []
    for line in document.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            if fence == language:
                found.append((heading, "\n".join(lines) + "\n"))
            fence, lines = (line[3:], []) if fence is None else (None, [])
        elif fence is None and line.startswith("#"):
            heading = line.lstrip("# ")
        else:
            lines.append(line)
    return found


def run_example(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "example.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "example.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


# --- the user's document ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """What the document says of one example: how the process ends, and what stands under the prefix then."""

    prefix: str
    status: str = "COMPLETED"
    last_line_on_stderr: str | None = None
    sessions: int = 1
    params: Mapping[str, object] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, list[object]]] = field(default_factory=dict)
    messages: tuple[str, ...] = ()
    description: str | None = None
    tags: tuple[str, ...] = ()
    bindrs: tuple[str, ...] = ()


MY_EXPERIMENT = "alice/my-project/my-experiment"
CLAIMS = {
    "Context Manager (Recommended)": Claim(
        MY_EXPERIMENT, params={"learning_rate": 0.001}, messages=("Training started",)
    ),
    "Decorator Style": Claim(
        MY_EXPERIMENT,
        params={"learning_rate": 0.001},
        columns={"train": {"loss": [0.5] * 10, "epoch": list(range(10))}},
    ),
    "Direct (Manual Control)": Claim(MY_EXPERIMENT, params={"learning_rate": 0.001}),
    "Local Mode (Filesystem)": Claim(MY_EXPERIMENT, messages=("Using local storage",)),
    "Remote Mode (Server)": Claim(MY_EXPERIMENT, messages=("Using remote server",)),
    "Experiment Metadata": Claim(
        "alice/computer-vision/resnet50-imagenet",
        description="ResNet-50 training with new augmentation",
        tags=("resnet", "imagenet", "baseline"),
        bindrs=("gpu-cluster", "team-a"),
    ),
    "Automatic Status Management": Claim(
        "alice/ml/training",
        status="FAILED",
        last_line_on_stderr="ValueError: Training failed!",
        sessions=2,
        messages=("Training...",),
    ),
    "Manual Status Control": Claim("alice/ml/training"),
    "Resuming Experiments": Claim(
        "alice/ml/long-training",
        sessions=2,
        columns={"train": {"loss": [0.5, 0.3], "epoch": [1, 2]}},
    ),
}

# These name a public server, which no test may reach: they run here on a local root, with this one change.
# Against our own server they run where remote mode is tested.
ON_A_SERVER = {"Remote Mode (Server)", "Automatic Status Management", "Manual Status Control"}
SERVER_ARGUMENT, LOCAL_ARGUMENT = 'dash_url="https://api.dash.ml"', 'dash_root=".dash"'

EXAMPLES = dict(blocks(USER_DOCUMENT, "python"))
# The document imports Experiment in its first example; those that import nothing go on from there.
IMPORT_LINE = "from ml_dash import Experiment\n"


def test_every_example_of_the_users_document_has_a_claim() -> None:
    assert len(EXAMPLES) == len(blocks(USER_DOCUMENT, "python")), "two examples stand under one heading"
    assert EXAMPLES.keys() == CLAIMS.keys()


def test_only_the_examples_that_name_a_server_are_changed_before_they_run() -> None:
    assert {heading for heading, code in EXAMPLES.items() if "dash_url=" in code} == ON_A_SERVER


def test_the_documents_first_example_has_the_import_that_others_rely_on() -> None:
    assert next(iter(EXAMPLES.values())).startswith(IMPORT_LINE)


@pytest.mark.parametrize("heading", CLAIMS)
def test_an_example_of_the_users_document_does_what_it_claims(heading: str, tmp_path: Path) -> None:
    claim, code = CLAIMS[heading], EXAMPLES[heading]
    if heading in ON_A_SERVER:
        code = code.replace(SERVER_ARGUMENT, LOCAL_ARGUMENT)
    if "import" not in code:
        code = IMPORT_LINE + code
    ended = run_example(code, tmp_path)

    if claim.last_line_on_stderr is None:
        assert ended.returncode == 0, ended.stderr
    else:
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1] == claim.last_line_on_stderr
    assert_holds(claim, tmp_path / ".dash")


def assert_holds(claim: Claim, dash_root: Path) -> None:
    run = ml_dash.load(claim.prefix, dash_root=dash_root)
    assert run.status == claim.status
    assert len(run.sessions) == claim.sessions
    assert dict(run.params) == claim.params
    assert run.description == claim.description
    assert tuple(run.tags) == claim.tags
    assert tuple(run.bindrs) == claim.bindrs
    assert set(run.metrics) == set(claim.columns)
    for name, expected in claim.columns.items():
        columns = run.metrics[name].columns()
        assert {key: list(columns[key]) for key in expected} == expected

    history = list(ml_dash.events(claim.prefix, dash_root=dash_root))
    assert tuple(event.data["message"] for event in history if event.type == "log.written") == claim.messages
    assert ml_dash.verify(claim.prefix, dash_root=dash_root).ok


# --- README.md ----------------------------------------------------------------------------------------------


def what_it_prints(code: str) -> list[str]:
    """In README.md the comment behind a `print` is what it prints."""
    return re.findall(r"^ *print\(.*\)  # (.+)$", code, re.MULTILINE)


@pytest.fixture(scope="module")
def readme_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where README.md's examples have run one after the other, as its reader would run them."""
    folder = tmp_path_factory.mktemp("readme")
    with serve(folder / "store") as server:
        for heading, code in blocks(README, "python"):
            run_readme_example(heading, code.replace("https://dash.example.org", server.url), folder)
        shipped = ml_dash.load("alice/mnist/shipped", dash_url=server.url)
        assert [entry.message for entry in shipped.logs] == ["shipped while it is recorded"]
    return folder


def run_readme_example(heading: str, code: str, folder: Path) -> None:
    ended = run_example(code, folder)
    assert ended.returncode == 0, f"the example below '{heading}' fails:\n{code}\n{ended.stderr}"
    assert code.count("print(") == len(what_it_prints(code)), f"no comment says what is printed:\n{code}"
    if what_it_prints(code):
        assert ended.stdout.splitlines() == what_it_prints(code)


def test_readme_examples_run_in_order_and_print_what_their_comments_say(readme_folder: Path) -> None:
    assert ml_dash.load("alice/mnist/baseline", dash_root=readme_folder / ".dash").status == "COMPLETED"


def test_readme_command_lines_succeed_on_what_its_examples_left(readme_folder: Path) -> None:
    ((_, lines),) = blocks(README, "shell")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for line in lines.splitlines():
        ended = subprocess.run(
            ["bash", "-c", line],
            cwd=readme_folder,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
        assert ended.stdout.strip(), f"{line} says nothing"


def test_every_link_of_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


# --- README.md and .ci/run ----------------------------------------------------------------------------------

COMMANDS = ["pip install . && ml-dash demo", "pip install -e '.[dev]' && pytest"]


def commands_that_ci_runs(root: Path) -> list[str]:
    listed = subprocess.run([root / ".ci/run", "--list"], check=True, capture_output=True, text=True, timeout=60)
    return listed.stdout.splitlines()


def test_ci_runs_the_two_commands_that_readme_opens_with() -> None:
    assert blocks(README, "bash")[0][1].splitlines() == COMMANDS
    assert commands_that_ci_runs(ROOT) == COMMANDS


def test_ci_follows_readme_when_its_commands_change(tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    text = README.read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(text.replace(COMMANDS[0], "echo changed"), encoding="utf-8")
    assert commands_that_ci_runs(tmp_path) == ["echo changed", COMMANDS[1]]


def test_ci_refuses_a_readme_without_its_two_commands(tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    text = README.read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(text.replace(COMMANDS[1] + "\n", ""), encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        commands_that_ci_runs(tmp_path)
    assert "expected 2" in refused.value.stderr
