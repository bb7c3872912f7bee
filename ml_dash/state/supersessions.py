"""The attempts of an experiment, and which of them superseded what of which: what its history tells people about them.

Told from the state alone, which keeps from where to where the steps of each attempt reach.  It says of which steps the
points do not count any more, by the rules of `attempts.py`; how many those are is for who reads the points.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .attempts import AttemptKey, Bounds, Lifetime, Number, Steps, bounds_of
from .nouns import ReachState, Session, State


@dataclass(frozen=True, slots=True)
class Attempt:
    """A session from its beginning or from a rewind on, until the next rewind or its end.

    `name` is the number of the session, "2", and behind a dot that of the rewind in it, "2.1".  `rewound` are the steps
    that it went back to, empty where it began with its session.  `began_seq` is the event with which it began, and
    `ended_seq` the one with which it ended, None while it goes on.  What a fork has from its parent ended by event 0.
    """

    name: str
    session: str
    rewinds: int
    began_seq: int
    ended_seq: int | None
    rewound: Steps

    @property
    def key(self) -> AttemptKey:
        return self.session, self.rewinds


@dataclass(frozen=True, slots=True)
class Supersession:
    """Of attempt `of` the points with a step from `first` to `last`, as far as there are any, do not count any more.

    The steps stand in `field`.  Attempt `by` logged them again, or went back before them: then `is_rewind`, and it is
    only what lies above `first`.  `metrics` are those where that is so.
    """

    by: str
    of: str
    field: str
    first: Number
    last: Number
    is_rewind: bool
    metrics: tuple[str | None, ...]


def lifetimes_of(state: State) -> list[Lifetime]:
    """When each session began, was rewound, and ended."""
    return [
        Lifetime(each.id, each.started_seq, each.ended_seq, tuple((one.seq, one.steps) for one in each.rewinds))
        for each in state.sessions.values()
    ]


def attempts_in(state: State) -> list[Attempt]:
    """In the order of sessions, and in each of its rewinds."""
    return [attempt for session in state.sessions.values() for attempt in _attempts_of(session)]


def _attempts_of(session: Session) -> Iterator[Attempt]:
    ends = [*(rewind.seq for rewind in session.rewinds), session.ended_seq]
    yield Attempt(str(session.attempt), session.id, 0, session.started_seq, ends[0], {})
    for number, rewind in enumerate(session.rewinds, start=1):
        yield Attempt(f"{session.attempt}.{number}", session.id, number, rewind.seq, ends[number], rewind.steps)


def supersessions_in(state: State) -> list[Supersession]:
    """In the order of the attempts that superseded, then of those that were superseded."""
    attempts = {each.key: each for each in attempts_in(state)}
    lifetimes = lifetimes_of(state)
    places = {each.name: place for place, each in enumerate(attempts.values())}
    metrics: dict[Supersession, list[str | None]] = {}
    for metric in state.metrics.values():
        for found in _in_metric(lifetimes, attempts, reaches_of(state, metric.name)):
            metrics.setdefault(found, []).append(metric.name)
    ordered = sorted(metrics, key=lambda each: (places[each.by], places[each.of], each.field, each.first, each.last))
    return [
        Supersession(each.by, each.of, each.field, each.first, each.last, each.is_rewind, tuple(metrics[each]))
        for each in ordered
    ]


def is_any_superseded(state: State, name: str | None) -> bool:
    """Whether any point of a metric may be superseded; if not, all of them count."""
    if any(session.rewinds for session in state.sessions.values()):
        return True
    reaches = reaches_of(state, name)
    bounds = bounds_of(lifetimes_of(state), _lowest(reaches))
    return any(
        field in logged and high >= logged[field]
        for key, logged in ((key, found.logged) for key, found in bounds.items() if key in reaches)
        for field, (_, high) in reaches[key].steps.items()
    )


def reaches_of(state: State, name: str | None) -> dict[AttemptKey, ReachState]:
    """What each attempt has logged in a metric, of those that have."""
    reaches = state.metrics[name].reaches if name in state.metrics else {}
    return {each.key: reaches[each.began_seq] for each in attempts_in(state) if each.began_seq in reaches}


def _lowest(reaches: Mapping[AttemptKey, ReachState]) -> dict[AttemptKey, Steps]:
    return {key: {field: low for field, (low, _) in reach.steps.items()} for key, reach in reaches.items()}


def _in_metric(
    lifetimes: list[Lifetime], attempts: Mapping[AttemptKey, Attempt], reaches: Mapping[AttemptKey, ReachState]
) -> Iterator[Supersession]:
    lowest = _lowest(reaches)
    for key, bounds in bounds_of(lifetimes, lowest).items():
        if key not in reaches:
            continue
        later = {each.session for each in lifetimes if _comes_after(each, key, lifetimes)}
        after = [
            each for other, each in attempts.items() if (other[0] in later if other[0] != key[0] else other[1] > key[1])
        ]
        for field, (low, high) in reaches[key].steps.items():
            found = _of_field(field, low, high, bounds, after, lowest)
            if found is not None:
                by, first, is_rewind = found
                yield Supersession(by.name, attempts[key].name, field, first, high, is_rewind, ())


def _comes_after(lifetime: Lifetime, key: AttemptKey, lifetimes: list[Lifetime]) -> bool:
    own = next(each for each in lifetimes if each.session == key[0])
    return own.ended_seq is not None and lifetime.began_seq > own.ended_seq


def _of_field(
    field: str, low: Number, high: Number, bounds: Bounds, after: list[Attempt], lowest: Mapping[AttemptKey, Steps]
) -> tuple[Attempt, Number, bool] | None:
    """Who supersedes what lies from where on, and whether by a rewind."""
    logged, rewound = bounds.logged.get(field), bounds.rewound.get(field)
    if rewound is not None and rewound < high and (logged is None or rewound < logged):
        by = next(each for each in after if each.rewound.get(field) == rewound)
        return by, rewound, True
    if logged is not None and logged <= high:
        by = next(each for each in after if lowest.get(each.key, {}).get(field) == logged)
        return by, max(logged, low), False
    return None
