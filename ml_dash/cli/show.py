"""`ml-dash show`: the state of one experiment, now or at any moment of its past."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click
from rich.text import Text

from ..clock import to_datetime
from ..history import Run, load
from ..state.supersessions import Supersession
from .commands import Source, reads_experiments
from .damage import end_damaged, what_is_damaged
from .moment import MOMENT
from .naming import names_an_experiment
from .output import Output, styled_status, with_silence
from .state_form import json_run
from .wording import error_words, local_time, number, one_line, size

METRICS_NAMED_MAX = 3
SILENT = (
    "nothing was recorded since the last event, and no process of this machine has it open. Either it computes without "
    "a word, or it was lost: if its process was killed, who opens it on its machine, or ships it, ends it as FAILED"
)


@click.command("show")
@names_an_experiment
@click.option("--at", type=MOMENT, help="As it was after this event, or at this time.")
@reads_experiments
def command(prefix: str, at: int | datetime | None, source: Source, output: Output) -> None:
    """Show what an experiment is: status, parameters, metrics, files, sessions.

    Example: ml-dash show alice/mnist/baseline --at 50
    """
    with output.busy(f"replaying {prefix}"):
        run = load(prefix, at=at, **source.arguments)
    if output.as_json:
        output.json(json_run(run))
    else:
        _print(run, output)
    end_damaged(prefix, run.damage)


def _print(run: Run, output: Output) -> None:
    _print_facts(run, output)
    _print_params(run.params, output)
    _print_metrics(run, output)
    _print_tracks_and_files(run, output)
    _print_sessions(run, output)
    _print_attempts(run, output)
    for damage in run.damage:
        output.line(Text(f"damage: {what_is_damaged(damage)}", style="red"))


def _print_facts(run: Run, output: Output) -> None:
    status = with_silence(run.status, run.silent_since)
    output.line(Text.assemble((run.prefix, "bold"), "  ", status, f"  event {run.seq:,}"))
    facts: dict[str, str] = {
        "description": run.description or "",
        "tags": ", ".join(run.tags),
        "bindrs": ", ".join(run.bindrs),
        "metadata": one_line(run.metadata) if run.metadata else "",
        "forked from": f"{run.fork.prefix} at event {run.fork.seq:,}" if run.fork is not None else "",
        "created": local_time(run.created),
        "last event": local_time(run.updated),
        "silent": SILENT if run.silent_since is not None else "",
        "log lines": ", ".join(f"{count:,} {level}" for level, count in run.state.log_counts.items()),
        "unknown": ", ".join(f"{count:,} {kind}" for kind, count in run.state.unknown.items()),
    }
    output.pairs([(name, text) for name, text in facts.items() if text])


def _print_params(params: Mapping[str, Any], output: Output) -> None:
    if params:
        output.heading("\nparams")
        output.pairs([(key, one_line(value)) for key, value in params.items()])


def _print_metrics(run: Run, output: Output) -> None:
    rows = []
    for metric in run.kept_state.metrics.values():
        name = "(unnamed)" if metric.name is None else metric.name
        for key, field in metric.fields.items():
            mean = number(field.sum / field.count) if field.count else ""
            numbers = [number(each) if field.count else "" for each in (field.min, field.max)]
            rows.append((name, key, f"{metric.count:,}", number(field.last), *numbers, mean))
    if rows:
        output.heading("\nmetrics (latest attempt)" if run.supersessions else "\nmetrics")
        columns = ["metric", "field", "points", "last", "min", "max", "mean"]
        output.table(columns, rows, right=columns[2:])


def _print_tracks_and_files(run: Run, output: Output) -> None:
    tracks = [
        (track.name, f"{track.count:,}", number(track.first_ts), number(track.last_ts), ", ".join(track.fields))
        for track in run.state.tracks.values()
    ]
    if tracks:
        output.heading("\ntracks")
        output.table(["topic", "entries", "first", "last", "fields"], tracks, right=["entries", "first", "last"])
    files = [
        (f"{file.path.rstrip('/')}/{file.filename}", size(file.size_bytes), file.checksum[:12])
        for file in run.state.files.values()
        if file.deleted_us is None
    ]
    if files:
        output.heading("\nfiles")
        output.table(["file", "size", "sha256"], files, right=["size"])


def _print_sessions(run: Run, output: Output) -> None:
    rows = []
    for session in run.sessions:
        lasted = f"{(session.ended_us - session.started_us) / 1e6:,.1f} s" if session.ended_us is not None else ""
        error = session.error or {}
        reason = one_line(error_words(error), 60) if error else session.reason or ""
        if session.is_inherited and run.fork is not None:
            reason = f"{reason} in {run.fork.prefix}".lstrip()
        rows.append(
            (
                str(session.attempt),
                styled_status(session.status),
                local_time(to_datetime(session.started_us)),
                lasted,
                str(len(session.writers)),
                f"{session.host or ''}:{session.pid or ''}",
                reason,
            )
        )
    if rows:
        output.heading("\nsessions")
        columns = ["attempt", "status", "started", "lasted", "writers", "host:pid", "reason"]
        output.table(columns, rows, right=["attempt", "lasted", "writers"])


def _print_attempts(run: Run, output: Output) -> None:
    """Which of the attempts a plot shows, and since when: rewinds, and what was logged again."""
    superseded: dict[str, list[Supersession]] = {}
    for each in run.supersessions:
        superseded.setdefault(each.by, []).append(each)
    rows = []
    for attempt in run.attempts:
        went_back = ", ".join(f"{field} {number(step)}" for field, step in attempt.rewound.items())
        found = superseded.get(attempt.name, [])
        for each in found:
            rows.append((attempt.name, went_back, _steps(each), each.of, _metrics(each)))
            went_back = ""
        if went_back:
            rows.append((attempt.name, went_back, "", "", ""))
    if rows:
        output.heading("\nattempts")
        columns = ["attempt", "rewound to", "supersedes", "of attempt", "in"]
        output.table(columns, rows, right=["attempt", "of attempt"])


def _steps(each: Supersession) -> str:
    if each.is_rewind:
        return f"{each.field} above {number(each.first)}, to {number(each.last)}"
    span = number(each.first) if each.first == each.last else f"{number(each.first)} to {number(each.last)}"
    return f"{each.field} {span}"


def _metrics(each: Supersession) -> str:
    names = ["(unnamed)" if name is None else name for name in each.metrics]
    more = len(names) - METRICS_NAMED_MAX
    return ", ".join(names[:METRICS_NAMED_MAX]) + (f" and {more:,} more" if more > 0 else "")
