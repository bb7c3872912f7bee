"""`ml-dash list`: which experiments there are, and which is best."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from ..errors import MlDashError
from ..history import Summary, experiments, load
from ..state import State
from .commands import Source, reads_experiments
from .completing import COLUMN
from .list_columns import FACTS, TIMES, Column, cell, is_missing, meant_by, parse_column, sort_key
from .output import Output, styled_status, with_silence
from .state_form import json_summary
from .wording import one_line

STATUSES = ("RUNNING", "COMPLETED", "FAILED", "CANCELLED")
COLUMNS = ("prefix", "status", "events", "updated", "tags", "description")
DEFAULT_SORT = "started"
PROJECT_OPTIONS = ("-p", "--pref", "--prefix", "--proj", "--project")

Row = tuple[Summary, State | None]


@click.command("list")
@click.argument("pattern", required=False)
@click.option(*PROJECT_OPTIONS, "glob", metavar="GLOB", help="The same as PATTERN.")
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only those with this status.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only those with this tag; repeatable: with all.")
@click.option("--tags", "any_tags", metavar="TAGS", help="Only those with any of these tags, as in a,b.")
@click.option(
    "--sort",
    type=COLUMN,
    metavar="COLUMN",
    default=DEFAULT_SORT,
    show_default=True,
    help="By this column: times newest first, anything else ascending, those without it last.",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option(
    "--columns", type=COLUMN, metavar="COLUMNS", help="Show these, as in prefix,status,train.loss:min,params.lr."
)
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="Print at most so many.")
@reads_experiments
def command(
    pattern: str | None,
    glob: str | None,
    status: str | None,
    tags: tuple[str, ...],
    any_tags: str | None,
    sort: str,
    reverse: bool,
    columns: str | None,
    limit: int | None,
    source: Source,
    output: Output,
) -> None:
    """List experiments, newest first.  PATTERN is a glob over prefixes: * within a folder, ** across folders.

    A column is one of prefix, status, events, sessions, created, started, updated, tags, bindrs, description and
    damage, a parameter as params.KEY, or a metric as METRIC.FIELD, with :min, :max, :mean or :count where not its last
    value is meant.

    \b
    Example: ml-dash list 'alice/**' --status failed --tag baseline
             ml-dash list --sort eval.accuracy:max --reverse -n 5
    """
    chosen = pattern or glob or "**"
    key = parse_column(sort)
    shown = _columns(columns, key)
    with output.busy("reading experiments"):
        found = experiments(chosen, status=status, tags=tags or None, **source.arguments)
    if any_tags is not None:
        wanted = {tag.strip() for tag in any_tags.split(",")}
        found = [summary for summary in found if wanted & set(summary.tags)]
    rows: list[Row] = [(summary, None) for summary in found]
    if not all(column.is_fact for column in (*shown, key)):
        rows = [(summary, _state(summary, source)) for summary in output.progress(found, "reading metrics")]
        states = [state for _, state in rows if state is not None]
        shown, key = [meant_by(column, states) for column in shown], meant_by(key, states)
    rows = _sorted(rows, key, reverse)[:limit]
    if output.as_json:
        output.json([_json(row, shown if columns is not None or not key.is_fact else ()) for row in rows])
        return
    numbers = [column for column in shown if _is_numeric(column, rows)]
    cells = [[_cell(column, *row, exact=output.is_plain) for column in shown] for row in rows]
    output.table([column.heading for column in shown], cells, right=[column.heading for column in numbers])
    if not rows and not output.is_plain:
        output.line(f"no experiment matches {chosen}")


def _columns(columns: str | None, key: Column) -> list[Column]:
    """Those that are shown: what it is sorted by is one of them."""
    names = list(COLUMNS) if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
    # The last column is cut where a line is too long, and left out first: not the one that was asked for.
    if key.text not in (*names, DEFAULT_SORT):
        names.insert(min(2, len(names)), key.text)
    return [parse_column(name) for name in names]


def _state(summary: Summary, source: Source) -> State | None:
    if summary.error is not None:
        return None
    try:
        return load(summary.prefix, **source.arguments).kept_state
    except MlDashError:
        # It was removed, or damaged, since it was listed; the list is of what there is.
        return None


def _sorted(rows: list[Row], key: Column, reverse: bool) -> list[Row]:
    with_value = [row for row in rows if not is_missing(key.value(*row))]
    without = [row for row in rows if is_missing(key.value(*row))]
    with_value.sort(key=lambda row: sort_key(key.value(*row)), reverse=reverse != (key.name in TIMES))
    return [*with_value, *without]


def _is_numeric(column: Column, rows: list[Row]) -> bool:
    values = [column.value(*row) for row in rows]
    return any(value is not None for value in values) and all(
        value is None or isinstance(value, (int, float)) for value in values
    )


def _cell(column: Column, summary: Summary, state: State | None, *, exact: bool) -> str | Text:
    if column.name == "status" and summary.error is not None:
        return "unreadable"
    if column.name == "status":
        return styled_status(summary.status) if exact else with_silence(summary.status, summary.silent_since)
    if column.name == "description" and summary.error is not None:
        return one_line(summary.error, 60)
    if column.name in ("events", "sessions") and summary.error is not None:
        return ""
    return cell(column, column.value(summary, state), exact=exact)


def _json(row: Row, shown: list[Column] | tuple[()]) -> dict[str, Any]:
    extra = {column.text: column.value(*row) for column in shown if column.name not in FACTS}
    return {**json_summary(row[0]), **({"columns": extra} if extra else {})}
