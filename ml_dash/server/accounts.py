"""Accounts: who may sign in on this server's page, and with which password.

    accounts/<SHA-256 of the owner's name, letters folded>/<version, 8 digits>.json
        {"owner": …, "password": argon2 hash or null, "time": µs}

Rules that others rely on:

 1. An account is the highest version of its name; a change, a new password or the end (`password` null), is a version
    more, put create-only: two changes at once never make one of them look done that was not.
 2. `alice` and `Alice` are one account: some stores would keep what belongs to both in one folder.
 3. A password is hashed by Argon2id (RFC 9106) with the parameters that argon2-cffi holds good, two at a time at most,
    so that guesses take the memory of two.  A name that has no account takes as long as one that has.
 4. What was once an account never opens the server again: an object of it stays.
"""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from ..clock import now_us
from ..errors import ConfigurationError, StorageError
from ..prefix import parse_prefix
from .store import Store, Taken

FOLDER = "accounts"
PASSWORD_CHARACTERS_MIN = 8
PASSWORD_CHARACTERS_MAX = 1000
HASHES_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Account:
    """`password` is its hash, None where the account has ended."""

    owner: str
    version: int
    time_us: int
    password: str | None

    def __repr__(self) -> str:
        return f"Account({self.owner!r}, version {self.version})"


class Accounts:
    """The accounts in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hasher = PasswordHasher()
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._unknown: str | None = None

    async def add(self, owner: str, password: str, *, replace: bool = False) -> None:
        """A new account, or with `replace` a new password.

        Raises ConfigurationError where name or password are of no use, or where there is one already.
        """
        checked_owner(owner)
        _check_password(password)
        found = await self.find(owner)
        check_spelling(owner, [found.owner] if found is not None else [])
        if found is not None and found.password is not None and not replace:
            raise ConfigurationError(f"{owner} has an account already. Give --replace for a new password")
        hashed = await self._in_turn(self._hasher.hash, _normal(password))
        await self._put(owner, 1 if found is None else found.version + 1, hashed)

    async def remove(self, owner: str) -> None:
        """Ends an account; what it recorded stays.  Raises ConfigurationError where there is none."""
        found = await self.find(owner)
        if found is None or found.password is None:
            raise ConfigurationError(f"{owner!r} has no account on this store")
        await self._put(found.owner, found.version + 1, None)

    async def find(self, owner: str) -> Account | None:
        """The newest version, also of an account that has ended."""
        versions = await self._store.list(_folder(owner))
        return await self._read(versions[-1].path) if versions else None

    async def all(self) -> list[Account]:
        """The accounts that have not ended, by name."""
        newest: dict[str, str] = {}
        for each in await self._store.list(FOLDER):
            newest[each.path.rpartition("/")[0]] = each.path
        found = [await self._read(path) for path in newest.values()]
        return sorted((account for account in found if account.password is not None), key=lambda account: account.owner)

    async def check(self, owner: str, password: str) -> Account | None:
        """The account that has this name and this password."""
        found = await self.find(owner) if 0 < len(owner) <= 255 and owner.isprintable() else None
        hashed = found.password if found is not None else None
        if hashed is None:
            # As long as it takes for a name that is known.
            self._unknown = self._unknown or await self._in_turn(self._hasher.hash, "nobody's")
        is_right = await self._in_turn(self._verify, hashed or self._unknown, _normal(password))
        return found if hashed is not None and is_right and found is not None and found.owner == owner else None

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password[:PASSWORD_CHARACTERS_MAX])
        except (Argon2Error, InvalidHashError):
            return False

    async def _in_turn(self, function: Any, *arguments: Any) -> Any:
        async with self._hashing:
            return await asyncio.to_thread(function, *arguments)

    async def _put(self, owner: str, version: int, hashed: str | None) -> None:
        data = orjson.dumps({"owner": owner, "password": hashed, "time": now_us()})
        try:
            await self._store.create(f"{_folder(owner)}/{version:08d}.json", data)
        except Taken:
            raise StorageError(
                f"the account of {owner} was changed by somebody else just now. Look, and try again"
            ) from None

    async def _read(self, path: str) -> Account:
        members = orjson.loads(await self._store.read(path))
        version = int(path.rpartition("/")[2].removesuffix(".json"))
        return Account(members["owner"], version, members["time"], members["password"])


def checked_owner(owner: str) -> str:
    """A name that prefixes may begin with.  Raises ConfigurationError."""
    try:
        is_one_part = len(parse_prefix(f"{owner}/x").segments) == 2
    except ConfigurationError as error:
        raise ConfigurationError(f"{owner!r:.200} can be nobody's name: {error}") from error
    if not is_one_part:
        raise ConfigurationError(f"{owner!r:.200} can be nobody's name: expected the first part of a prefix, no '/'")
    return owner


def check_spelling(owner: str, known: Iterable[str]) -> None:
    """Raises ConfigurationError where somebody known differs from `owner` in the case of letters only (rule 2)."""
    for each in known:
        if each != owner and _folded(each) == _folded(owner):
            raise ConfigurationError(f"{owner!r} differs only in the case of its letters from {each!r}, who is known")


def _folded(owner: str) -> str:
    """Names that some stores cannot tell apart are the same text here."""
    return unicodedata.normalize("NFC", owner).casefold()


def _folder(owner: str) -> str:
    # A name may hold what no key of a store may; a hash of it never does.
    return f"{FOLDER}/{hashlib.sha256(_folded(owner).encode(errors='surrogatepass')).hexdigest()}"


def _check_password(password: str) -> None:
    if len(_normal(password)) < PASSWORD_CHARACTERS_MIN:
        raise ConfigurationError(f"the password is too short: expected {PASSWORD_CHARACTERS_MIN} characters or more")
    if len(_normal(password)) > PASSWORD_CHARACTERS_MAX:
        raise ConfigurationError(f"the password is too long: expected {PASSWORD_CHARACTERS_MAX} characters at most")


def _normal(password: str) -> str:
    """However a keyboard composes its letters (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)
