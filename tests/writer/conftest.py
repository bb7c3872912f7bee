"""What every test of the write path starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash.journal import spool_file, spool_files
from ml_dash.journal.folder import JournalFolder


@pytest.fixture
def folder(tmp_path: Path) -> JournalFolder:
    """An experiment without a journal yet, on the real disk."""
    return JournalFolder(tmp_path / "alice" / "test" / "run")


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spool files that are full after a few rows, so that going from one to the next is what mostly happens."""
    monkeypatch.setattr(spool_files, "FIRST_FILE_BYTES", 1024)
    monkeypatch.setattr(spool_files, "FILE_BYTES", 2048)
    monkeypatch.setattr(spool_file, "COUNT_BYTES", 100)
