"""What `export --format jsonl` wrote: `NAME.jsonl`, or a folder with `events.jsonl` and the contents in `files/`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from ..errors import SourceFileError
from ..facts.events import EVENT_REDACTED, FILE_SAVED, METRIC_LOGGED, RUN_STARTED, Event
from ..journal.contents import is_checksum
from ..state import UNDECODABLE
from .event_lines import from_line
from .reports import Tally
from .sources import Found, Target, part

EVENTS = "events.jsonl"
LINES_LOOKED_AT = 100


def find(path: Path, owner: str) -> Iterator[Found]:
    """The exports at a path.  One that begins with no event is none."""
    if path.is_file():
        candidates = [path] if path.suffix in (".jsonl", ".ndjson") else []
    else:
        candidates = sorted(path.rglob(EVENTS))
    for file in candidates:
        is_export, prefix = _prefix_in(file)
        if not is_export:
            continue
        stem = file.parent.name if file.name == EVENTS else file.stem
        prefix = prefix or f"{part(owner)}/imported/{part(stem)}"
        yield Found("jsonl", file, prefix, prefix, partial(_events, file), (file,))


def _prefix_in(file: Path) -> tuple[bool, str | None]:
    is_export = False
    with file.open("rb") as lines:
        for line in islice(lines, LINES_LOOKED_AT):
            try:
                event = from_line(line)
            except ValueError:
                break
            is_export = True
            if event.type == RUN_STARTED and isinstance(event.data.get("prefix"), str):
                return True, event.data["prefix"]
    return is_export, None


def _events(file: Path, target: Target, tally: Tally) -> Iterator[Event]:
    seq = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                event = from_line(line)
            except ValueError as error:
                _refuse_or_end(file, lines, number, line, error, tally)
                return
            seq += 1
            if event.seq != seq:
                raise SourceFileError(
                    f"{str(file)!r} line {number} is event {event.seq}, expected event {seq}: only a whole export can "
                    "be imported. Export it again, without filtering it"
                )
            if event.type == UNDECODABLE:
                raise SourceFileError(
                    f"{str(file)!r} line {number} is an event that the release which exported it could not read. "
                    "Export it with a newer one"
                )
            _count(event, tally)
            if event.type == EVENT_REDACTED:
                tally.note(
                    "what was redacted is gone here too; `verify` shows it as not done, for it was done elsewhere"
                )
            if event.type == FILE_SAVED:
                _bring(file.parent / "files", event, target, tally)
            yield event


def _refuse_or_end(
    file: Path, lines: Iterator[bytes], number: int, line: bytes, error: Exception, tally: Tally
) -> None:
    """A torn last line ends the export; whatever else is no event refuses it."""
    if next(lines, None) is not None or number == 1:
        raise SourceFileError(
            f"{str(file)!r} line {number} is no event of an export: {error}. Expected what `ml-dash export "
            "--format jsonl` writes"
        ) from error
    tally.leave_out("torn line at the end", 1, f"line {number} of {file.name}, {len(line)} bytes, is torn")


def _count(event: Event, tally: Tally) -> None:
    fields = event.data.get("fields")
    if event.type == METRIC_LOGGED and isinstance(fields, dict):
        for key in fields:
            tally.read(event.data.get("name"), key)
    else:
        tally.keep(event.type)


def _bring(contents: Path, event: Event, target: Target, tally: Tally) -> None:
    """The content that a `file.saved` speaks of, into the store before the event."""
    checksum = event.data.get("checksum")
    if is_checksum(checksum):
        kept = contents / checksum
        if kept.is_file():
            if target.store.copy_in(str(kept)).checksum == checksum:
                return
            tally.leave_out("content of a saved file", 1, f"{kept} is not the content that its name says")
            return
        if Path(target.store.path_of(checksum)).is_file():
            return
    tally.leave_out("content of a saved file", 1, f"the export has no content of {event.data.get('filename')!r}")
