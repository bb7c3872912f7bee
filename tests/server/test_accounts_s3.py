"""Accounts, tokens and logins in an object store that speaks S3, with two servers in front of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import httpx
import pytest

from .. import loopback
from .object_stores import start_s3
from .serving import GRANT_TYPE, WAIT_S_MAX, add_user, approve, create_token, run_command, serve


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of this test, which every process that is started finds by its environment."""
    there = start_s3()
    for name, value in there.environment.items():
        monkeypatch.setenv(name, value)
    yield there.bucket()
    there.stop()


def test_a_login_may_begin_at_one_server_be_approved_at_another_and_gives_one_token(store: str) -> None:
    add_user(store, "alice")
    with serve(store) as one, serve(store) as other:
        asked = loopback.post(f"{one.url}/v1/device/code", data={"client_id": "ml-dash"}).json()
        page = asked["verification_uri_complete"].replace(one.url, other.url)
        assert "Approved" in approve(page, "alice").text
        form = {"grant_type": GRANT_TYPE, "device_code": asked["device_code"], "client_id": "ml-dash"}

        def redeem(url: str) -> httpx.Response:
            return loopback.post(f"{url}/v1/device/token", data=form, timeout=30)

        with ThreadPoolExecutor(8) as devices:
            answers = list(devices.map(redeem, [one.url, other.url] * 4))
        assert Counter(each.status_code for each in answers) == {200: 1, 400: 7}
        assert {each.json()["error"] for each in answers if each.status_code == 400} == {"invalid_grant"}
        (token,) = [each.json()["access_token"] for each in answers if each.status_code == 200]

        authorized = {"Authorization": f"Bearer {token}"}
        for url in (one.url, other.url):
            assert loopback.get(f"{url}/v1/user", headers=authorized).json()["owner"] == "alice"
        assert loopback.post(f"{one.url}/v1/token/revoke", data={"token": token}).status_code == 200
        deadline = monotonic() + WAIT_S_MAX
        while loopback.get(f"{other.url}/v1/user", headers=authorized).status_code == 200:
            assert monotonic() < deadline


def test_the_command_line_keeps_accounts_and_tokens_there(store: str) -> None:
    add_user(store, "alice")
    create_token(store, "alice", "--name", "ci")
    assert run_command("server", "user", "list", "--store", store).startswith("alice\t")
    assert "tokens revoked: 1" in run_command("server", "user", "remove", "alice", "--store", store)
    assert "revoked" in run_command("server", "token", "list", "--store", store)
    assert run_command("server", "user", "list", "--store", store) == ""
