"""A state under construction: what the fold changes, and the state that comes of it.

A mapping is copied when it first changes and again for each state that shows it changed, so that many small commits
between two questions cost what one large commit does.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .nouns import Fork, FrozenDict, MetricState, State, WriterState
from .parameters import Parameters
from .series import Metric


class Draft:
    """Begins as `state`; `state()` gives what has become of it, whenever it is asked."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._changes: dict[str, Any] = {}
        self._mappings: dict[str, dict[Any, Any]] = {}
        self._changed_mappings: set[str] = set()
        self._parameters: Parameters | None = None
        self._metrics: dict[str | None, Metric] = {}
        self._changed_metrics: dict[str | None, None] = {}
        self.created_us = state.created_us

    def state(self) -> State:
        """The state after all that was changed so far."""
        for name in self._changed_metrics:
            self.mapping("metrics")[name] = self._metrics[name].state()
        self._changed_metrics.clear()
        mappings: dict[str, Any] = {name: FrozenDict(self._mappings[name]) for name in self._changed_mappings}
        if self._changes or mappings:
            self._state = replace(self._state, **self._changes, **mappings)
            self._changes.clear()
            self._changed_mappings.clear()
        return self._state

    # -- to look at and to change --------------------------------------------------------------------------------

    def change(self, members: Mapping[str, Any]) -> None:
        """Members of the state that are no mappings."""
        self._changes.update(members)

    def look(self, name: str) -> Mapping[Any, Any]:
        """A mapping, to look at."""
        draft: Mapping[Any, Any] | None = self._mappings.get(name)
        return getattr(self._state, name) if draft is None else draft

    def mapping(self, name: str) -> dict[Any, Any]:
        """A mapping, to change."""
        draft = self._mappings.get(name)
        if draft is None:
            draft = self._mappings[name] = dict(getattr(self._state, name))
        self._changed_mappings.add(name)
        return draft

    def parameters(self) -> Parameters:
        """The parameters, to change."""
        if self._parameters is None:
            self._parameters = Parameters(self._state.params)
            self._mappings["params"] = self._parameters.flat
        self._changed_mappings.add("params")
        return self._parameters

    def metric(self, name: str | None) -> Metric:
        """A metric, to change.  Raises TypeError for what is no name."""
        metric = self._metrics.get(name)
        if metric is None:
            metric = Metric(self._state.metrics.get(name) or MetricState(text_or_none(name)))
            self._metrics[name] = metric
        self._changed_metrics[name] = None
        return metric

    def attempt_of(self, session: str) -> int | None:
        """The event with which the attempt began that a session is in; None where there is no such session."""
        known = self.look("sessions").get(session)
        if known is None:
            return None
        begun: int = known.rewinds[-1].seq if known.rewinds else known.started_seq
        return begun

    def begin(self, state: State) -> None:
        """Before anything else: what is folded goes on from this state, of another journal."""
        self._state = state

    @property
    def fork(self) -> Fork | None:
        return self._state.fork

    # -- what every event changes --------------------------------------------------------------------------------

    def reach(self, seq: int, first_us: int, last_us: int) -> None:
        """Events up to `seq` are folded; the first of them happened at `first_us`, the last at `last_us`."""
        if self.created_us is None:
            self._changes["created_us"] = self.created_us = first_us
        self._changes["seq"] = seq
        self._changes["time_us"] = last_us

    def count_unknown(self, event_type: str, count: int) -> None:
        unknown = self.mapping("unknown")
        unknown[event_type] = unknown.get(event_type, 0) + count

    def see_writer(self, writer: str, session: str, first_seq: int, count: int) -> None:
        """`count` events of a writer, from `first_seq` on."""
        writers = self.mapping("writers")
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


# -- what payloads hold ------------------------------------------------------------------------------------------

DESCRIPTION = ("description", "tags", "bindrs", "metadata")


def given(data: Mapping[str, Any], names: tuple[str, ...] = DESCRIPTION) -> dict[str, Any]:
    """The parts of a description that are there.  Raises TypeError where tags or bindrs are no list."""
    found = {name: data[name] for name in names if name in data}
    for name in ("tags", "bindrs"):
        if name in found:
            found[name] = _texts(found[name])
    return found


def text(value: Any) -> str:
    """Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def text_or_none(value: Any) -> str | None:
    return None if value is None else text(value)


def _texts(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise TypeError(f"expected a list, found {type(value).__name__}")
    return tuple(value)
