"""`ml-dash export` and `ml-dash import` as people, pipes and programs call them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ml_dash

from ..cli.conftest import on_a_terminal
from .support import PREFIX, lines
from .test_from_upstream import SAMPLES, THERE

COMMAND = [sys.executable, "-m", "ml_dash"]


def run(root: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"ML_DASH_ROOT": str(root)}
    ended = subprocess.run([*COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended


def test_lines_go_through_a_pipe_into_an_equal_experiment(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text(run(recorded, "export", PREFIX).stdout)
    said = run(tmp_path / "root", "import", str(tmp_path / "out.jsonl")).stdout
    assert said.split("\t")[:3] == [PREFIX, "imported", "jsonl"]
    assert lines(tmp_path / "root") == lines(recorded)


def test_a_metric_goes_to_a_pipe_as_csv(recorded: Path) -> None:
    out = run(recorded, "export", PREFIX, "--format", "csv", "--metric", "train").stdout
    assert out.splitlines()[0] == "seq,time,step,loss,note"
    assert len(out.splitlines()) == 26
    unnamed = run(recorded, "export", PREFIX, "--format", "csv", "--metric", "").stdout
    assert unnamed.splitlines()[0] == "seq,time,z,big"


def test_prefixes_may_be_given_as_options_and_one_is_needed(recorded: Path, tmp_path: Path) -> None:
    run(recorded, "export", "-p", PREFIX, "--format", "csv", "--to", str(tmp_path / "one"))
    assert (tmp_path / "one/params.json").exists()
    run(recorded, "export", "--project", "alice/**", "--format", "csv", "--to", str(tmp_path / "all"))
    assert (tmp_path / "all" / PREFIX / "params.json").exists()
    assert "give a prefix" in run(recorded, "export", "--to", str(tmp_path / "none"), code=2).stderr


def test_json_reports_say_what_was_written_and_what_was_not(recorded: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "out")
    (exported,) = json.loads(
        run(recorded, "export", PREFIX, "--format", "tensorboard", "--to", target, "--json").stdout
    )
    assert exported["counts"]["points"] == 25 + 3 + 1
    assert exported["left_out"]["track entry"] == 2
    (imported,) = json.loads(run(tmp_path / "root", "import", target, "--prefix", PREFIX, "--json").stdout)
    assert imported["outcome"] == "imported"
    assert imported["values_read"] == imported["values_written"] > 0
    assert imported["metrics"]["train"]["loss"] == {"read": 25, "written": 25}
    (again,) = json.loads(run(tmp_path / "root", "import", target, "--prefix", PREFIX, "--json").stdout)
    assert again["outcome"] == "already imported"


def test_a_dry_run_says_where_it_would_go_and_writes_nothing(tmp_path: Path) -> None:
    said = run(tmp_path / "root", "import", str(SAMPLES / "0.6.27"), "--dry-run").stdout
    assert said.split("\t")[:2] == [THERE, "ml-dash"]
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["export", "alice/ml/nobody"], 1, "nearest names"),
        (["export", PREFIX, "--format", "csv"], 2, "--to FOLDER"),
        (["export", PREFIX, "--at", "99999", "--to", "x"], 2, "events 1 to"),
        (["export", PREFIX, "--format", "xlsx"], 2, "xlsx"),
        (["import", "nowhere"], 2, "does not exist"),
        (["import", str(SAMPLES), "--from", "wandb"], 2, "nothing to import"),
        (["import", str(SAMPLES / "0.6.2"), "--prefix", "alone"], 2, "one part only"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(
    recorded: Path, tmp_path: Path, arguments: list[str], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run(recorded, *arguments, code=code)
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("columns", [80, 200])
def test_people_see_what_was_carried_over_and_what_was_not(recorded: Path, tmp_path: Path, columns: int) -> None:
    target = str(tmp_path / "out")
    seen = "\n".join(on_a_terminal(["export", PREFIX, "--format", "csv", "--to", target], recorded, columns))
    assert f"{PREFIX} → " in seen
    assert "  exported " in seen
    assert "  not exported " in seen
    seen = "\n".join(on_a_terminal(["import", str(SAMPLES / "0.6.27"), "--prefix", PREFIX], tmp_path, columns))
    assert f"{PREFIX}: imported from ml-dash" in seen
    assert ml_dash.load(PREFIX, dash_root=tmp_path).status == "COMPLETED"


def test_every_command_has_help_with_an_example(tmp_path: Path) -> None:
    for command in ("export", "import"):
        assert f"Example: ml-dash {command} " in run(tmp_path, command, "--help").stdout
