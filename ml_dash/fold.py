"""State = fold(events): a pure function over immutable state.

What other modules rely on:

 1. Folding in pieces gives the same as folding at once, and folding block by block the same as event by event, in every
    bit and also in the order of every mapping, at every prefix of history.
 2. No event is an error.  A type that this release does not know, and a payload that is not what `spec/events.md`
    says, are counted in `State.unknown` and change nothing else.
 3. A session begins with its first event of a known type, `run.started` in an undamaged journal, and ends with the
    first event that ends it.  A later end that is worse (failed, then cancelled, then completed) changes how, never
    when: a success that one process states never masks the failure of another.
 4. What is recorded after a session's end counts, and does not open it again.
 5. What a description gives replaces what was; what it does not give stays.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from .codec import Block
from .columns import Column
from .events import (
    EXPERIMENT_DESCRIBED,
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
    RUN_STARTED,
    STREAM_TYPES,
    TRACK_APPENDED,
    WRITER_JOINED,
    Event,
)
from .nouns import EMPTY, FileState, FrozenDict, MetricState, Session, State, TrackState, WriterState
from .parameters import Parameters
from .series import Metric, extend_track
from .status import SEVERITY, Status

UNDECODABLE = "(undecodable)"
"""Where `State.unknown` counts the events of commits whose bytes this release cannot read at all."""

_LINES = {LOG_WRITTEN: ("level", "log_counts"), OUTPUT_WRITTEN: ("stream", "output_counts")}
"""Types of which only the values of one field are counted: the field, and where."""
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
    """The state after these events, in order."""
    folding = Fold(state)
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
    """A state under construction: add events or commits, ask for the `state()` whenever it is wanted.

    A mapping is copied when it first changes and again for each state that shows it changed, so that many small commits
    between two questions cost what one large commit does.
    """

    def __init__(self, state: State = EMPTY) -> None:
        self._state = state
        self._created_us = state.created_us
        self._newest: tuple[Block, CommitFacts] | None = None
        self._changes: dict[str, Any] = {}
        self._drafts: dict[str, dict[Any, Any]] = {}
        self._changed_drafts: set[str] = set()
        self._parameters: Parameters | None = None
        self._metrics: dict[str | None, Metric] = {}
        self._changed_metrics: dict[str | None, None] = {}
        self._handlers: dict[str, Callable[[Event], None]] = {
            RUN_STARTED: self._run_started,
            RUN_COMPLETED: self._run_completed,
            RUN_FAILED: self._run_failed,
            RUN_CANCELLED: self._run_cancelled,
            WRITER_JOINED: self._writer_joined,
            EXPERIMENT_DESCRIBED: self._experiment_described,
            PARAMS_SET: self._params_set,
            LOG_WRITTEN: self._line_written,
            OUTPUT_WRITTEN: self._line_written,
            METRIC_DESCRIBED: self._metric_described,
            METRIC_LOGGED: self._metric_logged,
            TRACK_APPENDED: self._track_appended,
            FILE_SAVED: self._file_saved,
            FILE_UPDATED: self._file_updated,
            FILE_DELETED: self._file_deleted,
        }

    def state(self) -> State:
        """The state after all that was added so far."""
        for name in self._changed_metrics:
            self._draft("metrics")[name] = self._metrics[name].state()
        self._changed_metrics.clear()
        if self._newest is not None:
            self._changes["time_us"] = _last_time_us(*self._newest)
            self._newest = None
        drafts: dict[str, Any] = {name: FrozenDict(self._drafts[name]) for name in self._changed_drafts}
        if self._changes or drafts:
            self._state = replace(self._state, **self._changes, **drafts)
            self._changes.clear()
            self._changed_drafts.clear()
        return self._state

    def add(self, event: Event) -> None:
        """One event."""
        self._reach(event.seq, event.time_us)
        self._see_writer(event.writer, event.session, event.seq, 1)
        if event.type in self._handlers:
            self._see_session(event.session, event.writer, event.seq, lambda: event.time_us)
        self._handle(event)

    def add_commit(self, blocks: list[Block], line: CommitFacts) -> None:
        """The events of a commit, or of its beginning."""
        if not blocks:
            return
        # They stand in the order of their first events, in which the events themselves would make new entries.
        count = sum([len(block.positions) for block in blocks])
        if self._created_us is None:
            self._changes["created_us"] = self._created_us = _first_time_us(blocks[0], line)
        self._changes["seq"] = line.first + count - 1
        # When the last of them happened is looked up when a state is asked for: decoding times takes long.
        self._newest = blocks[0] if len(blocks) == 1 else max(blocks, key=_last_position), line
        self._see_writer(line.writer, line.session, line.first, count)
        known = next((block for block in blocks if block.type in self._handlers), None)
        if known is not None:
            seq = line.first + known.positions[0]
            self._see_session(line.session, line.writer, seq, lambda: _first_time_us(known, line))
        for block in blocks:
            self._add_block(block, line)

    def add_undecodable(self, line: CommitFacts) -> None:
        """A commit whose events this release cannot read: they are counted, and nothing else is known of them."""
        self._reach(line.first + line.count - 1, line.time_us)
        self._see_writer(line.writer, line.session, line.first, line.count)
        self._count_unknown(UNDECODABLE, line.count)

    # -- events and blocks ---------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        """Rule 2."""
        handler = self._handlers.get(event.type)
        try:
            if handler is None:
                raise KeyError(event.type)
            handler(event)
        except _MALFORMED:
            self._count_unknown(event.type, 1)

    def _add_block(self, block: Block, line: CommitFacts) -> None:
        if block.type not in self._handlers:
            self._count_unknown(block.type, block.count)
            return
        try:
            if block.data is None and block.type in STREAM_TYPES and block.named:
                columns = {key: block.column(key) for key in block.keys}
                first, last = (line.first + block.positions[index] for index in (0, -1))
                self._extend_stream(block.type, block.name, columns, block.count, first, last)
                return
            if block.data is None and block.type in _LINES and not block.named:
                self._count_lines(block.type, block.column(_LINES[block.type][0]))
                return
            times = block.times_us(line.time_us)
            payloads = list(block.payloads())
        except _MALFORMED:
            self._count_unknown(block.type, block.count)
            return
        for position, time_us, payload in zip(block.positions, times, payloads, strict=True):
            self._handle(Event(line.first + position, block.type, time_us, payload, line.writer, line.session))

    def _extend_stream(
        self, event_type: str, name: str | None, columns: Mapping[str, Column], count: int, first: int, last: int
    ) -> None:
        if event_type == METRIC_LOGGED:
            self._metric(name).extend(columns, count, first, last)
        else:
            tracks = self._draft("tracks")
            track = tracks.get(name) or TrackState(_text(name))
            tracks[name] = extend_track(track, columns, count)

    # -- what is under construction ------------------------------------------------------------------------------

    def _look(self, name: str) -> Mapping[Any, Any]:
        """A mapping, to look at."""
        draft: Mapping[Any, Any] | None = self._drafts.get(name)
        return getattr(self._state, name) if draft is None else draft

    def _draft(self, name: str) -> dict[Any, Any]:
        """A mapping, to change."""
        draft = self._drafts.get(name)
        if draft is None:
            draft = self._drafts[name] = dict(getattr(self._state, name))
        self._changed_drafts.add(name)
        return draft

    def _metric(self, name: str | None) -> Metric:
        """A metric, to change."""
        metric = self._metrics.get(name)
        if metric is None:
            metric = Metric(self._state.metrics.get(name) or MetricState(_text_or_none(name)))
            self._metrics[name] = metric
        self._changed_metrics[name] = None
        return metric

    def _reach(self, seq: int, time_us: int) -> None:
        if self._created_us is None:
            self._changes["created_us"] = self._created_us = time_us
        self._changes["seq"] = seq
        self._changes["time_us"] = time_us
        self._newest = None

    def _count_unknown(self, event_type: str, count: int) -> None:
        unknown = self._draft("unknown")
        unknown[event_type] = unknown.get(event_type, 0) + count

    def _see_writer(self, writer: str, session: str, first_seq: int, count: int) -> None:
        writers = self._draft("writers")
        known = writers.get(writer)
        last_seq = first_seq + count - 1
        if known is None:
            writers[writer] = WriterState(writer, session, first_seq, last_seq, count)
            return
        writers[writer] = WriterState(
            writer,
            known.session,
            known.first_seq,
            last_seq,
            known.count + count,
            known.host,
            known.pid,
            known.rank,
            known.parent,
        )

    def _see_session(self, session: str, writer: str, seq: int, time_us: Callable[[], int]) -> None:
        """Rule 3, and who takes part."""
        known = self._look("sessions").get(session)
        if known is None:
            self._open_session(session, writer, seq, time_us())
        elif writer not in known.writers:
            self._draft("sessions")[session] = replace(known, writers=(*known.writers, writer))

    def _open_session(self, session: str, writer: str, seq: int, time_us: int) -> Session:
        sessions = self._draft("sessions")
        opened = Session(session, len(sessions) + 1, seq, time_us, writers=(writer,))
        sessions[session] = opened
        return opened

    # -- sessions ------------------------------------------------------------------------------------------------

    def _run_started(self, event: Event) -> None:
        data = event.data
        session, prefix = _text(data["session"]), _text(data["prefix"])
        origin: dict[str, Any] = {"host": data.get("host"), "pid": data.get("pid"), "rank": data.get("rank")}
        known = self._session(session, event)
        self._draft("sessions")[session] = replace(known, environment=data.get("environment"), **origin)
        self._describe_writer(event.writer, origin)
        self._changes["prefix"] = prefix

    def _run_completed(self, event: Event) -> None:
        self._end(event, Status.COMPLETED, None, None)

    def _run_failed(self, event: Event) -> None:
        self._end(event, Status.FAILED, event.data.get("reason"), event.data.get("error"))

    def _run_cancelled(self, event: Event) -> None:
        self._end(event, Status.CANCELLED, None, None)

    def _end(self, event: Event, status: Status, reason: str | None, error: dict[str, Any] | None) -> None:
        """Rule 3."""
        session = self._session(_text(event.data["session"]), event)
        if SEVERITY[status] <= SEVERITY[session.status]:
            return
        ended = replace(session, status=status, reason=reason, error=error)
        if session.ended_seq is None:
            ended = replace(ended, ended_seq=event.seq, ended_us=event.time_us)
        self._draft("sessions")[session.id] = ended

    def _session(self, session: str, event: Event) -> Session:
        known: Session | None = self._look("sessions").get(session)
        return known or self._open_session(session, event.writer, event.seq, event.time_us)

    def _writer_joined(self, event: Event) -> None:
        data = event.data
        parent = _text(data["parent"])
        origin: dict[str, Any] = {"host": data.get("host"), "pid": data.get("pid"), "rank": data.get("rank")}
        self._describe_writer(event.writer, {**origin, "parent": parent})

    def _describe_writer(self, writer: str, facts: dict[str, Any]) -> None:
        writers = self._draft("writers")
        writers[writer] = replace(writers[writer], **facts)

    # -- everything else -----------------------------------------------------------------------------------------

    def _experiment_described(self, event: Event) -> None:
        self._changes.update(_given(event.data, ("description", "tags", "bindrs", "metadata")))

    def _params_set(self, event: Event) -> None:
        given = {_text(key): value for key, value in event.data["params"].items()}
        if self._parameters is None:
            self._parameters = Parameters(self._state.params)
            self._drafts["params"] = self._parameters.flat
        self._changed_drafts.add("params")
        for key, value in given.items():
            self._parameters.set(key, value)

    def _line_written(self, event: Event) -> None:
        key, _ = _LINES[event.type]
        self._count_lines(event.type, (event.data[key],))

    def _count_lines(self, event_type: str, values: Iterable[Any]) -> None:
        _, counts_name = _LINES[event_type]
        counts = self._draft(counts_name)
        for value in values:
            if isinstance(value, str):
                counts[value] = counts.get(value, 0) + 1
            else:
                self._count_unknown(event_type, 1)

    def _metric_described(self, event: Event) -> None:
        given = _given(event.data, ("description", "tags", "metadata"))
        self._metric(event.data["name"]).describe(given)

    def _metric_logged(self, event: Event) -> None:
        self._extend_by_one(event)

    def _track_appended(self, event: Event) -> None:
        self._extend_by_one(event)

    def _extend_by_one(self, event: Event) -> None:
        columns = {key: [value] for key, value in event.data["fields"].items()}
        self._extend_stream(event.type, event.data["name"], columns, 1, event.seq, event.seq)

    def _file_saved(self, event: Event) -> None:
        data = event.data
        given = _given({"tags": None, "bindrs": None, "description": None, "metadata": None, **data})
        saved = FileState(
            id=_text(data["id"]),
            path=_text(data["path"]),
            filename=_text(data["filename"]),
            content_type=_text(data["contentType"]),
            size_bytes=data["sizeBytes"],
            checksum=_text(data["checksum"]),
            uploaded_us=event.time_us,
            updated_us=event.time_us,
            deleted_us=None,
            seq=event.seq,
            **given,
        )
        self._draft("files")[saved.id] = saved

    def _file_updated(self, event: Event) -> None:
        file = self._look("files")[event.data["id"]]
        given = _given(event.data)
        self._draft("files")[file.id] = replace(file, updated_us=event.time_us, **given)

    def _file_deleted(self, event: Event) -> None:
        file = self._look("files")[event.data["id"]]
        if file.deleted_us is None:
            self._draft("files")[file.id] = replace(file, deleted_us=event.time_us)


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


def _given(
    data: Mapping[str, Any], names: tuple[str, ...] = ("description", "tags", "bindrs", "metadata")
) -> dict[str, Any]:
    """Rule 5: the parts of a description that are there."""
    given = {name: data[name] for name in names if name in data}
    for name in ("tags", "bindrs"):
        if name in given:
            given[name] = _texts(given[name])
    return given


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _texts(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise TypeError(f"expected a list, found {type(value).__name__}")
    return tuple(value)
