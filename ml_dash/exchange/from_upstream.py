"""A folder that the package `ml-dash` (0.6 to 0.11) recorded to, or one of its experiments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, StorageError
from ..facts.events import (
    EXPERIMENT_DESCRIBED,
    FILE_DELETED,
    LOG_WRITTEN,
    METRIC_DESCRIBED,
    METRIC_LOGGED,
    PARAMS_SET,
    RUN_COMPLETED,
    RUN_STARTED,
    TRACK_APPENDED,
    Event,
)
from ..journal.folder import JOURNAL
from ..logs import LogLevel
from .reports import Tally
from .sources import Author, Found, Target, file_saved, part
from .upstream_files import HOUR_US, point_time_us, read_json, read_lines, time_us_of

EXPERIMENT = "experiment.json"
LAYOUT = ("metrics", "tracks", "logs", "files")
_KNOWN = frozenset((EXPERIMENT, "parameters.json"))


def find(path: Path, owner: str) -> Iterator[Found]:
    """The experiments at and below a path: folders with an `experiment.json`, or with metrics or parameters where that
    has been lost."""
    if path.is_file():
        return
    for folder in _folders(path):
        described = read_json(folder / EXPERIMENT, Tally(), EXPERIMENT)
        relative = "/".join(map(part, folder.relative_to(path).parts))
        prefix = described.get("prefix")
        if not isinstance(prefix, str) or prefix.strip("/").count("/") < 1:
            prefix = relative if relative.count("/") >= 1 else f"{part(owner)}/{relative or part(folder.name)}"
        prefix = "/".join(map(part, prefix.strip("/").split("/")))
        yield Found(
            "ml-dash", folder, prefix, relative or part(folder.name), partial(_events, folder), tuple(_files(folder))
        )


def _folders(path: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(path):
        folders.sort()
        if JOURNAL in folders:
            folders.clear()
            continue
        is_one = _is_experiment(Path(here), files, folders)
        if is_one:
            yield Path(here)
        folders[:] = [name for name in folders if not (is_one and name in LAYOUT)]


def _is_experiment(folder: Path, files: list[str], folders: list[str]) -> bool:
    """Any of its parts is enough, if it is what that package writes: others have files of these names too."""
    if EXPERIMENT in files and {"created_at", "prefix"} & read_json(folder / EXPERIMENT, Tally(), "").keys():
        return True
    if (
        "parameters.json" in files
        and {"data", "updatedAt"} <= read_json(folder / "parameters.json", Tally(), "").keys()
    ):
        return True
    has_metrics = "metrics" in folders and any((folder / "metrics").rglob("data.jsonl"))
    return has_metrics or ("logs" in folders and (folder / "logs" / "logs.jsonl").exists())


def _files(folder: Path) -> Iterator[Path]:
    """What of an experiment is not another experiment below it."""
    yield from (each for each in sorted(folder.iterdir()) if each.is_file() and not each.name.startswith("."))
    for name in LAYOUT:
        for each in sorted((folder / name).rglob("*")):
            if each.is_file() and each.suffix != ".lock":
                yield each


@dataclass(slots=True)
class _Reading:
    """One experiment on its way."""

    folder: Path
    target: Target
    tally: Tally
    author: Author
    began_us: int
    ended_us: int
    until_us: int


def _events(folder: Path, target: Target, tally: Tally) -> Iterator[Event]:
    described = read_json(folder / EXPERIMENT, tally, EXPERIMENT)
    if not (folder / EXPERIMENT).exists():
        tally.note(f"there is no {EXPERIMENT}: description, tags and times of the experiment are unknown")
    written_us = max((int(path.stat().st_mtime * 1e6) for path in _files(folder)), default=0)
    began_us = time_us_of(described.get("created_at"))
    updated_us = time_us_of(described.get("updated_at")) or 0
    at = _Reading(folder, target, tally, Author(), written_us if began_us is None else began_us, 0, 0)
    at.ended_us = max(at.began_us, updated_us)
    at.until_us = max(at.ended_us, written_us) + HOUR_US
    streams = chain([_params(at), _logs(at), _saved(at)], _metrics(at), _tracks(at))
    ordered = merge(*streams, key=attrgetter("time_us"))
    first = next(ordered, None)
    if began_us is None:
        at.began_us = first.time_us if first is not None else written_us
        at.ended_us = max(at.ended_us if described else 0, at.began_us)
    yield at.author.event(at.began_us, RUN_STARTED, _started(at))
    yield from _description(at, described)
    for event in chain([first] if first is not None else [], ordered):
        at.ended_us = max(at.ended_us, event.time_us)
        yield event
    _count_unknown(at)
    tally.note("the package keeps no status: the experiment is taken as completed")
    yield at.author.event(at.ended_us, RUN_COMPLETED, {"session": at.author.session})


def _started(at: _Reading) -> dict[str, Any]:
    environment = {"imported": at.target.imported}
    return {
        "session": at.author.session,
        "prefix": at.target.prefix,
        "host": None,
        "pid": None,
        "rank": None,
        "environment": environment,
    }


def _description(at: _Reading, described: dict[str, Any]) -> Iterator[Event]:
    given: dict[str, Any] = {}
    for name, kind in (("description", str), ("tags", list), ("bindrs", list), ("metadata", dict)):
        value = described.get(name)
        if isinstance(value, kind) and value:
            given[name] = [str(each) for each in value] if kind is list else value
            at.tally.keep(name)
    if given:
        yield at.author.event(at.began_us, EXPERIMENT_DESCRIBED, given)


def _params(at: _Reading) -> Iterator[Event]:
    found = read_json(at.folder / "parameters.json", at.tally, "parameters.json")
    params = found.get("data")
    if isinstance(params, dict) and params:
        at.tally.keep("parameters", len(params))
        time_us = time_us_of(found.get("updatedAt"))
        yield at.author.event(at.began_us if time_us is None else time_us, PARAMS_SET, {"params": params})


def _logs(at: _Reading) -> Iterator[Event]:
    time_us = at.began_us
    for line in read_lines(at.folder / "logs" / "logs.jsonl", at.tally, "log"):
        stamp = time_us_of(line.get("timestamp"))
        time_us = time_us if stamp is None else stamp
        try:
            level = LogLevel.validate(line.get("level", "info"))
        except ConfigurationError:
            at.tally.note(f"log level {line['level']!r:.40} is not one of ours and stands as 'info'")
            level = "info"
        metadata = line.get("metadata")
        data = {
            "message": str(line.get("message", "")),
            "level": level,
            "metadata": metadata if isinstance(metadata, dict) and metadata else None,
        }
        at.tally.keep("log lines")
        yield at.author.event(time_us, LOG_WRITTEN, data)


def _metrics(at: _Reading) -> Iterator[Iterator[Event]]:
    """A stream of events for each metric."""
    for data in sorted((at.folder / "metrics").rglob("*.jsonl")):
        if data.name == "data.jsonl":
            said = read_json(data.parent / "metadata.json", at.tally, "metadata.json of a metric")
            folder_name = data.parent.relative_to(at.folder / "metrics").as_posix()
            # The package keeps the unnamed metric in a folder of this name.
            name = said.get("name", None if folder_name == "None" else folder_name)
        else:
            said, name = {}, data.stem
        yield _metric(at, data, name if isinstance(name, str) else None, said)


def _metric(at: _Reading, path: Path, name: str | None, said: dict[str, Any]) -> Iterator[Event]:
    given = {key: said[key] for key in ("description", "tags", "metadata") if said.get(key)}
    time_us = at.began_us
    if given:
        created_us = time_us_of(said.get("createdAt"))
        yield at.author.event(time_us if created_us is None else created_us, METRIC_DESCRIBED, {"name": name, **given})
    for line in read_lines(path, at.tally, "metric"):
        fields = line.get("data")
        if not isinstance(fields, dict):
            at.tally.leave_out("metric line without data")
            continue
        for key in fields:
            at.tally.read(name, key)
        created_us = time_us_of(line.get("createdAt"))
        time_us = point_time_us(fields, time_us if created_us is None else created_us)
        yield at.author.event(time_us, METRIC_LOGGED, {"name": name, "fields": fields})


def _tracks(at: _Reading) -> Iterator[Iterator[Event]]:
    """A stream of events for each topic."""
    for data in sorted((at.folder / "tracks").rglob("data.jsonl")):
        said = read_json(data.parent / "metadata.json", at.tally, "metadata.json of a track")
        topic = said.get("topic")
        if not isinstance(topic, str):
            topic = data.parent.relative_to(at.folder / "tracks").as_posix()
        created_us = time_us_of(said.get("createdAt"))
        yield _track(at, data, topic, at.began_us if created_us is None else created_us)


def _track(at: _Reading, path: Path, topic: str, created_us: int) -> Iterator[Event]:
    """No entry says when it was recorded: at its timestamp where that lies within the experiment, else when its topic
    began."""
    for line in read_lines(path, at.tally, "track"):
        stamp = line.pop("timestamp", None)
        if isinstance(stamp, bool) or not isinstance(stamp, int | float):
            at.tally.leave_out("track line without a timestamp")
            continue
        at.tally.keep("track entries")
        stamp_us = round(stamp * 1e6) if abs(stamp) < 1e11 else 0
        time_us = stamp_us if at.began_us <= stamp_us <= at.until_us else created_us
        yield at.author.event(time_us, TRACK_APPENDED, {"name": topic, "fields": {"_ts": stamp, **line}})


def _saved(at: _Reading) -> Iterator[Event]:
    listed = read_json(at.folder / "files" / ".files_metadata.json", at.tally, ".files_metadata.json").get("files")
    events: list[Event] = []
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict) and isinstance(each.get("filename"), str):
            events += _file(at, each)
    yield from sorted(events, key=attrgetter("time_us"))


def _file(at: _Reading, each: dict[str, Any]) -> list[Event]:
    path, filename, file_id = str(each.get("path") or "/"), each["filename"], str(each.get("id"))
    source = at.folder.joinpath("files", path.strip("/"), file_id, filename)
    name = f"{path.rstrip('/')}/{filename}"
    try:
        if not source.resolve().is_relative_to(at.folder):
            raise OSError(f"{source} lies outside the experiment")
        content = at.target.store.copy_in(str(source))
    except (OSError, StorageError) as error:
        at.tally.leave_out("file without content", 1, f"{name} has no content: {error}")
        return []
    if each.get("checksum") not in (None, content.checksum):
        at.tally.leave_out("checksum of a file", 1, f"{name} is not what its checksum says; it is saved as it is")
    at.tally.keep("files")
    uploaded_us = time_us_of(each.get("uploadedAt"))
    said = {key: each.get(key) for key in ("description", "tags", "bindrs", "metadata")}
    content_type = each.get("contentType")
    time_us = at.began_us if uploaded_us is None else uploaded_us
    path = "/" + path.strip("/")
    event = file_saved(content, path, filename, file_id=file_id, content_type=content_type, **said)
    events = [at.author.saved(time_us, event)]
    if each.get("deletedAt"):
        deleted_us = time_us_of(each["deletedAt"])
        events.append(at.author.event(time_us if deleted_us is None else deleted_us, FILE_DELETED, {"id": file_id}))
    return events


def _count_unknown(at: _Reading) -> None:
    """Files that no part of the layout speaks of."""
    listed = read_json(at.folder / "files" / ".files_metadata.json", Tally(), "").get("files") or []
    ids = {str(each.get("id")) for each in listed if isinstance(each, dict)}
    for path in _files(at.folder):
        relative = path.relative_to(at.folder)
        top = relative.parts[0]
        is_known = (
            (len(relative.parts) == 1 and top in _KNOWN)
            or (top in ("metrics", "tracks") and path.name in ("data.jsonl", "metadata.json"))
            or (top == "metrics" and path.suffix == ".jsonl")
            or (top == "logs" and path.name in ("logs.jsonl", ".log_sequence"))
            or (top == "files" and (path.name == ".files_metadata.json" or path.parent.name in ids))
        )
        if not is_known:
            at.tally.leave_out("file that the layout does not know", 1, f"{relative} was not imported")
