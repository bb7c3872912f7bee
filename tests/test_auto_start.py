"""dxp and rdxp: ready-made experiments that nothing has touched before they start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ml_dash.journal.folder import JournalFolder
from ml_dash.reading.replay import Replay
from ml_dash.state import State


def run(code: str, folder: Path) -> str:
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def stored(root: Path, prefix: str) -> State:
    return Replay(JournalFolder(root / prefix)).refresh()


def test_importing_touches_neither_disk_nor_network(tmp_path: Path) -> None:
    code = """
import sys
def watch(event, arguments):
    name = str(arguments[0]) if arguments else ""
    written = event == "open" and isinstance(arguments[2], int) and arguments[2] & 0o3103
    written = written or event.startswith(("socket.", "os.mkdir", "os.rename", "os.remove", "subprocess."))
    if written and "__pycache__" not in name:
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(watch)
from ml_dash.auto_start import dxp
from ml_dash.remote_auto_start import rdxp
print(dxp.mode, rdxp.mode, dxp.status, rdxp.status)
"""
    assert run(code, tmp_path) == "local hybrid None None\n"
    assert list(tmp_path.iterdir()) == []


def test_it_is_one_object_however_it_is_imported(tmp_path: Path) -> None:
    run(
        "import ml_dash; from ml_dash.auto_start import dxp; from ml_dash import dxp as again; assert dxp is again",
        tmp_path,
    )


def test_it_records_when_started_and_refuses_before(tmp_path: Path) -> None:
    code = """
from ml_dash import RUN
from ml_dash.auto_start import dxp
try:
    dxp.params.set(lr=1)
except RuntimeError as error:
    assert "not started" in str(error)
else:
    raise SystemExit("recorded without being open")
RUN.prefix = "{user}/ml/late"
RUN.user = "alice"
for step in range(2):
    with dxp.run:
        dxp.metrics("train").log(step=step)
"""
    run(code, tmp_path)
    state = stored(tmp_path / ".dash", "alice/ml/late")
    assert len(state.sessions) == 2
    assert state.metrics["train"].count == 2


def test_its_prefix_comes_from_its_own_run_else_run_else_the_environment(tmp_path: Path) -> None:
    code = """
import os
from ml_dash import RUN
from ml_dash.auto_start import dxp
os.environ["ML_DASH_PREFIX"] = "from/environment"
assert dxp.prefix == "from/environment"
RUN.prefix = "from/RUN"
assert dxp.prefix == "from/RUN"
dxp.run.prefix = "from/its/own"
assert dxp.prefix == "from/its/own" and (dxp.owner, dxp.name) == ("from", "own")
"""
    run(code, tmp_path)


def test_a_session_that_nobody_ended_is_ended_with_the_program(tmp_path: Path) -> None:
    run("from ml_dash.auto_start import dxp\ndxp.run.prefix = 'a/b/c'\ndxp.run.start().params.set(lr=1)\n", tmp_path)
    state = stored(tmp_path / ".dash", "a/b/c")
    assert (state.status, dict(state.params)) == ("COMPLETED", {"lr": 1})


def test_the_server_of_rdxp_is_the_one_that_run_names_at_the_start(tmp_path: Path) -> None:
    code = """
from ml_dash import RUN
from ml_dash.remote_auto_start import rdxp
RUN.prefix, RUN.api_url = "a/b/c", "http://late:1"
with rdxp.run:
    rdxp.params.set(lr=1)
"""
    assert "http://late:1" in run(code, tmp_path)
    assert stored(tmp_path / ".dash", "a/b/c").status == "COMPLETED"
