"""What the demo shows.  Everything but the count of acknowledged calls is read back from the journal."""

from __future__ import annotations

from itertools import islice

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from ..cli.figures import sparkline
from ..cli.output import STATUS_STYLES
from ..cli.wording import number, one_line
from ..facts.events import Event
from ..history import Report, Run, events
from ..state import Status
from .training import FOLDS, metric_names

EVENTS_BEFORE, EVENTS_BEHIND = 3, 3


def introduce(console: Console, prefix: str, dash_root: str) -> None:
    console.rule("[bold]ml-dash demo")
    console.print(
        "Four processes train softmax regression on 1,797 handwritten digits, one fold of a cross-validation each, and "
        f"all record into one experiment, [bold]{prefix}[/] in {dash_root}. Half-way, all four are killed with SIGKILL."
    )
    console.print()


def show_kill(console: Console, run: Run, acknowledged: int, lost: int) -> None:
    console.print()
    console.print(
        f"[bold red]kill -9[/] to all four, after {acknowledged:,} recording calls had returned. Replayed from the "
        f"journal: {run.seq:,} events, {lost} lost, status {_status(run.status)}."
    )
    console.print("Now the same program again, with the same prefix. It goes on from its last saved weights.")
    console.print()


def show_result(console: Console, run: Run) -> None:
    """One line a fold: what was trained, over both attempts."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, title_justify="left")
    table.add_column("fold")
    table.add_column("training loss", ratio=1, no_wrap=True)
    table.add_column("accuracy", justify="right")
    table.add_column("points", justify="right")
    table.add_column("of them repeated", justify="right")
    # What the other columns and the spaces between them need is about 50.
    width = max(10, min(60, console.width - 50))
    for fold in range(FOLDS):
        train, validation = (run.metrics[name] for name in metric_names(fold))
        table.add_row(
            str(fold + 1),
            sparkline(train.columns()["loss"], width),
            f"{validation.columns()['accuracy'][-1]:.1%}",
            f"{len(train):,}",
            f"{train.count - len(train):,}",
        )
    console.print()
    console.print(table)


def show_history(console: Console, run: Run, dash_root: str) -> None:
    """The events around the end of the killed session and around the start of the next, in the order of the journal."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, title="History around the kill", title_justify="left")
    table.add_column("seq", justify="right")
    table.add_column("time")
    table.add_column("event")
    table.add_column("what", ratio=1, no_wrap=True, overflow="ellipsis")
    killed, resumed = run.sessions
    shown: int | None = None
    for middle in (killed.ended_seq or resumed.started_seq, resumed.started_seq):
        first = max(middle - EVENTS_BEFORE, (shown or 0) + 1)
        if shown is not None and first > shown + 1:
            table.add_row("…")
        for event in islice(
            events(run.prefix, dash_root=dash_root, after=first - 1), middle + EVENTS_BEHIND - first + 1
        ):
            table.add_row(*_event_cells(event), style="bold red" if event.type == "run.failed" else None)
            shown = event.seq
    console.print(table)


def conclude(console: Console, run: Run, verified: Report, acknowledged: int, lost: int) -> None:
    facts = Table.grid(padding=(0, 3))
    facts.add_row(
        "recorded", f"[bold]{run.seq:,}[/] events, {len(run.sessions)} sessions, status {_status(run.status)}"
    )
    facts.add_row("acknowledged", f"[bold]{acknowledged:,}[/] metric points, counted by the training itself")
    facts.add_row("lost", f"[bold {'green' if lost == 0 else 'red'}]{lost}[/]")
    facts.add_row("hash chain", "[green]intact[/]" if verified.ok else "[red]damaged[/]")
    console.print(Panel(facts, title="The journal", title_align="left", expand=False))
    console.print("Look for yourself:", f"ml-dash show {run.prefix}", f"ml-dash events {run.prefix}", sep="\n  ")


def _event_cells(event: Event) -> tuple[str, str, str, str]:
    return f"{event.seq:,}", f"{event.time.astimezone():%H:%M:%S.%f}", event.type, _what(event)


def _what(event: Event) -> str:
    data = event.data
    if event.type == "metric.logged":
        return " ".join([str(data["name"]), *(f"{key}={number(value)}" for key, value in data["fields"].items())])
    if event.type == "run.failed":
        return f"{data['reason']}: its process is gone, and never said how it ended"
    if event.type == "run.started":
        return f"process {data['pid']} on {data['host']}"
    return one_line(data)


def _status(status: Status) -> str:
    return f"[bold {STATUS_STYLES[status]}]{status}[/]"
