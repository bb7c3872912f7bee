"""`ml-dash tail`: experiments while they go on."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from ..clock import monotonic_s, now_us, sleep_s, to_datetime
from ..errors import NetworkError, NotFoundError
from ..history import experiments
from ..journal.folder import JournalFolder
from ..prefix import parse_prefix
from ..reading.following import Follow
from ..reading.listing import folder_of, root_of
from ..reading.watching import Watch
from ..state import Status
from .commands import Source, reads_experiments
from .damage import end_damaged
from .naming import PREFIX_OPTIONS, check_given, is_glob
from .output import Output
from .tail_screen import Rates, Row, rows_of, screen
from .wording import one_line, to_json

Pressed = Callable[[float], bool]
"""Waits so many seconds for the key that ends it, and says whether it was pressed."""
READ_S_MAX = 0.25
"""So long at most is read between two looks at the keyboard and the screen."""
BUSY_SHARE_MAX = 0.2
"""Of the time; a writer that is faster than that is looked at more rarely."""
FIND_INTERVAL_S = 2.0
FIND_SHARE_MAX = 0.1
"""The same for looking for new experiments."""
KEY_INTERVAL_S = 0.1
CLOCK_INTERVAL_S = 1.0


class Watched:
    """One experiment, which need not be there yet."""

    def __init__(self, prefix: str, source: Source) -> None:
        self.prefix = prefix
        self.watch: Watch | None = None
        self.rates = Rates()
        self.is_behind = False
        self.problem: str | None = None
        """Why the server cannot be asked at the moment."""
        self.printed_seq = -1
        self._source = source

    @property
    def has_begun(self) -> bool:
        """Whether anybody has opened it: a journal is there a moment before, and a fork's has its parent's sessions."""
        return self.watch is not None and any(not each.is_inherited for each in self.watch.state.sessions.values())

    @property
    def is_over(self) -> bool:
        if self.watch is None or self.is_behind or not self.has_begun:
            return False
        return self.watch.state.status is not Status.RUNNING

    def refresh(self, time_s_max: float, *, must_exist: bool = False) -> None:
        """A server that does not answer is asked again the next time; with `must_exist` that is an error."""
        try:
            self._refresh(time_s_max)
            self.problem = None
        except NotFoundError:
            if must_exist or self.watch is not None:
                raise
        except NetworkError as error:
            if must_exist:
                raise
            self.problem = str(error)

    def _refresh(self, time_s_max: float) -> None:
        if self.watch is None:
            root = root_of(self._source.dash_root, self._source.dash_url)
            self.watch = Watch(folder_of(parse_prefix(self.prefix), root))
        self.is_behind = not self.watch.refresh(time_s_max)
        counts = {name: metric.count for name, metric in self.watch.state.metrics.items()}
        self.rates.see(monotonic_s(), counts)

    def rows(self) -> Iterator[Row]:
        return iter(()) if self.watch is None else rows_of(self.watch, self.rates)


@click.command("tail")
@click.argument("prefixes", metavar="PREFIX…", nargs=-1)
@click.option(*PREFIX_OPTIONS, "globs", multiple=True, metavar="GLOB", help="The same as PREFIX.")
@click.option("-f", "--follow", is_flag=True, help="Stay when all have ended: they may be resumed.")
@click.option("--once", is_flag=True, help="Print how it stands, and end.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=0.5,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks, at least.",
)
@reads_experiments
def command(
    prefixes: tuple[str, ...],
    globs: tuple[str, ...],
    follow: bool,
    once: bool,
    interval: float,
    source: Source,
    output: Output,
) -> None:
    """Watch experiments while they go on: metrics with their trends, status, the last log lines.

    PREFIX may name what is not there yet: it is waited for. A glob means those that run, or the last one that did. It
    ends when all that it watches have ended, and on q or Ctrl-C. In a pipe it prints a tab-separated line a field, with
    --json an object an experiment, whenever there is something new.

    Example: ml-dash tail 'alice/mnist/**'
    """
    given = (*prefixes, *globs)
    check_given(given)
    watching = Watching(given, source)
    with suppress(KeyboardInterrupt):
        if once:
            watching.find(must_exist=True)
            watching.refresh(must_exist=True)
        if output.is_plain or output.as_json or once:
            _print(watching, output, follow, once, interval)
        else:
            _show(watching, output, follow, interval)
    for each in watching.all:
        if each.watch is not None:
            end_damaged(each.prefix, each.watch.damage)


class Watching:
    """All that are watched: the prefixes that were given, and of what matches a glob those that run, also later ones.

    Where none of those runs at first, it is the one that was opened last.
    """

    def __init__(self, prefixes: tuple[str, ...], source: Source) -> None:
        self._patterns = [prefix for prefix in prefixes if is_glob(prefix)]
        self.all = [Watched(parse_prefix(prefix).text, source) for prefix in prefixes if prefix not in self._patterns]
        self._source = source
        self._find_due_s = 0.0

    def find(self, *, must_exist: bool = False) -> None:
        """Looks for what matches the globs by now."""
        began_s = monotonic_s()
        if not self._patterns or began_s < self._find_due_s:
            return
        for pattern in self._patterns:
            with suppress(*(() if must_exist else (NotFoundError, NetworkError))):
                found = [each for each in experiments(pattern, **self._source.arguments) if each.error is None]
                running = [each for each in found if each.status is Status.RUNNING]
                known = {each.prefix for each in self.all}
                for summary in running or (found[:1] if not known else []):
                    if summary.prefix not in known:
                        self.all.append(Watched(summary.prefix, self._source))
        now_s = monotonic_s()
        self._find_due_s = now_s + max(FIND_INTERVAL_S, (now_s - began_s) / FIND_SHARE_MAX)

    def refresh(self, *, must_exist: bool = False) -> None:
        """Brings each up to date, or nearer to it."""
        time_s_max = READ_S_MAX / max(1, len(self.all))
        for each in self.all:
            each.refresh(inf if must_exist else time_s_max, must_exist=must_exist)

    @property
    def is_over(self) -> bool:
        """Whether all there are have ended."""
        return bool(self.all) and all(each.is_over for each in self.all)

    @property
    def is_behind(self) -> bool:
        return any(each.is_behind for each in self.all)

    @property
    def folders(self) -> tuple[JournalFolder, ...]:
        return tuple(each.watch.folder for each in self.all if each.watch is not None)


def _show(watching: Watching, output: Output, follow: bool, interval: float) -> None:
    """On a terminal."""
    console = output.console
    with _keys() as pressed, Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for _ in _looks(watching, follow, interval, pressed):
            height = max(3, (console.height - 1) // max(1, len(watching.all)) - 1)
            lines: list[Text] = []
            for each in watching.all:
                if lines:
                    lines.append(Text(""))
                if each.problem is not None:
                    lines.append(Text(one_line(each.problem, console.width), style="yellow"))
                place = now_us(), console.width, height
                watch = each.watch if each.has_begun else None
                lines += screen(each.prefix, watch, each.rates, *place, each.is_behind)
            if not lines:
                lines = [Text("nothing matches yet: waiting", style="dim")]
            live.update(Group(*lines[: console.height - 1]), refresh=True)


def _print(watching: Watching, output: Output, follow: bool, once: bool, interval: float) -> None:
    """In a pipe, or once."""
    looks = iter((None,)) if once else _looks(watching, follow, interval, lambda _: False)
    for _ in looks:
        for each in watching.all:
            if each.watch is None or each.is_behind or not each.watch.state.seq:
                continue
            if each.watch.state.seq == each.printed_seq:
                continue
            each.printed_seq = each.watch.state.seq
            if output.as_json:
                output.json(_json(each, each.watch))
            elif output.is_plain:
                for row in each.rows():
                    output.cells(_cells(each, each.watch, row))
            else:
                for line in screen(each.prefix, each.watch, each.rates, now_us(), output.console.width, 10**6, False):
                    output.line(line)
        sys.stdout.flush()


def _looks(watching: Watching, follow: bool, interval: float, pressed: Pressed) -> Iterator[None]:
    """Brings all up to date, again and again, as seldom as may be; ends when all have ended, or a key says so."""
    changes = Follow(())
    folders: tuple[JournalFolder, ...] = ()
    try:
        while True:
            began_s = monotonic_s()
            watching.find()
            if watching.folders != folders:
                changes.close()
                folders = watching.folders
                changes = Follow(folders)
            watching.refresh()
            yield None
            if watching.is_over and not follow:
                return
            if watching.is_behind:
                if pressed(0.0):
                    return
                continue
            if pressed(max(interval, (monotonic_s() - began_s) / BUSY_SHARE_MAX)) or not _pause(changes, pressed):
                return
    finally:
        changes.close()


def _pause(changes: Follow, pressed: Pressed) -> bool:
    """Until something changes, or the clock is to be shown anew; False where a key was pressed."""
    until_s = monotonic_s() + CLOCK_INTERVAL_S
    while monotonic_s() < until_s and not changes.wait(KEY_INTERVAL_S):
        if pressed(0.0):
            return False
    return True


@contextmanager
def _keys() -> Iterator[Pressed]:
    if not sys.stdin.isatty():
        yield _wait
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        # Keys come at once and are not echoed; Ctrl-C stays a signal.
        tty.setcbreak(sys.stdin)
        yield _wait_for_q
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _wait(seconds: float) -> bool:
    sleep_s(seconds)
    return False


def _wait_for_q(seconds: float) -> bool:
    until_s = monotonic_s() + seconds
    while select.select([sys.stdin], [], [], max(0.0, until_s - monotonic_s()))[0]:
        if os.read(sys.stdin.fileno(), 1).lower() in (b"q", b""):
            return True
    return False


# -- for programs ------------------------------------------------------------------------------------------------


def _cells(each: Watched, watch: Watch, row: Row) -> tuple[str, ...]:
    """Prefix, status, last event, its time, metric, field, points, step, last, min, max."""
    state = watch.state
    time = "" if state.time_us is None else to_json(to_datetime(state.time_us)).strip('"')
    values = ("" if value is None else one_line(value) for value in (row.step, row.last, row.low, row.high))
    metric = "(unnamed)" if row.metric is None else row.metric
    return (each.prefix, str(state.status), str(state.seq), time, metric, row.field, str(row.points), *values)


def _json(each: Watched, watch: Watch) -> dict[str, Any]:
    state = watch.state
    return {
        "prefix": each.prefix,
        "status": str(state.status),
        "seq": state.seq,
        "updated": None if state.time_us is None else to_datetime(state.time_us),
        "metrics": [
            {
                "name": row.metric,
                "field": row.field,
                "points": row.points,
                "step": row.step,
                "last": row.last,
                "min": row.low,
                "max": row.high,
                "rate": row.rate,
                "trend": row.means,
            }
            for row in each.rows()
        ],
        "lines": [
            {"time": to_datetime(time_us), "level": level, "message": message}
            for time_us, level, message in watch.lines
        ],
    }
