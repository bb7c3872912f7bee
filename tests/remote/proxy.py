"""A proxy between clients and servers, over real sockets, that does whatever a network and what stands in it can do.

It takes HTTP/1.1 apart only so far that it knows where a request and an answer end.  Every request goes to the next of
the servers behind it, on a connection of its own: who ships a journal through it changes servers with every batch.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections import Counter
from contextlib import closing, suppress
from itertools import count
from random import Random
from threading import Lock, Thread
from typing import BinaryIO

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
TIMEOUT_S = 30.0
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\nnope"
RESET = struct.pack("ii", 1, 0)
"""Closing then tells the other side that the connection is gone, not that it has come to its end."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_NO_BODY = re.compile(rb"HTTP/1\.1 (?:1\d\d|204|304) ")


class Cut(Exception):
    """The connection to the client ends here, without a word."""


class Proxy:
    """Listens at `url`, with a thread for each connection; `servers` are the ports behind it.

    `rate` of all requests have a fault; `faults` counts them.
    """

    def __init__(self, seed: int, rate: float) -> None:
        self.rate = rate
        self.servers: list[int] = []
        self.faults: Counter[str] = Counter()
        self.requests = 0
        self._random = Random(seed)
        self._to_come: list[str] = []
        self._turns = count()
        self._lock = Lock()
        self._clients: set[socket.socket] = set()
        self._late: list[Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()

    def settle(self) -> None:
        """No more faults; returns when everything that was held back has arrived."""
        self.rate = 0.0
        while self._late:
            self._late.pop().join(2 * TIMEOUT_S)

    def close(self) -> None:
        """Nobody is served any more."""
        self.settle()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(TIMEOUT_S)
        with self._lock:
            for client in self._clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                self._clients.add(client)
            Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(None)
        with client, client.makefile("rb") as reader:
            try:
                while (request := _message(reader)) is not None:
                    client.sendall(self._answer(request, client))
            except (Cut, OSError, EOFError):
                with suppress(OSError):
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            finally:
                with self._lock:
                    self._clients.discard(client)

    def _next_fault(self) -> str:
        """Each in its turn, in an order of chance: where there were a dozen faults, all kinds were among them."""
        if not self._to_come:
            self._to_come = self._random.sample(FAULTS, len(FAULTS))
        return self._to_come.pop()

    # -- a request -----------------------------------------------------------------------------------------------

    def _answer(self, request: bytes, client: socket.socket) -> bytes:
        """Raises Cut, OSError or EOFError where there is none."""
        with self._lock:
            random = Random(self._random.random())
            self.requests += 1
            fault = self._next_fault() if random.random() < self.rate else ""
            self.faults.update([fault] if fault else [])
        pause_s = random.random() * PAUSE_S_MAX
        if fault == "bad gateway":
            return BAD_GATEWAY
        self._spoil_request(request, fault, random, pause_s)
        if fault == "doubled at once":
            self._later(request, 0.0)
        answer = self._forward(request, pause_s=pause_s if fault == "request slow" else 0.0)
        if fault == "doubled":
            answer = self._forward(request)
        if fault == "repeated later":
            self._later(request, pause_s * 3)
        if fault == "answer late":
            time.sleep(pause_s)
        if fault == "answer cut":
            client.sendall(answer[: random.randrange(len(answer))])
        if fault in ("answer lost", "answer cut"):
            raise Cut
        return answer

    def _spoil_request(self, request: bytes, fault: str, random: Random, pause_s: float) -> None:
        if fault == "request lost":
            time.sleep(pause_s)
        elif fault == "request cut":
            self._forward(request[: random.randrange(len(request))], is_whole=False)
        elif fault == "held":
            self._later(request, pause_s * 3)
        elif fault != "refused":
            return
        raise Cut

    def _later(self, request: bytes, pause_s: float) -> None:
        def work() -> None:
            time.sleep(pause_s)
            with suppress(OSError, EOFError):
                self._forward(request)

        thread = Thread(target=work, daemon=True)
        thread.start()
        self._late.append(thread)

    def _forward(self, request: bytes, *, is_whole: bool = True, pause_s: float = 0.0) -> bytes:
        port = self.servers[next(self._turns) % len(self.servers)]
        with closing(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)) as server:
            if pause_s:
                half = len(request) // 2
                server.sendall(request[:half])
                time.sleep(pause_s)
                request = request[half:]
            server.sendall(request)
            if not is_whole:
                return b""
            with server.makefile("rb") as reader:
                answer = _message(reader, is_head=request.startswith(b"HEAD "))
        if answer is None:
            raise EOFError
        return answer


def _message(reader: BinaryIO, *, is_head: bool = False) -> bytes | None:
    """A request or an answer, all its bytes; None where the connection ends before one begins.  Raises EOFError."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline()
        if not line:
            if head:
                raise EOFError
            return None
        head += line
    if is_head or _NO_BODY.match(head):
        return head
    if _CHUNKED.search(head):
        return head + _chunks(reader)
    length = _LENGTH.search(head)
    return head + _exactly(reader, int(length[1])) if length else head


def _chunks(reader: BinaryIO) -> bytes:
    chunks = b""
    while True:
        line = reader.readline()
        size = int(line.split(b";")[0] or b"0", 16) if line.endswith(b"\r\n") else -1
        if size < 0:
            raise EOFError
        chunks += line + _exactly(reader, size + 2)
        if size == 0:
            return chunks


def _exactly(reader: BinaryIO, size: int) -> bytes:
    data = reader.read(size)
    if len(data) < size:
        raise EOFError
    return data
