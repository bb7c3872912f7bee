"""`ml-dash list`: which experiments there are."""

from __future__ import annotations

import click

from ..history import experiments
from .commands import Source, reads_experiments
from .output import Output, styled_status
from .state_form import json_summary
from .wording import local_time, one_line

STATUSES = ("RUNNING", "COMPLETED", "FAILED", "CANCELLED")


@click.command("list")
@click.argument("pattern", required=False)
@click.option("-p", "--prefix", "--project", "glob", metavar="GLOB", help="The same as PATTERN.")
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only those with this status.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only those with this tag; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Print at most so many.")
@reads_experiments
def command(
    pattern: str | None,
    glob: str | None,
    status: str | None,
    tags: tuple[str, ...],
    limit: int | None,
    source: Source,
    output: Output,
) -> None:
    """List experiments, newest first.  PATTERN is a glob over prefixes: * within a folder, ** across folders.

    Example: ml-dash list 'alice/**' --status failed --tag baseline
    """
    chosen = pattern or glob or "**"
    with output.busy("reading experiments"):
        found = experiments(chosen, status=status, tags=tags or None, **source.arguments)
    found = found[:limit]
    if output.as_json:
        output.json([json_summary(summary) for summary in found])
        return
    rows = [
        (
            summary.prefix,
            styled_status(summary.status) if summary.error is None else "unreadable",
            f"{summary.seq:,}" if summary.error is None else "",
            local_time(summary.updated),
            ", ".join(summary.tags),
            one_line(summary.description or summary.error or "", 60),
        )
        for summary in found
    ]
    output.table(["prefix", "status", "events", "last event", "tags", "description"], rows, right=["events"])
    if not rows and not output.is_plain:
        output.line(f"no experiment matches {chosen}")
