"""CSV and Parquet: a file for each metric and track, and JSON for what is no table.

    metrics/<name>.csv       seq time field…       one row a point; the unnamed metric is `metrics/_unnamed`
    tracks/<topic>.csv       _ts field…            one row a timestamp, in seconds, as `tracks(topic).read()` has them
    logs.csv                 seq time level message metadata
    params.json              flat, under dotted keys
    summary.json             prefix, status, times, description, tags, sessions, files, and a summary of each metric

A name is a path: `eval/loss` stands in a folder `eval`.  `table_cells.py` says what values become.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO, Protocol

from ..reading.points import log_entries, track_rows
from ..recording.extras import optional
from .reports import Tally
from .rows_of import Chosen, fields_of, pieces
from .table_cells import ColumnKind, arrow_values, csv_cell, csv_line, csv_name, iso

ROWS_PER_PIECE = 65_536
UNNAMED = "_unnamed"
RECORDED = ["seq", "time"]
"""The first columns of what was recorded as events; a table that begins with others has no times of recording."""
LOG_NAMES = [*RECORDED, "level", "message", "metadata"]
Columns = Mapping[str, Sequence[Any]]
_NOT_IN_A_NAME = re.compile('[\x00-\x1f\x7f<>:"\\\\|?*]')


class Format(Protocol):
    """Writes pieces of a table that have these columns, some of them perhaps missing, and gives the number of rows."""

    def __call__(self, file: BinaryIO, names: list[str], tables: Callable[[], Iterator[Columns]]) -> int: ...


def write_csv(file: BinaryIO, names: list[str], tables: Callable[[], Iterator[Columns]]) -> int:
    """UTF-8, commas, a heading, `\\n`."""
    file.write(csv_line(map(csv_name, names)).encode())
    rows = 0
    for table in tables():
        count = _length(table)
        empty = [""] * count
        cells = [list(map(_csv_of(names, name), table[name])) if name in table else empty for name in names]
        file.write("".join(map(csv_line, zip(*cells, strict=True))).encode("utf-8", "backslashreplace"))
        rows += count
    return rows


def write_parquet(file: BinaryIO, names: list[str], tables: Callable[[], Iterator[Columns]]) -> int:
    """Two passes: the types must stand before the first row.  Times are UTC, in microseconds."""
    pa = optional("pyarrow", "ml_dash[analysis]", "exporting Parquet")
    parquet = optional("pyarrow.parquet", "ml_dash[analysis]", "exporting Parquet")
    kinds = {name: ColumnKind() for name in names}
    for table in tables():
        for name, values in table.items():
            kinds[name].meet(values)
    types = {name: kind.arrow_type(pa) for name, kind in kinds.items()}
    if names[:2] == RECORDED:
        types["time"] = pa.timestamp("us", "UTC")
    schema = pa.schema(list(types.items()))
    rows = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in tables():
            count = _length(table)
            arrays = [arrow_values(pa, table.get(name, [None] * count), types[name]) for name in names]
            writer.write_table(pa.table(arrays, schema=schema))
            rows += count
    return rows


def _csv_of(names: list[str], name: str) -> Callable[[Any], str]:
    return iso if name == "time" and names[:2] == RECORDED else csv_cell


FORMATS: dict[str, Format] = {"csv": write_csv, "parquet": write_parquet}


def metric_tables(chosen: Chosen, name: str | None) -> Iterator[Columns]:
    """`seq`, `time` in microseconds, and fields; several small pieces as one."""
    batch: dict[str, list[Any]] = {}
    count = 0
    for piece in pieces(chosen, name):
        own = {"seq": piece.seq, "time": piece.time_us, **_apart(piece.fields)}
        _extend(batch, count, own)
        count += len(piece.seq)
        if count >= ROWS_PER_PIECE:
            yield batch
            batch, count = {}, 0
    if count:
        yield batch


def metric_names(chosen: Chosen, name: str | None) -> list[str]:
    return [*RECORDED, *_apart(dict.fromkeys(fields_of(chosen, name)))]


def track_tables(chosen: Chosen, topic: str) -> Iterator[Columns]:
    rows = track_rows(chosen.folder, topic, None, None, chosen.run.seq, chosen.state.corrections)
    for start in range(0, len(rows), ROWS_PER_PIECE):
        some = rows[start : start + ROWS_PER_PIECE]
        fields = dict.fromkeys(key for _, row in some for key in row)
        yield {
            "_ts": [timestamp for timestamp, _ in some],
            **{key: [row.get(key) for _, row in some] for key in fields},
        }


def log_tables(chosen: Chosen) -> Iterator[Columns]:
    batch: list[tuple[Any, ...]] = []
    for entry in log_entries(chosen.folder, chosen.run.seq, chosen.state.corrections):
        batch.append((entry.seq, entry.time_us, entry.level, entry.message, entry.metadata))
        if len(batch) >= ROWS_PER_PIECE:
            yield dict(zip(LOG_NAMES, zip(*batch, strict=True), strict=True))
            batch = []
    if batch:
        yield dict(zip(LOG_NAMES, zip(*batch, strict=True), strict=True))


def tables_of(chosen: Chosen, tally: Tally) -> Iterator[tuple[str, list[str], Callable[[], Iterator[Columns]], str]]:
    """Each table of a run: its path without ending, its columns, its pieces, and what its rows are."""
    taken: set[str] = set()
    for name in chosen.metrics():
        path = _free(f"metrics/{UNNAMED if name is None else file_path(name)}", taken, tally)
        yield path, metric_names(chosen, name), partial(metric_tables, chosen, name), "points"
    if chosen.metric is not ...:
        return
    for topic, track in chosen.state.tracks.items():
        path = _free(f"tracks/{file_path(topic)}", taken, tally)
        yield path, ["_ts", *track.fields], partial(track_tables, chosen, topic), "track rows"
    if chosen.state.log_counts:
        yield "logs", LOG_NAMES, partial(log_tables, chosen), "log lines"
    tally.leave_out("captured output line", sum(chosen.state.output_counts.values()))
    if chosen.state.files:
        tally.leave_out("content of a saved file", len(chosen.state.files), "saved files stand in summary.json alone")


def file_path(name: str) -> str:
    """A metric's name or a topic as a relative path that no system refuses, and that leads nowhere else."""
    parts = [_NOT_IN_A_NAME.sub("-", each).strip(" ") for each in name.split("/")]
    cleaned = [each.encode("utf-8", "replace")[:200].decode("utf-8", "ignore") for each in parts]
    return "/".join(each if each.strip(".") else "_" for each in cleaned)


def _free(path: str, taken: set[str], tally: Tally) -> str:
    """Names that become equal as paths, also where a file system knows no capital letters, are told apart."""
    found, number = path, 1
    while found.casefold() in taken:
        number += 1
        found = f"{path}-{number}"
    if found != path:
        tally.note(f"another table is called {path} already; this one is {found}")
    taken.add(found.casefold())
    return found


def _apart(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that are called as the table's own columns get a `field.` in front."""
    return {f"field.{key}" if key in RECORDED else key: values for key, values in fields.items()}


def _extend(batch: dict[str, list[Any]], count: int, columns: Columns) -> None:
    added = _length(columns)
    for name, values in columns.items():
        batch.setdefault(name, [None] * count).extend(values)
    for values in batch.values():
        values.extend([None] * (count + added - len(values)))


def _length(table: Columns) -> int:
    return len(next(iter(table.values())))
