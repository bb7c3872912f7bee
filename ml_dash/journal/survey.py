"""A whole journal, verified from its first byte to its last: what `ml-dash verify` reports.

Nothing is trusted: every line's hash is computed, and the events of every commit must decode and be as many as it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..facts.codec import CodecError, decode_events, events_of
from ..facts.events import EVENT_REDACTED
from ..state.nouns import Redaction
from ..state.redactions import redactions_in
from .damage import Damage, DamageKind, unreadable
from .folder import JournalFolder
from .format import GENESIS_HASH, patched
from .leftovers import is_being_written
from .reader import JournalReader
from .segment_file import file_status, is_archived, open_segment


@dataclass(frozen=True, slots=True)
class Redacted:
    """Event `seq` says that values of event `redacted`, in `segment`, were taken out, by whom (`user@host`) and why.

    `is_done` is False where the bytes were not replaced: whoever declared it was killed before.
    """

    seq: int
    redacted: int
    field: str | None
    reason: str | None
    by: str | None
    time_us: int
    segment: int
    is_done: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """What a journal holds.

    `events` and `commits` are those that replay, `bytes` the size of all segments on disk, `archived` how many of them
    are archived, `head` the hash that the chain ends in (64 zeros where there is none), `last_seq` the sequence number
    that the journal has reached.  `is_being_written` says that a torn tail may be what somebody is writing at this
    moment.  `damaged_spools` are files that dead writers left, of which something could not be read; nothing needs
    them.
    """

    events: int
    commits: int
    segments: int
    bytes: int
    journal: str | None
    head: str
    last_seq: int
    damage: tuple[Damage, ...]
    is_being_written: bool
    redactions: tuple[Redacted, ...] = ()
    archived: int = 0
    damaged_spools: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Every byte replays, except what a header declares or passes over, and what is being written right now.

        A torn tail that nobody can be writing is not ok: it may be a commit that was durable and has changed since,
        and no fence tells of the last one.
        """
        return not any(self._is_undeclared(damage) for damage in self.damage)

    def _is_undeclared(self, damage: Damage) -> bool:
        if damage.kind is DamageKind.TORN:
            return not self.is_being_written
        return damage.kind is not DamageKind.DEAD and not damage.declared


def survey(folder: JournalFolder) -> Survey:
    """Reads and judges all of it, also while others write.

    Raises OSError as it comes from the disk, and JournalVersionError for what only a newer release can read.
    """
    reader = JournalReader(folder)
    events = commits = 0
    undecoded = []
    numbers: set[int] = set()
    torn: list[Damage] = []
    redactions: list[Redaction] = []
    is_written = False
    while True:
        for line in reader.commits():
            events += line.count
            commits += 1
            try:
                blocks = decode_events(line.events, line.count)
                has_redactions = False
                for block in blocks:
                    block.check()
                    has_redactions = has_redactions or block.type == EVENT_REDACTED
                if has_redactions:
                    events_there = events_of(blocks, line.first, line.time_us, line.writer, line.session)
                    redactions += redactions_in(events_there)
            except CodecError as error:
                undecoded.append(unreadable(line, str(error)))
        numbers.update(reader.segments)
        seen, torn = torn, [damage for damage in reader.damage if damage.kind is DamageKind.TORN]
        # Looked at twice: whoever was writing may have finished before we asked whether anybody is.
        if torn == seen or is_written:
            break
        is_written = is_being_written(folder)
    position = reader.position
    statuses = [file_status(folder, number) for number in numbers]
    return Survey(
        events,
        commits,
        len(numbers),
        sum(status.size for status in statuses if status is not None),
        position.journal if position is not None else None,
        position.hash if position is not None else GENESIS_HASH,
        reader.next_seq - 1,
        (*reader.damage, *undecoded),
        is_written,
        _redacted(folder, redactions),
        sum(is_archived(folder, number) for number in numbers),
        tuple(folder.damaged_spools()),
    )


def _redacted(folder: JournalFolder, redactions: list[Redaction]) -> tuple[Redacted, ...]:
    return tuple(
        Redacted(
            each.seq,
            each.redacted,
            each.field,
            each.reason,
            each.by,
            each.time_us,
            each.segment,
            _is_done(folder, each),
        )
        for each in redactions
    )


def _is_done(folder: JournalFolder, redaction: Redaction) -> bool:
    try:
        with open_segment(folder, redaction.segment) as file:
            line = file.read_at(redaction.offset, redaction.bytes)
        return patched(line, redaction.patches) == line
    except (FileNotFoundError, ValueError):
        return False
