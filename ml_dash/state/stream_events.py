"""Metrics, tracks, log lines and output in the state: a block of them at once, or an event by itself.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..facts.columns import Column
from ..facts.events import LOG_WRITTEN, METRIC_LOGGED, OUTPUT_WRITTEN, Event
from .draft import Draft, given, text
from .nouns import TrackState
from .series import extend_track

LINES = {LOG_WRITTEN: ("level", "log_counts"), OUTPUT_WRITTEN: ("stream", "output_counts")}
"""Types of which only the values of one field are counted: the field, and where."""


def extend_stream(
    draft: Draft,
    event_type: str,
    name: str | None,
    columns: Mapping[str, Column],
    count: int,
    first: int,
    last: int,
    session: str,
) -> None:
    if event_type == METRIC_LOGGED:
        draft.metric(name).extend(columns, count, first, last, draft.attempt_of(session))
    else:
        tracks = draft.mapping("tracks")
        track = tracks.get(name) or TrackState(text(name))
        tracks[name] = extend_track(track, columns, count)


def count_lines(draft: Draft, event_type: str, values: Iterable[Any]) -> None:
    _, counts_name = LINES[event_type]
    counts = draft.mapping(counts_name)
    for value in values:
        if isinstance(value, str):
            counts[value] = counts.get(value, 0) + 1
        else:
            draft.count_unknown(event_type, 1)


# -- one event of each type ---------------------------------------------------------------------------------------


def line_written(draft: Draft, event: Event) -> None:
    key, _ = LINES[event.type]
    count_lines(draft, event.type, (event.data[key],))


def metric_described(draft: Draft, event: Event) -> None:
    description = given(event.data, ("description", "tags", "metadata"))
    draft.metric(event.data["name"]).describe(description)


def stream_appended(draft: Draft, event: Event) -> None:
    columns = {key: [value] for key, value in event.data["fields"].items()}
    extend_stream(draft, event.type, event.data["name"], columns, 1, event.seq, event.seq, event.session)
