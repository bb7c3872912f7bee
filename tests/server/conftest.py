"""Real server processes on loopback, to be killed and started again, and clients that speak to them as they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import httpx
import pytest

from .. import loopback
from .object_stores import ObjectStore, objects_of, start_azure, start_s3

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
_SERVE = """
{before}
from pathlib import Path
from ml_dash.server.running import open_store, serve
from ml_dash.server.settings import Settings
serve(open_store({target!r}), {host!r}, {port}, Settings(cache=Path({cache!r}), **{settings!r}))
# As the command line does: threads of the library that speaks to stores may abort a Python that ends.
import os
os._exit(0)
"""


class ServerProcess:
    """A server in front of `target`: a directory, or the address of an object store.

    It listens on the same port whenever it is started; `url` is where.  `before` is run before anything else.
    """

    def __init__(
        self,
        target: str | Path,
        cache: Path,
        host: str = "127.0.0.1",
        settings: dict[str, object] | None = None,
        environment: dict[str, str] | None = None,
        before: str = "",
    ) -> None:
        self.target = str(target)
        self._cache = str(cache)
        self._host = host
        self._settings = settings or {}
        self._environment = environment or {}
        self._before = before
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._said: Queue[str] = Queue()
        self.url = ""
        self.lines: list[str] = []

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def objects(self) -> dict[str, bytes]:
        """All that is stored, by path."""
        return objects_of(self.target, self._environment)

    def start(self) -> ServerProcess:
        source = _SERVE.format(
            target=self.target,
            host=self._host,
            port=self._port,
            cache=self._cache,
            settings=self._settings,
            before=self._before,
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", source],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self._environment},
        )
        Thread(target=self._listen, args=(self._process,), daemon=True).start()
        try:
            line = self._said.get(timeout=START_TIMEOUT_S)
        except Empty:
            raise AssertionError("the server says nothing") from None
        found = re.search(r" at (http://\S+:(\d+))$", line)
        assert found is not None, "\n".join(self.lines)
        self.url, self._port = found[1], int(found[2])
        return self

    def kill(self) -> None:
        """As a crash does: no handler runs."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_TIMEOUT_S)

    def stop(self) -> int:
        """As an operator does; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(STOP_TIMEOUT_S)

    def restart(self) -> None:
        self.kill()
        self.start()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        if self.is_running():
            self.kill()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        is_first = True
        with process.stderr:
            for line in process.stderr:
                self.lines.append(line.rstrip("\n"))
                if is_first:
                    self._said.put(line.rstrip("\n"))
                    is_first = False
        if is_first:
            self._said.put("")


NewServer = Callable[..., ServerProcess]
BUCKETS = ("s3", "azure")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module that says `IN_EVERY_STORE = True` is run in front of a directory, and by a campaign in front of object
    stores: `pytest -m campaign tests/server -k "s3 or azure"`."""
    if getattr(metafunc.module, "IN_EVERY_STORE", False) and "place" in metafunc.fixturenames:
        buckets = [pytest.param(kind, marks=pytest.mark.campaign) for kind in BUCKETS]
        metafunc.parametrize("place", ["directory", *buckets], indirect=True)


@dataclass
class Place:
    """Where a server keeps everything, and what it needs to get there."""

    target: str
    environment: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="session")
def object_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ObjectStore]]:
    """Object stores that are started when the first test asks for them."""
    running: dict[str, ObjectStore] = {}

    def get(kind: str) -> ObjectStore:
        if kind not in running:
            running[kind] = start_s3() if kind == "s3" else start_azure(tmp_path_factory.mktemp("azure"))
        return running[kind]

    yield get
    for each in running.values():
        each.stop()


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, object_stores: Callable[[str], ObjectStore]) -> Place:
    kind = getattr(request, "param", "directory")
    if kind == "directory":
        return Place(str(tmp_path / "store"))
    return Place(object_stores(kind).bucket(), object_stores(kind).environment)


@pytest.fixture
def new_server(tmp_path: Path, place: Place) -> Iterator[NewServer]:
    """Starts a server process; all are ended with the test.  Without a target: in front of `place`."""
    running: list[ServerProcess] = []

    def start(target: str | Path | None = None, **options: object) -> ServerProcess:
        cache = tmp_path / f"cache-{len(running)}"
        if target is None:
            options = {"environment": place.environment, **options}
        made = ServerProcess(target or place.target, cache, **options)  # type: ignore[arg-type]
        running.append(made)
        return made.start()

    yield start
    for each in running:
        each.close()


@pytest.fixture
def server(new_server: NewServer) -> ServerProcess:
    """One server process in front of a directory of this test, open to everybody on this machine."""
    return new_server()


@pytest.fixture(scope="module")
def shared_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """For tests that leave nothing in the store: one server process for all of a module."""
    folder = tmp_path_factory.mktemp("shared")
    server = ServerProcess(folder / "store", folder / "cache").start()
    with loopback.Client(base_url=server.url, timeout=30.0) as made:
        yield made
    server.close()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with loopback.Client(base_url=server.url, timeout=30.0) as made:
        yield made
