"""What every test of the journal starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash.journal.folder import JournalFolder

from .damage import in_memory


@pytest.fixture
def journal(tmp_path: Path) -> JournalFolder:
    """An empty journal on a disk in memory."""
    return in_memory(tmp_path / "alice" / "test" / "run")
