"""`ml-dash version`."""

from __future__ import annotations

import platform

import click

from .. import __version__
from ..journal.format import FORMAT_VERSION
from .output import Output


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(as_json: bool) -> None:
    """Print the version of ml_dash and of the journal format it writes.

    Example: ml-dash version --json
    """
    output = Output(as_json)
    if as_json:
        output.json({"ml_dash": __version__, "format": FORMAT_VERSION, "python": platform.python_version()})
    else:
        output.line(f"ml_dash {__version__}, journal format {FORMAT_VERSION}, Python {platform.python_version()}")
