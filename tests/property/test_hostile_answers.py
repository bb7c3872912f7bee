"""Whatever a server answers, its client raises an error of its own, or gives what it says it gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.errors import MlDashError
from ml_dash.remote.backoff import RETRY_AFTER_S_MAX, pause_s, retry_after_s
from ml_dash.remote.logging_in import EXPIRES_S_MAX, INTERVAL_S_MAX, ask
from ml_dash.remote.protocol import Head
from ml_dash.remote.server import Server
from ml_dash.remote.transport import Transport
from ml_dash.visible import visible_line

URL = "http://127.0.0.1:9"
MEMBERS = """
    journals journal segment offset next_seq hash time redactions experiments next prefix parts part_bytes owner open
    read_only token name expires head stored type title status detail bytes sha256 device_code user_code
    verification_uri verification_uri_complete expires_in interval access_token error error_description
""".split()
TEXTS = st.sampled_from(
    ["", "a/b", "k1", "0" * 64, "\x1b[2J", "../..", "http://x/", "javascript:x", "nan", "inf", "https://p/stale", "*"]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=8),
    max_leaves=20,
)
CALLS: dict[str, Callable[[Server], Any]] = {
    "user": lambda server: server.user(),
    "experiments": lambda server: server.experiments(),
    "journals": lambda server: server.journals("a/b"),
    "head": lambda server: server.head("a/b", "k1"),
    "append": lambda server: server.append("a/b", "k1", 1, 0, b"{}\n", after=None, encoding="identity"),
    "redact": lambda server: server.redact("a/b", "k1", []),
    "state": lambda server: server.state("a/b"),
    "has_blob": lambda server: server.has_blob("a", "0" * 64),
    "parts": lambda server: server.parts("a", "0" * 64),
    "put_blob": lambda server: server.put_blob("a", "0" * 64, b"x"),
    "complete_blob": lambda server: server.complete_blob("a", "0" * 64, 1),
}


@pytest.mark.parametrize("call", CALLS)
@given(
    status=st.sampled_from([200, 200, 200, 204, 206, 400, 401, 404, 409, 429, 503]),
    body=JSON,
    kind=st.sampled_from(["application/json", "application/problem+json", "text/html"]),
)
def test_no_answer_raises_anything_but_an_error_of_ours(call: str, status: int, body: Any, kind: str) -> None:
    wire = httpx.MockTransport(lambda request: httpx.Response(status, json=body, headers={"Content-Type": kind}))
    server = Server(URL, "mld_verysecret", wire=wire)
    said = ""
    found: Any = None
    try:
        found = CALLS[call](server)
    except MlDashError as error:
        said = str(error)
    finally:
        server.close()
    assert "mld_verysecret" not in said
    assert visible_line(said) == said
    heads = [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, Head)]
    assert all(0 < each.segment < 10**8 and each.journal.isalnum() for each in heads)


@given(body=JSON)
def test_a_login_waits_no_longer_than_a_person_would(body: Any) -> None:
    transport = Transport(URL, wire=httpx.MockTransport(lambda request: httpx.Response(200, json=body)))
    try:
        pending = ask(transport, "laptop")
    except MlDashError:
        return
    finally:
        transport.close()
    assert not pending.expires_in_s > EXPIRES_S_MAX
    assert 1 <= pending.interval_s <= INTERVAL_S_MAX
    assert visible_line(pending.user_code) == pending.user_code
    for address in (pending.verification_uri, pending.verification_uri_complete):
        assert address.startswith(("http://", "https://"))


@given(value=st.text(max_size=40) | st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT")))
def test_no_retry_after_makes_anybody_wait_for_long(value: str) -> None:
    asked_s = retry_after_s(value, 1_700_000_000_000_000)
    assert 0 <= pause_s(1, 1.0, asked_s) <= RETRY_AFTER_S_MAX * 1.1
