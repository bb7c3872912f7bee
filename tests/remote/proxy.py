"""A proxy between clients and servers, over real sockets, that does whatever a network and what stands in it can do.

It takes HTTP/1.1 apart only so far that it knows where a request and an answer end.  Every request goes to the next of
the servers behind it, on a connection of its own: who ships a journal through it changes servers with every batch.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from random import Random
from threading import Thread
from typing import Any

FAULTS = (
    "refused",
    "request lost",
    "request cut",
    "request slow",
    "held",
    "doubled",
    "doubled at once",
    "repeated later",
    "answer lost",
    "answer cut",
    "answer late",
    "bad gateway",
)
PAUSE_S_MAX = 0.15
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\nnope"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_NO_BODY = re.compile(rb"HTTP/1\.1 (?:1\d\d|204|304) ")


class Cut(Exception):
    """The connection to the client ends here, without a word."""


class Proxy:
    """Listens at `url` in a thread of its own; `servers` are the ports behind it; `rate` of all requests have a fault.

    `faults` counts what has been done.
    """

    def __init__(self, seed: int, rate: float) -> None:
        self.rate = rate
        self.servers: list[int] = []
        self.faults: Counter[str] = Counter()
        self.requests = 0
        self._random = Random(seed)
        self._late: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        start = asyncio.start_server(self._serve, sock=self._listening, limit=2**20)
        self._server = self._loop.run_until_complete(start)
        self._loop.run_forever()

    def settle(self) -> None:
        """No more faults; returns when everything that was held back has arrived."""
        self.rate = 0.0
        asyncio.run_coroutine_threadsafe(self._settle(), self._loop).result(60)

    async def _settle(self) -> None:
        while self._late:
            await asyncio.gather(*self._late, return_exceptions=True)

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._listening.close()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    # -- a connection of a client --------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _message(reader)) is not None:
                writer.write(await self._answer(request, writer))
                await writer.drain()
        except (Cut, OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            # Also when the proxy ends.
            writer.transport.abort()
        finally:
            writer.close()

    async def _answer(self, request: bytes, client: asyncio.StreamWriter) -> bytes:
        """Raises Cut, OSError or EOFError where there is none."""
        random = self._random
        self.requests += 1
        fault = random.choice(FAULTS) if random.random() < self.rate else ""
        pause_s = random.random() * PAUSE_S_MAX
        if fault:
            self.faults[fault] += 1
        if fault == "bad gateway":
            return BAD_GATEWAY
        await self._spoil_request(request, fault, pause_s)
        if fault == "request slow":
            answer = await self._forward(request, pause_s=pause_s)
        elif fault == "doubled at once":
            answer, _ = await asyncio.gather(self._forward(request), self._forward(request))
        else:
            answer = await self._forward(request)
        if fault == "doubled":
            answer = await self._forward(request)
        await self._spoil_answer(answer, fault, pause_s, client)
        if fault == "repeated later":
            self._later(self._forward(request), pause_s * 3)
        return answer

    async def _spoil_request(self, request: bytes, fault: str, pause_s: float) -> None:
        if fault == "request lost":
            await asyncio.sleep(pause_s)
        elif fault == "request cut":
            await self._forward(request[: self._random.randrange(len(request))], is_whole=False)
        elif fault == "held":
            self._later(self._forward(request), pause_s * 3)
        elif fault != "refused":
            return
        raise Cut

    async def _spoil_answer(self, answer: bytes, fault: str, pause_s: float, client: asyncio.StreamWriter) -> None:
        if fault == "answer late":
            await asyncio.sleep(pause_s)
        if fault == "answer cut":
            client.write(answer[: self._random.randrange(len(answer))])
            await client.drain()
        if fault in ("answer lost", "answer cut"):
            raise Cut

    def _later(self, work: Coroutine[Any, Any, bytes], pause_s: float) -> None:
        async def wait() -> None:
            await asyncio.sleep(pause_s)
            with suppress(OSError, EOFError):
                await work

        task = self._loop.create_task(wait())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _forward(self, request: bytes, *, is_whole: bool = True, pause_s: float = 0.0) -> bytes:
        port = self.servers[self.requests % len(self.servers)]
        self.requests += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        try:
            if pause_s:
                half = len(request) // 2
                writer.write(request[:half])
                await writer.drain()
                await asyncio.sleep(pause_s)
                request = request[half:]
            writer.write(request)
            await writer.drain()
            if not is_whole:
                return b""
            answer = await _message(reader, is_head=request.startswith(b"HEAD "))
            if answer is None:
                raise EOFError
            return answer
        finally:
            writer.transport.abort()


async def _message(reader: asyncio.StreamReader, *, is_head: bool = False) -> bytes | None:
    """A request or an answer, all its bytes; None where the connection ends before one begins.  Raises EOFError."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    if is_head or _NO_BODY.match(head):
        return head
    if _CHUNKED.search(head):
        chunks = [head]
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            chunks += [line, await reader.readexactly(size + 2)]
            if size == 0:
                return b"".join(chunks)
    length = _LENGTH.search(head)
    return head + await reader.readexactly(int(length[1])) if length else head
