"""The columns of `ml-dash list`, and what it can be sorted by.

prefix status events sessions created started updated tags bindrs description damage     what a summary says
params.KEY                                                          a parameter
METRIC.FIELD  METRIC.FIELD:min                                      last, or min max mean count: of points that count
FIELD                                                               the same of the unnamed metric
KEY  FIELD                                                          where one parameter or one metric has it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from ..errors import ConfigurationError
from ..history import Summary
from ..state import FieldState, State
from .wording import local_time, number, one_line

FACTS: Mapping[str, Callable[[Summary], Any]] = {
    "prefix": lambda summary: summary.prefix,
    "status": lambda summary: None if summary.status is None else str(summary.status),
    "events": lambda summary: summary.seq,
    "sessions": lambda summary: summary.sessions,
    "created": lambda summary: summary.created,
    "started": lambda summary: summary.started,
    "updated": lambda summary: summary.updated,
    "tags": lambda summary: list(summary.tags),
    "bindrs": lambda summary: list(summary.bindrs),
    "description": lambda summary: summary.description,
    "damage": lambda summary: len(summary.damage),
}
HEADINGS = {"updated": "last event"}
TIMES = ("created", "started", "updated")
STATISTICS = ("last", "min", "max", "mean", "count")
NEAREST_MAX = 5


@dataclass(frozen=True, slots=True)
class Column:
    """A name as it was given; `statistic` is what of a metric's field it shows."""

    text: str
    name: str
    statistic: str

    @property
    def is_fact(self) -> bool:
        return self.name in FACTS

    @property
    def heading(self) -> str:
        return HEADINGS.get(self.text, self.text)

    def value(self, summary: Summary, state: State | None) -> Any:
        """What it is for an experiment; None where there is none."""
        if self.is_fact:
            return FACTS[self.name](summary)
        if state is None:
            return None
        if self.name.startswith("params."):
            return state.params.get(self.name.removeprefix("params."))
        field = _field(self.name, state)
        return None if field is None else _statistic(field, self.statistic)

    def is_had_by(self, state: State) -> bool:
        if self.name.startswith("params."):
            return self.name.removeprefix("params.") in state.params
        return _field(self.name, state) is not None


def parse_column(text: str) -> Column:
    """Raises ConfigurationError for a statistic that there is not."""
    name, separator, statistic = text.rpartition(":")
    if not separator or text in FACTS:
        return Column(text, text, "last")
    if statistic not in STATISTICS:
        raise ConfigurationError(f"column {text!r}: expected one of {', '.join(STATISTICS)} behind the colon")
    return Column(text, name, statistic)


def meant_by(column: Column, states: Sequence[State]) -> Column:
    """The column, by its whole name: `loss` is `train.loss`, and `lr` is `params.lr`, where nothing else is called so.

    Raises ConfigurationError for one that no experiment has, since a misspelt one must not look like no values, and
    for one that may mean several.
    """
    if column.is_fact or not states or any(map(column.is_had_by, states)):
        return column
    known = dict.fromkeys(name for state in states for name in names_in(state))
    asked = column.name.replace("/", ".")
    found = [name for name in known if f".{name}".replace("/", ".").endswith(f".{asked}")]
    if len(found) == 1:
        return replace(column, name=found[0])
    if found:
        hint = f"It may be {', '.join(found[:NEAREST_MAX])}"
    else:
        nearest = get_close_matches(column.name, [*FACTS, *known], NEAREST_MAX, 0.5)
        hint = f"The nearest are {', '.join(nearest)}" if nearest else f"There are {', '.join([*FACTS, *known][:40])}"
    raise ConfigurationError(f"column {column.text!r}: no experiment that is listed has it. {hint}")


def cell(column: Column, value: Any, *, exact: bool = False) -> str:
    """A value of it for people; `exact` for programs that read tab-separated lines: no number is rounded."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z") if exact else local_time(value)
    if column.name in ("tags", "bindrs"):
        return ", ".join(map(str, value))
    if isinstance(value, (int, float)) and not exact:
        return number(value)
    return one_line(value, None if exact else 60)


def sort_key(value: Any) -> tuple[int, Any]:
    """Numbers before text before anything else; what is missing or no number is to be left out before."""
    if isinstance(value, datetime):
        return 0, value.timestamp()
    if isinstance(value, (bool, int, float)):
        return 0, value
    return (1, value) if isinstance(value, str) else (2, one_line(value))


def is_missing(value: Any) -> bool:
    """None, and NaN, which is not equal to itself."""
    return value is None or value != value


def _field(name: str, state: State) -> FieldState | None:
    """Names of metrics and fields may have dots: the longest name of a metric that fits counts."""
    end = name.rfind(".")
    while end > 0:
        metric = state.metrics.get(name[:end])
        if metric is not None and (field := metric.fields.get(name[end + 1 :])) is not None:
            return field
        end = name.rfind(".", 0, end)
    unnamed = state.metrics.get(None)
    return None if unnamed is None else unnamed.fields.get(name)


def _statistic(field: FieldState, statistic: str) -> Any:
    if statistic == "mean":
        return field.sum / field.count if field.count else None
    return getattr(field, statistic)


def names_in(state: State) -> list[str]:
    """The columns that an experiment has of its own."""
    metrics = state.metrics.items()
    fields = [key if name is None else f"{name}.{key}" for name, metric in metrics for key in metric.fields]
    return [*fields, *(f"params.{key}" for key in state.params)]
