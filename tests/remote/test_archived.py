"""Archived segments in remote mode: shipped, served from a store and from the folder itself, and pulled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ml_dash
from ml_dash.journal.folder import JournalFolder

from ..server.conftest import ServerProcess
from .hostile import valid_bytes
from .test_local_bytes import PREFIX, record

DEADLINE_S = 60.0


def command(*arguments: str) -> str:
    command = [sys.executable, "-m", "ml_dash", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_what_is_archived_is_shipped_served_and_pulled_as_it_was_written(server: ServerProcess, tmp_path: Path) -> None:
    root = tmp_path / "dash"
    folder = record(root / PREFIX, 12, segment_bytes_max=1500)
    whole = valid_bytes(folder)
    assert len(whole) > 2
    events = list(ml_dash.events(PREFIX, dash_root=root))
    ml_dash.archive(PREFIX, dash_root=root)
    assert not Path(folder.segment_path(1)).exists()

    command("ship", PREFIX, "--dash-root", str(root), "--dash-url", server.url)
    shows = ServerProcess(root, tmp_path / "shown").start()
    try:
        for number, url in enumerate([server.url, shows.url]):
            assert list(ml_dash.events(PREFIX, dash_url=url)) == events
            assert ml_dash.verify(PREFIX, dash_url=url).ok
            pulled = tmp_path / f"pulled-{number}"
            command("pull", PREFIX, "--dash-url", url, "--dash-root", str(pulled))
            assert valid_bytes(JournalFolder(pulled / PREFIX, prefix=PREFIX)) == whole
            assert list(ml_dash.events(PREFIX, dash_root=pulled)) == events
    finally:
        shows.close()
