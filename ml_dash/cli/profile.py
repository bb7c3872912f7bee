"""`ml-dash profile`: who one is, here and on the server, and where things are kept."""

from __future__ import annotations

import getpass
from typing import Any

import click

from .. import __version__
from ..errors import MlDashError
from ..opening import environment_variables
from ..remote import credentials
from ..remote.server import Server, User
from ..run import RUN
from .output import Output
from .server_options import asks_server, user_in_words


@click.command("profile")
@click.option("--cached", is_flag=True, help="Do not ask the server.")
@asks_server
def command(cached: bool, url: str, output: Output) -> None:
    """Show the login and the settings of this machine.

    Example: ml-dash profile --cached
    """
    kept = credentials.describe(url)
    user, problem = (None, None) if cached else _asked(url)
    document: dict[str, Any] = {
        "server": credentials.server_name(url),
        "owner": user.owner if user is not None else kept.owner if kept is not None else None,
        "authenticated": None if cached else user is not None,
        "open": user.is_open if user is not None else None,
        "read_only": user.is_read_only if user is not None else None,
        "expires": user.token_expires if user is not None else None,
        "problem": problem,
        "token": {"place": kept.place, "name": kept.name} if kept is not None else None,
        "user": RUN.user,
        "os_user": _os_user(),
        "dash_root": environment_variables.text("ML_DASH_ROOT") or ".dash",
        "configuration": credentials.configuration_folder(),
        "version": __version__,
    }
    if output.as_json:
        output.json(document)
        return
    said = user_in_words(user) if user is not None else "not asked" if cached else f"not authenticated: {problem}"
    rows = {
        "server": document["server"],
        "owner": document["owner"] or "",
        "login": said,
        "token": f"{kept.place}: {kept.name}" if kept is not None else "none; run `ml-dash login`",
        "default owner": document["user"],
        "system user": document["os_user"],
        "dash root": document["dash_root"],
        "configuration": document["configuration"],
        "version": __version__,
    }
    output.pairs(list(rows.items()))


def _asked(url: str) -> tuple[User | None, str | None]:
    """What the server says, or why it does not."""
    try:
        return Server.at(url).user(), None
    except MlDashError as error:
        return None, str(error)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container whose user id has no name.
        return ""
