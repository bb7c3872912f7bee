"""What events say of sessions and of the writers that take part in them.

 1. A session begins with its first event of a known type, `run.started` in an undamaged journal, and ends with the
    first event that ends it.
 2. A later end that is worse (failed, then cancelled, then completed) changes how, never when: a success that one
    process states never masks the failure of another.
 3. What is recorded after a session's end counts, and does not open it again.
 4. A rewind is one of the session that it names, whether that has ended or not.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..facts.events import Event
from .draft import Draft, text
from .nouns import FrozenDict, Rewind, Session
from .status import SEVERITY, Status


def see_session(draft: Draft, session: str, writer: str, seq: int, time_us: Callable[[], int]) -> None:
    """An event of a known type: rule 1, and who takes part."""
    known = draft.look("sessions").get(session)
    if known is None:
        _open(draft, session, writer, seq, time_us())
    elif writer not in known.writers:
        draft.mapping("sessions")[session] = replace(known, writers=(*known.writers, writer))


def run_started(draft: Draft, event: Event) -> None:
    data = event.data
    session, prefix = text(data["session"]), text(data["prefix"])
    known = _session(draft, session, event)
    draft.mapping("sessions")[session] = replace(known, environment=data.get("environment"), **_origin(data))
    _describe_writer(draft, event.writer, _origin(data))
    draft.change({"prefix": prefix})


def run_completed(draft: Draft, event: Event) -> None:
    _end(draft, event, Status.COMPLETED, None, None)


def run_failed(draft: Draft, event: Event) -> None:
    _end(draft, event, Status.FAILED, event.data.get("reason"), event.data.get("error"))


def run_cancelled(draft: Draft, event: Event) -> None:
    _end(draft, event, Status.CANCELLED, None, None)


def run_rewound(draft: Draft, event: Event) -> None:
    steps = {text(name): _step(step) for name, step in event.data["steps"].items()}
    if not steps:
        raise ValueError("a rewind says to which step")
    session = _session(draft, text(event.data["session"]), event)
    rewind = Rewind(event.seq, event.time_us, FrozenDict(steps))
    draft.mapping("sessions")[session.id] = replace(session, rewinds=(*session.rewinds, rewind))


def writer_joined(draft: Draft, event: Event) -> None:
    parent = text(event.data["parent"])
    _describe_writer(draft, event.writer, {**_origin(event.data), "parent": parent})


def _end(draft: Draft, event: Event, status: Status, reason: str | None, error: dict[str, Any] | None) -> None:
    session = _session(draft, text(event.data["session"]), event)
    if SEVERITY[status] <= SEVERITY[session.status]:
        return
    ended = replace(session, status=status, reason=reason, error=error)
    if session.ended_seq is None:
        ended = replace(ended, ended_seq=event.seq, ended_us=event.time_us)
    draft.mapping("sessions")[session.id] = ended


def _session(draft: Draft, session: str, event: Event) -> Session:
    known: Session | None = draft.look("sessions").get(session)
    return known or _open(draft, session, event.writer, event.seq, event.time_us)


def _open(draft: Draft, session: str, writer: str, seq: int, time_us: int) -> Session:
    sessions = draft.mapping("sessions")
    opened = Session(session, len(sessions) + 1, seq, time_us, writers=(writer,))
    sessions[session] = opened
    return opened


def _step(value: Any) -> int | float:
    # NaN is the only number that differs from itself.
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        raise TypeError(f"expected a step, found {value!r:.100}")
    return value


def _origin(data: dict[str, Any]) -> dict[str, Any]:
    return {"host": data.get("host"), "pid": data.get("pid"), "rank": data.get("rank")}


def _describe_writer(draft: Draft, writer: str, facts: dict[str, Any]) -> None:
    writers = draft.mapping("writers")
    writers[writer] = replace(writers[writer], **facts)
