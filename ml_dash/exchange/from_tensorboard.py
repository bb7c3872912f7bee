"""Folders with event files of TensorBoard; each folder that holds some is one experiment, as it is one run there.

Event files of one process are one session.  What several processes wrote one after the other are several: a training
that was resumed, whose later steps supersede those that it did again, as TensorBoard itself shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..facts.events import (
    EXPERIMENT_DESCRIBED,
    LOG_WRITTEN,
    METRIC_LOGGED,
    PARAMS_SET,
    RUN_COMPLETED,
    RUN_FAILED,
    RUN_STARTED,
    Event,
)
from ..logs import LogLevel
from .reports import Tally
from .row_joining import Item, RowJoiner
from .sources import Author, Found, Target, file_saved, part, split_name
from .tensorboard_values import (
    FAILURE,
    Tags,
    blobs_in,
    events_in,
    hparams_in,
    library,
    number_in,
    process_of,
    texts_in,
)

EVENT_FILES = "*tfevents*"
STEP = "step"
TAKEN = frozenset((STEP, "_ts"))
"""Fields that a row has besides its scalars; a scalar of such a name gets `_scalar` at its end."""


def find(path: Path, owner: str) -> Iterator[Found]:
    """The runs at and below a path.  Raises MissingExtraError where there are some and the package is missing."""
    if path.is_file():
        folders = {path.parent: [path]} if "tfevents" in path.name else {}
    else:
        folders = {}
        for file in sorted(path.rglob(EVENT_FILES)):
            if file.is_file():
                folders.setdefault(file.parent, []).append(file)
    if folders:
        library("tensorboard.compat.proto.event_pb2")
    for folder, files in folders.items():
        below = [] if path.is_file() else [part(each) for each in folder.relative_to(path).parts]
        name = "/".join(below) or part(folder.name)
        prefix = "/".join([part(owner), part(path.parent.name if path.is_file() else path.name), *below])
        yield Found("tensorboard", folder, prefix, name, partial(_events, files), tuple(files), "brain.Event:2")


def _events(files: list[Path], target: Target, tally: Tally) -> Iterator[Event]:
    processes: dict[object, list[Path]] = {}
    for file in files:
        host, pid = process_of(file)
        processes.setdefault((host, pid) if pid is not None else file, []).append(file)
    sessions = [_Session(each, target, tally).events() for each in processes.values()]
    yield from merge(*sessions, key=attrgetter("time_us"))


class _Session:
    """The event files of one process."""

    def __init__(self, files: list[Path], target: Target, tally: Tally) -> None:
        self._files = files
        self._target = target
        self._tally = tally
        self._author = Author()
        self._tags = Tags()
        self._rows = RowJoiner()
        self._status: int | None = None

    def events(self) -> Iterator[Event]:
        """From the session's begin to its end, in order of time; nothing where no record can be read."""
        records = merge(*(self._records(file) for file in self._files), key=attrgetter("wall_time"))
        last_us: int | None = None
        for record in records:
            time_us = round(record.wall_time * 1_000_000)
            if last_us is None:
                yield self._author.event(time_us, RUN_STARTED, self._started())
            last_us = time_us if last_us is None else max(last_us, time_us)
            for item in self._items(record, time_us):
                yield self._event(item)
        for item in self._rows.finish():
            yield self._event(item)
        if last_us is not None:
            yield self._end(last_us)

    def _records(self, file: Path) -> Iterator[Any]:
        return events_in(file, self._tally)

    def _started(self) -> dict[str, Any]:
        host, pid = process_of(self._files[0])
        return {
            "session": self._author.session,
            "prefix": self._target.prefix,
            "host": host,
            "pid": pid,
            "rank": None,
            "environment": {"imported": self._target.imported},
        }

    def _end(self, time_us: int) -> Event:
        if self._status == FAILURE:
            why: dict[str, Any] = {"session": self._author.session, "reason": "stated", "error": None}
            return self._author.event(time_us, RUN_FAILED, why)
        if self._status is None:
            self._tally.note("TensorBoard keeps no status: the experiment is taken as completed")
        return self._author.event(time_us, RUN_COMPLETED, {"session": self._author.session})

    def _event(self, item: Item) -> Event:
        if item.fields is None:
            event: Event = item.other
            return event
        self._tally.read(item.name, STEP)
        return self._author.event(item.time_us, METRIC_LOGGED, {"name": item.name, "fields": item.fields})

    def _items(self, record: Any, time_us: int) -> Iterator[Item]:
        """What a record says; the rows and events that are complete by then."""
        what = record.WhichOneof("what")
        if what == "summary":
            for value in record.summary.value:
                yield from self._value(value, record.step, time_us)
        elif what in ("graph_def", "meta_graph_def", "tagged_run_metadata", "log_message"):
            self._tally.leave_out({"graph_def": "graph", "meta_graph_def": "graph"}.get(what, what))

    def _value(self, value: Any, step: int, time_us: int) -> Iterator[Item]:
        plugin = self._tags.plugin(value)
        number = number_in(value, plugin)
        if number is not None:
            name, key = split_name(value.tag)
            key = f"{key}_scalar" if key in TAKEN else key
            self._tally.read(name, key)
            yield from self._rows.scalar(time_us, name, step, key, number)
        elif plugin == "text" and value.HasField("tensor"):
            for text in texts_in(value):
                yield from self._rows.other(time_us, self._text(value.tag, text, step, time_us))
        elif plugin == "hparams":
            yield from self._hparams(value, time_us)
        else:
            blobs = blobs_in(value, plugin)
            if blobs is None:
                kind = plugin or value.WhichOneof("value") or "empty value"
                self._tally.leave_out({"histo": "histogram", "histograms": "histogram"}.get(kind, kind))
            for index, (data, ending) in enumerate(blobs or ()):
                name = f"{step}.{ending}" if index == 0 else f"{step}-{index}.{ending}"
                yield from self._rows.other(time_us, self._file(value.tag, name, step, data, time_us))

    def _text(self, tag: str, text: str, step: int, time_us: int) -> Event:
        tag = tag.removesuffix("/text_summary")
        if tag == "description":
            self._tally.keep("description")
            return self._author.event(time_us, EXPERIMENT_DESCRIBED, {"description": text})
        self._tally.keep("texts, as log lines")
        folder, _, level = tag.partition("/")
        if folder == "logs" and level in {each.value for each in LogLevel}:
            data: dict[str, Any] = {"message": text, "level": level, "metadata": None}
        else:
            data = {"message": text, "level": "info", "metadata": {"tag": tag, "step": step}}
        return self._author.event(time_us, LOG_WRITTEN, data)

    def _hparams(self, value: Any, time_us: int) -> Iterator[Item]:
        found = hparams_in(value)
        if found is None:
            self._tally.leave_out("hparams: description of an experiment's domains")
            return
        params, status = found
        self._status = self._status if status is None else status
        if params:
            self._tally.keep("parameters", len(params))
            yield from self._rows.other(time_us, self._author.event(time_us, PARAMS_SET, {"params": params}))

    def _file(self, tag: str, filename: str, step: int, data: bytes, time_us: int) -> Event:
        self._tally.keep("files")
        content = self._target.store.write(data)
        path = "/" + "/".join(part(each) for each in tag.split("/") if each)
        payload = file_saved(content, path, filename, metadata={"tag": tag, "step": step})
        return self._author.saved(time_us, payload)
