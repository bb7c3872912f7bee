"""What nobody may do: each is refused with the status that says why, and nothing of it is stored."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest
from argon2 import PasswordHasher
from starlette.types import Message

from ml_dash.server import accounts
from ml_dash.server.accounts import Accounts
from ml_dash.server.app import create_app
from ml_dash.server.device import TRIES_MAX, Devices
from ml_dash.server.settings import Settings
from ml_dash.server.store import Store
from ml_dash.server.tokens import Tokens

from .. import loopback
from .histories import JOURNAL, History
from .histories import PREFIX as SHIPPED
from .serving import GRANT_TYPE, PASSWORD, Served, add_user, approve, create_token, login, run_command, serve

SHA256 = "0" * 64
PREFIX = "alice/project/run"
READS = [
    ("GET", f"/v1/journals?prefix={PREFIX}"),
    ("GET", f"/v1/journals/abc?prefix={PREFIX}"),
    ("GET", f"/v1/journals/abc/segments/1?prefix={PREFIX}"),
    ("GET", f"/v1/commits?prefix={PREFIX}&after=0"),
    ("GET", f"/v1/events?prefix={PREFIX}&after=0"),
    ("GET", f"/v1/state?prefix={PREFIX}"),
    ("GET", f"/v1/columns?prefix={PREFIX}&metric=train"),
    ("GET", f"/v1/blobs/alice/{SHA256}"),
    ("HEAD", f"/v1/blobs/alice/{SHA256}"),
    ("GET", f"/v1/blobs/alice/{SHA256}/parts"),
]
WRITES = [
    ("POST", f"/v1/journals/abc/commits?prefix={PREFIX}&segment=1&offset=0"),
    ("POST", f"/v1/journals/abc/redactions?prefix={PREFIX}"),
    ("PUT", f"/v1/blobs/alice/{SHA256}"),
    ("PUT", f"/v1/blobs/alice/{SHA256}/parts/0"),
    ("POST", f"/v1/blobs/alice/{SHA256}/complete?bytes=1"),
]
NOBODY_S = [("GET", "/v1/user"), ("GET", "/v1/experiments")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with accounts of alice and bob."""
    store = tmp_path_factory.mktemp("served") / "store"
    for owner in ("alice", "bob"):
        add_user(store, owner)
    with serve(store) as served:
        yield served


@pytest.fixture(scope="module")
def tokens(server: Served) -> dict[str, str]:
    made = {
        "bob's": create_token(server.store, "bob"),
        "ali's": create_token(server.store, "ali"),
        "project's": create_token(server.store, "project"),
        "read-only": create_token(server.store, "alice", "--read-only"),
        "revoked": create_token(server.store, "alice", "--name", "to be revoked"),
        "expired": _expired(server),
        "good": login(server, "alice"),
    }
    ended = [line.split("\t") for line in run_command("server", "token", "list", "--store", server.store).splitlines()]
    (revoked,) = [row[0] for row in ended if row[2] == "to be revoked"]
    run_command("server", "token", "revoke", revoked, "--store", server.store)
    return made


@pytest.fixture
def nothing_is_stored(server: Served) -> Iterator[None]:
    before = contents(Path(server.store))
    yield
    assert contents(Path(server.store)) == before


def contents(store: Path) -> dict[str, bytes]:
    return {str(file.relative_to(store)): file.read_bytes() for file in sorted(store.rglob("*")) if file.is_file()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def ask(server: Served, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    body = b"{}\n" if method in ("POST", "PUT") else None
    kind = {"If-None-Match": "*", "Content-Type": "application/x-ndjson"} if "commits" in path else {}
    return loopback.request(method, server.url + path, headers={**kind, **headers}, content=body, timeout=30)


# --- tokens -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize("what", ["none", "forged", "nearly right", "revoked", "expired", "no token at all"])
def test_what_is_no_good_token_is_401_everywhere(server: Served, tokens: dict[str, str], what: str) -> None:
    good = tokens["good"]
    headers = {
        "none": {},
        "forged": bearer("mld_" + "A" * 43),
        "nearly right": bearer(good[:10] + ("A" if good[10] != "A" else "B") + good[11:]),
        "revoked": bearer(tokens["revoked"]),
        "expired": bearer(tokens["expired"]),
        "no token at all": {"Authorization": "Basic YWxpY2U6cGFzc3dvcmQ="},
    }[what]
    for method, path in READS + WRITES + NOBODY_S:
        answer = ask(server, method, path, headers)
        assert answer.status_code == 401, f"{method} {path}: {answer.text}"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        assert ('error="invalid_token"' in answer.headers["WWW-Authenticate"]) == (
            what not in ("none", "no token at all")
        )
        assert good not in answer.text


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize("whose", ["bob's", "ali's", "project's"])
def test_another_owner_s_token_reads_and_writes_nothing(server: Served, tokens: dict[str, str], whose: str) -> None:
    for method, path in READS + WRITES:
        answer = ask(server, method, path, bearer(tokens[whose]))
        assert answer.status_code == 403, f"{method} {path}: {answer.text}"
    mine = ask(server, "GET", "/v1/experiments?pattern=**", bearer(tokens[whose]))
    assert mine.json()["experiments"] == []


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize(
    "prefix", ["bob/../alice/run", "bob/./x", "/alice/x", "bob//x", "bob\\x/y", "ALICE/x", "alice"]
)
def test_no_spelling_of_a_prefix_leads_into_another_owner_s(
    server: Served, tokens: dict[str, str], prefix: str
) -> None:
    for method, path in READS[:7] + WRITES[:2]:
        answer = ask(server, method, path.replace(PREFIX, quote(prefix, safe="")), bearer(tokens["bob's"]))
        assert answer.status_code in (400, 403), f"{method} {path}: {answer.text}"


@pytest.mark.usefixtures("nothing_is_stored")
def test_a_read_only_token_reads_and_changes_nothing(server: Served, tokens: dict[str, str]) -> None:
    for method, path in WRITES:
        answer = ask(server, method, path, bearer(tokens["read-only"]))
        assert answer.status_code == 403, f"{method} {path}: {answer.text}"
    for method, path in READS:
        # Nothing is there yet; of content that may come later the parts are none.
        assert ask(server, method, path, bearer(tokens["read-only"])).status_code in (200, 404)
    assert ask(server, "GET", "/v1/user", bearer(tokens["read-only"])).json()["read_only"] is True


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer ", "Bearer a b", "Bearer\tx", "Bearer {}, Bearer {}", "Bearer \xe9", "Bearer {}\0"]
)
def test_a_malformed_authorization_is_400(server: Served, tokens: dict[str, str], value: str) -> None:
    header = value.replace("{}", tokens["good"]).encode("latin-1")
    with socket.create_connection(server.url.removeprefix("http://").split(":"), timeout=30) as wire:
        wire.sendall(
            b"GET /v1/user HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: " + header + b"\r\n\r\n"
        )
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert tokens["good"].encode() not in answer


@pytest.mark.usefixtures("nothing_is_stored")
def test_two_authorizations_are_400(server: Served, tokens: dict[str, str]) -> None:
    headers = [("Authorization", f"Bearer {tokens['good']}")] * 2
    assert loopback.get(f"{server.url}/v1/user", headers=headers).status_code == 400


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize(
    "address",
    [
        "/v1/user?token={}",
        "/v1/user?access_token={}",
        "/v1/user?API_KEY=x",
        "/v1/journals?prefix=alice/{}/x",
        "/v1/journals?prefix=alice/x&{}",
        "/{}",
        "/v1/user?password=x",
        "/v1/journals?prefix=%6dld_{rest}",
    ],
)
def test_a_token_in_an_address_is_400_also_a_good_one(server: Served, tokens: dict[str, str], address: str) -> None:
    good = tokens["good"]
    path = address.replace("{}", good).replace("{rest}", good[4:])
    answer = loopback.get(server.url + path, headers=bearer(good))
    assert (answer.status_code, answer.json()["type"].rsplit("/")[-1]) == (400, "token-in-address")
    assert good not in answer.text


def test_a_revocation_counts_on_every_server_within_seconds(server: Served) -> None:
    with serve(server.store) as other:
        token = create_token(server.store, "alice")
        for url in (server.url, other.url):
            assert loopback.get(f"{url}/v1/user", headers=bearer(token)).status_code == 200
        assert loopback.post(f"{server.url}/v1/token/revoke", data={"token": token}).status_code == 200
        assert loopback.get(f"{server.url}/v1/user", headers=bearer(token)).status_code == 401
        began = datetime.now(timezone.utc)
        while loopback.get(f"{other.url}/v1/user", headers=bearer(token)).status_code == 200:
            assert (datetime.now(timezone.utc) - began).total_seconds() < 60
        for unknown in ["mld_" + "B" * 43, "nonsense"]:
            assert loopback.post(f"{server.url}/v1/token/revoke", data={"token": unknown}).status_code == 200


def test_a_stream_of_events_ends_with_its_token(server: Served) -> None:
    history = History.of(2)
    token = create_token(server.store, "alice")
    with loopback.Client(base_url=server.url, headers=bearer(token), timeout=30) as client:
        assert ship(client, history.data(1)).status_code == 200
        with client.stream("GET", "/v1/events", params={"prefix": SHIPPED}) as stream:
            pieces = stream.iter_bytes()
            heard = next(pieces)
            while b"data" not in heard:
                heard += next(pieces)
            assert loopback.post(f"{server.url}/v1/token/revoke", data={"token": token}).status_code == 200
            before = len(history.data(1))
            history.commit()
            with loopback.Client(base_url=server.url, headers=bearer(login(server, "alice")), timeout=30) as other:
                assert ship(other, history.data(1, before), before, history.hash_at(1, before)).status_code == 200
            for piece in pieces:
                heard += piece
                assert history.data(1, before).strip() not in heard


def ship(client: httpx.Client, data: bytes, offset: int = 0, after: str | None = None) -> httpx.Response:
    return client.post(
        f"/v1/journals/{JOURNAL}/commits",
        params={"prefix": SHIPPED, "segment": 1, "offset": offset},
        headers={
            "Content-Type": "application/x-ndjson",
            **({"If-Match": f'"{after}"'} if after else {"If-None-Match": "*"}),
        },
        content=data,
    )


def test_who_is_removed_can_neither_log_in_nor_use_a_token_nor_get_one_that_was_approved(server: Served) -> None:
    add_user(server.store, "mallory")
    token = login(server, "mallory")
    asked = loopback.post(f"{server.url}/v1/device/code", data={"client_id": "ml-dash"}).json()
    assert "Approved" in approve(asked["verification_uri_complete"], "mallory").text
    run_command("server", "user", "remove", "mallory", "--store", server.store)
    form = {"grant_type": GRANT_TYPE, "device_code": asked["device_code"], "client_id": "ml-dash"}
    refused = loopback.post(f"{server.url}/v1/device/token", data=form)
    assert (refused.status_code, refused.json()["error"]) == (400, "access_denied")
    deadline = datetime.now(timezone.utc).timestamp() + 60
    while loopback.get(f"{server.url}/v1/user", headers=bearer(token)).status_code == 200:
        assert datetime.now(timezone.utc).timestamp() < deadline
    asked = loopback.post(f"{server.url}/v1/device/code", data={"client_id": "ml-dash"}).json()
    assert approve(asked["verification_uri_complete"], "mallory").status_code == 403


def test_neither_token_nor_password_nor_device_code_stands_in_the_store(server: Served, tokens: dict[str, str]) -> None:
    asked = loopback.post(f"{server.url}/v1/device/code", data={"client_id": "ml-dash"}).json()
    everything = b"".join(name.encode() + data for name, data in contents(Path(server.store)).items())
    for secret in [PASSWORD, asked["device_code"], *(token[4:] for token in tokens.values())]:
        assert secret.encode() not in everything


# --- browsers -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_is_stored")
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
)
def test_what_another_site_s_page_sends_is_403(server: Served, tokens: dict[str, str], headers: dict[str, str]) -> None:
    for path in ["/device", "/v1/device/code", "/v1/token/revoke"]:
        answer = loopback.post(server.url + path, data={"token": tokens["good"], "client_id": "x"}, headers=headers)
        assert (answer.status_code, answer.json()["type"].rsplit("/")[-1]) == (403, "cross-site")
    assert loopback.get(f"{server.url}/v1/user", headers=bearer(tokens["good"])).status_code == 200


def test_an_open_server_answers_to_names_of_its_own_machine_alone(tmp_path: Path) -> None:
    with serve(tmp_path / "store") as served:
        port = served.url.rsplit(":", 1)[1]
        for host in ["evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", ""]:
            answer = loopback.get(f"{served.url}/v1/experiments", headers={"Host": host})
            assert answer.status_code == 403, host
        for host in ["localhost", f"LOCALHOST:{port}", f"127.0.0.1:{port}", "[::1]:80"]:
            assert loopback.get(f"{served.url}/v1/experiments", headers={"Host": host}).status_code == 200, host


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((host, 200) for host in ["127.0.0.1", "127.8.8.8", "::1", "localhost"]),
        *((host, 401) for host in ["0.0.0.0", "::", "192.168.1.1", "dash.example.org", "127.0.0.1.example.org"]),
    ],
)
def test_only_a_server_on_loopback_is_ever_open(host: str, status: int) -> None:
    async def work() -> int:
        transport = httpx.ASGITransport(create_app(Store.in_memory(), Settings(host=host)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get("/v1/user")).status_code

    assert asyncio.run(work()) == status


def test_the_page_repeats_nothing_as_html_and_loads_nothing(server: Served) -> None:
    evil = '"><script>alert(1)</script>'
    shown = loopback.get(f"{server.url}/device", params={"user_code": evil})
    assert "<script" not in shown.text
    asked = loopback.post(f"{server.url}/v1/device/code", data={"client_id": evil, "device_name": evil}).json()
    form = {"user_code": asked["user_code"], "owner": "alice", "password": PASSWORD, "step": "sign-in"}
    confirmed = loopback.post(f"{server.url}/device", data=form)
    assert confirmed.status_code == 200
    wrong = loopback.post(f"{server.url}/device", data={**form, "owner": evil, "password": "x"})
    for page in (shown, confirmed, wrong):
        assert "<script" not in page.text
        assert "http" not in page.text.replace("http-equiv", "")
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "frame-ancestors 'none'" in policy
        assert "Set-Cookie" not in page.headers
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Content-Type-Options"] == "nosniff"


def test_an_answer_needs_the_password_or_what_it_was_given_for(server: Served) -> None:
    asked = loopback.post(f"{server.url}/v1/device/code", data={"client_id": "ml-dash"}).json()
    for nonce in ["", "A" * 43, asked["device_code"]]:
        form = {"user_code": asked["user_code"], "nonce": nonce, "step": "approve", "owner": "alice"}
        assert loopback.post(f"{server.url}/device", data=form).status_code == 403
    form = {"grant_type": GRANT_TYPE, "device_code": asked["device_code"], "client_id": "ml-dash"}
    assert loopback.post(f"{server.url}/v1/device/token", data=form).json()["error"] == "authorization_pending"


@pytest.mark.parametrize(
    ("path", "form", "error"),
    [
        ("/v1/device/code", {}, "invalid_request"),
        ("/v1/device/token", {"client_id": "x"}, "invalid_request"),
        ("/v1/device/token", {"client_id": "x", "device_code": "y"}, "unsupported_grant_type"),
        ("/v1/device/token", {"client_id": "x", "device_code": "y", "grant_type": GRANT_TYPE}, "invalid_grant"),
        ("/v1/token/revoke", {}, "invalid_request"),
    ],
)
def test_a_form_that_lacks_something_is_answered_as_rfc_6749_has_it(
    server: Served, path: str, form: dict[str, str], error: str
) -> None:
    answer = loopback.post(server.url + path, data=form or {"else": "1"})
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.usefixtures("nothing_is_stored")
def test_a_form_that_is_no_form_too_large_or_twofold_is_refused(server: Served) -> None:
    for path in ["/v1/device/code", "/v1/device/token", "/v1/token/revoke", "/device"]:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert loopback.post(server.url + path, json={"client_id": "x"}).status_code == 415
        assert loopback.post(server.url + path, content=b"a=" + b"x" * 20_000, headers=form).status_code == 413
        assert loopback.post(server.url + path, content=b"a=1&a=2", headers=form).status_code == 400
        assert loopback.post(server.url + path, content=b"a=\xff", headers=form).status_code == 400


# --- guessing -----------------------------------------------------------------------------------------------

GUESSES = 3_000


def guess(store: Store, path: str, forms: Iterable[dict[str, str]]) -> tuple[Counter[int], list[dict[bytes, bytes]]]:
    """So many forms from clients of 50 addresses, in this process; how often each status came, headers of every 429."""

    async def work() -> tuple[Counter[int], list[dict[bytes, bytes]]]:
        app = create_app(store, Settings(host="0.0.0.0"))
        statuses: Counter[int] = Counter()
        refused = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses[message["status"]] += 1
                if message["status"] == 429:
                    refused.append(dict(message["headers"]))

        for at, form in enumerate(forms):
            body = [{"type": "http.request", "body": urlencode(form).encode(), "more_body": False}]

            async def receive(body: list[Message] = body) -> Message:
                return body.pop() if body else {"type": "http.disconnect"}

            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": "POST",
                "scheme": "http",
                "path": path,
                "query_string": b"",
                "headers": [(b"host", b"here"), (b"content-type", b"application/x-www-form-urlencoded")],
                "client": (f"10.0.0.{at % 50}", 1),
                "server": ("here", 80),
            }
            await app(scope, receive, send)
        return statuses, refused

    return asyncio.run(work())


def with_alice() -> Store:
    store = Store.in_memory()
    asyncio.run(Accounts(store).add("alice", PASSWORD))
    return store


def test_thousands_of_guesses_of_a_device_code_are_mostly_not_even_looked_at() -> None:
    form = {"grant_type": GRANT_TYPE, "client_id": "ml-dash"}
    statuses, refused = guess(
        with_alice(), "/v1/device/token", [{**form, "device_code": f"{number:043}"} for number in range(GUESSES)]
    )
    assert statuses.keys() == {400, 429}
    assert statuses[400] < 500
    assert all(int(each[b"retry-after"]) >= 1 for each in refused)


def test_many_guesses_of_a_user_code_are_mostly_not_even_looked_at() -> None:
    letters = "BCDFGHJKLM"
    codes = ["".join(letters[int(digit)] for digit in f"{number:08}") for number in range(GUESSES // 2)]
    statuses, refused = guess(with_alice(), "/device", [{"user_code": code, "owner": "eve"} for code in codes])
    assert statuses.keys() == {400, 429}
    assert statuses[400] < 300
    assert all(int(each[b"retry-after"]) >= 1 for each in refused)


def test_many_guesses_of_a_password_are_few_whoever_s_and_from_wherever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As cheap as can be: guessers are to be stopped by what is counted here, not by what a hash costs.
    monkeypatch.setattr(accounts, "PasswordHasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    store = with_alice()

    async def codes() -> list[str]:
        app = create_app(store, Settings(host="0.0.0.0"))
        found = []
        for at in range(25):
            transport = httpx.ASGITransport(app, client=(f"10.1.0.{at}", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                answer = await client.post("/v1/device/code", data={"client_id": "eve"})
                found.append(answer.json()["user_code"])
        return found

    waiting = asyncio.run(codes())
    forms = [
        {"user_code": waiting[at % 25], "owner": "alice", "password": f"guess {at}", "step": "sign-in"}
        for at in range(GUESSES // 2)
    ]
    statuses, _ = guess(store, "/device", forms)
    # Wrong password, request ended by too many of them, too many tries.
    assert statuses.keys() <= {403, 400, 429}
    assert statuses[403] <= 130, "of one owner's password a hundred, and what grew back"
    assert len(asyncio.run(Tokens(store).all())) == 0


def test_wrong_passwords_end_a_request_wherever_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "PasswordHasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    store = with_alice()
    _, made = asyncio.run(Devices(store).request("ml-dash", "laptop", "10.0.0.1"))
    wrong = {"user_code": made.user_code, "owner": "alice", "password": "wrong password", "step": "sign-in"}
    statuses, _ = guess(store, "/device", [wrong] * TRIES_MAX + [{**wrong, "password": PASSWORD}])
    assert statuses == {403: TRIES_MAX, 400: 1}


def test_what_is_right_costs_no_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "PasswordHasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    store = with_alice()
    _, made = asyncio.run(Devices(store).request("ml-dash", "laptop", "10.0.0.1"))
    right = {"user_code": made.user_code, "owner": "alice", "password": PASSWORD, "step": "sign-in"}
    assert guess(store, "/device", [right] * 700)[0] == {200: 700}


def _expired(server: Served) -> str:
    """A token whose time is over."""

    async def made() -> str:
        text, _ = await Tokens(Store.open(server.store)).create("alice", expires_us=1)
        return text

    return asyncio.run(made())
