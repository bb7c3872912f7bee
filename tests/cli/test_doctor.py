"""`ml-dash doctor` finds what is wrong, says what to do about it, and shows no token."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.cli import doctor_file_system
from ml_dash.cli.doctor_file_system import examine
from ml_dash.cli.doctor_surroundings import VARIABLES
from ml_dash.cli.finding import Finding, Verdict
from ml_dash.opening import environment_variables

from .conftest import COMMAND, on_a_terminal

SECRET = "a-very-secret-token"
DYING = """
import os, sys
from ml_dash import Experiment
experiment = Experiment("a/b/died", dash_root=sys.argv[1], console=False)
experiment.run.start()
experiment.log("before it died")
os.kill(os.getpid(), 9)
"""


def examined(root: Path, code: int = 0, **variables: str) -> dict[tuple[str, str], dict[str, str]]:
    """The findings of a doctor with nothing of this user's, by section and name."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ML_DASH_")}
    environment = {**kept, "ML_DASH_CONFIG_DIR": str(root / "config"), **variables}
    # No keychain of this machine is asked.
    environment["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    command = [*COMMAND, "doctor", "--json", "--dash-root", str(root)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert SECRET not in ended.stdout + ended.stderr
    found = json.loads(ended.stdout)
    assert found["ok"] == (code == 0)
    return {(each["section"], each["name"]): each for each in found["findings"]}


def test_a_healthy_root_is_well_and_left_as_it_was(tmp_path: Path) -> None:
    with Experiment("a/b/c", dash_root=tmp_path, console=False).run:
        pass
    before = sorted(path for path in tmp_path.rglob("*"))
    found = examined(tmp_path)
    for name in ("free space", "locks", "syncing"):
        assert found["file system", name]["verdict"] in ("ok", "note")
    assert "refused to another" in found["file system", "locks"]["text"]
    assert found["experiments", "experiments"]["text"] == "1, with nothing left behind"
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_variables_are_shown_checked_and_no_token_is(tmp_path: Path) -> None:
    found = examined(
        tmp_path,
        1,
        ML_DASH_TOKEN=SECRET,
        ML_DASH_ROT="x",
        ML_DASH_BUFFER_ENABLED="false",
        ML_DASH_DURABILITY="perhaps",
        ML_DASH_USER="alice",
    )
    assert found["environment", "ML_DASH_TOKEN"]["text"] == "is set; not shown"
    assert found["environment", "ML_DASH_USER"]["text"] == "alice"
    assert "ML_DASH_ROOT" in found["environment", "ML_DASH_ROT"]["advice"]
    assert found["environment", "ML_DASH_BUFFER_ENABLED"]["verdict"] == "note"
    assert "ML_DASH_DURABILITY" in found["environment", "value"]["text"]


def test_every_variable_that_means_something_is_known() -> None:
    described = environment_variables.__doc__ or ""
    assert [name for name in VARIABLES if name not in described] == []


def test_what_crashes_and_damage_have_left_is_named_with_what_to_do(tmp_path: Path) -> None:
    with Experiment("a/b/damaged", dash_root=tmp_path, console=False).run as run:
        run.params.set(name="resnet")
    with Experiment("a/b/torn", dash_root=tmp_path, console=False).run:
        pass
    subprocess.run([sys.executable, "-c", DYING, str(tmp_path)], check=False)
    segment = tmp_path / "a/b/damaged/_journal/00000001.jsonl"
    data = bytearray(segment.read_bytes())
    data[data.index(b"resnet")] ^= 1
    segment.write_bytes(data)
    (tmp_path / "a/b/damaged/_journal/spool/w.jsonl.damaged").write_bytes(b"?")
    with (tmp_path / "a/b/torn/_journal/00000001.jsonl").open("ab") as torn:
        torn.write(b'{"first":')
    (tmp_path / "a/b/torn/_journal/00000001.unsynced").write_bytes(b"")
    lines = doctor_lines(tmp_path)
    assert ("wrong", "a/b/damaged", "damaged: ") in lines
    assert ("note", "a/b/damaged", f"{tmp_path}/a/b/damaged/_journal/spool/w.jsonl.damaged: ") in lines
    assert ("note", "a/b/torn", "a torn tail: ") in lines
    assert ("note", "a/b/torn", f"{tmp_path}/a/b/torn/_journal/00000001.unsynced: ") in lines
    assert ("note", "a/b/died", "a process died without closing, and what was accepted is in its spool") in lines


def doctor_lines(root: Path) -> set[tuple[str, str, str]]:
    """Verdict, name, and the text up to its colon, of what it finds below the root, in a pipe."""
    command = [*COMMAND, "doctor", "--dash-root", str(root)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "\x1b" not in ended.stdout
    rows = [line.split("\t") for line in ended.stdout.splitlines()]
    assert all(row[4] for row in rows if row[0] == "wrong")
    return {(row[0], row[2], re.sub("(: ).*", "\\1", row[3])) for row in rows if row[1] == "experiments"}


def test_what_has_not_arrived_at_its_server_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_SHIP_TIMEOUT", "0.1")
    # Nobody answers there.
    with Experiment("a/b/remote", dash_root=tmp_path, dash_url="http://127.0.0.1:9", console=False).run as run:
        run.params.set(lr=0.1)
    found = examined(tmp_path)["experiments", "a/b/remote"]
    assert (found["verdict"], found["text"].rpartition(": ")[0]) == (
        "note",
        "not all has arrived at http://127.0.0.1:9",
    )
    assert "ml-dash ship a/b/remote" in found["advice"]


def test_a_server_that_does_not_answer_is_wrong_and_its_password_is_not_shown(tmp_path: Path) -> None:
    found = examined(tmp_path, 1, ML_DASH_API_URL="http://127.0.0.1:9")
    assert found["server", "http://127.0.0.1:9"]["verdict"] == "wrong"


def test_on_a_terminal_it_fits(tmp_path: Path) -> None:
    lines = on_a_terminal(["doctor"], tmp_path, 80)
    assert any("nothing is wrong" in line for line in lines)
    assert [line for line in lines if len(line) > 80] == []


# -- file systems as they may be -------------------------------------------------------------------------------------


def of(found: list[Finding]) -> dict[str, Verdict]:
    return {finding.name: finding.verdict for finding in found}


def test_a_lock_that_two_processes_hold_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a file system without real locks does: whoever asks gets it.
    script = "import sys; print('held')"
    monkeypatch.setattr(doctor_file_system, "_TRY_LOCK", script)
    assert of(list(examine(tmp_path)))["locks"] is Verdict.WRONG


def test_a_root_that_cannot_be_written_to_is_wrong() -> None:
    # Where nobody may make a folder, not even who may write anywhere else.
    assert of(list(examine(Path("/proc"))))["writing"] is Verdict.WRONG


def test_no_room_is_wrong_and_little_room_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_file_system, "FREE_BYTES_WRONG", 2**60)
    assert of(list(examine(tmp_path)))["free space"] is Verdict.WRONG
    monkeypatch.setattr(doctor_file_system, "FREE_BYTES_WRONG", 0)
    monkeypatch.setattr(doctor_file_system, "FREE_BYTES_NOTE", 2**60)
    assert of(list(examine(tmp_path)))["free space"] is Verdict.NOTE


def test_a_root_that_is_not_there_yet_is_looked_at_where_it_would_be(tmp_path: Path) -> None:
    found = list(examine(tmp_path / "a" / "b"))
    assert found[0].verdict is Verdict.NOTE
    assert of(found)["locks"] is Verdict.WELL
    assert list(tmp_path.iterdir()) == []
