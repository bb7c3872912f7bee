"""Offline runs of wandb: folders with a `run-<id>.wandb`.  Runs of one id are sessions of one experiment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from heapq import merge
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..facts.events import Event
from .reports import Tally
from .sources import Found, Target, part
from .wandb_records import is_log, library, records_in
from .wandb_session import HEAD, Session

LOG_FILES = "run-*.wandb"
HEAD_MAX = 200
_STAMP = re.compile(r"run-(\d{8}_\d{6})-")


def find(path: Path, owner: str) -> Iterator[Found]:
    """The runs at and below a path.  Raises MissingExtraError where there are some and the package is missing."""
    candidates = [path] if path.is_file() else sorted(path.rglob(LOG_FILES), key=_started)
    runs: dict[str, list[Path]] = {}
    for log in candidates:
        # `latest-run` is a link to one of the others.
        if log.is_file() and is_log(log) and not any(each.is_symlink() for each in (log, log.parent)):
            runs.setdefault(log.stem.removeprefix("run-"), []).append(log)
    for run_id, logs in runs.items():
        library("wandb.proto.wandb_internal_pb2")
        run, version = _described(logs[0])
        said = getattr(run, "display_name", "")
        name = part(f"{said}-{run_id}" if said else run_id)
        project = part(getattr(run, "project", "") or "uncategorized")
        prefix = f"{part(getattr(run, 'entity', '') or owner)}/{project}/{name}"
        folder = logs[0].parent if len(logs) == 1 or path.is_file() else path
        files = tuple(each for log in logs for each in sorted(log.parent.rglob("*")) if each.is_file())
        yield Found("wandb", folder, prefix, f"{project}/{name}", partial(_events, logs), files, version)


def _started(log: Path) -> tuple[str, str]:
    match = _STAMP.search(log.parent.name)
    return (match[1] if match is not None else "", str(log))


def _described(log: Path) -> tuple[Any, str | None]:
    """The `run` record of a log, and the version that wrote it."""
    version = None
    for record in islice(records_in(log, Tally()), HEAD_MAX):
        kind = record.WhichOneof("record_type")
        if kind == "header":
            version = record.header.version_info.producer or None
        if kind == "run":
            return record.run, version
    return None, version


def _events(logs: list[Path], target: Target, tally: Tally) -> Iterator[Event]:
    sessions = [_session(log, target, tally) for log in logs]
    yield from merge(*sessions, key=attrgetter("time_us"))


def _session(log: Path, target: Target, tally: Tally) -> Iterator[Event]:
    """One run of the program, from its begin to its end."""
    records = records_in(log, tally)
    head: list[Any] = []
    for record in records:
        head.append(record)
        if record.WhichOneof("record_type") not in HEAD or len(head) == HEAD_MAX:
            break
    session = Session(log, target, tally, head)
    yield from session.begin()
    yield from merge(session.follow(chain(head, records)), session.files(), key=attrgetter("time_us"))
    yield session.end()
