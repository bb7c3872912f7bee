"""State = fold(events): a pure function over immutable state.

What other modules rely on:

 1. Folding in pieces gives the same as folding at once, and folding block by block the same as event by event, in every
    bit and also in the order of every mapping, at every prefix of history.
 2. No event is an error.  A type that this release does not know, and a payload that is not what `spec/events.md`
    says, are counted in `State.unknown` and change nothing else.
 3. What a description gives replaces what was; what it does not give stays.
 4. A correction reaches back (`corrections.py`).  A fold is told beforehand of the corrections in what it will fold,
    and applies each where the event stands that it names; one that then met no such event is counted as unknown.  One
    that it was not told of changes nothing yet, and `is_stale` says that all is to be folded anew: here rule 1 ends.
    Of a redaction it is told for the same reason: what was folded before may hold what was taken out.
 5. A first event that says `experiment.forked` is where the state begins, as that of the parent (`forks.py`).

`session_events.py` has the rules of sessions, `parameters.py` those of parameters, `series.py` those of numbers;
`stream_events.py` and `file_events.py` fold what their names say.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any, Protocol

from ..facts.codec import Block
from ..facts.events import (
    EVENT_REDACTED,
    EXPERIMENT_DESCRIBED,
    EXPERIMENT_FORKED,
    FILE_DELETED,
    FILE_SAVED,
    FILE_UPDATED,
    LOG_WRITTEN,
    METRIC_DESCRIBED,
    METRIC_LOGGED,
    OUTPUT_WRITTEN,
    PARAMS_SET,
    RUN_CANCELLED,
    RUN_COMPLETED,
    RUN_FAILED,
    RUN_REWOUND,
    RUN_STARTED,
    STREAM_TYPES,
    TRACK_APPENDED,
    VALUE_CORRECTED,
    WRITER_JOINED,
    Event,
)
from .corrections import Corrections, correction_of, corrections_in
from .draft import Draft, given, text
from .file_events import file_deleted, file_saved, file_updated
from .forks import born_of, fork_of
from .nouns import EMPTY, Correction, State
from .redactions import redaction_of
from .session_events import (
    run_cancelled,
    run_completed,
    run_failed,
    run_rewound,
    run_started,
    see_session,
    writer_joined,
)
from .stream_events import LINES, count_lines, extend_stream, line_written, metric_described, stream_appended

UNDECODABLE = "(undecodable)"
"""Where `State.unknown` counts the events of commits whose bytes this release cannot read at all."""

_REMARKS = (VALUE_CORRECTED, EVENT_REDACTED)
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)


class CommitFacts(Protocol):
    """What a commit says of all its events."""

    @property
    def first(self) -> int: ...

    @property
    def count(self) -> int: ...

    @property
    def time_us(self) -> int: ...

    @property
    def writer(self) -> str: ...

    @property
    def session(self) -> str: ...


def apply(state: State, event: Event) -> State:
    """The state after one more event."""
    return fold((event,), state)


def fold(events: Iterable[Event], state: State = EMPTY) -> State:
    """The state after these events, in order, corrections of them included.

    A correction of an event that `state` holds already is listed in `State.corrections` and changes nothing.
    """
    events = list(events)
    redactions = {event.seq for event in events if event.type == EVENT_REDACTED}
    folding = Fold(state, (each for each in corrections_in(events) if each.corrected > state.seq), redactions)
    for event in events:
        folding.add(event)
    return folding.state()


def fold_commit(state: State, blocks: list[Block], line: CommitFacts) -> State:
    """The state after the events of a commit, or of its beginning (`blocks_before`): as folding each."""
    folding = Fold(state)
    folding.add_commit(blocks, line)
    return folding.state()


def blocks_before(blocks: list[Block], count: int) -> list[Block]:
    """The first `count` events of a commit."""
    return [kept for block in blocks if (kept := block.before(count)) is not None]


class Fold:
    """Folds what is added, event by event or commit by commit; `state()` gives the state so far at any time.

    `corrections`, and the numbers of `redactions`, are those that it will meet, as far as they are known (rule 4).

    With `is_at_a_glance` what is added is folded without what no list shows: all of the state that `glance_of` in
    `plain_state.py` leaves is as it is.
    """

    def __init__(
        self, state: State = EMPTY, corrections: Iterable[Correction] = (), redactions: Collection[int] = ()
    ) -> None:
        self._draft = Draft(state)
        self._redactions = redactions
        self._corrections = Corrections(corrections)
        self.is_stale = False
        self.is_at_a_glance = False
        self._newest: tuple[Block, CommitFacts] | None = None

    def state(self) -> State:
        """The state after all that was added so far."""
        if self._newest is not None:
            self._draft.change({"time_us": _last_time_us(*self._newest)})
            self._newest = None
        return self._draft.state()

    def add(self, event: Event) -> None:
        """One event."""
        self._newest = None
        if event.seq == 1 and event.type == EXPERIMENT_FORKED:
            self._begin(event.data)
        self._draft.reach(event.seq, event.time_us, event.time_us)
        self._draft.see_writer(event.writer, event.session, event.seq, 1)
        if event.type in _OF_SESSIONS:
            see_session(self._draft, event.session, event.writer, event.seq, lambda: event.time_us)
        self._handle(event)

    def add_commit(self, blocks: list[Block], line: CommitFacts) -> None:
        """The events of a commit, or of its beginning."""
        if not blocks:
            return
        draft = self._draft
        if line.first == 1 and blocks[0].type == EXPERIMENT_FORKED and blocks[0].positions[0] == 0:
            self._begin(blocks[0].data)
        # They stand in the order of their first events, in which the events themselves would make new entries.
        count = len(blocks[0].positions) if len(blocks) == 1 else sum([len(block.positions) for block in blocks])
        first_us = _first_time_us(blocks[0], line) if draft.created_us is None else line.time_us
        draft.reach(line.first + count - 1, first_us, line.time_us)
        # When the last of them happened is looked up when a state is asked for: decoding times takes long.
        self._newest = blocks[0] if len(blocks) == 1 else max(blocks, key=_last_position), line
        draft.see_writer(line.writer, line.session, line.first, count)
        known = next(filter(_is_of_session, blocks), None)
        if known is not None:
            seq = line.first + known.positions[0]
            see_session(draft, line.session, line.writer, seq, lambda: _first_time_us(known, line))
        for block in self._corrections.blocks(blocks, line.first, line.first + count - 1):
            if block.type in _REMARKS:
                self._add_remark(block, line)
            elif block.type in _AT_A_GLANCE or not self.is_at_a_glance:
                _add_block(draft, block, line)

    def add_undecodable(self, line: CommitFacts) -> None:
        """A commit whose events this release cannot read: they are counted, and nothing else is known of them."""
        self._newest = None
        self._draft.reach(line.first + line.count - 1, line.time_us, line.time_us)
        self._draft.see_writer(line.writer, line.session, line.first, line.count)
        self._draft.count_unknown(UNDECODABLE, line.count)

    def _begin(self, data: Any) -> None:
        """Rule 5."""
        try:
            self._draft.begin(born_of(data))
        except _MALFORMED:
            # Its handler counts it.
            return

    def _handle(self, event: Event) -> None:
        if event.type == VALUE_CORRECTED:
            self._correct(event)
        elif event.type == EVENT_REDACTED:
            self._redact(event)
        else:
            data = self._corrections.payload(event.seq, event.type, event.data)
            _handle(self._draft, event if data is event.data else replace(event, data=data))

    def _add_remark(self, block: Block, line: CommitFacts) -> None:
        for event in _events_of(self._draft, block, line):
            self._handle(event)

    def _redact(self, event: Event) -> None:
        """Rule 4."""
        try:
            redaction = redaction_of(event)
        except _MALFORMED:
            self._draft.count_unknown(event.type, 1)
            return
        self.is_stale = self.is_stale or redaction.seq not in self._redactions
        self._draft.mapping("redactions")[redaction.seq] = redaction

    def _correct(self, event: Event) -> None:
        """Rule 4."""
        try:
            correction = correction_of(event)
            if correction.seq in self._corrections.seqs and correction.seq not in self._corrections.applied:
                raise ValueError("no event has what it corrects")
        except _MALFORMED:
            self._draft.count_unknown(event.type, 1)
            return
        self.is_stale = self.is_stale or correction.seq not in self._corrections.seqs
        self._draft.mapping("corrections")[correction.seq] = correction


# -- events and blocks -------------------------------------------------------------------------------------------


def _handle(draft: Draft, event: Event) -> None:
    """Rule 2."""
    handler = _HANDLERS.get(event.type)
    try:
        if handler is None:
            raise KeyError(event.type)
        handler(draft, event)
    except _MALFORMED:
        draft.count_unknown(event.type, 1)


def _add_block(draft: Draft, block: Block, line: CommitFacts) -> None:
    if block.type not in _HANDLERS:
        draft.count_unknown(block.type, block.count)
        return
    try:
        if block.data is None and block.type in STREAM_TYPES and block.named:
            columns = {key: block.column(key) for key in block.keys}
            first, last = line.first + block.positions[0], line.first + block.positions[-1]
            extend_stream(draft, block.type, block.name, columns, block.count, first, last, line.session)
            return
        if block.data is None and block.type in LINES and not block.named:
            count_lines(draft, block.type, block.column(LINES[block.type][0]))
            return
    except _MALFORMED:
        draft.count_unknown(block.type, block.count)
        return
    for event in _events_of(draft, block, line):
        _handle(draft, event)


def _events_of(draft: Draft, block: Block, line: CommitFacts) -> list[Event]:
    """The events of a block; none, and they are counted as unknown, where it cannot be decoded."""
    try:
        times = block.times_us(line.time_us)
        payloads = list(block.payloads())
    except _MALFORMED:
        draft.count_unknown(block.type, block.count)
        return []
    return [
        Event(line.first + position, block.type, time_us, payload, line.writer, line.session)
        for position, time_us, payload in zip(block.positions, times, payloads, strict=True)
    ]


def _is_of_session(block: Block) -> bool:
    return block.type in _OF_SESSIONS


def _last_position(block: Block) -> int:
    return block.positions[-1]


def _first_time_us(block: Block, line: CommitFacts) -> int:
    try:
        return block.times_us(line.time_us)[0]
    except _MALFORMED:
        return line.time_us


def _last_time_us(block: Block, line: CommitFacts) -> int:
    try:
        return block.last_time_us(line.time_us)
    except _MALFORMED:
        return line.time_us


# -- one event of each type --------------------------------------------------------------------------------------


def _experiment_forked(draft: Draft, event: Event) -> None:
    if draft.fork is None or draft.fork != fork_of(event.data):
        raise ValueError("an experiment begins as a fork, or never becomes one")


def _experiment_described(draft: Draft, event: Event) -> None:
    draft.change(given(event.data))


def _params_set(draft: Draft, event: Event) -> None:
    sets = {text(key): value for key, value in event.data["params"].items()}
    parameters = draft.parameters()
    for key, value in sets.items():
        parameters.set(key, value)


_HANDLERS: dict[str, Callable[[Draft, Event], None]] = {
    RUN_STARTED: run_started,
    RUN_COMPLETED: run_completed,
    RUN_FAILED: run_failed,
    RUN_CANCELLED: run_cancelled,
    RUN_REWOUND: run_rewound,
    WRITER_JOINED: writer_joined,
    EXPERIMENT_FORKED: _experiment_forked,
    EXPERIMENT_DESCRIBED: _experiment_described,
    PARAMS_SET: _params_set,
    LOG_WRITTEN: line_written,
    OUTPUT_WRITTEN: line_written,
    METRIC_DESCRIBED: metric_described,
    METRIC_LOGGED: stream_appended,
    TRACK_APPENDED: stream_appended,
    FILE_SAVED: file_saved,
    FILE_UPDATED: file_updated,
    FILE_DELETED: file_deleted,
}
_OF_SESSIONS = frozenset(_HANDLERS) - {EXPERIMENT_FORKED}
"""The types that begin a session, or take part in it: all but those about other events, and the one before any session.
"""
_AT_A_GLANCE = frozenset(
    (
        RUN_STARTED,
        RUN_COMPLETED,
        RUN_FAILED,
        RUN_CANCELLED,
        RUN_REWOUND,
        WRITER_JOINED,
        EXPERIMENT_FORKED,
        EXPERIMENT_DESCRIBED,
    )
)
"""The types that say what a list shows."""
