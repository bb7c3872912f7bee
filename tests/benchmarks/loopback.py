"""Servers on loopback, each a process of its own: ours as it is served, ours with every answer late, and a bare sink.

`python -m tests.benchmarks.loopback KIND FOLDER` serves one of `KINDS` and prints its address.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LATE_S = 5.0
"""So late is every answer of the late server."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Served:
    """A server process that runs."""

    url: str
    pid: int

    def processor_s(self) -> float:
        """Seconds of processor time that it has used so far."""
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / TICKS_PER_S

    def resident_bytes(self) -> int:
        """Memory that is its own: resident pages less those that only show a file."""
        _, resident, shared, *_ = map(int, Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split())
        return (resident - shared) * os.sysconf("SC_PAGESIZE")

    def peak_bytes(self) -> int:
        """The most that has been resident at any time, files that are shown included."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@contextmanager
def serving(kind: str, folder: Path) -> Iterator[Served]:
    """One of `KINDS`, keeping what it keeps below `folder`; killed behind the block."""
    command = [sys.executable, "-m", "tests.benchmarks.loopback", kind, str(folder)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the {kind} server ended with {process.wait()}")
        yield Served(url, process.pid)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def nobody() -> str:
    """An address of this machine at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


# --- the processes ------------------------------------------------------------------------------------------


def ours(folder: Path) -> None:
    """As `ml-dash serve` does it."""
    from ml_dash.server.running import open_store, serve

    serve(open_store(folder / "store"), port=0, said=lambda line: print(line.split()[-1], flush=True))


def late(folder: Path) -> None:
    """Our application, behind something that holds back every request for `LATE_S`."""
    from ml_dash.server.app import create_app
    from ml_dash.server.store import Store

    app = create_app(Store.open(folder / "store"))

    async def held_back(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(LATE_S)
        await app(scope, receive, send)

    _serve(held_back)


def sink(folder: Path) -> None:
    """The floor: takes a body, appends it to one file, syncs that, answers.  Nothing is looked at."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "sink", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def keep(pieces: list[bytes]) -> None:
        os.write(descriptor, b"".join(pieces))
        os.fdatasync(descriptor)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        pieces: list[bytes] = []
        while True:
            message = await receive()
            pieces.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        await asyncio.to_thread(keep, pieces)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    _serve(app)


def _serve(app: Application) -> None:
    import uvicorn

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, http="h11", ws="none", log_config=None, access_log=False, lifespan="auto")
    uvicorn.Server(config).run(sockets=[listening])


KINDS: dict[str, Callable[[Path], None]] = {"ours": ours, "late": late, "sink": sink}

if __name__ == "__main__":
    KINDS[sys.argv[1]](Path(sys.argv[2]))
