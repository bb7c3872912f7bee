"""The real server application over a real store, reached through a network that does everything a network can do.

`Wire` stands where the sockets would: it drops requests and answers, doubles, cuts, holds back and sends again, answers
in the server's name, or lets the server die and start anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import httpx
from starlette.applications import Starlette

from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.reader import JournalReader
from ml_dash.remote.server import Server
from ml_dash.server.app import create_app
from ml_dash.server.running import open_store
from ml_dash.server.settings import Settings

T = TypeVar("T")
URL = "http://127.0.0.1:8000"
FAULTS = (
    "no connection",
    "request lost",
    "answer lost",
    "doubled",
    "cut",
    "held",
    "500",
    "503",
    "429",
    "done, and 500",
    "a page of a proxy",
    "no JSON",
)


class InProcess:
    """A server over the store in `folder`, in a thread of its own; `restart` forgets all that is not in the store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starts = 0
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._stack: AsyncExitStack | None = None
        self._client: httpx.AsyncClient | None = None

    def start(self) -> None:
        self._starts += 1
        settings = Settings(cache=self._folder / f"cache-{self._starts}")
        self._run(self._start(create_app(open_store(self._folder / "store"), settings)))

    async def _start(self, app: Starlette) -> None:
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = await self._stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=URL))

    def restart(self) -> None:
        self._run(self._close())
        self.start()

    def stop(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        if self._stack is not None:
            await self._stack.aclose()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def send(self, request: httpx.Request, body: bytes) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        answer = self._ask(request.method, str(request.url), headers=headers, content=body)
        kept = {name: answer.headers[name] for name in ("content-type", "etag") if name in answer.headers}
        return httpx.Response(answer.status_code, headers=kept, content=answer.content)

    def segment(self, prefix: str, journal: str, number: int) -> bytes:
        """What is stored of a segment."""
        answer = self._ask("GET", f"/v1/journals/{journal}/segments/{number}", params={"prefix": prefix})
        return answer.content if answer.status_code == 200 else b""

    def blob(self, owner: str, checksum: str) -> bytes | None:
        answer = self._ask("GET", f"/v1/blobs/{owner}/{checksum}")
        return answer.content if answer.status_code == 200 else None

    def _ask(self, method: str, url: str, **what: Any) -> httpx.Response:
        assert self._client is not None
        return self._run(self._client.request(method, url, **what))


class Wire(httpx.BaseTransport):
    """`faults` are what befalls the next requests, one each."""

    def __init__(self, server: InProcess) -> None:
        self._server = server
        self.faults: deque[str] = deque()
        self.requests = 0
        self._seen: list[tuple[httpx.Request, bytes]] = []
        self._held: list[tuple[httpx.Request, bytes]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        body = request.read()
        if request.method in ("POST", "PUT"):
            self._seen.append((request, body))
        fault = self.faults.popleft() if self.faults else ""
        if fault in ("no connection", "request lost"):
            raise httpx.ConnectError(fault) if fault == "no connection" else httpx.ReadTimeout(fault)
        if fault in ("500", "503", "429"):
            return httpx.Response(int(fault), headers={"retry-after": "3"}, content=b"")
        if fault == "a page of a proxy":
            return httpx.Response(200, headers={"content-type": "text/html"}, content=b"<html>log in</html>")
        if fault == "held":
            self._held.append((request, body))
            raise httpx.ReadTimeout(fault)
        if fault == "cut" and body:
            self._server.send(request, body[: len(body) // 2])
            raise httpx.WriteError(fault)
        answer = self._server.send(request, body)
        if fault == "doubled":
            answer = self._server.send(request, body)
        if fault in ("answer lost", "cut"):
            raise httpx.ReadError(fault)
        if fault == "done, and 500":
            return httpx.Response(500, content=b"")
        if fault == "no JSON":
            return httpx.Response(200, headers=answer.headers, content=answer.content[:-1])
        return answer

    def repeat(self, number: int) -> None:
        """A request that was sent at any time before arrives once more, out of order."""
        if self._seen:
            self._server.send(*self._seen[number % len(self._seen)])

    def release(self) -> None:
        """What was held back arrives at last."""
        for request, body in self._held:
            self._server.send(request, body)
        self._held.clear()


def server_through(wire: Wire) -> Server:
    return Server(URL, None, wire=wire)


def valid_bytes(folder: JournalFolder) -> dict[int, bytes]:
    """What of each segment counts, as any reader of this machine finds it; all bytes up to there."""
    reader = JournalReader(folder)
    ends: dict[int, int] = {}
    for line in reader.commits():
        ends[line.segment] = line.end
    found = {}
    for number in folder.segment_numbers():
        header = reader.header(number)
        if header is not None:
            end = max(ends.get(number, 0), header[1].offset)
            found[number] = Path(folder.segment_path(number)).read_bytes()[:end]
    return found
