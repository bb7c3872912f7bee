"""Where a command's answer goes: tables and colour for people, tab-separated lines in a pipe, JSON for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime
from typing import Any, TypeVar

import click
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ..clock import monotonic_s, now_us, to_datetime
from ..visible import visible, visible_line
from .wording import how_long, to_json

_Item = TypeVar("_Item")

GAP = 2
LAST_COLUMN_WIDTH_MIN = 12
PROGRESS_AFTER_S = 1.0
STATUS_STYLES = {"RUNNING": "cyan", "COMPLETED": "green", "FAILED": "red", "CANCELLED": "yellow"}


class VisibleConsole(Console):
    """A console on which nothing acts that others wrote: names, lines and answers are text (`visible.py`)."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(visible(text), style)


def styled_status(status: object) -> Text:
    """A status in its colour."""
    return Text(str(status), style=STATUS_STYLES.get(str(status), ""))


def with_silence(status: object, silent_since: datetime | None) -> Text:
    """The same, with how long nothing was recorded of what runs, where that is told (`reading/silence.py`)."""
    found = styled_status(status)
    if silent_since is not None:
        silent_s = (to_datetime(now_us()) - silent_since).total_seconds()
        found.append(f", silent for {how_long(silent_s)}", style="yellow")
    return found


class PipedConsole(VisibleConsole):
    """Leaves what a closed pipe means to the command: `Console` would end the process with 1."""

    def on_broken_pipe(self) -> None:
        raise


class Output:
    """`as_json` is `--json`.  `is_plain` says that nobody looks: no colour, no frame, nothing cut to a width."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = PipedConsole(highlight=False, soft_wrap=not sys.stdout.isatty())
        self.is_plain = not self.console.is_terminal

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Says on stderr what takes its time, while it does and somebody looks."""
        with Console(stderr=True).status(what) if sys.stderr.isatty() else nullcontext():
            yield

    def progress(self, items: Sequence[_Item], what: str) -> Iterator[_Item]:
        """The items, with a bar on stderr where going through them takes over a second and somebody looks."""
        if not sys.stderr.isatty():
            yield from items
            return
        began_s = monotonic_s()
        with ExitStack() as shown:
            bar: Progress | None = None
            for done, item in enumerate(items):
                if bar is None and monotonic_s() - began_s > PROGRESS_AFTER_S:
                    bar = shown.enter_context(Progress(console=Console(stderr=True), transient=True))
                    task = bar.add_task(what, total=len(items))
                if bar is not None:
                    bar.update(task, completed=done)
                yield item

    def json(self, value: Any) -> None:
        """One JSON document on one line."""
        sys.stdout.write(visible(to_json(value)) + "\n")

    def cells(self, row: Iterable[str]) -> None:
        """A line with tabs between its values, for programs."""
        sys.stdout.write("\t".join(map(visible_line, row)) + "\n")

    def line(self, text: str | Text) -> None:
        self.console.print(text, markup=False)

    def page(self, lines: Iterable[Text], no_pager: bool = False) -> None:
        """Lines for people, through a pager where they are more than a screen, as git does it."""
        if no_pager or not sys.stdin.isatty():
            for line in lines:
                self.line(line)
            return
        # F: not where all fits; R: colours; X: what was read stays on the screen.  git asks `less` for the same.
        os.environ.setdefault("LESS", "FRX")
        click.echo_via_pager((self._rendered(line) for line in lines), color=True)

    def _rendered(self, line: Text) -> str:
        with self.console.capture() as captured:
            self.line(line)
        return captured.get()

    def heading(self, text: str) -> None:
        """Only people need it."""
        if not self.is_plain:
            self.console.print(Text(text, style="bold"))

    def pairs(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and their values; tab-separated in a pipe."""
        if self.is_plain:
            for row in rows:
                self.cells(row)
            return
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, text in rows:
            grid.add_row(Text(name), Text(text))
        self.console.print(grid)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], right: Sequence[str] = ()) -> None:
        """Rows for people, or tab-separated lines without a heading, as `cut` and `awk` like them.

        Where the screen is too narrow columns are left out from the right, and the last that stays may be cut.
        """
        if self.is_plain:
            for row in rows:
                self.cells(cell.plain if isinstance(cell, Text) else cell for cell in row)
            return
        cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
        widths = [max(map(cell_len, [name, *(row[at].plain for row in cells)])) for at, name in enumerate(columns)]
        kept = len(columns)
        while kept > 1 and self._room(widths[: kept - 1]) < min(widths[kept - 1], LAST_COLUMN_WIDTH_MIN):
            kept -= 1
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP - 1, 0, 0))
        for column in columns[:kept]:
            table.add_column(column, justify="right" if column in right else "left", no_wrap=True, overflow="ellipsis")
        for row in cells:
            row[kept - 1].truncate(max(1, self._room(widths[: kept - 1])), overflow="ellipsis")
            table.add_row(*row[:kept])
        self.console.print(table)

    def _room(self, widths: Sequence[int]) -> int:
        """What is left of a line behind columns of these widths; the table's frame takes one at each end."""
        return self.console.width - 2 - sum(widths) - GAP * len(widths)
