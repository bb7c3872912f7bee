"""The rows of a track as columns, without making a dict for each of them where that can be helped.

A track that was appended in order of time, each time once, is what its blocks hold, one after the other.  Where it was
not, rows are merged and put in order as `points.track_rows` has it.
"""

from __future__ import annotations

from array import array
from itertools import islice
from operator import lt
from typing import Any

from ..facts.codec import CodecError
from ..facts.events import TRACK_APPENDED
from ..journal.folder import JournalFolder
from .point_columns import Columns
from .points import Known, parts_of, track_rows
from .typed_columns import TypedColumn

TIME = "_ts"


def track_columns(folder: JournalFolder, topic: str, at: int, corrections: Known) -> dict[str, TypedColumn]:
    """A column for each field, and one for the timestamps, `_ts`, which stands first; ascending, all equally long."""
    columns = Columns()
    for part in parts_of(folder, TRACK_APPENDED, topic, at, corrections):
        try:
            part.block.check()
            columns.append("", part.block.count, part.columns(), part.seqs())
        except CodecError:
            continue
    columns.complete()
    if TIME not in columns.fields or not _ascends(columns.fields[TIME]):
        columns = _merged(folder, topic, at, corrections)
    if not len(columns):
        return {}
    times = columns.fields.pop(TIME)
    return {TIME: times, **columns.fields}


def _ascends(times: TypedColumn) -> bool:
    """Whether all rows have a time, each later than the one before."""
    values = times.values()
    if isinstance(values, range):
        return values.step > 0
    return isinstance(values, array) and all(map(lt, values, islice(values, 1, None)))


def _merged(folder: JournalFolder, topic: str, at: int, corrections: Known) -> Columns:
    rows = track_rows(folder, topic, None, None, at, corrections)
    merged = Columns()
    fields: dict[str, list[Any]] = {TIME: [timestamp for timestamp, _ in rows]}
    for key in dict.fromkeys(key for _, row in rows for key in row):
        fields[key] = [row.get(key) for _, row in rows]
    merged.append("", len(rows), fields, range(len(rows)))
    return merged
