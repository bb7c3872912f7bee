"""`ml-dash ship` as a person sees it; what it does is tested in `tests/remote/`."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.cli.commands import answer
from ml_dash.opening import left_to_ship

from .conftest import on_a_terminal

NOBODY = "http://127.0.0.1:1"


def test_a_narrow_terminal_shows_all_of_why_something_is_left_and_what_to_do(tmp_path: Path) -> None:
    with Experiment("alice/ml/left", dash_root=tmp_path, console=False).run:
        pass
    lines = on_a_terminal(["ship", "alice/ml/left", "--dash-url", NOBODY], tmp_path, 60, code=1)
    said = " ".join(" ".join(lines).split())
    assert "LEFT" in said
    assert f"{NOBODY} cannot be reached" in said
    assert f"--dash-url {NOBODY}" in said.partition("Again: ml-dash ship alice/ml/left")[2]


def test_a_mute_server_is_given_up_after_the_timeout_and_is_said_to_be_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(left_to_ship, "NOTICE_S", 0.2)
    with Experiment("alice/ml/left", dash_root=tmp_path, console=False).run:
        pass
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        where = ["--dash-root", str(tmp_path), "--dash-url", url]
        assert answer(["ship", "alice/ml/left", *where, "--timeout", "1s"]) == 1
    said = capsys.readouterr()
    assert f"waiting for {url}, which has not answered yet; it is given up after 1 s (--timeout)" in said.err
    assert "LEFT" in said.out
    assert "Again: ml-dash ship alice/ml/left" in said.out


@pytest.mark.parametrize("given", ["soon", "0s", "-3s", "2 hours ago", ""])
def test_a_timeout_that_is_none_is_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["ship", "--timeout", given]) == 2
    assert "is not how long" in capsys.readouterr().err
