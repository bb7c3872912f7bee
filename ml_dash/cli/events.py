"""`ml-dash events`: the journal, one event a line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date, datetime
from itertools import islice

import click
from rich.text import Text

from ..exchange.event_lines import to_line
from ..facts.events import COLUMNAR_TYPES, Event
from ..history import events as read_events
from ..history import load
from ..reading.audit import commits
from ..visible import visible
from .commands import Source, reads_experiments
from .completing import TYPE
from .damage import end_damaged
from .event_types import check_types
from .event_words import Narrator
from .moment import TIME
from .naming import names_an_experiment
from .output import Output
from .wording import one_line, to_json

TYPE_STYLES = {
    "run.failed": "bold red",
    "run.completed": "bold green",
    "run.cancelled": "bold yellow",
    "run.started": "bold cyan",
}


@click.command("events")
@names_an_experiment
@click.option("--after", type=int, default=0, metavar="SEQ", help="Begin behind this event; negative: of its parent.")
@click.option("--inherited", is_flag=True, help="Also all that a fork has from its parent; those numbers end at 0.")
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="Print at most so many.")
@click.option("--type", "types", type=TYPE, multiple=True, metavar="TYPE", help="Only this type; repeatable.")
@click.option("--since", type=TIME, help="Only what was recorded at or after this time.")
@click.option("--until", type=TIME, help="Only what was recorded at or before this time.")
@click.option("-f", "--follow", is_flag=True, help="Go on as the run does, until interrupted.")
@reads_experiments
def command(
    prefix: str,
    after: int,
    inherited: bool,
    limit: int | None,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    follow: bool,
    source: Source,
    output: Output,
) -> None:
    """Print every event of an experiment, oldest first.

    \b
    Example: ml-dash events alice/mnist/baseline --type params.set --json
             ml-dash events alice/mnist/baseline -f --since '5 minutes ago'
    """
    check_types(types, lambda: load(prefix, **source.arguments))
    begin = None if inherited else after
    found = _few(prefix, begin, types, source) if _are_few(types) and not follow else None
    if found is None:
        found = read_events(prefix, after=begin, follow=follow, **source.arguments)
    printer = _Printer(output, {} if output.is_plain else _attempts(prefix, source))
    for event in islice(_chosen(found, types, since, until), limit):
        printer.print(event)
        if follow:
            sys.stdout.flush()
    if not follow:
        end_damaged(prefix, load(prefix, **source.arguments).damage)


def _attempts(prefix: str, source: Source) -> dict[str, int]:
    return {session.id: session.attempt for session in load(prefix, **source.arguments).sessions}


def _are_few(types: tuple[str, ...]) -> bool:
    """Whether points, entries and lines need not be decoded."""
    return bool(types) and not COLUMNAR_TYPES & set(types)


def _few(prefix: str, after: int | None, types: tuple[str, ...], source: Source) -> Iterator[Event]:
    """Those of types that stand alone: of millions of events they are found in a second."""
    # What is wrong with the prefix or the number is said by who says it otherwise.
    read_events(prefix, after=after, **source.arguments)
    for commit in commits(prefix, **source.arguments):
        yield from (event for event in commit.events if after is None or event.seq > after)


def _chosen(
    events: Iterator[Event], types: tuple[str, ...], since: datetime | None, until: datetime | None
) -> Iterator[Event]:
    return (
        event
        for event in events
        if (not types or event.type in types)
        and (since is None or event.time >= since)
        and (until is None or event.time <= until)
    )


class _Printer:
    """For people, in words, and with the date where it is another one than the line before."""

    def __init__(self, output: Output, attempts: dict[str, int]) -> None:
        self._output = output
        self._narrator = Narrator(attempts)
        self._date: date | None = None

    def print(self, event: Event) -> None:
        output = self._output
        if output.as_json:
            # As `export` writes it, so that `import` makes the same experiment of it.
            sys.stdout.write(visible(to_line(event).decode()))
        elif output.is_plain:
            output.cells(_cells(event))
        else:
            day = event.time.astimezone().date()
            if day != self._date:
                output.line(Text(f"{day:%A, %Y-%m-%d}", style="dim"))
                self._date = day
            output.line(_line(event, self._narrator.tell(event), output.console.width))


def _cells(event: Event) -> tuple[str, str, str, str, str]:
    time = event.time.isoformat().replace("+00:00", "Z")
    return str(event.seq), time, event.type, event.writer, to_json(event.data)


def _line(event: Event, words: str, width: int) -> Text:
    text = Text(f"{event.seq:>7}  {event.time.astimezone():%H:%M:%S.%f}  ", style="dim")
    text.append(f"{event.type:<21}", style=TYPE_STYLES.get(event.type, "cyan"))
    return text.append(one_line(words, max(20, width - len(text) - 1)), style="default not dim")
