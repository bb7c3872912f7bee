"""The one door to the keychain: which token belongs to which server, and where it is kept.

1. One token a server: scheme, host and port are one name, however they are spelled (`server_name`).
2. `ML_DASH_TOKEN`, else `ML_DASH_API_KEY`, comes before what is kept.
3. A token is kept in the keychain of the operating system, through keyring.  Where there is none, or it refuses, it is
   kept in a file that only its owner can read; whoever stores it is told (`Kept.place`), because a file is not
   encrypted.
4. A keychain may ask its owner, or a bus that does not answer.  Nobody waits for that longer than `READ_S_MAX`, or
   `STORE_S_MAX` where a person sits in front of it; a keychain that was silent once is not asked again.
5. No error, warning or `repr` shows a token; nothing but `token_for` gives one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import orjson

from ..errors import AuthenticationError, ConfigurationError, StorageError
from ..journal.disk import OPERATING_SYSTEM as disk
from ..journal.replacing import replace_file
from .address import checked_url

SERVICE = "ml_dash"
"""What the keychain shows as the program that a token belongs to."""
VARIABLES = ("ML_DASH_TOKEN", "ML_DASH_API_KEY")
READ_S_MAX = 5.0
STORE_S_MAX = 60.0
FILE_BYTES_MAX = 65_536
_DEFAULT_PORTS = {"https": 443, "http": 80}
_NO_KEYCHAINS = ("keyring.backends.fail", "keyring.backends.null")
_NONE = "there is none on this machine"
_problem: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the token of a server is: `place` is environment, keychain or file, `name` which of them.

    `owner` is whose it is, None where only the server knows.
    """

    server: str
    place: str
    name: str
    owner: str | None


def server_name(url: str) -> str:
    """`https://Host/` and `https://host:443/path` as the one server that they are: `https://host`."""
    parts = urlsplit(checked_url(url))
    host = (parts.hostname or "").rstrip(".")
    try:
        host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        # Not a name of DNS; as it stands it is as good a key.
        host = host.casefold()
    host = f"[{host}]" if ":" in host else host
    port = parts.port
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")


def token_for(url: str) -> str | None:
    """The token to send to this server; None where there is none.  Never raises for a keychain that does not work."""
    given = _given()
    return given[1] if given is not None else kept_token(url)


def kept_token(url: str) -> str | None:
    """The token that a login has left on this machine, whatever the environment says."""
    server = server_name(url)
    entry = _in_keychain(server) or _in_file(server)
    return entry["token"] if entry else None


def describe(url: str) -> Kept | None:
    """Where the token for this server is, and whose it is, without the token."""
    server = server_name(url)
    given = _given()
    if given is not None:
        return Kept(server, "environment", given[0], None)
    if entry := _in_keychain(server):
        return Kept(server, "keychain", _keychain_name() or "", entry.get("owner"))
    if entry := _in_file(server):
        return Kept(server, "file", _file(server), entry.get("owner"))
    return None


def keychain_problem() -> str | None:
    """Why the keychain was of no use the last time, in words; None where it was."""
    return _problem


def hint() -> str:
    """What to add where a token is missed or refused: where another one may be, which is not sent."""
    given = _given()
    if given is not None:
        return f". The environment variable {given[0]} is set, and comes before what a login has kept"
    return "" if _problem in (None, _NONE) else f". The keychain cannot be used: {_problem}"


def store_token(url: str, token: str, owner: str | None) -> Kept:
    """Keeps the token for this server in place of another.  Raises StorageError where it can be kept nowhere."""
    server = server_name(url)
    text = orjson.dumps({"server": server, "owner": owner, "token": token}).decode()
    stored = _ask(lambda chain: _set(chain, server, text), STORE_S_MAX)
    if stored is not None:
        # What an earlier login had to leave in a file would be a second, older secret.
        disk.remove(_file(server))
        return Kept(server, "keychain", stored, owner)
    _write(_file(server), text.encode())
    return Kept(server, "file", _file(server), owner)


def forget(url: str) -> bool:
    """Removes what is kept for this server, everywhere; whether there was anything.

    What the environment says stays.  Raises StorageError where the keychain keeps it all the same.
    """
    server = server_name(url)
    found = _in_keychain(server) is not None
    if found and _ask(lambda chain: _delete(chain, server), STORE_S_MAX) is None:
        raise StorageError(f"the keychain does not give up the token for {server}: {_problem}. Remove it there by hand")
    file = _file(server)
    found = disk.exists(file) or found
    disk.remove(file)
    return found


def configuration_folder() -> str:
    """The folder for what belongs to this person and not to an experiment."""
    given = os.environ.get("ML_DASH_CONFIG_DIR", "").strip()
    if given and not os.path.isabs(given):
        raise ConfigurationError(
            f"environment variable ML_DASH_CONFIG_DIR={given!r:.200} is relative: expected a folder's whole path"
        )
    if given:
        return given
    from platformdirs import user_config_dir

    return user_config_dir("ml_dash", appauthor=False)


def _given() -> tuple[str, str] | None:
    for name in VARIABLES:
        value = os.environ.get(name, "").strip()
        if value:
            return name, value
    return None


# --- the keychain -------------------------------------------------------------------------------------------


def _in_keychain(server: str) -> dict[str, Any] | None:
    return _entry(_ask(lambda chain: chain.get_password(SERVICE, server), READ_S_MAX))


def _keychain_name() -> str | None:
    return _ask(_name_of, READ_S_MAX)


def _set(chain: Any, server: str, text: str) -> str:
    chain.set_password(SERVICE, server, text)
    # Some accept everything and keep nothing.
    if chain.get_password(SERVICE, server) != text:
        raise RuntimeError("it does not give back what it was given")
    return _name_of(chain)


def _delete(chain: Any, server: str) -> str:
    chain.delete_password(SERVICE, server)
    return _name_of(chain)


def _name_of(chain: Any) -> str:
    return str(getattr(chain, "name", type(chain).__name__))


def _ask(question: Callable[[Any], str | None], wait_s: float) -> str | None:
    """The keychain's answer; None where there is no keychain, or none that answers in time (rule 4)."""
    global _problem
    if _problem is not None and _problem.startswith(_SILENT):
        return None
    answers: list[str | None] = []
    problems: list[str] = []
    # A daemon: a keychain that never answers must not keep the program from ending.
    thread = Thread(target=_put, args=(question, answers, problems), name="ml_dash keychain", daemon=True)
    thread.start()
    thread.join(wait_s)
    if thread.is_alive():
        _problem = f"{_SILENT} {wait_s:g} s; it may be locked"
        return None
    _problem = problems[0] if problems else None
    return answers[0] if answers else None


_SILENT = "it did not answer within"


def _put(question: Callable[[Any], str | None], answers: list[str | None], problems: list[str]) -> None:
    try:
        import keyring

        chain = keyring.get_keyring()
        if type(chain).__module__ in _NO_KEYCHAINS:
            problems.append(_NONE)
            return
        answers.append(question(chain))
    except Exception as error:
        # Backends raise whatever their operating system raises, and may quote what they were given.
        problems.append(f"it fails with {type(error).__name__}")


# --- the file -----------------------------------------------------------------------------------------------


def _file(server: str) -> str:
    # A file a server: two logins at once need no lock.
    name = server.replace("://", "-").replace(":", "-").replace("[", "").replace("]", "")
    return os.path.join(configuration_folder(), "credentials", f"{name}.json")


def _in_file(server: str) -> dict[str, Any] | None:
    file = _file(server)
    try:
        descriptor = disk.open_read(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AuthenticationError(f"the token for {server} cannot be read from {file}: {error.strerror}") from error
    try:
        disk.make_private(descriptor)
        entry = _entry(disk.read_at(descriptor, 0, FILE_BYTES_MAX).decode(errors="replace"))
    except OSError as error:
        raise AuthenticationError(
            f"the token in {file} can be read by others, and that cannot be changed: {error.strerror}. "
            f"Run `ml-dash logout --dash-url {server}`, and log in where ML_DASH_CONFIG_DIR is a folder of your own"
        ) from error
    finally:
        disk.close(descriptor)
    if entry is None or entry.get("server") != server:
        raise AuthenticationError(f"{file} holds no token for {server}. Run `ml-dash login --dash-url {server}` again")
    return entry


def _write(file: str, data: bytes) -> None:
    try:
        disk.make_folder(os.path.dirname(file))
        replace_file(disk, file, data, is_synced=True, is_private=True)
        disk.sync_folder(os.path.dirname(file))
    except OSError as error:
        raise StorageError(
            f"the token can be kept neither in the keychain ({_problem}) nor in {file}: {error.strerror}. "
            "Set ML_DASH_CONFIG_DIR to a folder that can be written to, or the environment variable ML_DASH_TOKEN"
        ) from error


def _entry(text: str | None) -> dict[str, Any] | None:
    """What was kept, where it is whole."""
    try:
        entry = orjson.loads(text or "")
    except ValueError:
        return None
    is_whole = isinstance(entry, dict) and isinstance(entry.get("token"), str)
    return entry if is_whole else None
