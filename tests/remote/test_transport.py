"""The door to the network: where the token goes, where it does not, and what becomes of strange answers."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from ml_dash.errors import AuthenticationError, ConfigurationError, NetworkError, RefusedError
from ml_dash.remote.server import Server
from ml_dash.remote.transport import Transport

TOKEN = "mld_verysecret"
PROBLEM = b'{"type":"https://ml-dash.dev/problems/stale","title":"t","status":409,"detail":"elsewhere","head":{"a":1}}'


class Handler(BaseHTTPRequestHandler):
    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        path = self.path
        if path == "/elsewhere":
            self.answer(302, location="http://localhost:9/stolen")
        elif path == "/other-port":
            self.answer(302, location=f"http://127.0.0.1:{self.server.server_address[1] ^ 1}/stolen")  # type: ignore[operator]
        elif path == "/here":
            self.answer(302, location="/ok")
        elif path == "/circle":
            self.answer(302, location="/circle")
        elif path == "/problem":
            self.answer(409, PROBLEM, content_type="application/problem+json", retry_after="7")
        elif path == "/another" or path.startswith("/v1/journals"):
            self.answer(404, b"<html>nginx</html>", content_type="text/html")
        elif path == "/html":
            self.answer(502, b"<html>secret page</html>", content_type="text/html")
        elif path in ("/401", "/403"):
            self.answer(int(path[1:]))
        else:
            self.answer(200, b"x" * (100_000 if path == "/long" else 1))

    do_POST = do_GET

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def url() -> Iterator[str]:
    Handler.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def transport(url: str) -> Iterator[Transport]:
    made = Transport(url, TOKEN)
    yield made
    made.close()


def test_the_token_goes_in_a_header_and_stays_with_the_server(transport: Transport) -> None:
    transport.request("GET", "/here")
    assert Handler.seen == [("/here", f"Bearer {TOKEN}"), ("/ok", f"Bearer {TOKEN}")]


@pytest.mark.parametrize("path", ["/elsewhere", "/other-port"])
def test_no_redirect_leads_to_another_server(transport: Transport, path: str) -> None:
    with pytest.raises(NetworkError, match="redirects GET to http://") as caught:
        transport.request("GET", path)
    assert TOKEN not in str(caught.value)
    assert len(Handler.seen) == 1


def test_no_redirect_is_followed_by_what_changes_something(transport: Transport) -> None:
    with pytest.raises(NetworkError, match="redirects POST"):
        transport.request("POST", "/here", body=b"")


def test_redirects_in_circles_end(transport: Transport) -> None:
    with pytest.raises(NetworkError, match="circles"):
        transport.request("GET", "/circle")


@pytest.mark.parametrize("address", ["http://example.org", "http://127.0.0.1.example.org", "http://192.168.0.7:3000"])
def test_no_token_goes_over_plain_http_to_another_machine(address: str) -> None:
    with pytest.raises(ConfigurationError, match="plain HTTP") as caught:
        Transport(address, TOKEN)
    assert TOKEN not in str(caught.value)
    Transport(address).close()


@pytest.mark.parametrize(
    "address", ["http://localhost:1", "http://127.8.9.1:1", "http://[::1]:1", "https://example.org"]
)
def test_a_token_may_go_where_nobody_on_the_way_can_read_it(address: str) -> None:
    assert TOKEN not in repr(Transport(address, TOKEN))


@pytest.mark.parametrize(
    "address",
    [
        f"https://u:{TOKEN}@host",
        f"https://{TOKEN}@host",
        f"https://host/?token={TOKEN}",
        "ftp://host",
        "host",
        "http://",
    ],
)
def test_an_address_that_is_none_is_refused_without_showing_a_token(address: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Transport(address)
    assert TOKEN not in str(caught.value)


def test_a_transport_is_not_pickled(transport: Transport) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(transport)


def test_a_problem_of_the_server_comes_with_its_name_and_members(transport: Transport) -> None:
    with pytest.raises(RefusedError, match="elsewhere") as caught:
        transport.request("GET", "/problem")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.status, error.name, error.members, error.retry_after_s) == (409, "stale", {"head": {"a": 1}}, 7.0)
    assert transport.request("GET", "/problem", expected=(409,)).json()["head"] == {"a": 1}


def test_a_page_of_a_proxy_is_not_quoted(transport: Transport) -> None:
    with pytest.raises(RefusedError, match="502") as caught:
        transport.request("GET", "/html")
    assert "secret page" not in str(caught.value)


def test_another_server_than_one_of_ours_is_asked_about(transport: Transport, url: str) -> None:
    with pytest.raises(RefusedError, match="Is that the address of an ml-dash server"):
        transport.request("GET", "/another")
    with pytest.raises(NetworkError, match=rf"{url} answers something that is no JSON.*Is that the address"):
        transport.request("GET", "/ok").json()
    with pytest.raises(RefusedError, match="answers 404"):
        Server(url, None).journals("alice/ml/another")


def test_a_server_that_does_not_speak_https_is_said_to(url: str) -> None:
    with pytest.raises(NetworkError, match="does not speak HTTPS"):
        Transport(url.replace("http://", "https://")).request("GET", "/")


@pytest.mark.parametrize("token", ["", "two words", "mld_a\n", "mld_ü", "<token>", 'mld_"a"'])
def test_a_token_that_cannot_be_one_is_not_accepted_before_it_is_sent(url: str, token: str) -> None:
    with pytest.raises(AuthenticationError, match="ml-dash login") as caught:
        Transport(url, token)
    assert not token.strip() or token.strip() not in str(caught.value).replace("ML_DASH_TOKEN", "")


def test_what_is_not_accepted_says_what_to_do(transport: Transport, url: str) -> None:
    for path, words in (("/401", "does not accept the token"), ("/403", "refuses this")):
        with pytest.raises(AuthenticationError, match=words) as caught:
            transport.request("GET", path)
        assert TOKEN not in str(caught.value)
    with pytest.raises(AuthenticationError, match="ml-dash login --dash-url"):
        Transport(url).request("GET", "/401")


def test_an_answer_that_has_no_end_is_cut(transport: Transport) -> None:
    with pytest.raises(NetworkError, match="more than 1000 bytes"):
        transport.request("GET", "/long", answer_bytes_max=1000)


def test_names_travel_whatever_characters_they_have(transport: Transport) -> None:
    transport.request("GET", "/a b/ü%2F", query={"prefix": "alice/ü &=?#/x", "left out": None, "flag": True})
    assert Handler.seen[0][0] == "/a%20b/%C3%BC%252F?prefix=alice%2F%C3%BC%20%26%3D%3F%23%2Fx&flag=true"


def test_nobody_there_is_a_network_error_that_names_the_server() -> None:
    with pytest.raises(NetworkError, match=r"http://127\.0\.0\.1:1 cannot be reached"):
        Transport("http://127.0.0.1:1").request("GET", "/")
