"""The remote examples of the user's document run as they stand, but for the address, after a real `ml-dash login`.

What they claim is read back from the server.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ml_dash

from ..server.serving import Served, add_user, approve, serve
from ..test_documents import CLAIMS, EXAMPLES, IMPORT_LINE, ON_A_SERVER, SERVER_ARGUMENT, run_example

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that needs a login, and alice, who has an account there."""
    store = tmp_path_factory.mktemp("server") / "store"
    add_user(store, "alice")
    with serve(store) as served:
        yield served


@pytest.fixture(autouse=True)
def logged_in(accounts: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the device flow: the command shows a code, a person lets it in on a page."""
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "ML_DASH_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    command = [sys.executable, "-m", "ml_dash", "login", "--dash-url", accounts.url, "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = ""
        while not (page := re.search(r"https?://\S+user_code=\S+", said)):
            line = process.stdout.readline()
            assert line, said
            said += line
        approve(page[0], "alice").raise_for_status()
        said += process.stdout.read()
        assert process.wait(DEADLINE_S) == 0, said


@pytest.mark.parametrize("heading", sorted(ON_A_SERVER))
def test_a_remote_example_does_what_it_claims(heading: str, accounts: Served, tmp_path: Path) -> None:
    claim, code = CLAIMS[heading], EXAMPLES[heading].replace(SERVER_ARGUMENT, f'dash_url="{accounts.url}"')
    before = _sessions(claim.prefix, accounts.url)
    ended = run_example(code if "import" in code else IMPORT_LINE + code, tmp_path)
    if claim.last_line_on_stderr is None:
        assert (ended.returncode, ended.stderr) == (0, "")
    else:
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1] == claim.last_line_on_stderr
        assert "WARNING" not in ended.stderr
    run = ml_dash.load(claim.prefix, dash_url=accounts.url)
    here = ml_dash.load(claim.prefix, dash_root=tmp_path / ".dash")
    assert here.status == claim.status
    assert len(run.sessions) == before + claim.sessions
    assert {entry.message for entry in run.logs} >= set(claim.messages)
    assert ml_dash.verify(claim.prefix, dash_url=accounts.url).ok


def _sessions(prefix: str, url: str) -> int:
    try:
        return len(ml_dash.load(prefix, dash_url=url).sessions)
    except ml_dash.NotFoundError:
        return 0
