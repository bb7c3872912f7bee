"""`ml-dash log`: who did what to an experiment, and when.  Reads like `git log`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import click
from rich.text import Text

from ..clock import from_datetime, to_datetime
from ..errors import ConfigurationError
from ..facts.events import LOG_WRITTEN, METRIC_LOGGED, OUTPUT_WRITTEN, TRACK_APPENDED
from ..history import load
from ..reading.audit import commits as read_commits
from .commands import Source, reads_experiments
from .completing import PARAM, TYPE
from .damage import end_damaged
from .event_types import check_types
from .event_words import ABSENT, VALUE_LENGTH_MAX, Narrator, change_words
from .log_entries import Author, Choice, Entry, Told, entries
from .moment import TIME
from .naming import names_an_experiment
from .output import Output
from .wording import local_time, one_line

TOLD_MAX = 12
NAMES_MAX = 6
AUTHORS_MAX = 3
WIDE = 120
WORDS = {
    METRIC_LOGGED: ("point", "points"),
    TRACK_APPENDED: ("entry", "entries"),
    LOG_WRITTEN: ("line", "lines"),
    OUTPUT_WRITTEN: ("line", "lines"),
}
TYPE_STYLES = {"run.failed": "red", "run.completed": "green", "run.cancelled": "yellow", "params.set": "cyan"}


@click.command("log")
@names_an_experiment
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N entries.")
@click.option("--oneline", is_flag=True, help="One line an entry.")
@click.option("--reverse", is_flag=True, help="Oldest first.")
@click.option("--since", type=TIME, help="Only what was committed at or after this time.")
@click.option("--until", type=TIME, help="Only what was committed at or before this time.")
@click.option("--session", metavar="N|ID", help="Only this session: its number, or how its id begins.")
@click.option("--writer", metavar="WHO", help="Only this process: its writer id, pid, host, user or user@host.")
@click.option("--type", "types", type=TYPE, multiple=True, metavar="TYPE", help="Only events of this type; repeatable.")
@click.option("--param", type=PARAM, metavar="KEY", help="Only changes of this parameter, and of those below it.")
@click.option("--jsonl", is_flag=True, help="Print JSON, an entry a line; with --reverse while it is being read.")
@click.option("--no-pager", is_flag=True, help="Print, however long it is.")
@reads_experiments
def command(
    prefix: str,
    limit: int | None,
    oneline: bool,
    reverse: bool,
    since: datetime | None,
    until: datetime | None,
    session: str | None,
    writer: str | None,
    types: tuple[str, ...],
    param: str | None,
    jsonl: bool,
    no_pager: bool,
    source: Source,
    output: Output,
) -> None:
    """Show who did what to an experiment, and when: newest first, as git log does.

    Commits that hold nothing but points, entries and lines are one entry where they follow each other.

    \b
    Example: ml-dash log alice/mnist/baseline -n 5
             ml-dash log alice/mnist/baseline --param lr
    """
    choice = Choice(_us(since), _us(until), session, writer, types, param)
    with output.busy(f"reading {prefix}"):
        run = load(prefix, **source.arguments)
        check_types(types, lambda: run)
        attempts = {session.id: session.attempt for session in run.sessions}
        # Only for people long values are cut.
        narrator = Narrator(attempts, None if output.is_plain else VALUE_LENGTH_MAX)
        found = entries(read_commits(prefix, **source.arguments), choice, narrator)
        is_streamed = jsonl and reverse and limit is None and param is None
        shown: Sequence[Entry] = () if is_streamed else deque(found, limit)
    if param is not None and not shown and param not in run.params:
        known = ", ".join(run.params) or "none"
        raise ConfigurationError(f"{prefix!r} never had a parameter {param!r}; it has {one_line(known, 400)}")
    ordered = found if is_streamed else shown if reverse else list(reversed(shown))
    if jsonl:
        for entry in ordered:
            output.json(_json(entry))
    elif output.as_json:
        output.json([_json(entry) for entry in ordered])
    elif output.is_plain:
        for entry in ordered:
            output.cells(_cells(entry))
    elif param is not None:
        _print_changes(ordered, output)
    elif oneline:
        output.page((_one_line(entry, output.console.width) for entry in ordered), no_pager)
    else:
        output.page((line for entry in ordered for line in _lines(entry, output.console.width)), no_pager)
    end_damaged(prefix, run.damage)


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else from_datetime(moment)


# -- for people --------------------------------------------------------------------------------------------------


def _lines(entry: Entry, width: int) -> Iterator[Text]:
    events = "event" if entry.first == entry.last else "events"
    attempts = _attempts(entry)
    sessions = f"  session{'s' if ',' in attempts else ''} {attempts}" if attempts else ""
    dim = f"  {entry.hash[:12]}{sessions}"
    yield Text.assemble((f"{events} {_numbers(entry)}", "yellow"), (dim, "dim"))
    writers = {author.writer for author in entry.authors}
    yield Text(f"Author: {_authors(entry)}").append(f"  {writers.pop()}" if len(writers) == 1 else "", style="dim")
    yield Text(f"Date:   {_date(entry)}")
    yield Text()
    rows = [*((each.event.type, each.words) for each in entry.told[:TOLD_MAX]), *_counted(entry)]
    column = max((len(kind) for kind, _ in rows), default=0) + 2
    for kind, words in rows:
        line = Text(f"    {kind:<{column}}", style=TYPE_STYLES.get(kind, ""))
        yield line.append(one_line(words, max(20, width - column - 4)), style="default")
    if len(entry.told) > TOLD_MAX:
        yield Text(f"    … and {len(entry.told) - TOLD_MAX:,} more", style="dim")
    yield Text()


def _one_line(entry: Entry, width: int) -> Text:
    """On a narrow screen, of who it was only the name: what happened is worth more."""
    is_narrow = width < WIDE
    moment = f"{to_datetime(entry.until_us).astimezone():{'%m-%d %H:%M' if is_narrow else '%Y-%m-%d %H:%M:%S'}}"
    who = _authors(entry, 1)
    line = Text.assemble((_numbers(entry), "yellow"), (f"  {moment}  ", "dim"))
    line.append(f"{who.partition(' ')[0] if is_narrow else who}  ")
    return line.append(one_line(_summary(entry), max(20, width - len(line))), style="cyan" if entry.told else "dim")


def _print_changes(shown: Iterable[Entry], output: Output) -> None:
    rows = [
        (
            f"{told.event.seq:,}",
            local_time(told.event.time),
            _authors(entry, 1),
            _attempts(entry),
            ", ".join(change_words(*change) for change in told.changes) or told.words,
        )
        for entry in shown
        for told in entry.told
    ]
    output.table(["event", "when", "who", "session", "change"], rows, right=["event"])


def _numbers(entry: Entry) -> str:
    if entry.first == entry.last:
        return f"{entry.first:,}"
    return f"{entry.first:,}–{entry.last:,}" if entry.first > 0 else f"{entry.first:,} to {entry.last:,}"


def _attempts(entry: Entry) -> str:
    return ", ".join(map(str, sorted({attempt for attempt in entry.sessions.values() if attempt is not None})))


def _authors(entry: Entry, count_max: int = AUTHORS_MAX) -> str:
    names = list(dict.fromkeys(map(str, entry.authors)))
    more = f" and {len(names) - count_max} more" if len(names) > count_max else ""
    return ", ".join(names[:count_max]) + more


def _date(entry: Entry) -> str:
    since, until = to_datetime(entry.since_us).astimezone(), to_datetime(entry.until_us).astimezone()
    text = f"{since:%a %b %d %H:%M:%S %Y %z}"
    if entry.commits == 1:
        return text
    return f"{text}, until {until:%a %b %d %H:%M:%S} in {entry.commits:,} commits"


def _counted(entry: Entry, names_max: int | None = NAMES_MAX) -> Iterator[tuple[str, str]]:
    """What was counted and not told: points, entries and lines, with the names of at most so many."""
    told = {each.event.type for each in entry.told}
    for kind, count in entry.counts.items():
        if kind in told:
            continue
        names = [
            f"{'(unnamed)' if name is None else name} {number:,}"
            for (stream, name), number in entry.streams.items()
            if stream == kind
        ]
        hidden = len(names[names_max:]) if names_max is not None else 0
        more = f" and {hidden:,} more" if hidden else ""
        text = f"{count:,} {WORDS.get(kind, ('event', 'events'))[count != 1]}"
        yield kind, f"{text}: {', '.join(names[:names_max])}{more}" if names else text


def _summary(entry: Entry, told_max: int | None = TOLD_MAX, names_max: int | None = NAMES_MAX) -> str:
    told = (f"{each.event.type} {each.words}" for each in entry.told[:told_max])
    return "; ".join([*told, *map(" ".join, _counted(entry, names_max))])


# -- for programs ------------------------------------------------------------------------------------------------


def _cells(entry: Entry) -> tuple[str, ...]:
    """First and last event, time of the last commit, commits, session, who, what."""
    time = to_datetime(entry.until_us).isoformat().replace("+00:00", "Z")
    numbers = str(entry.first), str(entry.last), time, str(entry.commits), _attempts(entry)
    return (*numbers, _authors(entry, len(entry.authors)), _summary(entry, None, None))


def _json(entry: Entry) -> dict[str, Any]:
    return {
        "first": entry.first,
        "last": entry.last,
        "commits": entry.commits,
        "since": to_datetime(entry.since_us),
        "until": to_datetime(entry.until_us),
        "hash": entry.hash,
        "sessions": [{"id": name, "attempt": attempt} for name, attempt in entry.sessions.items()],
        "authors": [_json_author(author, count) for author, count in entry.authors.items()],
        "counts": entry.counts,
        "streams": [{"type": kind, "name": name, "count": count} for (kind, name), count in entry.streams.items()],
        "events": [_json_told(each) for each in entry.told],
    }


def _json_author(author: Author, count: int) -> dict[str, Any]:
    return {
        "writer": author.writer,
        "user": author.user,
        "host": author.host,
        "pid": author.pid,
        "rank": author.rank,
        "events": count,
    }


def _json_told(told: Told) -> dict[str, Any]:
    event = told.event
    changes = [
        {"param": name, **{word: value for word, value in (("old", old), ("new", new)) if value is not ABSENT}}
        for name, old, new in told.changes
    ]
    found = {"seq": event.seq, "type": event.type, "time": event.time, "writer": event.writer, "data": event.data}
    return {**found, "changes": changes} if changes else found
