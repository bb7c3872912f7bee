"""What commands that speak to one server share: which one, `--json`, and words for what it says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from ..errors import NetworkError
from ..remote.server import User
from ..run import DEFAULT_API_URL, RUN
from .commands import Command
from .output import Output
from .wording import local_time


def asks_server(command: Command) -> Command:
    """Adds `--dash-url` and `--json`; the command gets `url` and `output`."""

    def with_server(*, url: str | None, as_json: bool, **arguments: Any) -> Any:
        try:
            return command(url=url or RUN.api_url, output=Output(as_json), **arguments)
        except NetworkError as error:
            if url is not None or RUN.api_url != DEFAULT_API_URL:
                raise
            raise NetworkError(f"{error}. Give your server's address with --dash-url, or in ML_DASH_API_URL") from None

    with_server.__doc__ = command.__doc__
    with_server.__name__ = command.__name__
    with_server.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    options: tuple[Callable[[Any], Any], ...] = (
        click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs."),
        click.option("--dash-url", "--api-url", "url", metavar="URL", help="The server. [$ML_DASH_API_URL]"),
    )
    wrapped: Any = with_server
    for option in options:
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


def user_as_json(url: str, user: User) -> dict[str, Any]:
    return {
        "server": url,
        "owner": user.owner,
        "open": user.is_open,
        "read_only": user.is_read_only,
        "token": {"name": user.token_name, "expires": user.token_expires} if user.owner is not None else None,
    }


def user_in_words(user: User) -> str:
    """Behind an owner's name: what the token allows, and until when."""
    if user.is_open:
        return "the server is open: nobody needs a token"
    words = ["reads only" if user.is_read_only else "reads and writes"]
    if user.token_expires:
        words.append(f"until {local_time(datetime.fromisoformat(user.token_expires))}")
    return ", ".join(words)
