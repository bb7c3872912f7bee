"""Figures of metrics over the points that count: those of `columns()`, where the state has them of all attempts.

A state knows whether any point of a metric is superseded, and only then its points are read; else the figures of the
state are those already.
"""

from __future__ import annotations

from dataclasses import replace

from ..journal.folder import JournalFolder
from ..state import FieldState, FrozenDict, MetricState, State
from ..state.series import Field
from ..state.supersessions import is_any_superseded
from .point_columns import Columns
from .points import metric_columns


def with_kept_figures(folder: JournalFolder, state: State, at: int | None = None) -> State:
    """The same state, with `count` and `fields` of each metric over its latest attempt (`spec/reading.md`, Attempts).

    Raises StorageError where the journal cannot be read.
    """
    kept: dict[str | None, MetricState] = {}
    for name, metric in state.metrics.items():
        if metric.count and is_any_superseded(state, name):
            columns = metric_columns(folder, name, "latest", at, corrections=state.corrections)
            kept[name] = replace(metric, count=len(columns), fields=_fields_of(columns))
    return replace(state, metrics=FrozenDict({**state.metrics, **kept})) if kept else state


def _fields_of(columns: Columns) -> FrozenDict[str, FieldState]:
    found = {}
    for key, column in columns.fields.items():
        values = column.to_list()
        numbers = Field()
        numbers.extend(values)
        last = next((value for value in reversed(values) if value is not None), None)
        found[key] = replace(numbers.state(), last=last)
    return FrozenDict(found)
