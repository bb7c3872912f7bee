"""`ml-dash diff`: what differs between two experiments, or between two moments of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

import click
from click.exceptions import Exit
from rich.table import Table
from rich.text import Text

from ..history import Run, load
from ..reading.diff import diff as difference_between
from ..state.attempts import STEP_FIELDS
from ..state.differences import ABSENT, Change, Difference, FileSummary, MetricSummary, changed_members
from ..state.nouns import FieldState, TrackState
from .commands import EXIT_FAILED, Source, reads_experiments
from .damage import end_damaged
from .moment import parse_moment
from .output import Output, styled_status
from .wording import cut_in_the_middle, local_time, number, one_line, size, to_json

SECTIONS = ("status", "params", "metadata", "metrics", "tracks", "files")
NUMBERS = ("last", "min", "max", "mean")
MEMBER_WORDS = {"count": "entries", "size_bytes": "size", "content_type": "content type"}
SIGN_STYLES = {"+": "green", "-": "red", "~": "yellow"}


class Sections(click.ParamType[Any]):
    """Words of SECTIONS, with commas between them."""

    name = "SECTIONS"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        words = tuple(word.strip() for word in value.split(",") if word.strip())
        for word in words:
            if word not in SECTIONS:
                self.fail(f"{word!r} is not one of {', '.join(SECTIONS)}", parameter, context)
        return words


@click.command("diff")
@click.argument("a", metavar="A[@MOMENT]")
@click.argument("b", metavar="[B][@MOMENT]", required=False)
@click.option(
    "--only", type=Sections(), metavar="SECTIONS", help=f"Only these, as in params,files: {', '.join(SECTIONS)}."
)
@click.option("--exit-code", "says_by_code", is_flag=True, help="End with 1 if anything differs, as git diff does.")
@reads_experiments
def command(
    a: str, b: str | None, only: tuple[str, ...] | None, says_by_code: bool, source: Source, output: Output
) -> None:
    """Show what differs between two experiments, or between two moments of one.

    A moment is the number of an event or a time, as in show --at. Without B, or with a moment alone, the same
    experiment is meant: A@50 is compared with how it stands now, A@50 @80 with event 80.

    \b
    Example: ml-dash diff alice/mnist/baseline alice/mnist/wider
             ml-dash diff 'alice/mnist/baseline@2 hours ago'
    """
    (prefix, at), second = _point(a), _point(b) if b is not None else None
    if second is None and at is None:
        raise click.UsageError(f"{a!r} is compared with what? Give a second experiment, or a moment of it: {a}@50")
    other, then = second if second is not None else (prefix, None)
    with output.busy("replaying"):
        old = load(prefix, at=at, **source.arguments)
        new = load(other or prefix, at=then, **source.arguments)
        found = difference_between(old, new).only(only or SECTIONS)
    if output.as_json:
        output.json({"a": _side(old), "b": _side(new), "is_empty": found.is_empty, **found.as_dict()})
    elif output.is_plain:
        for row in _rows(found):
            output.cells(row.cells)
    else:
        _print(old, new, found, output)
    for run in (old, new):
        end_damaged(run.prefix, run.damage)
    if says_by_code and not found.is_empty:
        raise Exit(EXIT_FAILED)


def _point(text: str) -> tuple[str, int | datetime | None]:
    """`prefix@MOMENT`; what stands behind the last `@` and is no moment belongs to the prefix."""
    prefix, separator, moment = text.rpartition("@")
    at = parse_moment(moment, datetime.now().astimezone()) if separator else None
    return (text, None) if at is None else (prefix, at)


def _side(run: Run) -> dict[str, Any]:
    return {"prefix": run.prefix, "seq": run.seq, "status": str(run.status), "updated": run.updated}


# -- rows: one change each -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """`old` became `new`; `member` is what of it changed, where not all of it."""

    section: str
    sign: str
    name: str
    member: str
    old: Any
    new: Any

    @property
    def cells(self) -> tuple[str, ...]:
        """As a pipe gets them: section, sign, name, member, old, new, relative change; empty where there is none."""
        values = ("" if value is ABSENT else _exact(value) for value in (self.old, self.new))
        return (self.section, self.sign, self.name, self.member, *values, self.relative)

    @property
    def relative(self) -> str:
        """How much more or less the new number is, of the old one's size."""
        counts = self.section == "metrics" or self.member == "entries"
        if not (counts and _is_number(self.old) and _is_number(self.new) and self.old):
            return ""
        share = (self.new - self.old) / abs(self.old)
        return f"{share:+.1%}" if abs(share) < 10 else f"×{self.new / self.old:.3g}"


def _rows(found: Difference) -> Iterator[Row]:
    if found.status is not None:
        yield Row("status", "~", "status", "", str(found.status.old), str(found.status.new))
    for section in ("params", "metadata"):
        for name, change in getattr(found, section).items():
            yield Row(section, _sign(change), name, "", change.old, change.new)
    for metric, change in found.metrics.items():
        yield from _metric_rows("(unnamed)" if metric is None else metric, change)
    for section in ("tracks", "files"):
        for name, change in getattr(found, section).items():
            yield from _summary_rows(section, name, change)


def _sign(change: Change) -> str:
    return "+" if change.is_added else "-" if change.is_removed else "~"


def _metric_rows(name: str, change: Change) -> Iterator[Row]:
    for member, inner in _members(change).items():
        field = member.removeprefix("fields.")
        if field == member:
            yield Row("metrics", _sign(inner), name, member, inner.old, inner.new)
            continue
        old, new = _numbers_of(inner.old), _numbers_of(inner.new)
        # Of a step, the mean and the rest say nothing.
        for word in NUMBERS[:1] if field in STEP_FIELDS else NUMBERS:
            pair = Change(old.get(word, ABSENT), new.get(word, ABSENT))
            if pair.old is not pair.new and _exact(pair.old) != _exact(pair.new):
                yield Row("metrics", _sign(pair), f"{name}.{field}", word, pair.old, pair.new)


def _members(change: Change) -> Mapping[str, Change]:
    """What of a metric differs; of one that is only in one of both, everything that says something."""
    if isinstance(change.old, MetricSummary) and isinstance(change.new, MetricSummary):
        return changed_members(change)
    nothing = MetricSummary(0, {}, None, (), None)
    whole = Change(*(nothing if side is ABSENT else side for side in (change.old, change.new)))
    side = change.new if change.is_added else change.old
    points = Change(ABSENT, side.points) if change.is_added else Change(side.points, ABSENT)
    return {"points": points, **{name: each for name, each in changed_members(whole).items() if name != "points"}}


def _numbers_of(field: object) -> dict[str, Any]:
    if not isinstance(field, FieldState):
        return {}
    found = {"last": field.last}
    if field.count:
        found |= {"min": field.min, "max": field.max, "mean": field.sum / field.count}
    return found


def _summary_rows(section: str, name: str, change: Change) -> Iterator[Row]:
    if change.is_added or change.is_removed:
        yield Row(section, _sign(change), name, "", change.old, change.new)
        return
    members = changed_members(change)
    if "checksum" in members:
        # The size belongs to the content: one line says both.
        members.pop("size_bytes", None)
        yield Row(section, "~", name, "", change.old, change.new)
        del members["checksum"]
    for member, inner in members.items():
        yield Row(section, "~", name, MEMBER_WORDS.get(member, member), inner.old, inner.new)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _exact(value: Any) -> str:
    if isinstance(value, FileSummary):
        return value.checksum
    if isinstance(value, TrackState):
        return str(value.count)
    return one_line(value)


# -- for people ----------------------------------------------------------------------------------------------------


def _print(old: Run, new: Run, found: Difference, output: Output) -> None:
    heads = Table.grid(padding=(0, 2, 0, 0))
    for sign, run, style in (("---", old, "red"), ("+++", new, "green")):
        moment = Text(f"event {run.seq:,}  {local_time(run.updated)}", style="dim")
        heads.add_row(Text(f"{sign} {run.prefix}", style=f"bold {style}"), styled_status(run.status), moment)
    output.console.print(heads)
    rows = list(_rows(found))
    for section in SECTIONS:
        chosen = [row for row in rows if row.section == section]
        if chosen:
            output.heading(f"\n{section} (all attempts)" if section == "metrics" else f"\n{section}")
            output.console.print(_grid(chosen, output.console.width))
    if not rows:
        output.line("no difference")


def _grid(rows: Iterable[Row], width: int) -> Table:
    rows = list(rows)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=1)
    grid.add_column(no_wrap=True)
    has_members = any(row.member for row in rows)
    if has_members:
        grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    before = None
    for row in rows:
        # A name is said once, however much of it has changed.
        name = "" if row.name == before and row.member else cut_in_the_middle(row.name, max(16, width // 3))
        sign = Text(row.sign, style=SIGN_STYLES[row.sign])
        cells = [sign, Text(name), *([Text(row.member)] if has_members else []), _change(row, width)]
        grid.add_row(*cells)
        before = row.name
    return grid


def _change(row: Row, width: int) -> Text:
    length_max = max(24, width)
    old, new = (None if value is ABSENT else _short(value, length_max) for value in (row.old, row.new))
    if old is None or new is None:
        return Text(old or new or "", style=SIGN_STYLES[row.sign])
    if old == new:
        # Rounded they look alike.
        old, new = _exact(row.old), _exact(row.new)
        if old == new:
            old, new = (f"{text} ({type(value).__name__})" for text, value in ((old, row.old), (new, row.new)))
    text = Text.assemble((old, "red"), (" → ", "dim"), (new, "green"))
    return text.append(f"  {row.relative}", style="dim") if row.relative else text


def _short(value: Any, length_max: int) -> str:
    if isinstance(value, FileSummary):
        return f"{size(value.size_bytes)} {value.checksum[:12]}"
    if isinstance(value, TrackState):
        return f"{value.count:,} entries"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, str):
        return one_line(value, length_max) if value else '""'
    return number(value) if isinstance(value, (int, float)) else one_line(to_json(value), length_max)
