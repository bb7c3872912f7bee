"""`ml-dash whoami`: whom a server takes us for."""

from __future__ import annotations

import click

from ..remote.server import Server
from .output import Output
from .server_options import asks_server, user_as_json, user_in_words


@click.command("whoami")
@asks_server
def command(url: str, output: Output) -> None:
    """Print the owner whose token this machine sends; fails where the server does not accept it.

    Example: ml-dash whoami --dash-url https://dash.example.org
    """
    user = Server.at(url).user()
    if output.as_json:
        output.json(user_as_json(url, user))
    elif output.is_plain:
        output.line(user.owner or "")
    else:
        name = f"{user.owner} on {url}" if user.owner is not None else url
        output.line(f"{name}: {user_in_words(user)}")
