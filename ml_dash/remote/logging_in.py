"""The device's side of logging in: RFC 8628, from the first question to the token.

    pending = ask(transport, "my-laptop")       # show pending.verification_uri and pending.user_code to a person
    token, owner = wait(transport, pending)     # until that person has decided, or the code expires

Polling keeps the server's pace: `slow_down` means five seconds more from then on, and a server that is not there is
asked half as often each time (RFC 8628, 3.5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..clock import monotonic_s, sleep_s
from ..errors import AuthenticationError, NetworkError, RefusedError
from .backoff import RETRY_AFTER_S_MAX
from .protocol import DEVICE_CODE, DEVICE_TOKEN
from .transport import Transport

CLIENT_ID = "ml-dash"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL_S = 5
"""Where the server names none (RFC 8628, 3.2)."""
SLOWER_S = 5
INTERVAL_S_MAX = 60.0
EXPIRES_S_MAX = 3600.0
"""No server makes a person wait for longer, whatever it says."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A login that waits for a person."""

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in_s: float
    interval_s: float


def ask(transport: Transport, device_name: str) -> Pending:
    """Begins a login.  Raises NetworkError, and RefusedError where nobody can log in there."""
    form = {"client_id": CLIENT_ID, "device_name": device_name}
    members = transport.request("POST", DEVICE_CODE, form=form).json()
    try:
        pending = Pending(
            str(members["device_code"]),
            str(members["user_code"]),
            str(members["verification_uri"]),
            str(members.get("verification_uri_complete") or members["verification_uri"]),
            min(float(members["expires_in"]), EXPIRES_S_MAX),
            min(max(1.0, float(members.get("interval", INTERVAL_S))), INTERVAL_S_MAX),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise NetworkError(f"{transport.url} answers with no login as RFC 8628 has it") from None
    if not pending.user_code.isprintable():
        raise NetworkError(f"{transport.url} gives the code {pending.user_code!r:.200}, which nobody can type")
    for address in (pending.verification_uri, pending.verification_uri_complete):
        # A browser opens what it is given, and not every address is a page.
        if urlsplit(address).scheme not in ("http", "https") or not address.isprintable():
            raise NetworkError(f"{transport.url} sends people to {address!r:.200}, which is no address of a page")
    return pending


def wait(
    transport: Transport, pending: Pending, between: Callable[[float], None] = lambda left_s: None
) -> tuple[str, str | None]:
    """The token, and whose it is.  `between` is told before each pause how many seconds are left.

    Raises AuthenticationError where it was denied or nobody decided in time.
    """
    form = {"grant_type": GRANT_TYPE, "device_code": pending.device_code, "client_id": CLIENT_ID}
    ends_s = monotonic_s() + pending.expires_in_s
    interval_s = pending.interval_s
    pause_s = interval_s
    while (left_s := ends_s - monotonic_s()) > 0:
        between(left_s)
        sleep_s(min(pause_s, left_s))
        pause_s = interval_s
        try:
            answer = transport.request("POST", DEVICE_TOKEN, form=form, expected=(400,))
        except RefusedError as error:
            if error.status != 429 and error.status < 500:
                raise
            interval_s = pause_s = min(interval_s * 2, INTERVAL_S_MAX)
            pause_s = max(pause_s, min(error.retry_after_s or 0.0, RETRY_AFTER_S_MAX))
            continue
        except NetworkError:
            interval_s = pause_s = min(interval_s * 2, INTERVAL_S_MAX)
            continue
        members = answer.json()
        if answer.status != 400:
            return _token(transport, members)
        if _is_too_fast(transport, members):
            interval_s = pause_s = interval_s + SLOWER_S
    raise AuthenticationError("nobody let this machine in before the code expired. Run `ml-dash login` again")


def _token(transport: Transport, members: Any) -> tuple[str, str | None]:
    token = members.get("access_token") if isinstance(members, dict) else None
    if not isinstance(token, str) or not token:
        raise NetworkError(f"{transport.url} answers with no token as RFC 8628 has it")
    owner = members.get("owner")
    return token, owner if isinstance(owner, str) else None


def _is_too_fast(transport: Transport, members: Any) -> bool:
    """Whether we poll too fast.  Raises AuthenticationError where the login has come to an end."""
    error = members.get("error") if isinstance(members, dict) else None
    if error in ("authorization_pending", "slow_down"):
        return bool(error == "slow_down")
    if error == "access_denied":
        raise AuthenticationError("the login was denied in the browser")
    if error == "expired_token":
        raise AuthenticationError("nobody let this machine in before the code expired. Run `ml-dash login` again")
    text = members.get("error_description") if isinstance(members, dict) else None
    raise AuthenticationError(f"{transport.url} ended the login: {text or error or 'it does not say why'!r:.200}")
