"""What `ml-dash tail` shows of experiments: tables as wide and as high as the terminal is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from ..clock import to_datetime
from ..reading.watching import Watch
from ..state import MetricState, Status
from ..state.attempts import STEP_FIELDS
from .figures import sparkline
from .output import STATUS_STYLES
from .wording import cut_in_the_middle, number, one_line

RATE_WINDOW_S = 10.0
NAME_WIDTH_MAX = 32
TREND_WIDTH_MIN = 8
TREND_WIDTH_MAX = 60
LINES_SHOWN = 5
LEVEL_STYLES = {"warn": "yellow", "error": "red", "fatal": "bold red", "debug": "dim"}
HEADINGS = ("metric", "last", "min", "max", "trend", "rate", "step")
LEFT_OUT_FIRST = (2, 3, 5)
"""Columns that a narrow screen does without, in this order: min, max, rate."""


@dataclass(slots=True)
class Rates:
    """Points a second of each metric over the last RATE_WINDOW_S."""

    _seen: deque[tuple[float, dict[str | None, int]]] = field(default_factory=deque)

    def see(self, now_s: float, metrics: dict[str | None, int]) -> None:
        self._seen.append((now_s, metrics))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - RATE_WINDOW_S:
            self._seen.popleft()

    def of(self, metric: str | None) -> float | None:
        """None where it has not been looked at twice yet."""
        (first_s, before), (last_s, now) = self._seen[0], self._seen[-1]
        if last_s <= first_s:
            return None
        return max(0, now.get(metric, 0) - before.get(metric, 0)) / (last_s - first_s)


@dataclass(frozen=True, slots=True)
class Row:
    """One field of one metric, as numbers."""

    metric: str | None
    field: str
    last: Any
    low: Any
    high: Any
    means: list[float | None]
    rate: float | None
    step: Any
    points: int

    @property
    def name(self) -> str:
        return self.field if self.metric is None else f"{self.metric}.{self.field}"


def rows_of(watch: Watch, rates: Rates) -> Iterator[Row]:
    """Every field but steps, which are a column, and times."""
    for name, metric in watch.state.metrics.items():
        step_field = next((each for each in STEP_FIELDS if each in metric.fields), None)
        step = metric.fields[step_field].last if step_field is not None else None
        for key, found in metric.fields.items():
            # A metric that has nothing else shows its step.
            if (key == step_field or key == "_ts") and _has_more(metric):
                continue
            trend = watch.trends.get((name, key))
            means = [] if trend is None else trend.means()
            yield Row(name, key, found.last, found.min, found.max, means, rates.of(name), step, metric.count)


def _has_more(metric: MetricState) -> bool:
    return any(key not in STEP_FIELDS and key != "_ts" for key in metric.fields)


def screen(
    prefix: str, watch: Watch | None, rates: Rates, now_us: int, width: int, height: int, is_behind: bool
) -> list[Text]:
    """The lines for one experiment, at most `height`; None for `watch` where there is no such experiment yet."""
    if watch is None:
        return [Text.assemble((prefix, "bold"), ("  is not there yet: waiting for it", "dim"))]
    head = _head(prefix, watch, now_us, is_behind)
    lines = [
        Text(f"damage: {each.bytes:,} bytes of segment {each.segment:08d} do not replay", style="red")
        for each in watch.damage
        if each.refuses_writing
    ]
    logged = [_log_line(*line, width) for line in list(watch.lines)[-LINES_SHOWN:]]
    rows = list(rows_of(watch, rates))
    room = max(1, height - 2 - len(lines) - (len(logged) + 1 if logged else 0))
    shown = rows if len(rows) <= room else rows[: max(0, room - 1)]
    table = _table(shown, width)
    if len(shown) < len(rows):
        table.append(Text(f"… and {len(rows) - len(shown)} more fields", style="dim"))
    logs = [Text(""), *logged] if logged else []
    found = [head, *lines, *table, *logs][:height]
    for line in found:
        line.truncate(width, overflow="ellipsis")
    return found


def _head(prefix: str, watch: Watch, now_us: int, is_behind: bool) -> Text:
    state = watch.state
    status = str(state.status)
    head = Text.assemble((prefix, "bold"), "  ", (status, STATUS_STYLES.get(status, "")), f"  event {state.seq:,}")
    if state.time_us is not None:
        head.append(f"  {ago(now_us - state.time_us)}", style="dim")
    if state.created_us is not None and state.time_us is not None:
        until_us = now_us if state.status is Status.RUNNING else state.time_us
        verb = "runs" if state.status is Status.RUNNING else "ran"
        head.append(f"  {verb} for {duration((until_us - state.created_us) / 1e6)}", style="dim")
    if is_behind:
        head.append("  catching up", style="yellow")
    return head


def ago(elapsed_us: int) -> str:
    return "now" if elapsed_us < 2_000_000 else f"{duration(elapsed_us / 1e6)} ago"


def duration(seconds: float) -> str:
    """`12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _log_line(time_us: int, level: str, message: str, width: int) -> Text:
    line = Text(f"{to_datetime(time_us).astimezone():%H:%M:%S} ", style="dim")
    line.append(f"{level:<6}", style=LEVEL_STYLES.get(level, "dim"))
    return line.append(one_line(message, max(10, width - 15)), style="default not dim")


def _table(rows: Sequence[Row], width: int) -> list[Text]:
    """The trend takes what is left of the width; where that is too little, columns are left out."""
    if not rows:
        return [Text("no metrics yet", style="dim")]
    cells = [_cells(row) for row in rows]
    columns = list(range(len(HEADINGS)))
    widths = [max(cell_len(text) for text in (HEADINGS[at], *(row[at] for row in cells))) for at in columns]
    widths[0] = min(widths[0], NAME_WIDTH_MAX, max(12, width // 3))
    trend = HEADINGS.index("trend")
    for dropped in (None, *LEFT_OUT_FIRST):
        columns = [at for at in columns if at != dropped]
        room = width - sum(widths[at] + 2 for at in columns if at != trend)
        if room >= TREND_WIDTH_MIN:
            break
    widths[trend] = max(TREND_WIDTH_MIN, min(TREND_WIDTH_MAX, room))
    lines = [_line(HEADINGS, columns, widths, "dim")]
    for row, texts in zip(rows, cells, strict=True):
        if any(mean is not None for mean in row.means):
            texts[trend] = sparkline(row.means, widths[trend])
        lines.append(_line(texts, columns, widths, ""))
    return lines


def _line(texts: Sequence[str], columns: Sequence[int], widths: Sequence[int], style: str) -> Text:
    line = Text()
    for at in columns:
        text = cut_in_the_middle(texts[at], widths[at])
        gap = " " * (widths[at] - cell_len(text))
        is_left = HEADINGS[at] in ("metric", "trend")
        line.append(
            f"{text}{gap}  " if is_left else f"{gap}{text}  ", style="cyan" if HEADINGS[at] == "trend" else style
        )
    line.rstrip()
    return line


def _cells(row: Row) -> list[str]:
    rate = "" if row.rate is None else f"{row.rate:,.1f}/s" if row.rate < 100 else f"{row.rate:,.0f}/s"
    low, high = ("" if value is None else number(value) for value in (row.low, row.high))
    step = number(row.step) if isinstance(row.step, int | float) and isfinite(row.step) else ""
    return [row.name, number(row.last), low, high, "", rate, step]
