"""Addresses of servers: which ones are taken, and which a token may travel to.

Pure: no I/O.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ..errors import ConfigurationError

_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|::1")


def checked_url(url: str) -> str:
    """The address of a server, without a slash at the end.  Raises ConfigurationError, which shows no password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            "dash_url has a user name or password in it, which would stand in every log. Give the address alone; "
            "`ml-dash login` keeps the token"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or port == 0:
        raise ConfigurationError(
            f"dash_url={url.partition('?')[0]!r:.200} is no address of a server: expected https://host, "
            "or http://host with a port and a path where it has them, and no '?' in it"
        )
    return url.rstrip("/")


def is_private(url: str) -> bool:
    """Whether nobody on the way can read what is sent there (rule 1 of `transport.py`)."""
    return urlsplit(url).scheme == "https" or is_loopback(url)


def is_loopback(url: str) -> bool:
    """Whether what is sent there never leaves this machine."""
    return _LOOPBACK.fullmatch(urlsplit(url).hostname or "") is not None


def origin_of(url: str) -> str:
    """Scheme, host and port: what two addresses share that are of one server.  Empty where it is none."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
