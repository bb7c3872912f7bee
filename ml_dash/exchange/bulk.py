"""Events of given times into a journal, in bulk: an importer is a writer whose events have given times.

They are committed directly, in columns, without a spool: what is imported stands in its source as long as it takes.

 1. Events are committed in the order in which they are added, each with its own time, writer and session.
 2. A commit's time is that of its last event.
 3. Everything before the end of a session is durable before that end is committed, as `opening/session.py` has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from ..facts.codec import encode_events
from ..facts.events import COLUMNAR_TYPES, RUN_CANCELLED, RUN_COMPLETED, RUN_FAILED, STREAM_TYPES, Event
from ..facts.rows import Row, Shape, event_row, stream_row
from ..ids import new_id
from ..journal.appender import Appender
from ..journal.batch import Batch
from ..journal.folder import JournalFolder

EVENTS_PER_COMMIT_MAX = 8192
BYTES_PER_COMMIT_MAX = 1024 * 1024
_ENDS = frozenset((RUN_COMPLETED, RUN_FAILED, RUN_CANCELLED))


class BulkWriter:
    """Appends to one journal; use it through `writing`."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender
        self._rows: list[Row] = []
        self._bytes = 0
        self._by = ("", "")
        self._time_us = 0
        self._counters: dict[str, int] = {}
        self._shapes: dict[int, Shape] = {}
        self._numbers: dict[tuple[str, str | None, tuple[str, ...]], int] = {}
        self.count = 0

    def add(self, event: Event) -> None:
        """Rule 1; `event.seq` is not looked at.  Raises OSError."""
        is_full = len(self._rows) >= EVENTS_PER_COMMIT_MAX or self._bytes >= BYTES_PER_COMMIT_MAX
        if is_full or self._by != (event.writer, event.session):
            self.commit()
        if event.type in _ENDS:
            self.commit()
            self._appender.sync()
        row = self._row(event)
        self._rows.append(orjson.loads(row))
        self._bytes += len(row)
        self._by, self._time_us = (event.writer, event.session), event.time_us
        self.count += 1

    def commit(self) -> None:
        """What was added stands in the journal."""
        if not self._rows:
            return
        writer, session = self._by
        counter = self._counters.get(writer, 1)
        self._counters[writer] = counter + len(self._rows)
        events = encode_events(self._rows, self._shapes, self._time_us)
        self._appender.append([Batch(len(self._rows), self._time_us, writer, session, counter, events)])
        self._rows, self._bytes = [], 0

    def _row(self, event: Event) -> bytes:
        time_ns = event.time_us * 1000
        fields = _fields(event)
        if fields is None:
            return event_row(time_ns, event.type, event.data)
        name = event.data["name"] if event.type in STREAM_TYPES else None
        key = (event.type, name, tuple(fields))
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers) + 1
            self._shapes[number] = Shape(event.type, event.type in STREAM_TYPES, name, tuple(fields))
        return stream_row(time_ns, number, self._shapes[number], tuple(fields.values()))


def _fields(event: Event) -> dict[str, Any] | None:
    """The fields of an event that may stand in columns; None for any other."""
    if event.type not in COLUMNAR_TYPES:
        return None
    fields, texts = event.data, []
    if event.type in STREAM_TYPES:
        if event.data.keys() != {"name", "fields"}:
            return None
        fields, name = event.data["fields"], event.data["name"]
        texts = [] if name is None else [name]
    return fields if isinstance(fields, dict) and all(map(_is_name, [*texts, *fields])) else None


def _is_name(text: object) -> bool:
    """Whether JSON can say it as the name of a column."""
    return type(text) is str and (text.isascii() or text == text.encode("utf-8", "ignore").decode("utf-8"))


@contextmanager
def writing(folder: JournalFolder) -> Iterator[BulkWriter]:
    """A writer of a journal that nobody else appends to meanwhile; all of it is durable afterwards.

    Raises StorageError, LockError or OSError.
    """
    folder.disk.make_folder(folder.path)
    appender = Appender(folder, new_id())
    try:
        with appender.at_end():
            writer = BulkWriter(appender)
            yield writer
            writer.commit()
        appender.sync()
    finally:
        appender.close()
