"""Who asks, and what they may do.

1. A token travels in the header `Authorization: Bearer …` (RFC 6750, 2.1) and nowhere else.  A token that is presented
   is checked, also where none is needed: whoever sends a wrong one wants to hear of it.
2. Who owns a token reads and writes below that owner's prefix, and reads only where the token says so.
3. Nobody needs a token on a server that is open: it listens on this machine's loopback alone, and its store has never
   had an account or a token.  Once it has one it is closed, for good, on every server within `OPEN_REMEMBERED_S`.
4. Guesses are few (`limits.py`): of one owner's password from one client, of one owner's from anywhere, of anything
   from one client, of anything from anywhere; and the same for user codes and for device codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil

from starlette.requests import Request

from ..clock import monotonic_s
from .accounts import FOLDER as ACCOUNTS_FOLDER
from .accounts import Accounts
from .device import Devices
from .limits import Limit, Rate, client_key, take_all
from .problems import Problem
from .settings import Settings
from .store import Store
from .tokens import FOLDER as TOKENS_FOLDER
from .tokens import Token, Tokens

OPEN_REMEMBERED_S = 2.0
REALM = 'Bearer realm="ml-dash"'
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1|\[::1\]")
_BEARER = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)
HOW = "Send the header `Authorization: Bearer <token>`; `ml-dash login` gets one"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose token a request carries; `owner` and `token` are None where nobody needs one (`is_open`)."""

    owner: str | None
    can_write: bool
    is_open: bool
    token: Token | None = None

    def may_read(self, prefix: str) -> bool:
        return self.is_open or (self.owner is not None and prefix.split("/", 1)[0] == self.owner)

    def may_write(self, prefix: str) -> bool:
        return self.can_write and self.may_read(prefix)


class Access:
    """Accounts, tokens and logins of one server process; `store` is None where it serves a folder of local journals."""

    def __init__(self, store: Store | None, settings: Settings) -> None:
        self._store = store
        self._is_loopback = is_loopback(settings.host)
        self._open_until_s = 0.0
        self._is_closed = False
        self.public_url = settings.public_url
        if store is not None:
            self.accounts = Accounts(store)
            self.tokens = Tokens(store)
            self.devices = Devices(store)
        self._codes = Limit(Rate(10, 10.0), Rate(100, 1.0))
        self._device_codes = Limit(Rate(20, 5.0), Rate(200, 1.0))
        self._requests = Limit(Rate(60, 2.0), Rate(300, 1.0))
        self._passwords_of_pair = Limit(Rate(10, 60.0), Rate(300, 0.5))
        self._passwords_of_owner = Limit(Rate(100, 30.0), Rate(300, 0.5))
        self._passwords_of_client = Limit(Rate(30, 30.0), Rate(300, 0.5))

    @property
    def has_logins(self) -> bool:
        return self._store is not None

    async def is_open(self) -> bool:
        """Rule 3."""
        if not self._is_loopback or self._is_closed:
            return False
        if self._store is None or monotonic_s() < self._open_until_s:
            return True
        since_s = monotonic_s()
        if await has_accounts(self._store):
            self._is_closed = True
            return False
        self._open_until_s = since_s + OPEN_REMEMBERED_S
        return True

    async def has_accounts(self) -> bool:
        """Whether there is, or ever was, anybody who could sign in."""
        return self._store is not None and bool(await self._store.list(ACCOUNTS_FOLDER))

    # -- limits: each raises Problem 429 ------------------------------------------------------------------------

    def take_code(self, client: str) -> None:
        _limited(self._codes.take(client, monotonic_s()))

    def give_code_back(self, client: str) -> None:
        self._codes.give_back(client)

    def take_device_code(self, client: str) -> None:
        _limited(self._device_codes.take(client, monotonic_s()))

    def give_device_code_back(self, client: str) -> None:
        self._device_codes.give_back(client)

    def take_request(self, client: str) -> None:
        _limited(self._requests.take(client, monotonic_s()))

    def take_password(self, client: str, owner: str) -> None:
        _limited(take_all(self._password_limits(client, owner), monotonic_s()))

    def give_password_back(self, client: str, owner: str) -> None:
        for limit, key in self._password_limits(client, owner):
            limit.give_back(key)

    def _password_limits(self, client: str, owner: str) -> list[tuple[Limit, str]]:
        return [
            (self._passwords_of_pair, f"{client} {owner}"),
            (self._passwords_of_client, client),
            (self._passwords_of_owner, owner),
        ]


async def identify(request: Request) -> Identity:
    """Whose request it is.  Raises Problem 400, 401."""
    access = access_of(request)
    presented = presented_token(request)
    if presented is None:
        if await access.is_open():
            return Identity(owner=None, can_write=True, is_open=True)
        raise Problem(401, "not-authenticated", f"This server needs a token. {HOW}", {"WWW-Authenticate": REALM})
    token = await access.tokens.find(presented) if access.has_logins else None
    if token is None:
        hint = "; nobody needs one here, so send none" if await access.is_open() else ""
        raise _not_accepted(f"It is not known here{hint}")
    if token.is_revoked:
        raise _not_accepted("It was revoked")
    if token.is_expired():
        raise _not_accepted("It has expired")
    return Identity(token.owner, not token.read_only, is_open=False, token=token)


def access_of(request: Request) -> Access:
    access = request.app.state.access
    assert isinstance(access, Access)
    return access


def client_of(request: Request) -> str:
    """The name that limits know a client by."""
    return client_key(request.client.host if request.client is not None else None)


def presented_token(request: Request) -> str | None:
    """The token of the header `Authorization`; None without that header.  Raises Problem 400 and 401."""
    headers = request.headers.getlist("authorization")
    if not headers:
        return None
    found = _BEARER.fullmatch(headers[0].strip())
    if len(headers) == 1 and found is not None:
        return found[1]
    if len(headers) == 1 and (headers[0].split() or [""])[0].lower() != "bearer":
        detail = f"The header Authorization names a scheme that is not taken here. {HOW}"
        raise Problem(401, "not-authenticated", detail, {"WWW-Authenticate": REALM})
    detail = f"The header Authorization is malformed. {HOW}"
    raise Problem(400, "invalid-request", detail, {"WWW-Authenticate": f'{REALM}, error="invalid_request"'})


async def has_accounts(store: Store) -> bool:
    """Whether there is, or ever was, an account or a token."""
    return bool(await store.list(ACCOUNTS_FOLDER) or await store.list(TOKENS_FOLDER))


def is_loopback(host: str) -> bool:
    """Whether only this machine itself reaches a server that listens there."""
    return _LOOPBACK.fullmatch(host.lower()) is not None


def _not_accepted(why: str) -> Problem:
    challenge = f'{REALM}, error="invalid_token", error_description="{why}"'
    return Problem(401, "invalid-token", f"{why}; `ml-dash login` gets another one", {"WWW-Authenticate": challenge})


def _limited(wait_s: float) -> None:
    if wait_s > 0:
        detail = f"Too many tries. The next one is looked at in {ceil(wait_s)} s"
        raise Problem(429, "too-many-requests", detail, {"Retry-After": str(ceil(wait_s))}, error="slow_down")
