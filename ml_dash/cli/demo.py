"""`ml-dash demo`."""

from __future__ import annotations

import getpass
import re

import click
from click.exceptions import Exit
from rich.console import Console

from .commands import EXIT_FAILED


@click.command("demo")
@click.option(
    "--dash-root", metavar="FOLDER", default=".dash", envvar="ML_DASH_ROOT", show_default=True, help="Record there."
)
def command(dash_root: str) -> None:
    """Train a real model, kill it half-way, resume it, and count what was lost.

    Example: ml-dash demo --dash-root /tmp/demo
    """
    from ..demo.play import play

    owner = re.sub(r"[^A-Za-z0-9_-]+", "-", getpass.getuser()).strip("-") or "someone"
    outcome = play(Console(highlight=False), owner, dash_root)
    if not outcome.is_good:
        raise Exit(EXIT_FAILED)
