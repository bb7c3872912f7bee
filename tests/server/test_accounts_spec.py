"""spec/accounts.md against the code: every number and name that it states."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from ml_dash.remote import credentials
from ml_dash.remote.protocol import PROBLEMS
from ml_dash.server import accounts, device, tokens
from ml_dash.server.account_routes import LOGIN_LIFE
from ml_dash.server.authentication import OPEN_REMEMBERED_S, Access
from ml_dash.server.limits import Rate
from ml_dash.server.settings import Settings

PAGE = (Path(__file__).parents[2] / "spec/accounts.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())

STATED = [
    f"within {OPEN_REMEMBERED_S:g} s of the first one",
    f"remembers for {tokens.REMEMBERED_S:g} s that a token is good",
    f"{accounts.PASSWORD_CHARACTERS_MIN} to {accounts.PASSWORD_CHARACTERS_MAX:,} characters",
    f"{device.LETTER_COUNT} letters of `{device.LETTERS}`",
    f"good for {device.LIFE_S} s; the interval is {device.INTERVAL_S} s, and {device.SLOWER_S} s more",
    f"{device.TRIES_MAX} wrong passwords end a request",
    f"good for {LOGIN_LIFE // timedelta(days=1)} days",
    f"(service `{credentials.SERVICE}`), which is waited for {credentials.READ_S_MAX:g} s, "
    f"or {credentials.STORE_S_MAX:g} s",
    " else ".join(f"`{name}`," for name in credentials.VARIABLES).removesuffix(","),
    "47 characters",
]


@pytest.mark.parametrize("statement", STATED)
def test_the_page_states_what_the_code_does(statement: str) -> None:
    assert statement in TEXT


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    access = Access(None, Settings())

    def words(rate: Rate) -> str:
        return f"{rate.burst}, then one in {rate.interval_s:g} s"

    rows = {cells[0]: cells[1:] for cells in re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)}
    for name, limit in [
        ("a user code that nobody waits with", access._codes),
        ("a device code that is unknown", access._device_codes),
        ("asking for a device code", access._requests),
    ]:
        assert rows[name] == (f"client: {words(limit._for_each)}", words(limit._for_all))
    pair, client, owner = access._passwords_of_pair, access._passwords_of_client, access._passwords_of_owner
    assert rows["a wrong password"] == (
        f"owner and client: {words(pair._for_each)}; client: {words(client._for_each)}; "
        f"owner: {words(owner._for_each)}",
        words(owner._for_all),
    )
    assert pair._for_all == client._for_all == owner._for_all


def test_every_problem_of_the_page_is_one_of_the_protocol() -> None:
    named = set(re.findall(r"\b[45]\d\d `([a-z-]+)`", PAGE))
    assert named
    assert named <= PROBLEMS.keys()


def test_a_token_is_as_long_as_the_page_says() -> None:
    assert tokens.FORM.fullmatch("mld_" + "x" * (47 - 4)) is not None
