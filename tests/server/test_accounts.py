"""Accounts, tokens and device requests in a store, in memory and in a directory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from ml_dash.errors import ConfigurationError, StorageError
from ml_dash.server import accounts as accounts_module
from ml_dash.server import device as device_module
from ml_dash.server import tokens as tokens_module
from ml_dash.server.accounts import Account, Accounts, check_spelling
from ml_dash.server.device import LETTERS, LIFE_S, TRIES_MAX, Devices, Refused, normal_code, shown_code
from ml_dash.server.store import Store
from ml_dash.server.tokens import Tokens

PASSWORD = "correct horse battery"
OpenStore = Callable[[], Store]


@pytest.fixture(params=["memory", "directory"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Each call is one more server process's view of the same store."""
    if request.param == "directory":
        return lambda: Store.open(tmp_path / "store")
    store = Store.in_memory()
    return lambda: store


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hash costs is argon2's; the tests over HTTP pay it."""
    monkeypatch.setattr(accounts_module, "PasswordHasher", lambda: PasswordHasher(1, 8, 1))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def contents(store: Store) -> list[bytes]:
    return [each.path.encode() + b" " + await store.read(each.path) for each in await store.list("")]


# --- accounts -----------------------------------------------------------------------------------------------


def test_an_account_is_known_by_its_name_and_password_alone(open_store: OpenStore) -> None:
    async def work() -> None:
        accounts = Accounts(open_store())
        await accounts.add("alice", PASSWORD)
        found = await Accounts(open_store()).check("alice", PASSWORD)
        assert found is not None
        assert found.owner == "alice"
        for owner, password in [
            ("alice", PASSWORD + "."),
            ("alice", ""),
            ("Alice", PASSWORD),
            ("bob", PASSWORD),
            ("", PASSWORD),
            ("a" * 300, PASSWORD),
            ("alice\0", PASSWORD),
            ("../alice", PASSWORD),
            ("\ud800", PASSWORD),
        ]:
            assert await accounts.check(owner, password) is None, owner
        assert not [data for data in await contents(open_store()) if PASSWORD.encode() in data]
        assert "argon2" not in repr(found)

    run(work())


def test_a_password_may_be_composed_in_any_way_and_be_of_any_script(open_store: OpenStore) -> None:
    async def work() -> None:
        accounts = Accounts(open_store())
        await accounts.add("zoë", "pässwörd 日本語")
        assert await accounts.check("zoë", "pa\u0308sswo\u0308rd 日本語") is not None

    run(work())


def test_a_name_or_password_of_no_use_is_refused_and_nothing_is_stored(open_store: OpenStore) -> None:
    async def work() -> None:
        accounts = Accounts(open_store())
        for owner in ["", " ", ".", "..", "a/b", "a\\b", "a\nb", "_journal", "a" * 256, "\ud800"]:
            with pytest.raises(ConfigurationError, match="nobody's name"):
                await accounts.add(owner, PASSWORD)
        with pytest.raises(ConfigurationError, match="too short"):
            await accounts.add("alice", "seven77")
        with pytest.raises(ConfigurationError, match="too long"):
            await accounts.add("alice", "x" * 1001)
        assert await accounts.all() == []

    run(work())


def test_an_account_is_replaced_only_on_purpose_and_its_old_password_is_no_longer_good(open_store: OpenStore) -> None:
    async def work() -> None:
        accounts = Accounts(open_store())
        await accounts.add("alice", PASSWORD)
        with pytest.raises(ConfigurationError, match="--replace"):
            await accounts.add("alice", "another password")
        await accounts.add("alice", "another password", replace=True)
        assert await accounts.check("alice", PASSWORD) is None
        assert await accounts.check("alice", "another password") is not None
        await accounts.remove("alice")
        assert await accounts.check("alice", "another password") is None
        assert await accounts.all() == []
        with pytest.raises(ConfigurationError, match="no account"):
            await accounts.remove("alice")
        await accounts.add("alice", PASSWORD)
        assert [each.owner for each in await accounts.all()] == ["alice"]

    run(work())


def test_two_changes_at_once_are_one_change_and_one_error(open_store: OpenStore) -> None:
    async def work() -> None:
        results = await asyncio.gather(
            *(Accounts(open_store()).add("alice", f"password {number}") for number in range(4)), return_exceptions=True
        )
        assert Counter(type(each) for each in results) == {type(None): 1, StorageError: 3}
        winner = results.index(None)
        assert await Accounts(open_store()).check("alice", f"password {winner}") is not None

    run(work())


def test_names_that_a_store_could_mix_up_are_not_both_taken(open_store: OpenStore) -> None:
    async def work() -> None:
        accounts = Accounts(open_store())
        await accounts.add("Alice", PASSWORD)
        with pytest.raises(ConfigurationError, match="case"):
            await accounts.add("alice", PASSWORD)

    run(work())
    with pytest.raises(ConfigurationError, match="case"):
        check_spelling("STRASSE", ["straße"])
    check_spelling("alice", ["alice", "bob"])


def test_a_directory_that_becomes_a_store_is_closed_to_others_on_the_machine(tmp_path: Path) -> None:
    Store.open(tmp_path / "new" / "store")
    assert (tmp_path / "new" / "store").stat().st_mode & 0o777 == 0o700
    (tmp_path / "mine").mkdir(mode=0o750)
    Store.open(tmp_path / "mine")
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o750, "what is there already is as somebody wanted it"


# --- tokens -------------------------------------------------------------------------------------------------


def test_a_token_is_found_by_its_text_which_the_store_does_not_hold(open_store: OpenStore) -> None:
    async def work() -> None:
        text, token = await Tokens(open_store()).create("alice", "ci", read_only=True)
        assert len(text) == 4 + 43
        assert await Tokens(open_store()).find(text) == token
        assert (token.owner, token.name, token.read_only, token.is_revoked) == ("alice", "ci", True, False)
        assert not [data for data in await contents(open_store()) if text[4:].encode() in data]
        for forged in [text[:-1], text + "A", text[:-1] + ("A" if text[-1] != "A" else "B"), "", "mld_", token.hash]:
            assert await Tokens(open_store()).find(forged) is None

    run(work())


def test_a_revoked_token_is_not_good_here_at_once_and_elsewhere_soon(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        now_s = 100.0
        monkeypatch.setattr(tokens_module, "monotonic_s", lambda: now_s)
        here, elsewhere = Tokens(open_store()), Tokens(open_store())
        text, token = await here.create("alice")
        for server in (here, elsewhere):
            found = await server.find(text)
            assert found is not None
            assert not found.is_revoked
        assert await here.revoke(token) is True
        assert await elsewhere.revoke(token) is False
        found = await here.find(text)
        assert found is not None
        assert found.is_revoked

        third = Tokens(open_store())
        text, token = await here.create("alice")
        assert await third.find(text) is not None
        await here.revoke(token)
        now_s += tokens_module.REMEMBERED_S
        found = await third.find(text)
        assert found is not None
        assert found.is_revoked
        assert tokens_module.REMEMBERED_S <= 5

    run(work())


def test_a_token_expires_also_where_it_is_remembered(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        now_us = 1_000_000
        monkeypatch.setattr(tokens_module, "now_us", lambda: now_us)
        tokens = Tokens(open_store())
        text, _ = await tokens.create("alice", expires_us=2_000_000)
        found = await tokens.find(text)
        assert found is not None
        assert not found.is_expired()
        now_us = 2_000_000
        found = await tokens.find(text)
        assert found is not None
        assert found.is_expired()

    run(work())


# --- device requests ----------------------------------------------------------------------------------------


def test_a_request_is_decided_once_and_redeemed_once_whoever_tries(open_store: OpenStore) -> None:
    async def work() -> None:
        servers = [Devices(open_store()) for _ in range(4)]
        code, made = await servers[0].request("ml-dash", "laptop", "10.0.0.1")
        decided = await asyncio.gather(
            *(each.decide(made, f"owner-{at}", at % 2 == 0) for at, each in enumerate(servers * 3))
        )
        assert decided.count(True) == 1
        results = await asyncio.gather(*(each.redeem(code, "ml-dash") for each in servers * 3), return_exceptions=True)
        if decided.index(True) % 2 == 0:
            won = [each for each in results if isinstance(each, tuple)]
            assert won == [(f"owner-{decided.index(True)}", made)]
            assert {each.error for each in results if isinstance(each, Refused)} == {"invalid_grant"}
        else:
            assert {each.error for each in results if isinstance(each, Refused)} == {"access_denied"}
        assert await servers[0].waiting(made.user_code) is None

    for _ in range(3):
        run(work())


def test_what_a_person_types_as_the_code_may_look_as_it_likes(open_store: OpenStore) -> None:
    async def work() -> None:
        devices = Devices(open_store())
        _, made = await devices.request("ml-dash", "laptop", "10.0.0.1")
        shown = shown_code(made.user_code)
        for typed in [shown, shown.lower(), made.user_code, f" {shown[:4]} – {shown[5:]} ", " ".join(shown)]:
            assert await devices.waiting(typed) == made, typed
        assert set(made.user_code) <= set(LETTERS)

    run(work())
    for wrong in ["", "BCDF", "BCDF-GHJK-L", "AEIO-UAEI", "BCDF-GHJ0", "../../etc", "b" * 5000]:
        assert normal_code(wrong) is None


def refusal(devices: Devices, code: str, client: str = "ml-dash") -> Coroutine[Any, Any, str]:
    async def work() -> str:
        with pytest.raises(Refused) as caught:
            await devices.redeem(code, client)
        return caught.value.error

    return work()


def test_a_device_hears_what_rfc_8628_has_for_it(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        now_s, now_us = 0.0, 10**15
        monkeypatch.setattr(device_module, "monotonic_s", lambda: now_s)
        monkeypatch.setattr(device_module, "now_us", lambda: now_us)
        devices = Devices(open_store())
        code, made = await devices.request("ml-dash", "laptop", "10.0.0.1")
        assert await refusal(devices, code) == "authorization_pending"
        now_s += 2
        assert await refusal(devices, code) == "authorization_pending"
        now_s += 1
        assert await refusal(devices, code) == "slow_down"
        now_s += 6
        assert await refusal(devices, code) == "slow_down", "7 s from the slow_down on, for this and every later poll"
        now_s += 12
        assert await refusal(devices, code) == "authorization_pending"
        assert await refusal(devices, code, client="another") == "invalid_grant"
        assert await refusal(devices, code[:-1] + "?") == "invalid_grant"
        assert await refusal(devices, "A" * 43) == "invalid_grant"
        now_us += LIFE_S * 1_000_000
        assert await refusal(devices, code) == "expired_token"
        assert await devices.waiting(made.user_code) is None
        late, made = await devices.request("ml-dash", "laptop", "10.0.0.1")
        assert await devices.decide(made, "alice", True)
        now_us += LIFE_S * 1_000_000
        assert await refusal(devices, late) == "expired_token", "also where it was approved"

    run(work())


def test_wrong_passwords_end_a_request_on_all_servers(open_store: OpenStore) -> None:
    async def work() -> None:
        servers = [Devices(open_store()) for _ in range(3)]
        _, made = await servers[0].request("ml-dash", "laptop", "10.0.0.1")
        for number in range(TRIES_MAX):
            assert await servers[number % 3].waiting(made.user_code) == made
            await servers[number % 3].count_try(made)
        for each in servers:
            assert await each.waiting(made.user_code) is None

    run(work())


def test_a_nonce_stands_for_one_owner_and_one_request(open_store: OpenStore) -> None:
    async def work() -> None:
        devices = Devices(open_store())
        _, first = await devices.request("ml-dash", "laptop", "10.0.0.1")
        _, second = await devices.request("ml-dash", "laptop", "10.0.0.1")
        nonce = await devices.sign_in(first, "alice")
        assert await devices.signed_in(first, nonce) == "alice"
        assert await devices.signed_in(second, nonce) is None
        for wrong in ["", "A" * 43, nonce[:-1], "../request", first.id]:
            assert await devices.signed_in(first, wrong) is None

    run(work())


def test_requests_that_are_long_over_are_removed_and_others_stay(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        devices = Devices(open_store())
        code, made = await devices.request("ml-dash", "laptop", "10.0.0.1")
        await devices.remove_old()
        assert await devices.waiting(made.user_code) == made
        monkeypatch.setattr(device_module, "OLD", -device_module.OLD)
        await Devices(open_store()).remove_old()
        assert await open_store().list("devices") == []
        assert await refusal(devices, code) == "invalid_grant"

    run(work())


def test_an_account_shows_no_hash() -> None:
    assert "secret" not in repr(Account("alice", 1, 0, "secret"))
