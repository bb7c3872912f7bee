"""`ml-dash redact`: takes a leaked secret out of the bytes of a journal, and leaves a trace of that."""

from __future__ import annotations

import click

from ..recording.redacting import redact
from .commands import Source, reads_experiments
from .output import Output


@click.command("redact")
@click.argument("prefix")
@click.argument("seq", type=click.IntRange(min=1))
@click.option("--field", metavar="KEY", help="Only this field, parameter or member, such as db.password.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it stays in the journal with your name.")
@reads_experiments
def command(prefix: str, seq: int, field: str | None, reason: str, source: Source, output: Output) -> None:
    """Replace a secret that event number SEQ recorded by a marker.

    Its bytes in the journal are overwritten, and an event says who did that, when and why. Copies, backups and other
    events that hold the same secret are not reached: change the secret as well.

    Example: ml-dash redact alice/mnist/baseline 3 --field db.password --reason "leaked, replaced since"
    """
    recorded = redact(prefix, seq, field, reason=reason, **source.arguments)
    if output.as_json:
        output.json({"prefix": prefix, "redacted": seq, "field": field, "seq": recorded})
        return
    what = f"event {seq}" if field is None else f"{field} of event {seq}"
    output.line(f"{prefix}: {what} is redacted, event {recorded} says so")
