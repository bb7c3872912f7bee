"""What fails around the writers: the server, killed, stopped and away; a disk that is full for a while."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx

from .. import loopback
from .ledger import ledgers
from .reader import journal_of
from .world import World, die_with_parent

WAIT_S_MAX = 60.0
SMALL_BYTES = 24 * 1024 * 1024


class Server:
    """`ml-dash serve` on one port, whatever becomes of its process."""

    def __init__(self, home: Path) -> None:
        self._home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self.process is not None and self.process.poll() is None:
            return
        command = [sys.executable, "-m", "ml_dash", "serve", "--store", str(self._home / "store")]
        with open(self._home / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self._port)],
                stdout=log,
                stderr=log,
                env=os.environ | {"XDG_CACHE_HOME": str(self._home / "server-cache")},
                preexec_fn=die_with_parent,
            )

    def wait(self) -> None:
        deadline = time.monotonic() + WAIT_S_MAX
        while True:
            with suppress(httpx.HTTPError):
                loopback.get(f"{self.url}/v1/health", timeout=5).raise_for_status()
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.url} does not answer: {(self._home / 'server.log').read_text()[-2000:]}")
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop_answering(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(WAIT_S_MAX)


class SmallDisk:
    """A file system of its own where that is allowed; it grows before it fills by itself, and is filled on purpose."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._path = world.root("small")
        self._path.mkdir(parents=True, exist_ok=True)
        self._bytes = SMALL_BYTES
        self.is_mounted = os.geteuid() == 0 and self._mount(f"size={SMALL_BYTES}")

    def _mount(self, options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self._path)]
        return shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0

    def grow(self) -> None:
        """So that it is full only when it is meant to be."""
        if self.is_mounted and not self._world.is_full and shutil.disk_usage(self._path).free < self._bytes // 2:
            self._bytes *= 2
            self._mount(f"remount,size={self._bytes}")

    def fill(self) -> None:
        """Says so first: whoever is born from here on knows, and whoever lives is marked."""
        if not self.is_mounted:
            return
        (self._world.home / "full").touch()
        for ledger in ledgers(self._world.ledgers).values():
            if not ledger.is_over and journal_of(self._world, ledger.life).machine == "small":
                is_settled = ledger.weak_from and ledger.flushed >= ledger.weak_from
                ledger.weak_from = ledger.returned + 1 if is_settled or not ledger.weak_from else ledger.weak_from
            ledger.close()
        with suppress(OSError), open(self._path / "ballast", "wb") as ballast:
            while True:
                ballast.write(bytes(4096))
                ballast.flush()

    def free(self) -> None:
        (self._path / "ballast").unlink(missing_ok=True)
        (self._world.home / "full").unlink(missing_ok=True)

    def unmount(self) -> None:
        """Keeps what is on it."""
        if self.is_mounted:
            kept = self._path.with_name("small-kept")
            shutil.copytree(self._path, kept, symlinks=True)
            subprocess.run(["umount", str(self._path)], check=True)
            self._path.rmdir()
            kept.rename(self._path)
            self.is_mounted = False
