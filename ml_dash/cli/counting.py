"""A count on stderr, for what goes through many events and takes over a second, while somebody looks."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..clock import monotonic_s
from .output import PROGRESS_AFTER_S


class Counting:
    """`with Counting("exporting") as counting:` and then `counting.tell(name, done, total)` as often as one likes."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began_s = monotonic_s()
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Counting:
        return self

    def tell(self, name: str, done: int, total: int | None = None) -> None:
        """So many events of `name` are done; without `total` nobody knows how many there are."""
        if not sys.stderr.isatty() or monotonic_s() - self._began_s < PROGRESS_AFTER_S:
            return
        if self._bar is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("events"),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        if name not in self._tasks:
            for task in self._tasks.values():
                self._bar.remove_task(task)
            self._tasks = {name: self._bar.add_task(f"{self._what} {name}", total=total)}
        self._bar.update(self._tasks[name], completed=done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
