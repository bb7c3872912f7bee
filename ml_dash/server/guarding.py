"""What every request passes before anything else looks at it, and every answer behind it.

1. A token in an address is refused (400): addresses stand in logs, histories and headers of other sites.
2. A server that is open answers only to names of this machine itself (403).  A page of another site whose name was made
   to point here (DNS rebinding) would read everything otherwise.
3. What changes something and comes from another site's page is refused (403), by what browsers say of it and no script
   can forge (`Sec-Fetch-Site`, else `Origin`).
4. A request that says twice how long its body is (`Transfer-Encoding` and `Content-Length`) is refused (400): a proxy
   in front may believe the other one, and take what is left for the next person's request (RFC 9112, 6.1).
5. Every answer tells browsers to guess nothing, to frame nothing, to send its address nowhere and to keep nothing,
   unless it says something of its own.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from .authentication import Access, is_loopback
from .problems import Problem

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
SECRET_NAMES = frozenset(
    "token access_token refresh_token id_token api_key apikey bearer authorization password".split()
)
ANSWER_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{0,5})?", re.IGNORECASE)
_TOKEN = re.compile(r"mld_[A-Za-z0-9_-]{16}")


class Guard:
    """An ASGI application in front of another one."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in ANSWER_HEADERS.items():
                    headers.setdefault(name, value)
                message["headers"] = headers.raw
            await send(message)

        try:
            await self._check(scope)
        except Problem as problem:
            await problem.response()(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    async def _check(self, scope: Scope) -> None:
        """Raises Problem 400 and 403."""
        headers = Headers(scope=scope)
        query = scope["query_string"].decode("latin-1")
        names = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
        if names & SECRET_NAMES or _TOKEN.search(unquote(query)) or _TOKEN.search(scope["path"]):
            detail = "A token or password was sent in the address. Send it in the header Authorization, and change it"
            raise Problem(400, "token-in-address", detail)
        if "transfer-encoding" in headers and "content-length" in headers:
            detail = "The length of the body was said twice, by Transfer-Encoding and by Content-Length"
            raise Problem(400, "invalid-request", detail, {"Connection": "close"})
        host = headers.get("host", "")
        if not _is_own_name(host) and await self._access.is_open():
            raise Problem(
                403, "wrong-host", "This server is open to its own machine alone: call it localhost or 127.0.0.1"
            )
        if scope["method"] not in SAFE_METHODS and not self._is_own_page(headers, host):
            raise Problem(403, "cross-site", "A page of another site has sent this; nothing was done")

    def _is_own_page(self, headers: Headers, host: str) -> bool:
        """Rule 3: also true for what is no page of a browser at all."""
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in ("same-origin", "none")
        origin = headers.get("origin")
        public = urlsplit(self._access.public_url or "").netloc
        return origin is None or _netloc(origin) in {host, public} - {""}


def _is_own_name(host: str) -> bool:
    """Whether a header `Host` names this machine itself, and nothing else that one program reads so and another not."""
    found = _HOST.fullmatch(host)
    return found is not None and is_loopback(found[1])


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
