"""`ml-dash pull`: brings an experiment of a server down, journals and files, verified."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from click.exceptions import Exit

from ..opening.left_to_ship import server_for
from ..opening.place import DEFAULT_ROOT, find_place
from ..prefix import parse_prefix
from ..reading.pulling import Pulled, pull
from ..remote.server import Server
from ..run import RUN
from .commands import EXIT_FAILED, Source, reads_experiments
from .naming import matching
from .output import Output


@click.command("pull")
@click.argument("prefixes", metavar="PREFIX…", nargs=-1, required=True)
@reads_experiments
def command(prefixes: tuple[str, ...], source: Source, output: Output) -> None:
    """Bring experiments of a server into the dash root: every event and every saved file, verified by their hashes.

    What is there already is not brought again. A journal that has lost its end is given it back; one that goes on
    differently than the server's is not touched. PREFIX may be a glob. Exit code 1 if the server lacks the content of a
    file.

    Example: ml-dash pull alice/mnist/baseline --dash-url https://dash.example.org --dash-root .dash
    """
    url = server_for(source.dash_url or True, RUN.api_url)
    server = Server.at(url)
    root = find_place(DEFAULT_ROOT if source.dash_root is None else source.dash_root, None).root
    is_whole = True
    for prefix in map(parse_prefix, matching(list(prefixes), None, url)):
        with output.busy(f"pulling {prefix.text}"):
            pulled = pull(prefix, root, server)
        is_whole = is_whole and not pulled.missing
        if output.as_json:
            output.json({"prefix": prefix.text, "dash_root": str(root), **asdict(pulled)})
        else:
            _print(prefix.text, root, pulled, output)
    if not is_whole:
        raise Exit(EXIT_FAILED)


def _print(prefix: str, root: Path, pulled: Pulled, output: Output) -> None:
    journals = "" if pulled.journals == 1 else f" in {pulled.journals} journals"
    files = f"{pulled.files:,} file{'' if pulled.files == 1 else 's'} ({pulled.new_files:,} new)"
    output.line(f"{prefix}: {pulled.events:,} events{journals}, {files}, in {root}")
    if pulled.given_back:
        output.line(f"  the journal had lost its end; {pulled.given_back:,} bytes were brought back")
    for checksum in pulled.missing:
        output.line(
            f"  not on the server yet: the content {checksum}. `ml-dash ship` where it was saved, then pull again"
        )
