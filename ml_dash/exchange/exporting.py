"""`ml_dash.export`: experiments as files that other programs read.

1. Exporting only reads; a running experiment is exported as far as it has come.
2. A file appears whole or not at all.  What is there already is never overwritten, unless `force=True`, and then only
   the files that are written: nothing else in that folder is touched.
3. What a format cannot say is counted by kind in the report (`spec/exchange.md`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from ..errors import ConfigurationError, MlDashError, StorageError
from ..facts.values import to_plain
from ..history import experiments, load
from ..ids import new_id
from ..journal.damage import DamageKind
from ..prefix import parse_prefix
from ..reading.listing import folder_of, root_of
from ..reading.points import check_attempts
from .event_lines import with_words
from .reports import ExportReport, Tally
from .rows_of import Chosen
from .to_jsonl import EVENTS, contents, write_events
from .to_tables import FORMATS as TABLE_FORMATS
from .to_tables import tables_of

FORMATS = ("jsonl", "csv", "parquet", "tensorboard")
STANDARD_OUTPUT = "-"
FILE_ENDINGS = (".jsonl", ".ndjson")
Progress = Callable[[str, int, int], None]
"""Told the prefix, how many of its events are done, and how many there are."""
_WILD = "*?["


def export(
    prefix: str | Iterable[str],
    *,
    to: str | os.PathLike[str],
    format: str = "jsonl",
    metric: Any = ...,
    attempts: str = "latest",
    at: int | datetime | None = None,
    dash_root: str | os.PathLike[str] | None = None,
    dash_url: object = None,
    force: bool = False,
    on_progress: Progress | None = None,
) -> list[ExportReport]:
    """Writes experiments to files: "jsonl" is lossless, "csv" and "parquet" are tables, "tensorboard" is an event file.

    `prefix` is one, several, or globs (`"alice/**"`).  A single experiment goes right into the folder `to`; where
    several may be meant each goes to its prefix below it.  With "jsonl" `to` may also be a file, `NAME.jsonl`; "-" is
    standard output, for "jsonl", and for "csv" of one metric.  `metric` exports that metric alone (None is the unnamed
    one); `attempts="all"` does not leave out what a later attempt logged again; `at` exports the experiment as it was
    after that event or at that time.

    Raises what `load` raises, ConfigurationError for arguments that do not fit and where files are there already,
    MissingExtraError where a library is missing, StorageError where a file cannot be written.
    """
    check_attempts(attempts)
    if format not in FORMATS:
        raise ConfigurationError(f"format={format!r:.100} is not known: expected one of {', '.join(FORMATS)}")
    if format == "jsonl" and metric is not ...:
        raise ConfigurationError("metric is not for jsonl, which has every event. Use csv, parquet or tensorboard")
    patterns = [prefix] if isinstance(prefix, str) else list(prefix)
    prefixes = _matching(patterns, dash_root, dash_url)
    is_single = len(patterns) == 1 and not _is_glob(patterns[0])
    target = os.fspath(to)
    if target == STANDARD_OUTPUT:
        _check_output(prefixes, format, metric)
    reports = []
    for each in prefixes:
        run = load(each, dash_root=dash_root, dash_url=dash_url, at=at)
        folder = folder_of(parse_prefix(each), root_of(dash_root, dash_url))
        chosen = Chosen(run, folder, attempts, metric, has_contents=not dash_url)
        job = _Job(chosen, root_of(dash_root, dash_url), format, on_progress, force)
        place = Path(target) if is_single or target == STANDARD_OUTPUT else Path(target, *parse_prefix(each).segments)
        try:
            reports.append(job.run(place, target == STANDARD_OUTPUT))
        except (BrokenPipeError, MlDashError):
            raise
        except OSError as error:
            raise StorageError(
                f"{place} cannot be written: {error}. Give another place, or free space there"
            ) from error
    return reports


def _is_glob(pattern: object) -> bool:
    return isinstance(pattern, str) and any(wild in pattern for wild in _WILD)


def _matching(patterns: list[str], dash_root: Any, dash_url: object) -> list[str]:
    """The prefixes that are meant, each once, in the order in which they were asked for."""
    found: dict[str, None] = {}
    for pattern in patterns:
        if not _is_glob(pattern):
            found[parse_prefix(pattern).text] = None
            continue
        matches = experiments(pattern, dash_root=dash_root, dash_url=dash_url)
        if not matches:
            raise ConfigurationError(f"no experiment matches {pattern!r}; `ml-dash list` shows what there is")
        found.update(dict.fromkeys(sorted(summary.prefix for summary in matches)))
    if not found:
        raise ConfigurationError("no experiment to export: give a prefix or a glob over prefixes, such as 'alice/**'")
    return list(found)


def _check_output(prefixes: list[str], format: str, metric: Any) -> None:
    is_one_stream = format == "jsonl" or (format == "csv" and metric is not ...)
    if len(prefixes) == 1 and is_one_stream:
        return
    raise ConfigurationError(
        f"this export as {format} is more than one file, and standard output is one. Only jsonl of one experiment, and "
        "csv of one metric of one experiment, go there; give a folder: --to FOLDER, to=FOLDER in Python"
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """One experiment on its way out."""

    chosen: Chosen
    root: Path
    format: str
    on_progress: Progress | None
    force: bool

    def run(self, place: Path, is_output: bool) -> ExportReport:
        tally = Tally()
        writes = {
            "jsonl": self._jsonl,
            "csv": self._tables,
            "parquet": self._tables,
            "tensorboard": self._tensorboard,
        }
        files: list[str] = []
        planned = list(writes[self.format](place, tally))
        if is_output:
            planned[0][1](sys.stdout.buffer)
            sys.stdout.buffer.flush()
            files.append(STANDARD_OUTPUT)
        else:
            self._check([target for target, _ in planned])
            for target, write in planned:
                with _whole(target) as file:
                    write(file)
                files.append(str(target))
        # A torn tail was promised to nobody, and what was declared is given up.
        damage = [each for each in self.chosen.run.damage if each.kind is not DamageKind.TORN and not each.declared]
        for each in damage:
            tally.note(
                f"the journal is damaged: events {each.first_seq} to {each.last_seq} are not exported; `ml-dash verify "
                f"{self.chosen.run.prefix}` says what to do"
            )
        if self.format == "jsonl":
            self._contents(place, is_output, tally)
        if not self.chosen.has_contents and tally.left_out["content of a saved file"]:
            tally.note("saved files stay on the server; `ml-dash pull` brings them here")
        counts, left_out = dict(tally.kept), dict(tally.left_out)
        notes = tuple(tally.notes)
        return ExportReport(self.chosen.run.prefix, self.format, tuple(files), counts, left_out, notes, bool(damage))

    def _check(self, targets: list[Path]) -> None:
        """Rule 2, before anything is written."""
        for target in targets:
            if target.exists() and (not self.force or target.is_dir()):
                raise ConfigurationError(
                    f"{str(target)!r} is there already. Give another place, or replace it with --force (force=True)"
                )

    # -- formats -------------------------------------------------------------------------------------------------

    def _jsonl(self, place: Path, tally: Tally) -> Iterator[tuple[Path, Callable[[BinaryIO], object]]]:
        events = place if place.suffix in FILE_ENDINGS else place / EVENTS
        yield events, lambda file: write_events(self.chosen, self.root, file, tally, self._step)
        fork = self.chosen.state.fork
        if fork is not None:
            tally.note(
                f"it is a fork: its points, lines and files from before event {fork.seq} of {fork.prefix!r} stay there"
            )

    def _contents(self, place: Path, is_output: bool, tally: Tally) -> None:
        """The contents of saved files, where there is a folder for them."""
        if is_output or place.suffix in FILE_ENDINGS or not self.chosen.has_contents:
            tally.leave_out("content of a saved file", len(self.chosen.state.files))
            return
        for target, copy in contents(self.chosen, place, tally):
            # Named by their content, so what is there already is the same.
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                copy(target)

    def _tables(self, place: Path, tally: Tally) -> Iterator[tuple[Path, Callable[[BinaryIO], object]]]:
        if self.chosen.metric is ...:
            yield place / "params.json", lambda file: file.write(_json(dict(self.chosen.state.params)))
            yield place / "summary.json", lambda file: file.write(_json(_summary(self.chosen)))
            tally.keep("parameters", len(self.chosen.state.params))
        write = TABLE_FORMATS[self.format]
        for path, names, tables, what in tables_of(self.chosen, tally):

            def written(file: BinaryIO, names: Any = names, tables: Any = tables, what: str = what) -> None:
                tally.keep(what, write(file, names, lambda: self._watched(tables())))

            yield place / f"{path}.{self.format}", written

    def _tensorboard(self, place: Path, tally: Tally) -> Iterator[tuple[Path, Callable[[BinaryIO], object]]]:
        from .to_tensorboard import EventFile, file_name

        yield place / file_name(self.chosen), lambda file: EventFile(self.chosen, file, tally).write(self._step)

    # -- writing -------------------------------------------------------------------------------------------------

    def _watched(self, tables: Iterable[Any]) -> Iterator[Any]:
        for table in tables:
            seqs = table.get("seq")
            if seqs is not None and len(seqs) and isinstance(seqs[-1], int):
                self._step(seqs[-1])
            yield table

    def _step(self, seq: int) -> None:
        if self.on_progress is not None and (seq % 1024 == 0 or self.format in TABLE_FORMATS):
            self.on_progress(self.chosen.run.prefix, seq, self.chosen.run.seq)


@contextmanager
def _whole(target: Path) -> Iterator[BinaryIO]:
    """Rule 2: the file gets its name once all of it is written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name[:200]}.{new_id()}.part")
    try:
        with part.open("xb") as file:
            yield file
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _summary(chosen: Chosen) -> dict[str, Any]:
    run = chosen.run
    return {
        "prefix": run.prefix,
        "status": str(run.status),
        "seq": run.seq,
        "created": run.created,
        "updated": run.updated,
        "description": run.description,
        "tags": list(run.tags),
        "bindrs": list(run.bindrs),
        "metadata": run.metadata,
        "sessions": [
            {
                "id": each.id,
                "attempt": each.attempt,
                "status": str(each.status),
                "host": each.host,
                "reason": each.reason,
            }
            for each in run.sessions
        ],
        "metrics": {
            name or "": {
                "points": metric.count,
                "fields": {
                    key: {"count": each.count, "last": each.last, "min": each.min, "max": each.max, "sum": each.sum}
                    for key, each in metric.fields.items()
                },
            }
            for name, metric in chosen.state.metrics.items()
        },
        "files": [dict(file) for file in run.files],
    }


def _json(value: Any) -> bytes:
    """Readable JSON; what JSON cannot say stands as in `event_lines.py`."""
    plain, tags = to_plain(value)
    return orjson.dumps(with_words(plain, tags), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
