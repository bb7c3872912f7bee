"""What `experiment.forked` says: an experiment that begins as another one was, behind one of its events.

 1. It counts as the first event of a journal, and nowhere else.  One that says the same again, as where the journals of
    several machines are merged that all began as this fork, is known and changes nothing.
 2. Numbers go on: event n of the parent is event n − N of its fork, where N is the event that it was forked behind.  So
    the fork's own events are 1, 2, …, and what it has from its parent has numbers up to 0.
 3. It carries the parent's state after event N, so that the fork's state is the fold of its own journal, whatever
    becomes of the parent.  The fork begins with all of it but what is the parent's alone: its prefix, its times, and
    where in the bytes of its journal something was redacted.
 4. A session that was open there ends there for the fork, well and with reason `forked`: what becomes of it in the
    parent is none of the fork's history.  Until the fork has a session of its own it is RUNNING, as its parent was.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import PrefixError
from ..prefix import parse_prefix
from .draft import text
from .nouns import FORKED, Correction, Fork, FrozenDict, MetricState, Session, State, WriterState
from .plain_state import from_state_members, state_members
from .status import Status


def forked_payload(fork: Fork, parent: State) -> dict[str, Any]:
    """The payload of `experiment.forked`; `parent` is the state after event `fork.seq` of the parent."""
    return {
        "prefix": fork.prefix,
        "seq": fork.seq,
        "journal": fork.journal,
        "hash": fork.hash,
        "state": state_members(parent),
    }


def born_of(data: Mapping[str, Any]) -> State:
    """Rules 3 and 4: the state before the fork's own first event.

    Raises KeyError, TypeError, ValueError or AttributeError where the payload is malformed.
    """
    return born(fork_of(data), from_state_members(data["state"]))


def born(fork: Fork, parent: State) -> State:
    """The same of the parent's state after event `fork.seq`."""
    state = shifted(parent, fork.seq)
    return replace(
        state,
        seq=0,
        created_us=None,
        time_us=None,
        prefix=None,
        sessions=_each(state.sessions, lambda session: _ended(session, parent.time_us)),
        redactions=FrozenDict(),
        fork=fork,
    )


def shifted(state: State, by: int) -> State:
    """Rule 2: the same state, where event n has the number n − `by`; `seq` and redactions stay as they are."""
    return replace(
        state,
        sessions=_each(state.sessions, lambda session: _session(session, by)),
        metrics=_each(state.metrics, lambda metric: _metric(metric, by)),
        files=_each(state.files, lambda file: replace(file, seq=file.seq - by)),
        writers=_each(state.writers, lambda writer: _writer(writer, by)),
        corrections=FrozenDict({seq - by: _correction(each, by) for seq, each in state.corrections.items()}),
    )


def fork_of(data: Mapping[str, Any]) -> Fork:
    """Raises KeyError, TypeError or ValueError where the payload is malformed."""
    seq = data["seq"]
    if type(seq) is not int or seq < 1:
        raise ValueError("an experiment is forked behind an event, which has a number")
    try:
        prefix = parse_prefix(data["prefix"]).text
    except PrefixError as error:
        # It becomes a path.
        raise ValueError(str(error)) from error
    return Fork(prefix, seq, text(data["journal"]), text(data["hash"]))


_Key = TypeVar("_Key")
_Noun = TypeVar("_Noun")


def _each(nouns: Mapping[_Key, _Noun], shifted: Callable[[_Noun], _Noun]) -> FrozenDict[_Key, _Noun]:
    return FrozenDict({key: shifted(noun) for key, noun in nouns.items()})


def _session(session: Session, by: int) -> Session:
    rewinds = tuple(replace(rewind, seq=rewind.seq - by) for rewind in session.rewinds)
    ended_seq = None if session.ended_seq is None else session.ended_seq - by
    return replace(session, started_seq=session.started_seq - by, ended_seq=ended_seq, rewinds=rewinds)


def _ended(session: Session, until_us: int | None) -> Session:
    """Rule 4."""
    if session.ended_seq is not None:
        return session
    return replace(session, ended_seq=0, ended_us=until_us, status=Status.COMPLETED, reason=FORKED)


def _metric(metric: MetricState, by: int) -> MetricState:
    return replace(
        metric,
        first_seq=None if metric.first_seq is None else metric.first_seq - by,
        last_seq=None if metric.last_seq is None else metric.last_seq - by,
        reaches=FrozenDict({attempt - by: reach for attempt, reach in metric.reaches.items()}),
    )


def _writer(writer: WriterState, by: int) -> WriterState:
    return replace(writer, first_seq=writer.first_seq - by, last_seq=writer.last_seq - by)


def _correction(correction: Correction, by: int) -> Correction:
    return replace(correction, seq=correction.seq - by, corrected=correction.corrected - by)
