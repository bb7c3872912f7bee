"""What may come over a connection, one request or many at once: refused, bounded, and nobody else is kept out."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import zstandard

from ml_dash.reading.listing import Pattern
from ml_dash.remote.protocol import BODY_BYTES_MAX, NDJSON, commits_path

from .. import loopback
from .conftest import ServerProcess
from .histories import JOURNAL, PREFIX, History
from .shipping import Client
from .test_accounts_security import contents
from .test_journals import zlib_bomb

MIB = 1024 * 1024
HOST = b"Host: 127.0.0.1\r\n"
CLOSE = b"Connection: close\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
APPEND = f"POST {commits_path(JOURNAL)}?prefix={PREFIX}&segment=1&offset=0 HTTP/1.1\r\n".encode()
BATCH = b"Content-Type: " + NDJSON.encode() + b"\r\nIf-None-Match: *\r\n"
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("wire")
    running = ServerProcess(folder / "store", folder / "cache").start()
    yield running
    running.close()


@pytest.fixture
def nothing_is_stored(server: ServerProcess) -> Iterator[None]:
    before = contents(Path(server.target))
    yield
    assert contents(Path(server.target)) == before


def connect(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=DEADLINE_S)


def answers(server: ServerProcess, sent: bytes) -> list[int]:
    """The statuses of all answers on one connection, until the server ends it."""
    with connect(server) as wire:
        wire.sendall(sent)
        received = b"".join(iter(lambda: wire.recv(65536), b""))
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)]


def get(target: bytes = b"/v1/health", headers: bytes = HOST, version: bytes = b"1.1") -> bytes:
    return b"GET " + target + b" HTTP/" + version + b"\r\n" + headers + CLOSE + b"\r\n"


def post(headers: bytes, body: bytes = b"", target: bytes = b"/v1/token/revoke") -> bytes:
    return b"POST " + target + b" HTTP/1.1\r\n" + HOST + CLOSE + FORM + headers + b"\r\n" + body


# --- one request --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        # Names that one program reads as this machine's, and another does not.
        *(
            (get(headers=b"Host: " + host + b"\r\n"), [403])
            for host in b"[ ] [::1 a:b:c user@localhost localhost/.. localhost#x localhost\\@evil".split()
        ),
        (get(headers=b"Host: localhost\r\nHost: evil.example\r\n"), [400]),
        (get(headers=b""), [400]),
        (get(b"http://evil.example/v1/health"), [404]),
        (get(b"//evil.example/v1/health"), [404]),
        (get(b"/v1/user/"), [404]),
        (get(headers=b"", version=b"1.0"), [403]),
        (get(version=b"1.0"), [200]),
        (b"GET /v1/health\r\n\r\n", [400]),
        (post(b"Origin: http://[\r\nContent-Length: 0\r\n"), [403]),
        # Two lengths, of which a proxy in front may believe the other.
        (post(b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"7\r\ntoken=x\r\n0\r\n\r\n" + get()), [400]),
        (post(b"Content-Length: 4\r\nContent-Length: 5\r\n", b"token"), [400]),
        (post(b"Content-Length: -5\r\n", b"token"), [400]),
        (post(b"Content-Length: +5\r\n", b"token"), [400]),
        (post(b"Content-Length: 0x5\r\n", b"token"), [400]),
        (post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), [400]),
        (post(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), [400]),
        (post(b"Transfer-Encoding: chunked\r\n", b"Z\r\n\r\n"), [400]),
        (get(b"/v1/health\0"), [400]),
        (get(headers=HOST + b"X-A : b\r\n"), [400]),
        (get(headers=HOST + b"X-A: b\0\r\n"), [400]),
        # More than anybody has to say.
        (get(b"/v1/journals?prefix=" + b"a" * 60_000), [400]),
        (get(b"/v1/journals?" + b"a&" * 30_000), [400]),
        (get(b"/v1/experiments?pattern=" + b"*" * 3_001), [400]),
        # Path tricks: nothing is decoded twice, and nothing leads out of an address.
        (get(b"/v1/journals/..%2f..%2fhealth?prefix=a/b"), [404]),
        (get(b"/v1/journals/%2e%2e?prefix=a/b"), [404]),
        (get(b"/v1/blobs/%2e%2e/" + b"0" * 64), [404]),
        (get(b"/v1/blobs/a/..%5c" + b"0" * 60), [404]),
        (get(b"/v1/journals?prefix=alice%2f%2e%2e%2fbob"), [400]),
        (get(b"/v1/journals?prefix=alice/a%00b"), [400]),
        (get(b"/v1/journals?prefix=alice/%5c..%5cbob"), [400]),
        (get(b"/v1/journals?prefix=%2fetc/passwd"), [400]),
        (get(b"/v1/journals?prefix=alice/_journal"), [400]),
        (get(b"/v1/journals?prefix=alice/_JOURNAL/x"), [400]),
        (get("/v1/journals?prefix=alice/ｅ%EF%BC%8F..%EF%BC%8Fbob".encode()), [404, 400]),
        (get(b"/v1/journals?prefix=%ff%fe/x"), [404]),
        (get(b"/v1/journals/a/segments/-1?prefix=a/b"), [404]),
        (get(b"/v1/journals/a/segments/1e3?prefix=a/b"), [404]),
        (get(b"/v1/journals/a/segments/%D9%A1?prefix=a/b"), [404]),
        (get(b"/v1/journals/a/segments/" + b"9" * 5_000 + b"?prefix=a/b"), [404]),
    ],
)
def test_a_request_that_is_made_to_mislead_is_refused(server: ServerProcess, sent: bytes, statuses: list[int]) -> None:
    found = answers(server, sent)
    assert len(found) == 1
    assert found[0] in statuses
    assert answers(server, get()) == [200]


def test_requests_that_come_at_once_are_answered_in_turn(server: ServerProcess) -> None:
    one = b"GET /v1/health HTTP/1.1\r\n" + HOST + b"\r\n"
    assert answers(server, one * 5 + get(b"/v1/nothing") + one) == [200] * 5 + [404]


def test_no_header_of_a_request_comes_back_in_an_answer(server: ServerProcess) -> None:
    evil = b"a%0d%0aSet-Cookie:%20x=y"
    for target in (b"/v1/journals?prefix=" + evil, b"/v1/state?prefix=a/b&at=" + evil, b"/device?user_code=" + evil):
        with connect(server) as wire:
            wire.sendall(get(target, HOST + b"Origin: http://evil.example\r\nX-Request-ID: " + evil + b"\r\n"))
            head = b"".join(iter(lambda: wire.recv(65536), b"")).partition(b"\r\n\r\n")[0].lower()
        assert b"set-cookie" not in head
        assert b"evil.example" not in head
        assert b"access-control" not in head, "no page of another site reads an answer"
        assert b"\r\ncache-control: no-store" in head


def test_no_glob_costs_more_than_its_length() -> None:
    # Tried one way after the other this would take some 10^28 steps.
    assert not Pattern.parse("**/a/" * 50 + "b").matches(("a",) * 100)
    assert Pattern.parse("**/a/" * 40 + "**").matches(("a",) * 100)
    assert not Pattern.parse("*a" * 200 + "b/**").matches(("a" * 255, "x"))


# --- many at once -------------------------------------------------------------------------------------------


def test_others_are_served_while_hundreds_of_bodies_do_not_come(server: ServerProcess) -> None:
    slow = [connect(server) for _ in range(300)]
    try:
        for number, wire in enumerate(slow):
            # A third says nothing, a third begins its headers, a third has more body to come than is held anyway.
            large = APPEND + HOST + BATCH + b"Content-Length: 1000000\r\n\r\n" + b"x" * 100_000
            wire.sendall((b"", APPEND, large)[number % 3])
        with loopback.Client(base_url=server.url, timeout=DEADLINE_S) as client:
            assert client.get("/v1/health").status_code == 200
        history = History.of(3)
        with Client(history, [server.url], prefix="bob/ml/others") as other:
            other.ship()
            assert other.copy() == history.segments
    finally:
        for wire in slow:
            wire.close()


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "gzip of many members"])
def test_a_bomb_takes_no_more_memory_than_an_honest_body(server: ServerProcess, encoding: str) -> None:
    before = contents(Path(server.target))
    size = 20 * BODY_BYTES_MAX
    if encoding == "zstd":
        bomb = b"".join([zstandard.ZstdCompressor().compress(b"\0" * (64 * MIB))] * (size // (64 * MIB)))
    elif encoding == "gzip":
        # A stream of deflate may repeat a block of nothing but zeros.
        bomb = zlib_bomb(b"\0" * (2 * BODY_BYTES_MAX))
    else:
        bomb = zlib_bomb(b"\0" * MIB) * 2000
    process = psutil.Process(server.pid)
    resting = process.memory_info().rss
    peak = resting
    with loopback.Client(base_url=server.url, timeout=DEADLINE_S) as client:
        for _ in range(2):
            answer = client.post(
                commits_path(JOURNAL),
                params={"prefix": PREFIX, "segment": 1, "offset": 0},
                headers={"Content-Type": NDJSON, "Content-Encoding": encoding[:4], "If-None-Match": "*"},
                content=bomb,
            )
            assert answer.status_code in (413, 400), "gzip of several members is no gzip here"
            peak = max(peak, process.memory_info().rss)
    assert peak - resting < 2 * BODY_BYTES_MAX, "what is held is one body, not what it unfolds to"
    assert contents(Path(server.target)) == before


def test_a_body_without_a_length_ends_where_the_limit_is(server: ServerProcess) -> None:
    before = contents(Path(server.target))
    chunk = b"%x\r\n%b\r\n" % (MIB, b"x" * MIB)
    with connect(server) as wire:
        wire.sendall(
            b"PUT /v1/blobs/alice/"
            + b"0" * 64
            + b" HTTP/1.1\r\n"
            + HOST
            + b"Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        sent = 0
        # A part has 8 MiB; the server hangs up on who goes on.
        with suppress(OSError):
            while sent < 1000:
                wire.sendall(chunk)
                sent += 1
    assert sent < 100
    assert contents(Path(server.target)) == before


def test_a_form_that_ends_amidst_is_no_failure_of_the_server(server: ServerProcess) -> None:
    with connect(server) as wire:
        wire.sendall(b"POST /v1/token/revoke HTTP/1.1\r\n" + HOST + FORM + b"Content-Length: 100\r\n\r\ntoken=x")
        wire.shutdown(socket.SHUT_WR)
        assert wire.recv(65536).startswith((b"HTTP/1.1 400", b""))
    assert answers(server, get()) == [200]
    assert not any("Traceback" in line for line in server.lines)


def test_a_stranger_s_streams_leave_room_for_requests(tmp_path: Path) -> None:
    running = ServerProcess(tmp_path / "store", tmp_path / "cache", settings={"followers_max": 20}).start()
    streams: list[socket.socket] = []
    try:
        with Client(History.of(2), [running.url]) as shipping:
            shipping.ship()
        for _ in range(60):
            wire = connect(running)
            streams.append(wire)
            wire.sendall(f"GET /v1/events?prefix={PREFIX} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        statuses = [int(wire.recv(12)[9:]) for wire in streams]
        assert set(statuses) == {200, 503}
        assert 20 <= statuses.count(200) < 60
        assert answers(running, get()) == [200]
        for wire in streams:
            wire.close()
        deadline = time.monotonic() + DEADLINE_S
        while True:
            with connect(running) as wire:
                wire.sendall(f"GET /v1/events?prefix={PREFIX} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
                if wire.recv(12).endswith(b"200"):
                    break
            assert time.monotonic() < deadline, "who has gone leaves room"
    finally:
        for wire in streams:
            wire.close()
        running.close()
