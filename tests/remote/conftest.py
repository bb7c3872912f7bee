"""A real server process on loopback for the tests of the client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..server.conftest import ServerProcess


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One for all tests of a file, which use prefixes of their own."""
    folder = tmp_path_factory.mktemp("server")
    made = ServerProcess(folder / "store", folder / "cache").start()
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """One for a single test, to be killed and started again."""
    made = ServerProcess(tmp_path / "store", tmp_path / "cache").start()
    yield made
    made.close()
