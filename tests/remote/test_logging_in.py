"""The device's side of RFC 8628, against every answer that a server may give; a list takes the network's place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ml_dash.errors import AuthenticationError, MlDashError, NetworkError, RefusedError
from ml_dash.remote import logging_in
from ml_dash.remote.logging_in import Pending, ask, wait
from ml_dash.remote.transport import Transport

URL = "https://dash.example.org"
CODE = "d3v1c3" * 7
CODES: dict[str, Any] = {
    "device_code": CODE,
    "user_code": "WDJB-MJHT",
    "verification_uri": f"{URL}/device",
    "verification_uri_complete": f"{URL}/device?user_code=WDJB-MJHT",
    "expires_in": 600,
    "interval": 2,
}
TOKEN = {"access_token": "mld_secret", "token_type": "Bearer", "owner": "alice"}
PENDING = Pending(CODE, "WDJB-MJHT", f"{URL}/device", f"{URL}/device", 600.0, 2.0)
Answer = Callable[[], httpx.Response]


def says(error: str, status: int = 400) -> Answer:
    return lambda: httpx.Response(status, json={"error": error, "error_description": "why"})


def problem(status: int, headers: dict[str, str] | None = None) -> Answer:
    return lambda: httpx.Response(status, json={"title": "no"}, headers=headers)


def token() -> httpx.Response:
    return httpx.Response(200, json=TOKEN)


def unreachable() -> httpx.Response:
    raise httpx.ConnectError("nobody is there")


class Clock:
    """Time passes only in pauses."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        self.pauses: list[float] = []
        patch.setattr(logging_in, "monotonic_s", lambda: self.now_s)
        patch.setattr(logging_in, "sleep_s", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def answering(*answers: Answer, asked: list[bytes] | None = None) -> Transport:
    """A transport to a server that gives these answers, and the last one for ever."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request.content)
        return (left.pop(0) if len(left) > 1 else left[0])()

    return Transport(URL, wire=httpx.MockTransport(answer))


def test_polling_keeps_the_pace_that_it_is_told(clock: Clock) -> None:
    asked: list[bytes] = []
    answers = [
        says("authorization_pending"),
        says("slow_down"),
        says("authorization_pending"),
        says("slow_down"),
        token,
    ]
    assert wait(answering(*answers, asked=asked), PENDING) == ("mld_secret", "alice")
    assert clock.pauses == [2, 2, 7, 7, 12]
    assert len(asked) == 5
    assert all(f"device_code={CODE}".encode() in each for each in asked)


def test_a_server_that_is_away_is_asked_half_as_often_each_time(clock: Clock) -> None:
    answers = [unreachable, unreachable, problem(503), says("authorization_pending"), token]
    assert wait(answering(*answers), PENDING) == ("mld_secret", "alice")
    assert clock.pauses == [2, 4, 8, 16, 16]


def test_what_the_server_asks_for_is_waited_at_least(clock: Clock) -> None:
    assert wait(answering(problem(429, {"Retry-After": "40"}), token), PENDING)[0] == "mld_secret"
    assert clock.pauses == [2, 40]


@pytest.mark.parametrize("answer", [says("authorization_pending"), says("slow_down"), unreachable, problem(502)])
def test_waiting_ends_with_the_code(clock: Clock, answer: Answer) -> None:
    told: list[float] = []
    with pytest.raises(AuthenticationError, match="ml-dash login"):
        wait(answering(answer), PENDING, told.append)
    assert sum(clock.pauses) == pytest.approx(600)
    assert told[0] == 600
    assert told == sorted(told, reverse=True)


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (says("access_denied"), AuthenticationError, "denied"),
        (says("expired_token"), AuthenticationError, "expired"),
        (says("invalid_grant"), AuthenticationError, "why"),
        (says("\x1b[2Jboo"), AuthenticationError, "why"),
        (lambda: httpx.Response(400, json=[]), AuthenticationError, "does not say why"),
        (lambda: httpx.Response(400, text="no"), NetworkError, "no JSON"),
        (problem(409), RefusedError, "no"),
        (problem(401), AuthenticationError, "token"),
        (lambda: httpx.Response(200, json={}), NetworkError, "no token"),
        (lambda: httpx.Response(200, json={"access_token": 5}), NetworkError, "no token"),
        (lambda: httpx.Response(302, headers={"Location": "https://evil.example"}), AuthenticationError, "expired"),
    ],
)
def test_a_login_that_has_come_to_an_end_says_why(
    clock: Clock, answer: Answer, error: type[MlDashError], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        wait(answering(answer), PENDING)
    assert CODE not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "changed",
    [
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri_complete": "file:///etc/passwd"},
        {"verification_uri": "https://dash.example.org/\x1b[2J"},
        {"verification_uri": None},
        {"user_code": "\x1b[2J"},
        {"device_code": None, "expires_in": "soon"},
        {"expires_in": None},
        {"interval": []},
    ],
)
def test_an_answer_that_is_no_login_is_refused_before_anything_is_opened(changed: dict[str, Any]) -> None:
    with pytest.raises(NetworkError) as caught:
        ask(answering(lambda: httpx.Response(200, json={**CODES, **changed})), "laptop")
    assert str(caught.value).isprintable()


def test_a_login_has_what_the_server_says_and_the_defaults_of_the_rfc() -> None:
    asked: list[bytes] = []
    pending = ask(answering(lambda: httpx.Response(200, json=CODES), asked=asked), "my laptop")
    assert (pending.user_code, pending.interval_s, pending.expires_in_s) == ("WDJB-MJHT", 2, 600)
    assert b"client_id=ml-dash" in asked[0]
    assert b"device_name=my+laptop" in asked[0]
    assert CODE not in repr(pending)
    bare = {name: value for name, value in CODES.items() if name not in ("interval", "verification_uri_complete")}
    pending = ask(answering(lambda: httpx.Response(200, json=bare)), "laptop")
    assert (pending.interval_s, pending.verification_uri_complete) == (5, f"{URL}/device")
    pending = ask(answering(lambda: httpx.Response(200, json={**CODES, "interval": 0})), "laptop")
    assert pending.interval_s == 1
