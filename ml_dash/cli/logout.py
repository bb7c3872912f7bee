"""`ml-dash logout`: ends a login, here and on the server."""

from __future__ import annotations

import os
import sys

import click

from ..errors import MlDashError
from ..remote import credentials
from ..remote.address import is_private
from ..remote.protocol import TOKEN_REVOKE
from ..remote.transport import Transport
from .output import Output
from .server_options import asks_server


@click.command("logout")
@asks_server
def command(url: str, output: Output) -> None:
    """Forget the token for a server, and tell the server that nobody may use it any more.

    Trainings that run with this login can ship nothing from then on; what they record stays on this machine.

    Example: ml-dash logout --dash-url https://dash.example.org
    """
    server = credentials.server_name(url)
    token = credentials.kept_token(url)
    problem = _revoke(url, token) if token is not None else None
    was_kept = credentials.forget(url)
    if output.as_json:
        output.json({"server": server, "was_logged_in": was_kept, "revoked": was_kept and problem is None})
    elif was_kept:
        output.line(f"logged out of {server}")
    else:
        output.line(f"there is no login for {server} on this machine")
    if problem is not None:
        print(
            f"ml-dash: warning: the token is forgotten here, but not ended on the server: {problem}. Whoever runs the "
            "server can end it with `ml-dash server token revoke`",
            file=sys.stderr,
        )
    for name in credentials.VARIABLES:
        if os.environ.get(name, "").strip():
            print(f"ml-dash: warning: {name} is still set", file=sys.stderr)
            break


def _revoke(url: str, token: str) -> str | None:
    """What went wrong, or None.  The token travels in the body: RFC 7009 asks for no other proof."""
    try:
        if not is_private(url):
            return "its address is plain HTTP to another machine"
        Transport(url).request("POST", TOKEN_REVOKE, form={"token": token, "token_type_hint": "access_token"})
    except MlDashError as error:
        return str(error)
    return None
