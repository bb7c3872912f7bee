"""A whole journal, verified from its first byte to its last: what `ml-dash verify` reports.

Nothing is trusted: every line's hash is computed, and the events of every commit must decode and be as many as it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..codec import CodecError, decode_events
from .damage import Damage, DamageKind
from .folder import JournalFolder
from .format import GENESIS_HASH, CommitLine
from .reader import JournalReader


@dataclass(frozen=True, slots=True)
class Survey:
    """What a journal holds.

    `events` and `commits` are those that replay, `bytes` the size of all segments, `head` the hash that the chain ends
    in (64 zeros where there is none), `last_seq` the sequence number that the journal has reached.
    """

    events: int
    commits: int
    segments: int
    bytes: int
    journal: str | None
    head: str
    last_seq: int
    damage: tuple[Damage, ...]

    @property
    def ok(self) -> bool:
        """Everything that was ever durable replays, except what a header declares as lost.

        A torn tail does not count, healed or not: nobody was ever told that it is durable.
        """
        return not any(
            damage.kind in (DamageKind.CORRUPT, DamageKind.UNREADABLE) and not damage.declared for damage in self.damage
        )


def survey(folder: JournalFolder) -> Survey:
    """Reads and judges all of it, also while others write.

    Raises OSError as it comes from the disk, and JournalVersionError for what only a newer release can read.
    """
    reader = JournalReader(folder)
    events = commits = 0
    unreadable = []
    for line in reader.commits():
        events += line.count
        commits += 1
        try:
            for block in decode_events(line.events, line.count):
                block.check()
        except CodecError as error:
            unreadable.append(_unreadable(line, error))
    position = reader.position
    statuses = [folder.disk.status(folder.segment_path(number)) for number in reader.segments]
    return Survey(
        events,
        commits,
        len(reader.segments),
        sum(status.size for status in statuses if status is not None),
        position.journal if position is not None else None,
        position.hash if position is not None else GENESIS_HASH,
        reader.next_seq - 1,
        (*reader.damage, *unreadable),
    )


def _unreadable(line: CommitLine, error: CodecError) -> Damage:
    return Damage(
        DamageKind.UNREADABLE,
        line.segment,
        line.offset,
        line.end - line.offset,
        line.first,
        line.last,
        False,
        "events that this release of ml_dash can decode",
        str(error),
    )
