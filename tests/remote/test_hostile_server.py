"""A server that means harm, or somebody who answers in its name: what it can do to whoever asks it."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ml_dash.errors import MlDashError, NetworkError, RefusedError, StorageError
from ml_dash.journal.contents import ContentStore
from ml_dash.journal.copying import Content
from ml_dash.journal.folder import JournalFolder
from ml_dash.reading.pulling import bring
from ml_dash.reading.sources import ServerSource as Experiments
from ml_dash.remote.mirror import Mirror, ServerSource
from ml_dash.remote.server import Server
from ml_dash.remote.transport import Transport
from ml_dash.visible import visible, visible_line

URL = "http://127.0.0.1:9"
TOKEN = "mld_verysecret"
HEAD = {
    "journal": "k10wb0emz0000000j1",
    "segment": 1,
    "offset": 100,
    "next_seq": 2,
    "hash": "0" * 64,
    "time": 1,
    "redactions": 0,
}
ESCAPES = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202eevil\x00"
Answer = Callable[[httpx.Request], httpx.Response]


def server(answer: Answer, token: str | None = TOKEN) -> Server:
    return Server(URL, token, wire=httpx.MockTransport(answer))


def always(status: int = 200, **content: Any) -> Answer:
    return lambda request: httpx.Response(status, **content)


def files(folder: Path) -> set[Path]:
    return {each for each in folder.rglob("*") if each.is_file()}


# --- where a request goes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.example/v1/user",
        "https://127.0.0.1:9/v1/user",
        "http://127.0.0.1:10/v1/user",
        "http://user@127.0.0.1:9/v1/user",
        "//evil.example/v1/user",
        "http://127.0.0.1:9@evil.example/",
        "http://127.0.0.1:9.evil.example/",
        "\\\\evil.example\\x",
        "http://[",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "",
        "http://evil.example/" + "a" * 10_000,
    ],
)
def test_no_redirect_takes_the_token_or_a_batch_elsewhere(location: str) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(307, headers={"Location": location})

    with pytest.raises(NetworkError) as caught:
        server(answer).user()
    assert {(each.url.scheme, each.url.host, each.url.port) for each in asked} == {("http", "127.0.0.1", 9)}
    assert TOKEN not in str(caught.value)
    asked.clear()
    with pytest.raises(NetworkError):
        server(answer).append("a/b", "j", 1, 0, b"{}\n", after=None, encoding="identity")
    assert len(asked) == 1


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with an authority of its own, `ca.pem`, and what it has signed for 127.0.0.1."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def signed(name: str, issuer: x509.Name, key: Any, by: Any, *, is_authority: bool) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(issuer).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return builder.add_extension(x509.SubjectAlternativeName([address]), critical=False).sign(by, hashes.SHA256())

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = signed("authority", named("authority"), authority_key, authority_key, is_authority=True)
    served = signed("here", authority.subject, key, authority_key, is_authority=False)
    pem = serialization.Encoding.PEM
    (tmp_path / "ca.pem").write_bytes(authority.public_bytes(pem))
    (tmp_path / "served.pem").write_bytes(served.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(secret)
    return tmp_path


@pytest.fixture
def https_url(certificates: Path) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            return

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            return

    listening = Quiet(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "served.pem", certificates / "key.pem")
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    listening.server_close()
    thread.join()


def test_an_authority_of_one_s_own_counts_on_the_way_to_this_machine(
    https_url: str, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    stranger = Transport(https_url, TOKEN)
    with pytest.raises(NetworkError, match="certificate"):
        stranger.request("GET", "/v1/health")
    stranger.close()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    known = Transport(https_url, TOKEN)
    assert known.request("GET", "/v1/health").json() == {}
    known.close()


# --- what an answer is --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 502])
@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br", "deflate", "gzip, gzip"])
def test_no_answer_unfolds_in_memory(status: int, encoding: str) -> None:
    zeros = b"\0" * 1_000_000
    body = zstandard.compress(zeros) if encoding == "zstd" else gzip.compress(zeros)
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, headers={"Content-Encoding": encoding}, stream=httpx.ByteStream(body))

    with pytest.raises(NetworkError, match="compressed"):
        server(answer).health()
    assert asked[0].headers["Accept-Encoding"] == "identity"


def test_what_a_server_says_reaches_no_terminal_as_a_command() -> None:
    problem = {"type": f"https://x/{ESCAPES}", "title": ESCAPES, "status": 418, "detail": ESCAPES, "owner": ESCAPES}
    headers = {"Content-Type": "application/problem+json"}
    for status in (400, 401, 403, 409, 418, 503):
        with pytest.raises(MlDashError) as caught:
            server(always(status, json=problem, headers=headers)).append(
                "a/b", "j", 1, 0, b"{}\n", after=None, encoding="identity"
            )
        assert str(caught.value) == visible_line(str(caught.value))
        assert getattr(caught.value, "name", "").isprintable()
    user = server(always(json={"owner": ESCAPES, "token": {"name": ESCAPES, "expires": ESCAPES}})).user()
    assert all(each == visible_line(each) for each in (user.owner, user.token_name, user.token_expires) if each)


def test_what_is_shown_holds_nothing_that_acts_and_all_the_rest() -> None:
    assert visible("a\tb\nc é 漢 🎉 \x1b[31m\x9b\u202e") == "a\tb\nc é 漢 🎉 \\u001b[31m\\u009b\\u202e"
    assert visible_line("a\tb\r\nc\u2028") == "a\\u0009b\\u000d\\u000ac\\u2028"
    assert all(visible_line(chr(code)).isprintable() for code in [*range(0x20), *range(0x7F, 0xA0)])


@pytest.mark.parametrize(
    "change",
    [
        {"journal": "../../../etc"},
        {"journal": "a/b"},
        {"journal": ""},
        {"journal": "J"},
        {"journal": "\u0661"},
        {"journal": None},
        {"segment": 0},
        {"segment": -1},
        {"segment": 10**15},
        {"segment": True},
        {"segment": 1.0},
        {"offset": -1},
        {"offset": 10**18},
        {"next_seq": 0},
        {"next_seq": 2**63},
        {"time": 2**63},
        {"redactions": -1},
        {"hash": "0" * 63},
        {"hash": "../" * 21 + "0"},
    ],
)
def test_a_head_that_no_journal_has_leads_nowhere(tmp_path: Path, change: dict[str, Any]) -> None:
    root = tmp_path / "cache" / "root"
    lies = server(always(json={"prefix": "alice/a", "journals": [{**HEAD, **change}]}))
    with pytest.raises(NetworkError, match="as agreed"):
        Mirror(root, ServerSource(lies)).refresh("alice/a")
    assert files(tmp_path) == set()


def test_a_segment_without_end_is_left_where_the_journal_is_said_to_end(tmp_path: Path) -> None:
    given = 0

    def endless() -> Iterator[bytes]:
        nonlocal given
        while given < 100_000:
            given += 1
            yield b"x" * 1024

    def answer(request: httpx.Request) -> httpx.Response:
        if "segments" in request.url.path:
            return httpx.Response(200, headers={"ETag": '"x"'}, content=endless())
        return httpx.Response(200, json={"journals": [{**HEAD, "offset": 5000}], "redactions": [{"seq": 1}, {}]})

    Mirror(tmp_path, ServerSource(server(answer))).refresh("alice/a")
    assert given < 100
    (segment,) = tmp_path.rglob("*.jsonl")
    assert segment.stat().st_size == 5000
    # A declaration that is none is not kept.
    assert not list(tmp_path.rglob("redactions"))


@pytest.mark.parametrize(
    "summary",
    [
        {"prefix": "../../x", "status": "RUNNING"},
        {"prefix": "/etc/passwd"},
        {"prefix": f"alice/{ESCAPES}"},
        {"prefix": 1},
        {},
        {"prefix": "alice/a", "created": "yesterday"},
        {"prefix": "alice/a", "created": 5},
        {"prefix": "alice/a", "damage": [{"kind": "no such"}]},
        {"prefix": "alice/a", "damage": 3},
        {"prefix": "alice/a", "tags": 7},
        {"prefix": "alice/a", "seq": "many"},
        None,
        "x",
    ],
)
def test_a_list_that_is_none_is_an_error_that_says_so(tmp_path: Path, summary: Any) -> None:
    experiments = Experiments(URL, tmp_path)
    experiments._server = server(always(json={"experiments": [summary], "next": None}))
    with pytest.raises(NetworkError, match="as agreed"):
        experiments.summaries("**", None, ())


def test_a_list_without_end_is_given_up(tmp_path: Path) -> None:
    experiments = Experiments(URL, tmp_path)
    for page in ({"experiments": [], "next": "more"}, {"experiments": [{"prefix": "a/b"}], "next": "again"}):
        experiments._server = server(always(json=page))
        with pytest.raises(NetworkError, match="does not end"):
            experiments.summaries("**", None, ())


# --- content ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [10, 0])
def test_content_that_is_another_or_has_no_end_is_not_taken(tmp_path: Path, said: int) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100_000):
            yield b"x" * 100_000

    store = ContentStore(JournalFolder(tmp_path / "alice" / "a"))
    content = Content("0" * 64, said)
    lies = server(lambda request: httpx.Response(200, headers={"ETag": '"x"'}, content=endless()))
    with pytest.raises(StorageError, match="Nothing was stored under that name"):
        bring(store, content, "alice", lies)
    assert not Path(store.path_of(content.checksum)).exists()
    assert sum(each.stat().st_size for each in files(tmp_path)) < 1_000_000


@pytest.mark.parametrize(
    "checksum", ["../../../../etc/passwd", "", "0" * 63, "A" * 64, "0" * 64 + "/..", "\u0661" * 64]
)
def test_a_checksum_that_is_a_path_names_no_content(tmp_path: Path, checksum: str) -> None:
    store = ContentStore(JournalFolder(tmp_path / "alice" / "a"))
    with pytest.raises(StorageError, match="no SHA-256"):
        store.read(Content(checksum, 5))
    asked: list[httpx.Request] = []
    with pytest.raises(StorageError, match="no SHA-256"):
        bring(
            store, Content(checksum, 5), "alice", server(lambda request: asked.append(request) or httpx.Response(404))
        )
    assert asked == []
    assert files(tmp_path) == set()


def test_a_server_that_wants_to_be_left_alone_for_years_is_not(tmp_path: Path) -> None:
    from ml_dash.remote.backoff import RETRY_AFTER_S_MAX, pause_s

    for value in (
        "1000000000",
        "9" * 400,
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "-5",
        "x",
    ):
        with pytest.raises(RefusedError) as caught:
            server(always(503, headers={"Retry-After": value})).health()
        assert 0 <= pause_s(1, 1.0, caught.value.retry_after_s) <= RETRY_AFTER_S_MAX * 1.1
