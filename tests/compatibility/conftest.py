"""An experiment that is open, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_dash import Experiment


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    monkeypatch.chdir(tmp_path)
    with Experiment("alice/ml/run", dash_root=str(tmp_path / "root")).run as opened:
        yield opened
