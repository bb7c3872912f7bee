"""The addresses of journals, asked over HTTP: what is taken, what is refused and how, and what comes back."""

from __future__ import annotations

import gzip
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
import zstandard

from ml_dash.remote.protocol import NDJSON, PROBLEM, commits_path, journal_path, segment_path

from .. import loopback
from .conftest import NewServer, ServerProcess
from .histories import JOURNAL, PREFIX, History
from .shipping import Client, copy_at, precondition

IN_EVERY_STORE = True
MIB = 1024 * 1024


def problem(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["status"] == answer.status_code
    return str(answer.json()["type"]).rsplit("/", 1)[-1]


def commits_of(history: History) -> list[bytes]:
    lines = [line for data in history.segments.values() for line in data.splitlines()]
    return [line for line in lines if not line.startswith(b'{"format')]


def send(
    client: httpx.Client,
    history: History,
    segment: int = 1,
    start: int = 0,
    end: int | None = None,
    *,
    data: bytes | None = None,
    headers: dict[str, str] | None = None,
    prefix: str = PREFIX,
    journal: str = JOURNAL,
) -> httpx.Response:
    before = history.hash_at(segment, start) if (segment, start) != (1, 0) else None
    return client.post(
        commits_path(journal),
        params={"prefix": prefix, "segment": segment, "offset": start},
        headers={"Content-Type": NDJSON, **precondition(before), **(headers or {})},
        content=history.data(segment, start, end) if data is None else data,
    )


# --- taking -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_a_batch_is_stored_as_it_stands_however_it_travels(
    client: httpx.Client, server: ServerProcess, encoding: str
) -> None:
    history = History.of(40)
    encoded = {"identity": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}[encoding](history.segments[1])
    answer = send(client, history, data=encoded, headers={"Content-Encoding": encoding})
    assert (answer.status_code, answer.json()["stored"], answer.json()["next_seq"]) == (200, 41, 41)
    assert answer.headers["etag"] == f'"{answer.json()["hash"]}"'
    assert copy_at(server.url, history) == history.segments


def test_the_same_batch_again_is_acknowledged_and_not_stored(client: httpx.Client, server: ServerProcess) -> None:
    history = History.of(5)
    stored, again = (send(client, history).json() for _ in range(2))
    assert (stored.pop("stored"), again.pop("stored")) == (6, 0)
    assert stored == again
    assert len([path for path in server.objects() if path.endswith(".jsonl")]) == 1


def test_a_batch_that_overlaps_the_end_adds_what_is_new(client: httpx.Client, server: ServerProcess) -> None:
    history = History.of(2)
    send(client, history)
    middle = history.ends[1].offset
    history.commit(2)
    answer = send(client, history, start=middle)
    assert (answer.status_code, answer.json()["stored"]) == (200, 2)
    assert copy_at(server.url, history) == history.segments


def test_a_batch_behind_the_end_is_stale_and_names_the_end(client: httpx.Client) -> None:
    history = History.of(2)
    answer = send(client, history, start=history.ends[1].offset)
    assert (answer.status_code, problem(answer), answer.json()["head"]) == (409, "stale", None)
    end = history.ends[-1]
    send(client, history, end=end.offset)
    history.commit(2)
    answer = send(client, history, start=history.ends[-2].offset)
    assert (answer.status_code, problem(answer)) == (409, "stale")
    assert answer.json()["head"]["offset"] == end.offset


def test_another_continuation_is_diverged_and_changes_nothing(client: httpx.Client, server: ServerProcess) -> None:
    ours, theirs = History.of(3), History.of(2)
    theirs.commit(size=4)
    send(client, ours)
    for start in (0, theirs.ends[1].offset, theirs.ends[2].offset):
        answer = send(client, theirs, start=start)
        assert (answer.status_code, problem(answer)) == (409, "diverged")
        assert answer.json()["head"]["offset"] == len(ours.segments[1])
    assert copy_at(server.url, ours) == ours.segments


def test_a_batch_that_goes_on_from_another_line_is_diverged(client: httpx.Client, server: ServerProcess) -> None:
    history = History.of(2)
    send(client, history)
    stored, end = dict(history.segments), history.ends[-1].offset
    history.commit()
    answer = send(client, history, start=end, headers={"If-Match": f'"{"0" * 64}"'})
    assert (answer.status_code, problem(answer)) == (409, "diverged")
    assert copy_at(server.url, history) == stored


def test_a_segment_may_repeat_what_its_predecessor_could_not_sync(client: httpx.Client, server: ServerProcess) -> None:
    history = History.of(3)
    send(client, history)
    accepted = history.ends[2]
    history.open_segment(2, accepted)
    history.commit(2)
    assert send(client, history, segment=2).status_code == 200
    assert copy_at(server.url, history) == history.segments
    answer = client.get("/v1/commits", params={"prefix": PREFIX})
    assert [int(each) for each in re.findall(r'\{"first":(\d+)', answer.text)] == [1, 2, 3, 4]


def test_a_segment_that_leaves_out_what_is_stored_is_another_continuation(client: httpx.Client) -> None:
    history = History.of(3)
    send(client, history)
    history.open_segment(2, history.ends[2])
    history.commit(1, size=3)
    answer = send(client, history, segment=2)
    assert (answer.status_code, problem(answer)) == (409, "diverged")


@pytest.mark.parametrize("number", [2, 7])
def test_a_journal_may_pass_over_segments(client: httpx.Client, server: ServerProcess, number: int) -> None:
    history = History.of(2)
    send(client, history)
    history.open_segment(number)
    history.commit()
    assert send(client, history, segment=number).status_code == 200
    assert copy_at(server.url, history) == history.segments


def test_a_header_without_a_commit_is_taken_too(client: httpx.Client, server: ServerProcess) -> None:
    history = History()
    history.open_segment()
    assert send(client, history).json()["next_seq"] == 1
    history.commit()
    assert send(client, history, start=history.ends[0].offset).json()["stored"] == 1
    history.open_segment()
    assert send(client, history, segment=2).json()["next_seq"] == 2
    assert copy_at(server.url, history) == history.segments


# --- refusing -----------------------------------------------------------------------------------------------


def torn(history: History) -> bytes:
    return history.segments[1][:-1]


def with_a_torn_tail(history: History) -> bytes:
    return history.segments[1] + b'{"first":9'


def with_a_changed_byte(history: History) -> bytes:
    return history.segments[1].replace(b'"loss":0.5', b'"loss":0.6', 1)


def without_a_line(history: History) -> bytes:
    lines = history.segments[1].splitlines(keepends=True)
    return b"".join(lines[:2] + lines[3:])


def without_its_header(history: History) -> bytes:
    return history.segments[1].split(b"\n", 1)[1]


def with_two_headers(history: History) -> bytes:
    return history.segments[1] + history.segments[1].split(b"\n", 1)[0] + b"\n"


def empty(history: History) -> bytes:
    return b""


def of_a_newer_version(history: History) -> bytes:
    return history.segments[1].replace(b'"version":1', b'"version":2', 1)


@pytest.mark.parametrize(
    "broken",
    [
        torn,
        with_a_torn_tail,
        with_a_changed_byte,
        without_a_line,
        without_its_header,
        with_two_headers,
        empty,
        of_a_newer_version,
    ],
)
def test_what_does_not_verify_is_refused_and_nothing_of_it_stored(
    shared_client: httpx.Client, broken: Callable[[History], bytes]
) -> None:
    answer = send(shared_client, History.of(4), data=broken(History.of(4)))
    assert (answer.status_code, problem(answer)) == (422, "invalid-chain")
    assert shared_client.get(journal_path(JOURNAL), params={"prefix": PREFIX}).status_code == 404


def test_a_journal_does_not_begin_in_its_middle(shared_client: httpx.Client) -> None:
    history = History.of(2, 2)
    answer = send(shared_client, history, segment=2, headers=precondition(None) | {"If-Match": ""})
    assert answer.status_code == 400
    answer = shared_client.post(
        commits_path(JOURNAL),
        params={"prefix": PREFIX, "segment": 2, "offset": 0},
        headers={"Content-Type": NDJSON, **precondition(None)},
        content=history.segments[2],
    )
    assert (answer.status_code, problem(answer)) == (422, "invalid-chain")


def test_a_header_of_another_journal_or_segment_is_refused(shared_client: httpx.Client) -> None:
    history = History.of(2)
    other = "k10wb0emz0000000j2"
    assert problem(send(shared_client, history, journal=other)) == "invalid-chain"
    answer = shared_client.post(
        commits_path(JOURNAL),
        params={"prefix": PREFIX, "segment": 3, "offset": 0},
        headers={"Content-Type": NDJSON, **precondition(None)},
        content=history.segments[1],
    )
    assert problem(answer) == "invalid-chain"


def test_without_saying_where_the_journal_ends_nothing_is_taken(shared_client: httpx.Client) -> None:
    history = History.of(1)
    answer = shared_client.post(
        commits_path(JOURNAL),
        params={"prefix": PREFIX, "segment": 1, "offset": 0},
        headers={"Content-Type": NDJSON},
        content=history.segments[1],
    )
    assert (answer.status_code, problem(answer)) == (428, "precondition-required")
    for wrong in ('"0"', "*", f'W/"{"0" * 64}"', "0" * 64):
        assert send(shared_client, history, headers={"If-Match": wrong, "If-None-Match": ""}).status_code == 400


@pytest.mark.parametrize(
    ("headers", "status", "name"),
    [
        ({"Content-Type": "application/json"}, 415, "unsupported-media-type"),
        ({"Content-Encoding": "br"}, 415, "unsupported-media-type"),
        ({"Content-Encoding": "gzip"}, 400, "invalid-request"),
        ({"Content-Encoding": "zstd"}, 400, "invalid-request"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(
    shared_client: httpx.Client, headers: dict[str, str], status: int, name: str
) -> None:
    answer = send(shared_client, History.of(1), headers=headers)
    assert (answer.status_code, problem(answer)) == (status, name)


@pytest.mark.parametrize(
    "prefix",
    [
        "alice",
        "../etc/passwd",
        "alice/../bob",
        "/alice/ml",
        "alice//ml",
        "alice/_journal",
        "alice/ml/\x00",
        "alice/\\",
        "",
    ],
)
def test_a_prefix_that_is_none_is_refused(shared_client: httpx.Client, prefix: str) -> None:
    answer = send(shared_client, History.of(1), prefix=prefix)
    assert (answer.status_code, problem(answer)) == (400, "invalid-prefix")
    assert shared_client.get("/v1/journals", params={"prefix": prefix}).status_code == 400


@pytest.mark.parametrize("journal", ["..", "%2e%2e", "a%2Fb", "A" * 18, "a" * 65, "a.b", "%00"])
def test_an_id_that_is_none_is_unknown(shared_client: httpx.Client, journal: str) -> None:
    answer = shared_client.get(f"/v1/journals/{journal}", params={"prefix": PREFIX})
    assert answer.status_code == 404
    answer = shared_client.post(
        f"/v1/journals/{journal}/commits",
        params={"prefix": PREFIX, "segment": 1, "offset": 0},
        headers={"Content-Type": NDJSON, **precondition(None)},
        content=b"{}\n",
    )
    assert answer.status_code in (404, 405)


@pytest.mark.parametrize(
    "query",
    [
        {"segment": "0"},
        {"segment": "-1"},
        {"segment": "1e3"},
        {"segment": "100000000"},
        {"offset": "-1"},
        {"offset": "٣"},
        {"offset": "1" * 30},
        {"surprise": "1"},
    ],
)
def test_a_query_that_is_not_as_agreed_is_refused(shared_client: httpx.Client, query: dict[str, str]) -> None:
    answer = shared_client.post(
        commits_path(JOURNAL),
        params={"prefix": PREFIX, "segment": "1", "offset": "0", **query},
        headers={"Content-Type": NDJSON, **precondition(None)},
        content=b"{}\n",
    )
    assert (answer.status_code, problem(answer)) == (400, "invalid-request")


def test_prefixes_of_all_kinds_are_kept_apart(client: httpx.Client, server: ServerProcess) -> None:
    prefixes = [
        "alice/ml/a",
        "alice/ml/a/b",
        "alice/ml",
        "alice/m l/ä#1",
        "alice/ml/%2e%2e",
        "alice/ml/*?<>|:\"'",
        "_/_",
    ]
    for number, prefix in enumerate(prefixes, 1):
        assert send(client, History.of(number), prefix=prefix).status_code == 200
    for number, prefix in enumerate(prefixes, 1):
        found = client.get("/v1/journals", params={"prefix": prefix}).json()["journals"]
        assert [each["next_seq"] for each in found] == [number + 1]
    listed = client.get("/v1/experiments").json()["experiments"]
    assert sorted(each["prefix"] for each in listed) == sorted(prefixes)


# --- limits -------------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_refused_before_it_is_read(new_server: NewServer) -> None:
    server = new_server(settings={"body_bytes_max": 10_000})
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), 20) as raw:
        raw.sendall(
            f"POST {commits_path(JOURNAL)}?prefix=a/b&segment=1&offset=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: {NDJSON}\r\nIf-None-Match: *\r\nContent-Length: 10001\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_a_body_that_grows_too_large_is_refused_however_small_it_came(new_server: NewServer, encoding: str) -> None:
    server = new_server(settings={"body_bytes_max": 3 * MIB})
    bomb = b"0" * (4 * MIB)
    data = {"identity": bytes, "gzip": zlib_bomb, "zstd": zstandard.compress}[encoding](bomb)
    with loopback.Client(base_url=server.url, timeout=30) as client:
        answer = client.post(
            commits_path(JOURNAL),
            params={"prefix": PREFIX, "segment": 1, "offset": 0},
            headers={"Content-Type": NDJSON, "Content-Encoding": encoding, **precondition(None)},
            content=iter([data[:1000], data[1000:]]),
        )
        assert (answer.status_code, problem(answer), answer.json()["bytes_max"]) == (413, "body-too-large", 3 * MIB)
        assert send(client, History.of(3)).status_code == 200


def zlib_bomb(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    return stream.compress(data) + stream.flush()


def test_a_body_that_comes_too_slowly_is_given_up(new_server: NewServer) -> None:
    server = new_server(settings={"body_timeout_s": 0.5})
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), 20) as raw:
        raw.sendall(
            f"POST {commits_path(JOURNAL)}?prefix=a/b&segment=1&offset=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: {NDJSON}\r\nIf-None-Match: *\r\nContent-Length: 100\r\n\r\n{{".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 408")
    assert loopback.get(f"{server.url}/v1/health").status_code == 200


def test_headers_that_come_too_slowly_end_the_connection(new_server: NewServer) -> None:
    server = new_server(before="from ml_dash.server.connections import PunctualProtocol as P; P.header_timeout_s = 0.5")
    port = int(server.url.rsplit(":", 1)[1])
    for first, rest in ((False, b""), (False, b"GET /v1/health HT"), (True, b"GET /v1")):
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        connection.connect()
        with closing(connection):
            if first:
                connection.request("GET", "/v1/health")
                assert connection.getresponse().read()
            connection.sock.sendall(rest)
            # Nothing more comes, and this ends.
            assert connection.sock.recv(1000) == b""
    with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        # Between two requests a connection may be idle for longer.
        for _ in range(2):
            connection.request("GET", "/v1/health")
            assert connection.getresponse().read()
            opened = connection.sock
            time.sleep(0.7)
        assert opened is connection.sock


# --- giving back --------------------------------------------------------------------------------------------


def test_a_segment_comes_in_ranges(client: httpx.Client) -> None:
    history = History.of(30)
    send(client, history)
    data, url = history.segments[1], segment_path(JOURNAL, 1)

    def get(**headers: str) -> httpx.Response:
        return client.get(url, params={"prefix": PREFIX}, headers=headers)

    whole = get()
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, data, "bytes")
    for text, expected in (("bytes=0-0", data[:1]), ("bytes=100-", data[100:]), ("bytes=-7", data[-7:])):
        answer = get(Range=text)
        assert (answer.status_code, answer.content) == (206, expected)
        assert answer.headers["content-range"].endswith(f"/{len(data)}")
    for text in ("bytes=5-2", "bytes=1-2,4-5", "lines=1-2", "bytes=-"):
        assert get(Range=text).status_code == 200
    for text in (f"bytes={len(data)}-", "bytes=-0"):
        answer = get(Range=text)
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(data)}")
    assert get(**{"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert get(**{"If-Range": '"another"', "Range": "bytes=0-0"}).status_code == 200
    assert problem(client.get(segment_path(JOURNAL, 2), params={"prefix": PREFIX})) == "unknown-segment"


def test_commits_behind_an_event_come_as_they_are_stored(server: ServerProcess, client: httpx.Client) -> None:
    history = History.of(20, 20)
    with Client(history, [server.url]) as shipping:
        shipping.ship(lines=3)
    lines = [
        line for data in history.segments.values() for line in data.splitlines() if not line.startswith(b'{"format')
    ]
    for after in (0, 1, 19, 20, 21, 39, 40, 99):
        answer = client.get("/v1/commits", params={"prefix": PREFIX, "after": after})
        assert answer.content.splitlines() == lines[after:]
    limited = client.get("/v1/commits", params={"prefix": PREFIX, "after": 18, "limit": 4})
    assert limited.content.splitlines() == lines[18:22]


def test_an_unknown_experiment_is_answered_with_the_nearest_names(client: httpx.Client) -> None:
    send(client, History.of(1), prefix="alice/mnist/baseline")
    answer = client.get("/v1/journals", params={"prefix": "alice/mnist/basline"})
    assert (answer.status_code, problem(answer)) == (404, "unknown-experiment")
    assert answer.json()["nearest"] == ["alice/mnist/baseline"]


def test_of_several_journals_one_has_to_be_named(client: httpx.Client) -> None:
    other = "k10wb0emz0000000j2"
    send(client, History.of(2))
    send(client, History.of(3, journal=other), journal=other)
    found = client.get("/v1/journals", params={"prefix": PREFIX}).json()["journals"]
    assert [each["next_seq"] for each in found] == [3, 4]
    answer = client.get("/v1/commits", params={"prefix": PREFIX})
    assert (answer.status_code, problem(answer)) == (409, "several-journals")
    assert answer.json()["journals"] == [JOURNAL, other]
    assert client.get("/v1/commits", params={"prefix": PREFIX, "journal": other}).status_code == 200


# --- following ----------------------------------------------------------------------------------------------


def follow(url: str, found: list[tuple[str, bytes]], headers: dict[str, str] | None = None, after: int = 0) -> None:
    identity = ""
    with (
        loopback.Client(timeout=30) as client,
        client.stream("GET", f"{url}/v1/events", params={"prefix": PREFIX, "after": after}, headers=headers) as answer,
    ):
        for line in answer.iter_lines():
            if line.startswith("id: "):
                identity = line[4:]
            elif line.startswith("data: "):
                found.append((identity, line[6:].encode()))


def wait_for(found: list[tuple[str, bytes]], count: int) -> None:
    deadline = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_follows_sees_what_any_server_process_stores(new_server: NewServer, tmp_path: Path) -> None:
    first, second = (new_server() for _ in range(2))
    history = History.of(3)
    with Client(history, [first.url]) as shipping:
        shipping.ship()
    found: list[tuple[str, bytes]] = []
    following = threading.Thread(target=follow, args=(first.url, found), daemon=True)
    following.start()
    wait_for(found, 3)
    for url, count in ((first.url, 5), (second.url, 7)):
        history.commit(2)
        with Client(history, [url]) as shipping:
            shipping.ship()
        wait_for(found, count)
    history.open_segment()
    history.commit(1)
    with Client(history, [second.url]) as shipping:
        shipping.ship()
    wait_for(found, 8)
    lines = [
        line for data in history.segments.values() for line in data.splitlines() if not line.startswith(b'{"format')
    ]
    assert [data for _, data in found] == lines
    # Who was cut off goes on from the last id, at another server.
    rest: list[tuple[str, bytes]] = []
    resumed = threading.Thread(target=follow, args=(second.url, rest, {"Last-Event-ID": found[4][0]}), daemon=True)
    resumed.start()
    wait_for(rest, 3)
    assert rest == found[5:]
    behind: list[tuple[str, bytes]] = []
    threading.Thread(target=follow, args=(second.url, behind, None, 6), daemon=True).start()
    wait_for(behind, 2)
    assert behind == found[6:]
    for server in (first, second):
        assert server.stop() == 0
    following.join(10)
    resumed.join(10)
    assert not following.is_alive()
    assert not resumed.is_alive()


def test_who_asks_only_for_the_head_of_a_stream_is_answered(client: httpx.Client) -> None:
    send(client, History.of(1))
    for address in ("/v1/events", "/v1/commits", "/v1/journals", "/v1/state"):
        answer = client.head(address, params={"prefix": PREFIX})
        assert (answer.status_code, answer.content) == (200, b"")


def test_followers_are_bounded(new_server: NewServer) -> None:
    server = new_server(settings={"followers_max": 1})
    with loopback.Client(base_url=server.url, timeout=30) as client:
        send(client, History.of(1))
        with client.stream("GET", "/v1/events", params={"prefix": PREFIX}) as first:
            pieces = first.iter_raw()
            assert next(pieces)
            with client.stream("GET", "/v1/events", params={"prefix": PREFIX}) as second:
                assert (second.status_code, second.headers["retry-after"]) == (503, "10")
        deadline = time.monotonic() + 20
        while client.get("/v1/metrics").text.count("ml_dash_followers 0.0") != 1:
            assert time.monotonic() < deadline, "who has left is still counted"
            time.sleep(0.05)


def test_what_is_no_event_id_is_refused(client: httpx.Client) -> None:
    send(client, History.of(1))
    answer = client.get("/v1/events", params={"prefix": PREFIX}, headers={"Last-Event-ID": "1; drop"})
    assert (answer.status_code, problem(answer)) == (400, "invalid-request")
