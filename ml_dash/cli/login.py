"""`ml-dash login`: lets this machine in, by a browser anywhere."""

from __future__ import annotations

import os
import platform
import sys
import webbrowser
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from ..errors import AuthenticationError, ConfigurationError
from ..remote import credentials
from ..remote.address import is_private
from ..remote.credentials import Kept
from ..remote.logging_in import Pending, ask, wait
from ..remote.server import Server, User
from ..remote.transport import Transport
from .output import Output, VisibleConsole
from .server_options import asks_server


@click.command("login")
@click.option("--no-browser", is_flag=True, help="Only print the address of the page.")
@click.option("--with-token", is_flag=True, help="Read a token from stdin instead.")
@asks_server
def command(no_browser: bool, with_token: bool, url: str, output: Output) -> None:
    """Log in to a server, and keep its token in the keychain of this machine.

    A page opens in the browser, here or on any other machine: sign in there, and compare the code. Without a keychain
    the token is kept in a file that only you can read.

    Example: ml-dash login --dash-url https://dash.example.org
    """
    server = credentials.server_name(url)
    if not is_private(url):
        raise ConfigurationError(
            f"{url} is plain HTTP to another machine, where anybody on the way could read the token. "
            "Give an address that begins with https://"
        )
    if with_token:
        token = sys.stdin.readline().strip()
        if not token:
            raise ConfigurationError(
                "--with-token expects the token on stdin, as in `ml-dash login --with-token <FILE`"
            )
        user = Server(url, token).user()
        owner = user.owner
    else:
        user_now = _open_to_all(url)
        if user_now is not None:
            _say(output, {"server": server, "owner": None, "kept": None}, f"{server} is open: nobody needs to log in")
            return
        token, owner = _by_browser(url, no_browser)
    kept = credentials.store_token(url, token, owner)
    _warn(kept)
    where = f"the keychain ({kept.name})" if kept.place == "keychain" else kept.name
    document = {"server": server, "owner": owner, "kept": kept.place, "name": kept.name}
    _say(output, document, f"logged in to {server} as {owner}; the token is in {where}")


def _open_to_all(url: str) -> User | None:
    """What the server says to somebody without a token; None where it wants one."""
    try:
        return Server(url, None).user()
    except AuthenticationError:
        return None


def _by_browser(url: str, no_browser: bool) -> tuple[str, str | None]:
    transport = Transport(url)
    pending = ask(transport, platform.node())
    # On stderr, with all that only people need: stdout may be read by a program.
    people = VisibleConsole(stderr=True, highlight=False, soft_wrap=True)
    _show(people, pending)
    if not no_browser and _has_browser():
        webbrowser.open(pending.verification_uri_complete)
    if not people.is_terminal:
        return wait(transport, pending)
    with people.status("") as status:

        def between(left_s: float) -> None:
            minutes, seconds = divmod(int(left_s), 60)
            status.update(f"waiting for you to approve it there; {minutes}:{seconds:02d} left")

        return wait(transport, pending, between)


def _show(people: Console, pending: Pending) -> None:
    people.print(Text.assemble("Open this page:             ", (pending.verification_uri_complete, "bold cyan")))
    people.print(Text.assemble("It must show this code:     ", (pending.user_code, "bold")))


def _has_browser() -> bool:
    """Whether a window can open: a browser inside this terminal would take it away from us."""
    if platform.system() == "Linux":
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return "SSH_CONNECTION" not in os.environ


def _warn(kept: Kept) -> None:
    if kept.place == "file":
        print(
            f"ml-dash: warning: the keychain cannot be used: {credentials.keychain_problem()}. The token is kept "
            "unencrypted in a file that only you can read",
            file=sys.stderr,
        )
    for name in credentials.VARIABLES:
        if os.environ.get(name, "").strip():
            print(f"ml-dash: warning: {name} is set, and is used instead of it", file=sys.stderr)
            break


def _say(output: Output, document: dict[str, Any], text: str) -> None:
    if output.as_json:
        output.json(document)
    else:
        output.line(text)
