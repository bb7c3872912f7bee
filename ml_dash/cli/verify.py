"""`ml-dash verify`: is every byte of the journal the one that was written?"""

from __future__ import annotations

import click
from click.exceptions import Exit
from rich.text import Text

from ..clock import to_datetime
from ..history import Report
from ..history import verify as verify_journal
from ..journal.damage import DamageKind
from .commands import EXIT_FAILED, Source, reads_experiments
from .naming import names_experiments
from .output import Output


@click.command("verify")
@names_experiments
@reads_experiments
def command(prefixes: tuple[str, ...], source: Source, output: Output) -> None:
    """Check the hash chain of experiments from the first byte to the last; exit code 1 if one is damaged.

    Example: ml-dash verify alice/mnist/baseline
    """
    is_ok = True
    for prefix in prefixes:
        with output.busy(f"verifying {prefix}"):
            report = verify_journal(prefix, **source.arguments)
        is_ok = is_ok and report.ok
        if output.as_json:
            output.json({"prefix": prefix, **json_report(report)})
        else:
            _print(prefix, report, output)
    if not is_ok:
        raise Exit(EXIT_FAILED)


def json_report(report: Report) -> dict[str, object]:
    """What `--json` says of a report."""
    return {
        "ok": report.ok,
        "events": report.events,
        "segments": report.segments,
        "archived": report.archived,
        "damaged_spools": report.damaged_spools,
        "bytes": report.bytes,
        "head": report.head,
        "damage": [
            {
                "kind": damage.kind,
                "prefix": damage.prefix,
                "segment": damage.segment,
                "offset": damage.offset,
                "bytes": damage.bytes,
                "first_seq": damage.first_seq,
                "last_seq": damage.last_seq,
                "declared": damage.declared,
                "expected": damage.expected,
                "found": damage.found,
            }
            for damage in report.damage
        ],
        "redactions": [
            {
                "seq": each.seq,
                "redacted": each.redacted,
                "field": each.field,
                "reason": each.reason,
                "by": each.by,
                "time": to_datetime(each.time_us),
                "is_done": each.is_done,
            }
            for each in report.redactions
        ],
    }


def _print(prefix: str, report: Report, output: Output) -> None:
    word = Text("ok", style="bold green") if report.ok else Text("DAMAGED", style="bold red")
    segments = f"{report.segments} segments" + (f" ({report.archived} archived)" if report.archived else "")
    output.line(
        Text.assemble(f"{prefix}: ", word, f", {report.events:,} events in {segments}, head {report.head[:12]}")
    )
    for damage in report.damage:
        kind = f"{damage.kind.value}, declared" if damage.declared else damage.kind.value
        where = f"segment {damage.segment:08d}, {damage.bytes:,} bytes from byte {damage.offset:,}"
        if damage.kind is DamageKind.ABSENT:
            where = f"events {damage.first_seq:,} to {damage.last_seq:,}, which are {damage.prefix}'s"
        elif damage.prefix is not None:
            where = f"{damage.prefix}, {where}"
        output.line(f"  {kind}: {where}: expected {damage.expected}, found {damage.found}")
    for name in report.damaged_spools:
        output.line(f"  kept: spool/{name}: what a dead writer left; all that can be read of it is committed")
    for each in report.redactions:
        what = f"event {each.redacted:,}" + (f", {each.field}" if each.field is not None else "")
        done = "redacted" if each.is_done else f"NOT REDACTED YET, call `ml-dash redact {prefix} {each.redacted}` again"
        output.line(f"  {done}: {what} by {each.by}, event {each.seq:,}: {each.reason}")
    if any(damage.refuses_writing for damage in report.damage):
        output.line(f"  What is intact stays readable. To write to it again: ml-dash recover {prefix}")
    elif any(damage.kind is DamageKind.ARCHIVE for damage in report.damage):
        output.line(f"  No byte of history is lost. To write those files anew: ml-dash archive --undo {prefix}")
    elif any(damage.kind is DamageKind.TORN for damage in report.damage):
        output.line("  What is intact stays readable. Nothing has to be done: whoever writes next heals a torn tail")
