"""`ml-dash recover`: makes a damaged journal fit to be written to, without changing a byte of it."""

from __future__ import annotations

import click

from ..history import recover
from ..history import verify as verify_journal
from .commands import Source, reads_experiments
from .naming import names_an_experiment
from .output import Output
from .verify import json_report


@click.command("recover")
@names_an_experiment
@click.option("--dry-run", is_flag=True, help="Only say what would be declared.")
@reads_experiments
def command(prefix: str, dry_run: bool, source: Source, output: Output) -> None:
    """Declare the bytes that do not replay, so that an experiment can be resumed.

    Nothing is truncated or rewritten: the next segment says which bytes are given up, and they stay where they are.
    Events that processes had accepted before they died are committed as well.

    Example: ml-dash recover alice/mnist/baseline --dry-run
    """
    if dry_run:
        report = verify_journal(prefix, **source.arguments)
        found = [damage for damage in report.damage if not damage.declared]
    else:
        found = recover(prefix, **source.arguments)
        report = verify_journal(prefix, **source.arguments)
    if output.as_json:
        output.json({"prefix": prefix, "declared": 0 if dry_run else len(found), **json_report(report)})
        return
    verb = "would be declared" if dry_run else "declared"
    for damage in found:
        output.line(f"{verb}: segment {damage.segment:08d}, {damage.bytes:,} bytes from byte {damage.offset:,}")
        if damage.last_seq >= damage.first_seq:
            output.line(f"  they held events {damage.first_seq:,} to {damage.last_seq:,}")
    if not found:
        output.line(f"{prefix}: nothing to recover")
