"""What the demo shows.  Everything but the count of acknowledged calls is read back from the journal."""

from __future__ import annotations

from itertools import islice

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from ..cli.figures import sparkline
from ..cli.output import STATUS_STYLES
from ..cli.wording import one_line
from ..facts.events import Event
from ..history import Report, Run, events
from ..state import Status
from .training import FOLDS, metric_names

EVENTS_AROUND_THE_KILL = 4


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


def show_history(console: Console, prefix: str, dash_root: str, around: int) -> None:
    """The events next to the kill, in the order in which they happened."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, title="History around the kill", title_justify="left")
    table.add_column("seq", justify="right")
    table.add_column("time")
    table.add_column("event")
    table.add_column("writer", no_wrap=True)
    table.add_column("data", ratio=1, no_wrap=True, overflow="ellipsis")
    first = max(0, around - EVENTS_AROUND_THE_KILL)
    for event in islice(events(prefix, dash_root=dash_root, after=first), 2 * EVENTS_AROUND_THE_KILL):
        table.add_row(*_event_cells(event), style="bold red" if event.type == "run.failed" else None)
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


def _event_cells(event: Event) -> tuple[str, str, str, str, str]:
    # The end of a writer's name is what tells it from the others: names begin with the time.
    return (
        f"{event.seq:,}",
        f"{event.time.astimezone():%H:%M:%S.%f}",
        event.type,
        event.writer[-6:],
        one_line(event.data),
    )


def _status(status: Status) -> str:
    return f"[bold {STATUS_STYLES[status]}]{status}[/]"
