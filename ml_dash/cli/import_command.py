"""`ml-dash import`: experiments that other programs recorded."""

from __future__ import annotations

import sys

import click
from click.exceptions import Exit
from rich.text import Text

from ..exchange.importing import FORMATS, find, import_from, places
from ..exchange.reports import ImportReport
from .commands import EXIT_FAILED
from .counting import Counting
from .export import print_counts
from .output import Output


@click.command("import")
@click.argument("sources", metavar="SOURCE…", nargs=-1, required=True, type=click.Path())
@click.option("--from", "format", type=click.Choice(FORMATS), help="What SOURCE is; found out if not given.")
@click.option("-p", "--prefix", metavar="PREFIX", help="Where it goes; several experiments stand below it.")
@click.option("--dash-root", metavar="FOLDER", help="Import to this folder. [$ML_DASH_ROOT, else .dash]")
@click.option("--force", is_flag=True, help="Replace what an earlier import made; its journal is kept aside.")
@click.option("--dry-run", is_flag=True, help="Only say what there is and where it would go.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(
    sources: tuple[str, ...],
    format: str | None,
    prefix: str | None,
    dash_root: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import an `ml-dash` folder, TensorBoard event files, wandb offline runs, or what `ml-dash export` wrote.

    The source is only read. Events keep their own times; importing the same again does nothing. The report counts what
    was read and written, and says what could not be carried over.

    Example: ml-dash import wandb/ --prefix alice/from-wandb
    """
    output = Output(as_json)
    if dry_run:
        _show_found(sources, format, prefix, output)
        return
    reports: list[ImportReport] = []
    with Counting("importing") as counting:
        for source in sources:
            reports += import_from(
                source, format=format, prefix=prefix, dash_root=dash_root, force=force, on_progress=counting.tell
            )
    if as_json:
        output.json([report.as_dict() for report in reports])
    elif output.is_plain:
        output.table([], [_cells(report) for report in reports])
        for report in reports:
            if report.outcome == "failed":
                print(f"ml-dash: {report.prefix}: {report.notes[0]}", file=sys.stderr)
    else:
        for report in reports:
            _print(report, output)
    if any(report.outcome == "failed" for report in reports):
        raise Exit(EXIT_FAILED)


def _show_found(sources: tuple[str, ...], format: str | None, prefix: str | None, output: Output) -> None:
    rows = []
    for source in sources:
        found = find(source, format)
        rows += [(aim, each.format, str(each.path)) for each, aim in zip(found, places(found, prefix), strict=True)]
    if output.as_json:
        output.json([dict(zip(("prefix", "format", "source"), row, strict=True)) for row in rows])
    else:
        output.table(["prefix", "format", "source"], rows)


def _cells(report: ImportReport) -> tuple[str, ...]:
    values = sum(report.values_written.values())
    left_out = sum(report.left_out.values())
    return report.prefix, report.outcome, report.format, str(report.events), str(values), str(left_out), report.source


def _print(report: ImportReport, output: Output) -> None:
    style = {"already imported": "dim", "failed": "bold red"}.get(report.outcome, "green")
    output.line(
        Text.assemble((report.prefix, "bold"), ": ", (report.outcome, style), f" from {report.format}, {report.source}")
    )
    counts = dict(report.kept)
    if report.events:
        read, written = sum(report.values_read.values()), sum(report.values_written.values())
        counts = {"events": report.events, "values of metrics read": read, "written": written, **counts}
    print_counts(output.console, "imported", counts, report.left_out, report.notes)
