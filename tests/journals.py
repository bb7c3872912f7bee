"""Journals on disk for tests that read: commits exactly as wanted, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ml_dash.journal.appender import Appender
from ml_dash.journal.batch import Batch
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import SEGMENT_BYTES_MAX

from .histories import EPOCH_US, Recorded, encoded, event

Part = tuple[str, Sequence[Recorded]]
"""A session and what it recorded in one commit."""


def append(experiment: Path, *parts: Part, segment_bytes_max: int = SEGMENT_BYTES_MAX) -> JournalFolder:
    """Appends one commit for each part to the journal of an experiment; the writer has the session's name."""
    folder = JournalFolder(experiment)
    folder.disk.make_folder(folder.path)
    for session, recorded in parts:
        appender = Appender(folder, session, segment_bytes_max=segment_bytes_max)
        try:
            with appender.at_end():
                position = appender.position
                counter = position.next_seq if position is not None else 1
                time_us = recorded[-1].time_us
                data = encoded(recorded, time_us)
                appender.append([Batch(len(recorded), time_us, session, session, counter, data)])
            appender.sync()
        finally:
            appender.close()
    return folder


def append_bytes(experiment: Path, events: bytes, count: int, name: str = "s1") -> JournalFolder:
    """Appends a commit whose `events` no writer of this release would write."""
    folder = JournalFolder(experiment)
    folder.disk.make_folder(folder.path)
    appender = Appender(folder, name)
    try:
        with appender.at_end():
            appender.append([Batch(count, EPOCH_US, name, name, 1, events)])
    finally:
        appender.close()
    return folder


def session(name: str, recorded: Sequence[Recorded], end: str | None = "run.completed") -> list[Part]:
    """A session from its first event to its last, in one commit; `end=None` leaves it open."""
    started = event("run.started", session=name, prefix="alice/ml/a", host="node", pid=1, rank=None, environment={})
    ended = [event(end, EPOCH_US, session=name)] if end is not None else []
    return [(name, [started, *recorded, *ended])]
