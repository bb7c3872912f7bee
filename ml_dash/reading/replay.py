"""State from a journal, and only what is new when asked again.

Keeps promise P3 on the reader's side: what `refresh` gives is the fold of what stands in the journal at that moment,
whether it was folded at once, step by step, or from a kept state.

 1. Reading takes no lock that a writer waits for, except to commit what dead writers left (`journal/leftovers.py`), and
    changes nothing in a folder that may not be written to.
 2. Damage never stops reading: what is intact is folded, `damage` says what is not.  A commit that only a newer release
    can decode counts as unknown events, and as damage that refuses nothing.
 3. A correction or redaction that the fold had not been told of makes all be folded anew, with it (`state/fold.py`,
    rule 4).
 4. A state that was kept is gone on from only where the chain passes through its position and nothing before that is
    damaged; else all is folded anew.  So it is also where a failed sync made history go on differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock

from ..facts.codec import Block, CodecError
from ..journal.chain import Position
from ..journal.chart import Extent
from ..journal.checkpoint import Trust, save_state
from ..journal.damage import Damage, DamageKind, unreadable
from ..journal.folder import JournalFolder
from ..journal.format import CommitLine
from ..journal.leftovers import dead_writers, leftovers, try_drain
from ..journal.reader import JournalReader
from ..journal.segment_file import file_status
from ..state import EMPTY, Correction, Fold, Redaction, State, blocks_before
from .moments import decoded, sequence_at, starts

KEEP_BYTES_MIN = 256 * 1024
"""Who has folded more than this keeps the state for the next reader.  What is less, a writer folds as it closes."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a journal is folded on top of: the state before its first event, and that behind a position in it, if what
    other machines have recorded is known up to there (`state/joining.py`)."""

    base: State
    reached: tuple[Position, State] | None = None


Commit = tuple[CommitLine, list[Block]]
"""A commit and its events; no blocks where this release cannot decode them."""


class Replay:
    """One experiment's state at event `at`, at a moment, or at the journal's end as it is at each `refresh`.

    A folder without a journal has the state that `start` says, by default the empty one; with a `start` a state that
    was kept does not count, and none is kept.  Raises JournalVersionError where a newer release wrote the journal.

    With `at_a_glance` the state may lack what a list of ten thousand experiments does not show (`glance_of` in
    `state/plain_state.py`).  Where folding is much work it has all, and is kept.
    """

    def __init__(
        self,
        folder: JournalFolder,
        at: int | datetime | None = None,
        start: Start | None = None,
        *,
        at_a_glance: bool = False,
    ) -> None:
        self.folder = folder
        self._at_a_glance = at_a_glance
        self.at = sequence_at(folder, at) if isinstance(at, datetime) else at
        self._start = start
        self._base = EMPTY if start is None else start.base
        self.state = self._base
        self._refreshing = Lock()
        self._keep_bytes_min = KEEP_BYTES_MIN
        self._undrained: dict[str, list[int]] = {}
        self._pending: list[Commit] = []
        self._pending_for: object = None
        self._gone: list[Damage] = []
        self._corrections: tuple[Correction, ...] = ()
        self._redactions: Mapping[int, Redaction] = {}
        self._begin(from_kept=True)

    # -- what it gives -------------------------------------------------------------------------------------------

    @property
    def base(self) -> State:
        """What the state began with."""
        return self._base

    @property
    def position(self) -> Position | None:
        """The end of what has been read; None before the first event."""
        return self._reader.position

    @property
    def damage(self) -> list[Damage]:
        """Everything met so far that does not replay, or that this release does not understand."""
        found = self._reader.damage
        places = {(each.segment, each.offset) for each in found}
        return [*found, *self._unreadable, *(each for each in self._gone if (each.segment, each.offset) not in places)]

    def refresh(self) -> State:
        """The state now.  Cheap where nothing has happened since; may be called by several threads."""
        with self._refreshing:
            return self._refreshed()

    def _refreshed(self) -> State:
        if self.at is not None and self.state.seq >= self.at:
            return self.state
        dead = self._drain()
        while not self._catch_up():
            self._gone += [each for each in self._reader.damage if each.refuses_writing]
            # Where history itself goes on differently, what reached back in it is to be found anew.
            known = self._fold.state() if self._fold.is_stale and not self._is_rewound else EMPTY
            self._corrections, self._redactions = tuple(known.corrections.values()), known.redactions
            self._begin(from_kept=False)
        self._keep()
        self.state = self._with_pending(dead)
        return self.state

    def keep(self) -> None:
        """Keeps the state for the next reader if that is little work: where there is more, a reader keeps it."""
        if self._bytes_behind(self._kept) > KEEP_BYTES_MIN:
            return
        with self._refreshing:
            is_gone_on_from = self._catch_up()
        # Where something reaches back, as a correction does, all of history is to be folded anew.
        if is_gone_on_from or self._bytes_behind(None) <= KEEP_BYTES_MIN:
            self._keep_bytes_min = 1
            self.refresh()

    def _bytes_behind(self, kept: Position | None) -> int:
        total = 0
        for number in self.folder.segment_numbers():
            status = file_status(self.folder, number)
            if status is not None and (kept is None or number >= kept.segment):
                total += status.size - (kept.offset if kept is not None and number == kept.segment else 0)
        return total

    def commits(self, after: int = 0) -> Iterator[Commit]:
        """What `state` was folded from, behind event `after`: whole commits, so the first may begin before that."""
        pending, end = self._pending, self._next_seq - 1
        if self.at is not None:
            end = min(end, self.at)
        for line, blocks in committed(self.folder, after):
            # What others have committed since, pending events perhaps among it, is not what the state was folded from.
            if line.first > end:
                break
            yield _up_to(end, line, blocks)
        for line, blocks in pending:
            if line.last > after:
                yield line, blocks

    # -- reading -------------------------------------------------------------------------------------------------

    def _begin(self, *, from_kept: bool) -> None:
        self._trust = Trust(self.folder)
        checkpoint = self._trust.checkpoint
        kept = None
        if from_kept and self._start is not None:
            kept = self._start.reached
        elif from_kept and checkpoint is not None:
            kept = checkpoint.state(at_a_glance=self._at_a_glance)
        if kept is not None and self.at is not None and kept[1].seq > self.at:
            kept = None
        self._kept: Position | None = kept[0] if kept is not None else None
        self._unconfirmed = self._kept
        if self._at_a_glance and self._bytes_behind(self._kept) > KEEP_BYTES_MIN:
            self._at_a_glance = False
            self._begin(from_kept=from_kept)
            return
        self._fold = Fold(kept[1] if kept is not None else self._base, self._corrections, self._redactions)
        self._fold.is_at_a_glance = self._at_a_glance
        self._next_seq = self._kept.next_seq if self._kept is not None else 1
        self._folded_bytes = 0
        self._unreadable: list[Damage] = []
        self._is_rewound = False
        self._reader = JournalReader(
            self.folder, trusted=self._trusted, on_rewind=self._rewind, redactions=self._redactions.values()
        )

    def _trusted(self, extent: Extent) -> Position | None:
        """What need not be read: what is vouched for, as far as the kept state goes, and never anything behind that."""
        position = self._trust(extent)
        kept = self._kept
        if kept is None or position is None or extent.segment > kept.segment:
            return None
        if extent.segment < kept.segment:
            return position
        if position.offset < kept.offset:
            return None
        # The reader looks whether the line that states this hash stands there, and rewinds if not.
        self._unconfirmed = None
        return kept

    def _rewind(self, first_seq: int) -> None:
        self._is_rewound = True

    def _catch_up(self) -> bool:
        """Folds what is new; False where the state is not one of this history (rules 3 and 4)."""
        for line in self._reader.commits():
            # To the end in any case: what is damaged behind it must be known.
            if self._is_rewound or self._is_folded(line):
                continue
            if self.at is None or line.first <= self.at:
                self._add(line)
            if self.at is not None and line.last >= self.at:
                break
        if self._unconfirmed is not None or self._is_rewound or self._fold.is_stale:
            return False
        kept = self._kept
        return kept is None or not any(
            each.kind is DamageKind.CORRUPT and (each.segment, each.offset) < (kept.segment, kept.offset)
            for each in self._reader.damage
        )

    def _is_folded(self, line: CommitLine) -> bool:
        """Whether the kept state holds this commit already; that it does is confirmed by the last one of these."""
        kept = self._unconfirmed
        if kept is not None and (line.last + 1, line.hash) == (kept.next_seq, kept.hash):
            self._unconfirmed = None
            return True
        if line.last < self._next_seq:
            return True
        self._is_rewound = line.first < self._next_seq
        return self._is_rewound

    def _add(self, line: CommitLine) -> None:
        blocks = decoded(line)
        self._next_seq = line.last + 1
        self._folded_bytes += len(line.events)
        if not blocks:
            self._unreadable.append(unreadable(line, repr(line.events[:40])[1:]))
        if self.at is not None:
            line, blocks = _up_to(self.at, line, blocks)
        if blocks:
            self._fold.add_commit(blocks, line)
        else:
            self._fold.add_undecodable(line)

    def _keep(self) -> None:
        """For the next reader."""
        position = self.position
        if (
            self._folded_bytes < self._keep_bytes_min
            or self._at_a_glance
            or self.at is not None
            or position is None
            or self._start is not None
        ):
            return
        damage = self.damage
        if not any(each.kind in (DamageKind.CORRUPT, DamageKind.UNREADABLE) for each in damage):
            save_state(self.folder, self._trust, position, damage, self._fold.state())
        self._folded_bytes = 0

    # -- dead writers --------------------------------------------------------------------------------------------

    def _drain(self) -> dict[str, list[int]]:
        """What dead writers left and this process cannot commit."""
        dead = dead_writers(self.folder)
        if dead and dead != self._undrained and try_drain(self.folder):
            dead = {}
        self._undrained = dead
        return dead

    def _with_pending(self, dead: dict[str, list[int]]) -> State:
        state = self._fold.state()
        if not dead or (self.at is not None and state.seq >= self.at):
            self._pending = []
            return state
        if self._pending_for != (dead, state.seq):
            lines = leftovers(self.folder, dead, state.seq + 1)
            end = lines[-1].last if self.at is None and lines else self.at or 0
            self._pending = [_up_to(end, line, decoded(line)) for line in lines if line.first <= end]
            self._pending_for = (dead, state.seq)
        folding = Fold(state)
        for line, blocks in self._pending:
            folding.add_commit(blocks, line)
        return folding.state()


def committed(folder: JournalFolder, after: int = 0) -> Iterator[Commit]:
    """What stands in a journal behind event `after`, as commits; the first may begin before that."""
    for line in JournalReader(folder, start=_start(folder, after)).commits():
        if line.last > after:
            yield line, decoded(line)


def _start(folder: JournalFolder, after: int) -> Position | None:
    """The beginning of the newest segment that holds event `after + 1`, or may; None for that of the journal."""
    if after == 0:
        return None
    return next((start for start in reversed(starts(folder)) if start.next_seq <= after + 1), None)


def _up_to(end: int, line: CommitLine, blocks: list[Block]) -> Commit:
    """The part of a commit up to event `end`; no blocks where a column that is to be cut cannot be decoded."""
    if line.last <= end:
        return line, blocks
    line = replace(line, count=end - line.first + 1)
    try:
        return line, blocks_before(blocks, line.count)
    except CodecError:
        return line, []
