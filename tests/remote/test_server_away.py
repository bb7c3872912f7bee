"""A server that is away for all of a run: `ml-dash ship` brings everything there afterwards, once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.journal.folder import JournalFolder
from ml_dash.remote.state_folder import waiting

from ..server.conftest import ServerProcess
from .hostile import valid_bytes
from .rounds import stored

DEADLINE_S = 60.0
PREFIXES = [f"alice/away/{name}" for name in ("a", "b", "c/d")]
POINTS = 200


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ml_dash", *arguments], capture_output=True, text=True, timeout=DEADLINE_S
    )


def record(prefix: str, url: str, root: Path | None) -> None:
    """Two sessions, one of which a forked child records in; each saves files."""
    for session in range(2):
        with Experiment(prefix, dash_url=url, dash_root=root, ship_timeout_s=0, console=False).run as experiment:
            experiment.params.set(**{f"lr{session}": 0.1})
            if (child := os.fork()) == 0:
                experiment.metrics("child").log(session=session)
                os._exit(0)
            for step in range(POINTS):
                experiment.metrics("train").log(number=session * POINTS + step)
            experiment.files.save_blob(bytes([session]) * 100_000, to=f"{session}.bin")
            experiment.files.save_text(prefix, to="name.txt")
            os.waitpid(child, 0)


@pytest.mark.parametrize("has_root", [True, False])
def test_everything_arrives_once_when_the_server_is_there(
    server: ServerProcess, tmp_path: Path, *, has_root: bool
) -> None:
    server.kill()
    root = tmp_path / "dash" if has_root else None
    for prefix in PREFIXES:
        record(prefix, server.url, root)
    where = root or next(iter((tmp_path / "state/ml_dash/journals").iterdir()))
    assert [folder.prefix for folder in waiting(where)] == PREFIXES
    local = {prefix: valid_bytes(JournalFolder(where / prefix, prefix=prefix)) for prefix in PREFIXES}
    arguments = ["ship", *(["--dash-root", str(root)] if root is not None else [])]
    failed = command(*arguments)
    assert (failed.returncode, failed.stdout.count("LEFT")) == (1, 3), failed.stderr

    server.start()
    shipped = command(*arguments)
    assert (shipped.returncode, shipped.stdout.count("\tshipped")) == (0, 3), shipped.stderr
    objects = server.objects()
    for prefix in PREFIXES:
        below = {path: data for path, data in objects.items() if path.startswith(f"journals/{prefix}/_journal/")}
        assert list(stored(below).values()) == [local[prefix]], "byte for byte, one journal"
        run = ml_dash.load(prefix, dash_url=server.url)
        assert run.metrics["train"].columns(attempts="all")["number"] == list(range(2 * POINTS))
        assert run.metrics["child"].columns(attempts="all")["session"] == [0, 1]
        for file in run.files:
            assert file.checksum is not None
            assert len(objects[f"blobs/alice/{file.checksum[:2]}/{file.checksum}"]) == file.size_bytes
    assert len([path for path in objects if path.startswith("blobs/")]) == 2 + len(PREFIXES), "shared content once"
    assert command(*arguments).stdout == "", "nothing is left"
    if root is None:
        assert not list(where.glob("*/**/*")), "it only waited there"
    else:
        assert [folder.prefix for folder in waiting(where)] == PREFIXES
