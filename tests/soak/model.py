"""Statuses and attempts again, from the events alone and by plain loops; nothing of `ml_dash/state` is asked."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from math import inf

from ml_dash.facts.events import Event

_ENDS = {"run.completed": "COMPLETED", "run.cancelled": "CANCELLED", "run.failed": "FAILED"}
_WORSE = ("COMPLETED", "CANCELLED", "FAILED")
_NO_BEGINNING = ("value.corrected", "event.redacted", "experiment.forked")


@dataclass
class Lived:
    """A session: its first event, the first that ended it, how, and the steps it was rewound to."""

    began: int
    ended: int | None = None
    status: str = "RUNNING"
    reason: str | None = None
    rewinds: list[float] = field(default_factory=list)


@dataclass
class Points:
    """Of one metric; `attempt` is the place in `Model.attempts`."""

    life: array[int] = field(default_factory=lambda: array("q"))
    i: array[int] = field(default_factory=lambda: array("q"))
    step: array[int] = field(default_factory=lambda: array("q"))
    seq: array[int] = field(default_factory=lambda: array("q"))
    attempt: array[int] = field(default_factory=lambda: array("q"))


class Model:
    """What any history of a soak amounts to."""

    def __init__(self) -> None:
        self.sessions: dict[str, Lived] = {}
        self.attempts: list[tuple[str, int]] = []
        self.metrics: dict[str, Points] = {}
        self.corrections: dict[int, float] = {}
        self._attempt_at: dict[tuple[str, int], int] = {}

    def add(self, event: Event) -> None:
        if event.type == "experiment.forked":
            # What was open in the parent ends there.
            for each in self.sessions.values():
                if each.ended is None:
                    each.ended, each.status, each.reason = 0, "COMPLETED", "forked"
        if event.type in _NO_BEGINNING:
            if event.type == "value.corrected" and "loss" in event.data["data"]:
                self.corrections[event.data["seq"]] = event.data["data"]["loss"]
            return
        named = event.data["session"] if event.type in _ENDS or event.type == "run.rewound" else event.session
        session = self.sessions.setdefault(named, Lived(event.seq))
        if event.type in _ENDS:
            self._end(session, event)
        elif event.type == "run.rewound":
            session.rewinds.append(event.data["steps"]["step"])
        elif event.type == "metric.logged":
            self._add_point(event, (named, len(session.rewinds)))

    def _end(self, session: Lived, event: Event) -> None:
        status = _ENDS[event.type]
        if session.ended is None:
            session.ended = event.seq
        elif _WORSE.index(status) <= _WORSE.index(session.status):
            return
        session.status, session.reason = status, event.data.get("reason")

    def _add_point(self, event: Event, attempt: tuple[str, int]) -> None:
        if attempt not in self._attempt_at:
            self._attempt_at[attempt] = len(self.attempts)
            self.attempts.append(attempt)
        points = self.metrics.setdefault(event.data["name"], Points())
        fields = event.data["fields"]
        for name in ("life", "i", "step"):
            getattr(points, name).append(fields[name])
        points.seq.append(event.seq)
        points.attempt.append(self._attempt_at[attempt])

    @property
    def status(self) -> str:
        """Of the sessions that overlapped with the one that began last, directly or through others, the worst end."""
        if any(each.ended is None for each in self.sessions.values()):
            return "RUNNING"
        ordered = sorted(self.sessions.values(), key=lambda each: each.began)
        if not ordered:
            return "COMPLETED"
        group = [ordered.pop()]
        while more := [each for each in ordered if any(each.ended > other.began for other in group)]:  # type: ignore[operator]
            group += more
            ordered = [each for each in ordered if each not in more]
        return max((each.status for each in group), key=_WORSE.index)

    def latest(self, name: str) -> list[int]:
        """Which points of a metric count, by their places."""
        points = self.metrics[name]
        lowest: dict[int, float] = {}
        for attempt, step in zip(points.attempt, points.step, strict=True):
            lowest[attempt] = min(step, lowest.get(attempt, inf))
        again, above = [inf] * len(self.attempts), [inf] * len(self.attempts)
        for own, key in enumerate(self.attempts):
            for other, bound in lowest.items():
                if self._comes_after(self.attempts[other], key):
                    again[own] = min(again[own], bound)
            for session, each in self.sessions.items():
                for number, bound in enumerate(each.rewinds, start=1):
                    if bound < above[own] and self._comes_after((session, number), key):
                        above[own] = bound
        return [
            row
            for row, (attempt, step) in enumerate(zip(points.attempt, points.step, strict=True))
            if step < again[attempt] and step <= above[attempt]
        ]

    def _comes_after(self, other: tuple[str, int], own: tuple[str, int]) -> bool:
        if other[0] == own[0]:
            return other[1] > own[1]
        ended = self.sessions[own[0]].ended
        return ended is not None and self.sessions[other[0]].began > ended
