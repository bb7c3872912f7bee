"""Tokens: who may speak to the server for an owner, and until when.

    tokens/<SHA-256 of the token>.json    {"owner": …, "name": …, "read_only": …, "created": µs, "expires": µs or null}
    revoked/<the same>.json               {"time": µs}

Rules that others rely on:

 1. A token is `mld_` and 256 random bits.  The server keeps only its SHA-256, which nobody turns back; a hash that is
    slow, as passwords need one, would protect nothing more.
 2. Both objects are put create-only and never changed: a token cannot be changed, and what was revoked stays so.
 3. A process remembers for `REMEMBERED_S` that a token is good.  So a revocation holds at once on the server that was
    asked for it, and on every other one within that time.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass

import orjson

from ..clock import monotonic_s, now_us
from ..errors import ConfigurationError
from ..ids import new_secret
from .accounts import checked_owner
from .store import Missing, Store, Taken

FOLDER = "tokens"
REVOKED_FOLDER = "revoked"
FORM = re.compile(r"mld_[A-Za-z0-9_-]{43}")
ID_CHARACTERS = 12
REMEMBERED_S = 2.0
REMEMBERED_MAX = 10_000
NAME_CHARACTERS_MAX = 100


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; `hash` is its SHA-256, of which the first characters name it to people (`id`)."""

    hash: str
    owner: str
    name: str
    read_only: bool
    created_us: int
    expires_us: int | None
    is_revoked: bool = False

    @property
    def id(self) -> str:
        return self.hash[:ID_CHARACTERS]

    def is_expired(self) -> bool:
        return self.expires_us is not None and now_us() >= self.expires_us


class Tokens:
    """The tokens in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._good: OrderedDict[str, tuple[Token, float]] = OrderedDict()

    async def create(
        self, owner: str, name: str = "", *, read_only: bool = False, expires_us: int | None = None
    ) -> tuple[str, Token]:
        """A new token, whose text is told nowhere else, and what is known of it.  Raises ConfigurationError."""
        checked_owner(owner)
        if len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
            raise ConfigurationError(
                f"token name {name!r:.200}: expected at most {NAME_CHARACTERS_MAX} plain characters"
            )
        text = "mld_" + base64.urlsafe_b64encode(new_secret()).decode("ascii").rstrip("=")
        token = Token(_hash(text), owner, name, read_only, now_us(), expires_us)
        members = {
            "owner": owner,
            "name": name,
            "read_only": read_only,
            "created": token.created_us,
            "expires": expires_us,
        }
        await self._store.create(f"{FOLDER}/{token.hash}.json", orjson.dumps(members))
        return text, token

    async def find(self, text: str) -> Token | None:
        """The token with this text, also one that has expired or was revoked; None where there was never one."""
        if FORM.fullmatch(text) is None:
            return None
        found = _hash(text)
        remembered = self._good.get(found)
        if remembered is not None and monotonic_s() < remembered[1]:
            return remembered[0]
        since_s = monotonic_s()
        token = await self._read(found)
        if token is not None and not token.is_revoked:
            self._good[found] = (token, since_s + REMEMBERED_S)
            self._good.move_to_end(found)
            if len(self._good) > REMEMBERED_MAX:
                self._good.popitem(last=False)
        else:
            self._good.pop(found, None)
        return token

    async def all(self, owner: str | None = None) -> list[Token]:
        """Every token, or those of one owner, oldest first; expired and revoked ones too."""
        hashes = [each.path.rpartition("/")[2].removesuffix(".json") for each in await self._store.list(FOLDER)]
        found = [token for each in hashes if (token := await self._read(each)) is not None]
        return sorted((each for each in found if owner in (None, each.owner)), key=lambda each: each.created_us)

    async def revoke(self, token: Token) -> bool:
        """From now on it is not accepted; whether it was until now."""
        self._good.pop(token.hash, None)
        try:
            await self._store.create(f"{REVOKED_FOLDER}/{token.hash}.json", orjson.dumps({"time": now_us()}))
        except Taken:
            return False
        return True

    async def _read(self, found: str) -> Token | None:
        data, revocation = await asyncio.gather(
            self._get(f"{FOLDER}/{found}.json"), self._get(f"{REVOKED_FOLDER}/{found}.json")
        )
        if data is None:
            return None
        known = orjson.loads(data)
        return Token(
            found,
            known["owner"],
            known["name"],
            known["read_only"],
            known["created"],
            known["expires"],
            revocation is not None,
        )

    async def _get(self, path: str) -> bytes | None:
        try:
            return await self._store.read(path)
        except Missing:
            return None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
