"""`ml-dash export`: experiments as files for other programs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from click.exceptions import Exit
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..exchange.exporting import FORMATS, STANDARD_OUTPUT, export
from ..exchange.reports import ExportReport
from .commands import EXIT_FAILED, Source, reads_experiments
from .counting import Counting
from .moment import MOMENT
from .naming import PREFIX_OPTIONS
from .output import Output
from .wording import to_json


@click.command("export")
@click.argument("prefixes", metavar="PREFIX…", nargs=-1)
@click.option(*PREFIX_OPTIONS, "globs", multiple=True, metavar="GLOB", help="The same as PREFIX.")
@click.option("--format", type=click.Choice(FORMATS), default="jsonl", show_default=True)
@click.option(
    *("--to", "-o", "--output", "target"),
    metavar="PATH",
    default=STANDARD_OUTPUT,
    help="Folder, NAME.jsonl, or - for stdout, which is meant without it.",
)
@click.option("--metric", metavar="NAME", help="Only this metric; '' is the unnamed one.")
@click.option("--attempts", type=click.Choice(["latest", "all"]), default="latest", show_default=True)
@click.option("--at", type=MOMENT, metavar="SEQ|TIME", help="As it was after this event or at this time.")
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@reads_experiments
def command(
    prefixes: tuple[str, ...],
    globs: tuple[str, ...],
    format: str,
    target: str,
    metric: str | None,
    attempts: str,
    at: int | datetime | None,
    force: bool,
    source: Source,
    output: Output,
) -> None:
    """Write experiments as JSON Lines, CSV, Parquet or TensorBoard event files.

    jsonl holds every event, and `ml-dash import` makes an equal experiment of it. csv and parquet are a table for each
    metric and track; tensorboard is an event file with scalars, parameters, texts and images. PREFIX may be a glob:
    each experiment then goes to its prefix below PATH.

    Example: ml-dash export 'alice/**' --format tensorboard --to runs && tensorboard --logdir runs
    """
    chosen: dict[str, Any] = {} if metric is None else {"metric": metric or None}
    with Counting("exporting") as counting:
        reports = export(
            [*prefixes, *globs],
            to=target,
            format=format,
            attempts=attempts,
            at=at,
            force=force,
            on_progress=counting.tell,
            **chosen,
            **source.arguments,
        )
    if target == STANDARD_OUTPUT:
        _say_of_output(reports[0], output.as_json)
    elif output.as_json:
        output.json([report.as_dict() for report in reports])
    else:
        for report in reports:
            _print(report, target, output)
    damaged = [report.prefix for report in reports if report.is_damaged]
    if damaged:
        sys.stdout.flush()
        print(f"ml-dash: exported is what is intact; damaged: {', '.join(damaged)}", file=sys.stderr)
        raise Exit(EXIT_FAILED)


def _say_of_output(report: ExportReport, as_json: bool) -> None:
    """The report of what went to standard output: on stderr."""
    if as_json:
        print(to_json(report.as_dict()), file=sys.stderr)
    elif sys.stderr.isatty() and not sys.stdout.isatty():
        console = Console(stderr=True, highlight=False)
        print_counts(console, "exported", report.counts, report.left_out, report.notes)


def _print(report: ExportReport, target: str, output: Output) -> None:
    if output.is_plain:
        for file in report.files:
            sys.stdout.write(f"{report.prefix}\t{file}\n")
        return
    count = len(report.files)
    where = report.files[0] if count == 1 else f"{count} files in {target}"
    output.line(Text.assemble((report.prefix, "bold"), f" → {where}"))
    print_counts(output.console, "exported", report.counts, report.left_out, report.notes)


def print_counts(
    console: Console, done: str, counts: Mapping[str, int], left_out: Mapping[str, int], notes: Sequence[str]
) -> None:
    """What was carried over, what was not, and what else there is to say."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    if counts:
        grid.add_row(f"  {done}", listed(counts))
    if left_out:
        grid.add_row(Text(f"  not {done}", style="yellow"), listed(left_out))
    for note in notes:
        grid.add_row("  note", Text(note))
    if grid.row_count:
        console.print(grid)


def listed(counts: Mapping[str, int]) -> Text:
    """`points 3,000 · log lines 1`, whatever the kinds are called."""
    return Text(" · ".join(f"{kind} {count:,}" for kind, count in counts.items()))
