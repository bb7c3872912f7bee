"""`ml-dash ship`: sends to its server what has not arrived there."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from click.exceptions import Exit

from ..errors import NotFoundError
from ..opening.left_to_ship import Waiting, check_found, left_to_ship, server_for, ship, state_roots
from ..opening.shipping import progress_bar
from ..reading.listing import Pattern, root_of
from ..remote.shipper import Finished, how_to_ship
from ..run import RUN
from .commands import EXIT_FAILED, Source, reads_experiments
from .moment import DURATION
from .output import Output
from .wording import size


@click.command("ship")
@click.argument("patterns", metavar="[PREFIX…]", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only say what is left, without asking any server.")
@click.option(
    "--timeout",
    "timeout_s",
    type=DURATION,
    default="30s",
    show_default=True,
    help="Give up on a server that says nothing for so long, as in 90s, 5m or 1h.",
)
@reads_experiments
def command(patterns: tuple[str, ...], dry_run: bool, timeout_s: float, source: Source, output: Output) -> None:
    """Ship experiments to their server: what is left of them after a crash, without a network, or of a long upload.

    Without PREFIX, everything that is waiting in the dash root; without --dash-root also what waits in your state
    folder because it was recorded with dash_root=None. PREFIX may be a glob. With --dash-url an experiment that was
    recorded without a server goes there. What has arrived already is not sent again; exit code 1 if something is left.

    Example: ml-dash ship 'alice/**' --dash-root .dash
    """
    url = None if source.dash_url is None else server_for(source.dash_url, RUN.api_url)
    wanted = [Pattern.parse(each) for each in patterns]
    with output.busy("looking for what is left"):
        found = list(
            left_to_ship(
                _roots(source.dash_root),
                lambda parts: not wanted or any(each.matches(parts) for each in wanted),
                url,
            )
        )
    check_found(found, patterns, url)
    left = [each for each in found if not each.is_complete or (patterns and not dry_run)]
    results = [(each, None if dry_run else _ship(each, timeout_s)) for each in left]
    if output.as_json:
        output.json([_json(each, finished) for each, finished in results])
    else:
        _print(results, output)
    if any(finished is not None and not finished.is_complete for _, finished in results):
        raise Exit(EXIT_FAILED)


def _roots(dash_root: str | None) -> list[Path]:
    if dash_root is not None:
        return [root_of(dash_root)]
    try:
        return [root_of(None), *state_roots()]
    except NotFoundError:
        return state_roots()


def _ship(waiting: Waiting, timeout_s: float) -> Finished:
    def waits() -> None:
        click.echo(
            f"waiting for {waiting.url}, which has not answered yet; it is given up after {timeout_s:g} s (--timeout), "
            "and Ctrl-C loses nothing",
            err=True,
        )

    with progress_bar(waiting.url) as progress:
        return ship(waiting, progress, timeout_s=timeout_s, waits=waits)


def _json(each: Waiting, finished: Finished | None) -> dict[str, object]:
    place = {"prefix": each.folder.prefix, "dash_url": each.url, "dash_root": str(each.root)}
    if finished is None:
        return {**place, "left_bytes": each.left_bytes, "left_files": each.left_files}
    return {**place, **asdict(finished)}


def _print(results: list[tuple[Waiting, Finished | None]], output: Output) -> None:
    if not results:
        if not output.is_plain:
            output.line("nothing is left to be shipped")
        return
    rows = []
    whys = []
    for each, finished in results:
        if finished is None:
            files = f"{each.left_files} file" + ("" if each.left_files == 1 else "s")
            what = f"{size(each.left_bytes)} and {files} left"
        elif finished.is_complete:
            what = "shipped"
        else:
            why = f"{finished.why or 'time ran out'}. Again: {how_to_ship(each.folder, each.url)}"
            what = f"LEFT: {why}" if output.is_plain else "LEFT"
            whys.append(f"{each.folder.prefix}: {why}")
        rows.append((each.folder.prefix, each.url, what))
    output.table(["prefix", "server", ""], rows)
    if not output.is_plain:
        # A cell would be cut, and with it what to do.
        for line in whys:
            output.line(line)
