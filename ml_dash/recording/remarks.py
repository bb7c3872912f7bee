"""Events about other events: they are recorded by anyone, at any time, also while the run goes on.

1. A remark belongs to the session of the event that it is about, and begins none.
2. It is appended under the journal's lock as a commit of its own, by a writer of its own, and durable on return.
"""

from __future__ import annotations

import os
from typing import Any

from ..clock import now_us
from ..errors import ConfigurationError, StorageError
from ..facts.codec import encode_events, events_of
from ..facts.events import Event
from ..facts.rows import event_row, parse_rows, seal, time_of
from ..ids import new_id
from ..journal.appender import Appender
from ..journal.batch import Batch
from ..journal.checkpoint import Trust
from ..journal.drain import drain
from ..journal.folder import JournalFolder
from ..journal.leftovers import dead_writers, try_drain
from ..journal.writer import record_held
from ..opening.environment import user
from ..reading.lineage import reading
from ..reading.replay import committed


def who() -> str:
    """`user@host` of this process."""
    return f"{user()}@{os.uname().nodename}"


def event_at(folder: JournalFolder, prefix: str, seq: int) -> Event:
    """The event of that number, as it was recorded.  Raises ConfigurationError where there is none, StorageError."""
    if isinstance(seq, bool) or not isinstance(seq, int) or seq < 1:
        raise ConfigurationError(f"seq={seq!r:.100}: expected the number of an event, as `ml_dash.events` shows it")
    with reading(folder):
        if dead_writers(folder):
            try_drain(folder)
        last = 0
        for line, blocks in committed(folder, seq - 1):
            last = line.last
            for event in events_of(blocks, line.first, line.time_us, line.writer, line.session):
                if event.seq == seq:
                    return event
            if line.last >= seq:
                break
    raise ConfigurationError(
        f"seq={seq}: {prefix!r} has no such event, or none that can be read. `ml-dash events {prefix}` lists all"
        if not last
        else f"seq={seq}: that event of {prefix!r} is damaged or cannot be decoded; `ml-dash verify {prefix}` says more"
    )


def remark_batch(event_type: str, data: dict[str, Any], session: str) -> Batch:
    """The event as a commit of its own."""
    rows = parse_rows(seal(event_row(now_us() * 1000, event_type, data)))
    time_us = time_of(rows[0])
    return Batch(1, time_us, new_id(), session, 1, encode_events(rows, {}, time_us))


def record_remark(folder: JournalFolder, event_type: str, data: dict[str, Any], session: str) -> int:
    """The number that the event has in the journal; that it will have, inside of a block of `experiment.expect`.

    Raises StorageError, LockError or JournalCorruptError.
    """
    held_as = record_held(folder, event_type, data)
    if held_as is not None:
        return held_as
    batch = remark_batch(event_type, data, session)
    trust = Trust(folder)
    appender = Appender(folder, batch.writer, trusted=trust, on_sealed=trust.sealed)
    try:
        with appender.at_end():
            # What dead processes had accepted happened before.
            drain(folder, appender)
            position = appender.position
            assert position is not None
            appender.append([batch])
        appender.sync()
    except OSError as error:
        raise StorageError(
            f"{folder.path} cannot be written to, so nothing was recorded about it: {error}. Try again as a user who "
            "may write there, where there is room"
        ) from error
    finally:
        appender.close()
    return position.next_seq
