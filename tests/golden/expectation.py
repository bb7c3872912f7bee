"""What a journal replays to, in JSON: what is written down for a golden journal, and compared for ever."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from ml_dash.facts.codec import decode_events, events_of
from ml_dash.facts.values import to_plain
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.reader import JournalReader
from ml_dash.journal.survey import survey
from ml_dash.reading.replay import Replay
from ml_dash.state.plain_state import to_plain_state


def expectation(experiment: Path) -> dict[str, Any]:
    """Of a copy: reading may commit what a dead writer left, and golden journals are never touched."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "copy"
        shutil.copytree(experiment, copy)
        folder = JournalFolder(copy)
        found = survey(folder)
        chain = {
            "ok": found.ok,
            "events": found.events,
            "commits": found.commits,
            "segments": found.segments,
            "bytes": found.bytes,
            "journal": found.journal,
            "head": found.head,
            "last_seq": found.last_seq,
            "damage": [
                [each.kind.value, each.segment, each.offset, each.bytes, each.first_seq, each.last_seq, each.declared]
                for each in found.damage
            ],
        }
        events = _events(folder)
        # Drains dead writers, and so adds their events behind these.
        state = Replay(folder).refresh()
        after = _events(folder)
        assert after[: len(events)] == events
        return {"chain": chain, "events": after, "state": to_plain_state(state)}


def _events(folder: JournalFolder) -> list[Any]:
    found = []
    for line in JournalReader(folder).commits():
        blocks = decode_events(line.events, line.count)
        for event in events_of(blocks, line.first, line.time_us, line.writer, line.session):
            plain, tags = to_plain(event.data)
            found.append([event.seq, event.type, event.time_us, event.writer, event.session, plain, tags])
    return found
