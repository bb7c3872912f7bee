"""`ml-dash events`: the journal, one event a line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice

import click
from rich.text import Text

from ..facts.events import Event
from ..history import events as read_events
from .commands import Source, reads_experiments
from .output import Output
from .wording import one_line, to_json

TYPE_STYLES = {
    "run.failed": "bold red",
    "run.completed": "bold green",
    "run.cancelled": "bold yellow",
    "run.started": "bold cyan",
}


@click.command("events")
@click.argument("prefix")
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="SEQ", help="Begin behind this event.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Print at most so many.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only this type, such as params.set; repeatable.")
@click.option("-f", "--follow", is_flag=True, help="Go on as the run does, until interrupted.")
@reads_experiments
def command(
    prefix: str,
    after: int,
    limit: int | None,
    types: tuple[str, ...],
    follow: bool,
    source: Source,
    output: Output,
) -> None:
    """Print every event of an experiment, oldest first.

    Example: ml-dash events alice/mnist/baseline --type params.set --json
    """
    found = read_events(prefix, after=after, follow=follow, **source.arguments)
    for event in islice(_of_types(found, types), limit):
        if output.as_json:
            sys.stdout.write(to_json(_json(event)) + "\n")
        elif output.is_plain:
            sys.stdout.write("\t".join(_cells(event)) + "\n")
        else:
            output.line(_line(event, output.console.width))
        if follow:
            sys.stdout.flush()


def _of_types(events: Iterator[Event], types: tuple[str, ...]) -> Iterator[Event]:
    return (event for event in events if not types or event.type in types)


def _json(event: Event) -> dict[str, object]:
    return {
        "seq": event.seq,
        "type": event.type,
        "time": event.time,
        "data": event.data,
        "writer": event.writer,
        "session": event.session,
    }


def _cells(event: Event) -> tuple[str, str, str, str, str]:
    time = event.time.isoformat().replace("+00:00", "Z")
    return str(event.seq), time, event.type, event.writer, to_json(event.data)


def _line(event: Event, width: int) -> Text:
    text = Text(f"{event.seq:>7}  {event.time.astimezone():%H:%M:%S.%f}  ", style="dim")
    text.append(f"{event.type:<21}", style=TYPE_STYLES.get(event.type, "cyan"))
    text.append(one_line(event.data, max(20, width - len(text) - 1)), style="default not dim")
    return text
