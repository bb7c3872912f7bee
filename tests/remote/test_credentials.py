"""Where tokens are kept: a real file, and keychains that work, raise, hang and forget."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backends.fail
import keyring.backends.null
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

from ml_dash.errors import AuthenticationError, ConfigurationError, StorageError
from ml_dash.remote import credentials

URL = "https://dash.example.org"
TOKEN = "mld_" + "s3cret" * 7 + "x"


class Keychain(KeyringBackend):
    """As an operating system's, in memory."""

    priority = 1
    name = "test keychain"

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError("not there")


class Locked(Keychain):
    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked(f"locked, and here is a secret: {TOKEN}")

    set_password = get_password  # type: ignore[assignment]


class Forgetful(Keychain):
    def set_password(self, service: str, username: str, password: str) -> None:
        return


class Silent(Keychain):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.end = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        self.end.wait()
        return None

    set_password = get_password  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "configuration"))
    monkeypatch.setattr(credentials, "_problem", None)
    before = keyring.get_keyring()
    yield tmp_path / "configuration"
    keyring.set_keyring(before)


@pytest.fixture
def keychain() -> Keychain:
    made = Keychain()
    keyring.set_keyring(made)
    return made


@pytest.mark.parametrize(
    "url",
    [
        "https://dash.example.org/",
        "https://dash.example.org:443",
        "HTTPS://Dash.Example.ORG.",
        "https://dash.example.org/below/it",
    ],
)
def test_a_server_has_one_token_however_it_is_spelled(url: str, keychain: Keychain) -> None:
    credentials.store_token(URL, TOKEN, "alice")
    assert credentials.token_for(url) == TOKEN
    assert credentials.server_name(url) == URL


@pytest.mark.parametrize(
    "other", ["http://dash.example.org", "https://dash.example.org:8443", "https://example.org", "https://[::1]:8443"]
)
def test_another_scheme_port_or_host_gets_another_token_or_none(other: str, keychain: Keychain) -> None:
    credentials.store_token(URL, TOKEN, "alice")
    assert credentials.token_for(other) is None
    credentials.store_token(other, "another", "bob")
    assert (credentials.token_for(other), credentials.token_for(URL)) == ("another", TOKEN)


def test_what_is_no_address_or_holds_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        credentials.token_for(f"https://alice:{TOKEN}@dash.example.org")
    assert TOKEN not in str(caught.value)
    for wrong in ["dash.example.org", "ftp://dash.example.org", "https://"]:
        with pytest.raises(ConfigurationError, match="no address"):
            credentials.token_for(wrong)


def test_a_keychain_keeps_the_token_and_no_file_does(keychain: Keychain, folder: Path) -> None:
    kept = credentials.store_token(URL, TOKEN, "alice")
    assert (kept.place, kept.name, kept.owner) == ("keychain", "test keychain", "alice")
    assert credentials.describe(URL) == kept
    assert not folder.exists()
    assert TOKEN not in repr(kept)


def test_a_token_moves_from_the_file_to_the_keychain_once_there_is_one(folder: Path) -> None:
    credentials.store_token(URL, "old", "alice")
    assert list(folder.rglob("*.json"))
    keyring.set_keyring(Keychain())
    credentials.store_token(URL, TOKEN, "alice")
    assert not list(folder.rglob("*.json"))
    assert credentials.token_for(URL) == TOKEN


@pytest.mark.parametrize(
    "chain", [keyring.backends.null.Keyring, keyring.backends.fail.Keyring, Locked, Forgetful], ids=lambda c: c.__name__
)
def test_without_a_keychain_a_file_keeps_it_that_only_its_owner_reads(
    chain: type[KeyringBackend], folder: Path
) -> None:
    keyring.set_keyring(chain())
    kept = credentials.store_token(URL, TOKEN, "alice")
    assert kept.place == "file"
    assert stat.S_IMODE(Path(kept.name).stat().st_mode) == 0o600
    assert credentials.token_for(URL) == TOKEN
    assert credentials.describe(URL) == kept
    problem = credentials.keychain_problem()
    assert chain is Forgetful or problem
    assert TOKEN not in str(problem)
    assert ("locked" in credentials.hint().lower()) == (chain is Locked)
    assert [file.name for file in folder.rglob("*") if file.is_file()] == ["https-dash.example.org.json"]


def test_a_file_that_others_can_read_is_closed_to_them_when_it_is_read(folder: Path) -> None:
    file = Path(credentials.store_token(URL, TOKEN, "alice").name)
    file.chmod(0o644)
    assert credentials.token_for(URL) == TOKEN
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_for_another_server_or_torn_is_an_error_that_says_what_to_do(folder: Path) -> None:
    file = Path(credentials.store_token(URL, TOKEN, "alice").name)
    whole = file.read_bytes()
    for broken in [whole[:-10], whole.replace(b"dash.example", b"evil.example"), b""]:
        file.write_bytes(broken)
        with pytest.raises(AuthenticationError, match="ml-dash login") as caught:
            credentials.token_for(URL)
        assert TOKEN not in str(caught.value)


def test_the_environment_wins_over_what_is_kept(keychain: Keychain, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials.store_token(URL, TOKEN, "alice")
    monkeypatch.setenv("ML_DASH_API_KEY", "second")
    assert credentials.token_for(URL) == "second"
    monkeypatch.setenv("ML_DASH_TOKEN", " first ")
    assert credentials.token_for(URL) == "first"
    assert credentials.kept_token(URL) == TOKEN
    assert "ML_DASH_TOKEN" in credentials.hint()
    described = credentials.describe(URL)
    assert described is not None
    assert (described.place, described.name, described.owner) == ("environment", "ML_DASH_TOKEN", None)
    monkeypatch.setenv("ML_DASH_TOKEN", " ")
    monkeypatch.delenv("ML_DASH_API_KEY")
    assert credentials.token_for(URL) == TOKEN


def test_what_is_forgotten_is_gone_from_keychain_and_file(keychain: Keychain, folder: Path) -> None:
    credentials.store_token(URL, TOKEN, "alice")
    assert credentials.forget(URL) is True
    assert keychain.kept == {}
    assert credentials.token_for(URL) is None
    assert credentials.describe(URL) is None
    assert credentials.forget(URL) is False
    keyring.set_keyring(keyring.backends.fail.Keyring())
    credentials.store_token(URL, TOKEN, "alice")
    assert credentials.forget(URL) is True
    assert not [file for file in folder.rglob("*") if file.is_file()]


def test_a_keychain_that_never_answers_is_waited_for_once_and_the_file_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent = Silent()
    keyring.set_keyring(silent)
    monkeypatch.setattr(credentials, "READ_S_MAX", 0.1)
    monkeypatch.setattr(credentials, "STORE_S_MAX", 0.1)
    assert credentials.token_for(URL) is None
    assert "did not answer" in str(credentials.keychain_problem())
    assert credentials.store_token(URL, TOKEN, "alice").place == "file"
    assert credentials.token_for(URL) == TOKEN
    assert credentials.describe(URL) is not None
    assert silent.asked == 1
    assert "did not answer" in credentials.hint()
    silent.end.set()


def test_a_token_that_can_be_kept_nowhere_is_an_error_that_names_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.parent.joinpath("configuration").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="ML_DASH_CONFIG_DIR") as caught:
        credentials.store_token(URL, TOKEN, "alice")
    assert TOKEN not in str(caught.value)
    assert credentials.token_for(URL) is None
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", "relative/folder")
    with pytest.raises(ConfigurationError, match="ML_DASH_CONFIG_DIR"):
        credentials.token_for(URL)
