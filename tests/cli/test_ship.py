"""`ml-dash ship` as a person sees it; what it does is tested in `tests/remote/`."""

from __future__ import annotations

from pathlib import Path

from ml_dash import Experiment

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
