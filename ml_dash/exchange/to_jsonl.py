"""Every event as a line of JSON (`event_lines.py`): lossless, `import` makes an equal experiment of it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ..errors import StorageError
from ..history import events
from ..journal.contents import ContentStore, is_checksum
from ..journal.copying import Content
from ..reading.saved_content import content_store
from ..state import UNDECODABLE
from .event_lines import to_line
from .reports import Tally
from .rows_of import Chosen

EVENTS = "events.jsonl"
CONTENTS = "files"


def write_events(chosen: Chosen, root: Path, file: BinaryIO, tally: Tally, step: Callable[[int], None]) -> None:
    """All events up to the one that the run was loaded at."""
    for event in events(chosen.run.prefix, dash_root=root):
        if event.seq > chosen.run.seq:
            break
        if event.type == UNDECODABLE:
            tally.leave_out("event that this release cannot read")
        file.write(to_line(event))
        tally.keep("events")
        step(event.seq)


def contents(chosen: Chosen, folder: Path, tally: Tally) -> Iterator[tuple[Path, Callable[[Path], None]]]:
    """Where the content of each saved file goes, and what puts it there."""
    store = content_store(chosen.folder)
    found = {file.checksum: Content(file.checksum, file.size_bytes) for file in chosen.state.files.values()}
    for checksum, content in found.items():
        if not is_checksum(checksum):
            tally.leave_out("content of a saved file", 1, f"{checksum!r:.80} is no SHA-256: it names no content")
            continue
        yield folder / CONTENTS / checksum, partial(_copy, store, content, tally)


def _copy(store: ContentStore, content: Content, tally: Tally, target: Path) -> None:
    try:
        store.copy_out(content, str(target.absolute()))
    except StorageError as error:
        tally.leave_out("content of a saved file", 1, str(error))
    else:
        tally.keep("contents")
