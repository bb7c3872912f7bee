"""Logging in, for real: `ml-dash serve`, `ml-dash login`, and a person who answers on the page as a browser does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import IO

import pytest

from ml_dash import userinfo
from ml_dash.remote import credentials
from ml_dash.run import RUN

from .. import loopback
from ..server.serving import (
    COMMAND,
    PASSWORD,
    WAIT_S_MAX,
    Served,
    add_user,
    approve,
    create_token,
    login,
    run_command,
    serve,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with the account of alice."""
    store = tmp_path_factory.mktemp("served") / "store"
    add_user(store, "alice")
    with serve(store) as served:
        yield served


@pytest.fixture(autouse=True)
def nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "configuration"))
    return tmp_path / "configuration"


def begun_login(url: str, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """`ml-dash login` that waits for a person, and the page that it names."""
    process = subprocess.Popen(
        [*COMMAND, "login", "--dash-url", url, "--no-browser", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    return process, _page(process.stderr)


def _page(stderr: IO[str]) -> str:
    shown = ""
    while line := stderr.readline():
        shown += line
        if "code" in line and (code := re.search(r"code:\s+(\S+)", line)):
            page = re.search(r"http\S+", shown)
            assert page is not None
            assert page[0].endswith(f"?user_code={code[1]}")
            return page[0]
    raise AssertionError(shown)


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=WAIT_S_MAX)
    assert process.returncode == code, out + err
    return out, err


def test_a_login_from_the_terminal_to_the_token_and_its_end(server: Served, nobody_is_logged_in: Path) -> None:
    process, page = begun_login(server.url)
    assert "Approved" in approve(page, "alice").text
    out, err = ended(process)
    assert out.startswith(f"logged in to {server.url} as alice")
    assert "unencrypted" in err
    token = credentials.token_for(server.url)
    assert token is not None
    assert token not in out + err

    assert run_command("whoami", "--dash-url", server.url) == "alice\n"
    who = json.loads(run_command("whoami", "--dash-url", server.url, "--json"))
    assert (who["owner"], who["read_only"], who["open"]) == ("alice", False, False)
    assert who["token"]["name"].startswith("login on ")
    profile = json.loads(run_command("profile", "--dash-url", server.url, "--json"))
    assert (profile["owner"], profile["authenticated"], profile["token"]["place"]) == ("alice", True, "file")
    cached = run_command("profile", "--dash-url", server.url, "--cached", "--json")
    assert json.loads(cached)["owner"] == "alice"
    assert token not in cached + json.dumps(profile) + json.dumps(who)

    gone = json.loads(run_command("logout", "--dash-url", server.url, "--json"))
    assert gone == {"server": server.url, "was_logged_in": True, "revoked": True}
    assert [file for file in nobody_is_logged_in.rglob("*") if file.is_file()] == []
    answer = loopback.get(f"{server.url}/v1/user", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["detail"].split(";")[0]) == (401, "It was revoked")
    assert "no login" in run_command("logout", "--dash-url", server.url)
    run_command("whoami", "--dash-url", server.url, code=1)


def test_a_login_as_json_says_on_stdout_only_what_came_of_it(server: Served) -> None:
    process, page = begun_login(server.url, "--json")
    approve(page, "alice")
    out, _ = ended(process)
    said = json.loads(out)
    assert (said["server"], said["owner"], said["kept"]) == (server.url, "alice", "file")


def test_a_login_that_is_denied_fails_and_keeps_nothing(server: Served, nobody_is_logged_in: Path) -> None:
    process, page = begun_login(server.url)
    assert "Denied" in approve(page, "alice", answer="deny").text
    _, err = ended(process, code=1)
    assert "denied" in err
    assert not nobody_is_logged_in.exists()
    assert approve(page, "alice").status_code == 400, "a request that is decided waits no more"


def test_a_wrong_password_lets_nobody_in_and_the_right_one_still_does(server: Served) -> None:
    process, page = begun_login(server.url)
    for owner, password in [("alice", "wrong password"), ("bob", PASSWORD), ("alice", "")]:
        refused = approve(page, owner, password)
        assert refused.status_code == 403
        assert "Owner or password is wrong" in refused.text
    assert approve(page, "alice").status_code == 200
    ended(process)


def test_an_interrupted_login_ends_at_once_and_keeps_nothing(server: Served, nobody_is_logged_in: Path) -> None:
    process, _ = begun_login(server.url)
    process.send_signal(2)
    ended(process, code=130)
    assert not nobody_is_logged_in.exists()


def test_a_token_from_stdin_is_checked_before_it_is_kept(server: Served, nobody_is_logged_in: Path) -> None:
    token = create_token(server.store, "alice", "--read-only", "--expires", "1d", "--name", "ci")
    run_command("login", "--dash-url", server.url, "--with-token", stdin=token[:-1] + "?\n", code=1)
    run_command("login", "--dash-url", server.url, "--with-token", stdin="\n", code=2)
    assert not nobody_is_logged_in.exists()
    run_command("login", "--dash-url", server.url, "--with-token", stdin=f"{token}\n")
    who = json.loads(run_command("whoami", "--dash-url", server.url, "--json"))
    assert (who["read_only"], who["token"]["name"]) == (True, "ci")


def test_the_environment_s_token_is_used_and_said_to_be(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_TOKEN", create_token(server.store, "carol"))
    assert run_command("whoami", "--dash-url", server.url) == "carol\n"
    profile = json.loads(run_command("profile", "--dash-url", server.url, "--json"))
    assert profile["token"] == {"place": "environment", "name": "ML_DASH_TOKEN"}
    monkeypatch.setenv("ML_DASH_API_URL", server.url)
    assert run_command("whoami") == "carol\n"


def test_a_refused_token_of_the_environment_is_said_to_be_that(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "mld_" + "x" * 43
    monkeypatch.setenv("ML_DASH_API_KEY", token)
    ended = subprocess.run(
        [*COMMAND, "whoami", "--dash-url", server.url], capture_output=True, text=True, timeout=WAIT_S_MAX
    )
    assert ended.returncode == 1
    assert "ML_DASH_API_KEY is set" in ended.stderr
    assert token not in ended.stderr


def test_userinfo_is_the_owner_of_the_token_and_nobody_without_one(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_DASH_API_URL", server.url)
    assert RUN.api_url == server.url
    members = "username name id email given_name family_name picture".split()
    assert [getattr(userinfo.refresh(), name) for name in members] == [None] * 7
    assert (bool(userinfo), repr(userinfo)) == (False, "UserInfo(not authenticated)")
    credentials.store_token(server.url, login(server, "alice"), "alice")
    assert userinfo.username is None, "asked once"
    assert [getattr(userinfo.refresh(), name) for name in members] == ["alice"] * 3 + [None] * 4
    assert (bool(userinfo), repr(userinfo)) == (True, "UserInfo(alice)")
    # A server that is not there.
    monkeypatch.setenv("ML_DASH_API_URL", "http://127.0.0.1:9")
    assert userinfo.username is None


def test_nobody_needs_to_log_in_to_an_open_server_until_it_is_closed(tmp_path: Path) -> None:
    with serve(tmp_path / "store") as served:
        assert "open" in run_command("login", "--dash-url", served.url, "--no-browser")
        assert loopback.get(f"{served.url}/v1/user").json()["open"] is True
        assert loopback.get(f"{served.url}/device").status_code == 409
        token = create_token(served.store, "alice")
        assert _status_soon(served.url, 401) == 401
        said = loopback.get(f"{served.url}/v1/user", headers={"Authorization": f"Bearer {token}"}).json()
        assert (said["owner"], said["open"]) == ("alice", False)


def _status_soon(url: str, expected: int) -> int:
    for _ in range(200):
        status = loopback.get(f"{url}/v1/user").status_code
        if status == expected:
            break
        threading.Event().wait(0.05)
    return status


def test_a_server_that_others_reach_needs_accounts(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, "serve", "--store", str(tmp_path / "store"), "--host", "0.0.0.0", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=WAIT_S_MAX,
    )
    assert ended.returncode == 2
    assert "ml-dash server user add" in ended.stderr
    assert "http://" not in ended.stdout


# --- what must never happen ---------------------------------------------------------------------------------


class Thief(BaseHTTPRequestHandler):
    """Another host, which writes down all that it is sent."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        heard: list[str] = self.server.heard  # type: ignore[attr-defined]
        heard.append(f"{self.path} {self.headers} {self.rfile.read(length)!r}")
        to: str | None = self.server.redirects_to  # type: ignore[attr-defined]
        self.send_response(307 if to else 200)
        if to:
            self.send_header("Location", to + self.path)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        return


@pytest.fixture
def hosts() -> Iterator[tuple[HTTPServer, HTTPServer]]:
    """One that redirects everything to the other."""
    made = [HTTPServer(("127.0.0.1", 0), Thief) for _ in range(2)]
    for each in made:
        each.heard = []  # type: ignore[attr-defined]
        each.redirects_to = None  # type: ignore[attr-defined]
        threading.Thread(target=each.serve_forever, daemon=True).start()
    made[0].redirects_to = f"http://127.0.0.1:{made[1].server_port}"  # type: ignore[attr-defined]
    yield made[0], made[1]
    for each in made:
        each.shutdown()
        each.server_close()


def test_a_token_follows_no_redirect_to_another_host(
    hosts: tuple[HTTPServer, HTTPServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "mld_" + "t" * 43
    url = f"http://127.0.0.1:{hosts[0].server_port}"
    monkeypatch.setenv("ML_DASH_TOKEN", token)
    ended = subprocess.run([*COMMAND, "whoami", "--dash-url", url], capture_output=True, text=True, timeout=WAIT_S_MAX)
    assert ended.returncode == 1
    assert "redirects" in ended.stderr
    assert token not in ended.stdout + ended.stderr
    monkeypatch.delenv("ML_DASH_TOKEN")
    credentials.store_token(url, token, "alice")
    run_command("logout", "--dash-url", url)
    assert token in str(hosts[0].heard)  # type: ignore[attr-defined]
    assert hosts[1].heard == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", [["login"], ["whoami"], ["login", "--with-token"]])
def test_a_token_never_travels_over_plain_http_to_another_machine(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "mld_" + "t" * 43
    environment = os.environ | ({"ML_DASH_TOKEN": token} if command == ["whoami"] else {})
    ended = subprocess.run(
        [*COMMAND, *command, "--dash-url", "http://dash.invalid"],
        input=f"{token}\n",
        capture_output=True,
        text=True,
        timeout=WAIT_S_MAX,
        env=environment,
    )
    assert ended.returncode == 2
    assert "https://" in ended.stderr
    assert token not in ended.stdout + ended.stderr


def test_an_address_with_a_password_in_it_is_refused_and_not_repeated() -> None:
    ended = subprocess.run(
        [*COMMAND, "whoami", "--dash-url", "https://alice:hunter22@dash.invalid"],
        capture_output=True,
        text=True,
        timeout=WAIT_S_MAX,
    )
    assert ended.returncode == 2
    assert "hunter22" not in ended.stdout + ended.stderr
