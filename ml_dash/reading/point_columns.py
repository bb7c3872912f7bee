"""The points of one metric as columns: one typed column a field, rows in order of sequence numbers.

Pure: no I/O.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any

from ..facts.columns import Column
from ..state.attempts import STEP_FIELDS, AttemptKey, Lifetime, Stretch, any_comes_after, latest_rows, step_of
from ..state.nouns import FieldState
from ..state.series import Field
from .typed_columns import TypedColumn


class Columns:
    """`len()` rows.  `fields` are the columns by name, in the order in which the names first appeared.

    `seq` is the sequence number of each row, `time_us` when it was recorded, in microseconds since 1970 (empty unless
    asked for), `sessions` how many rows that follow each other belong to which session.
    """

    def __init__(self) -> None:
        self.fields: dict[str, TypedColumn] = {}
        self.seq = TypedColumn()
        self.time_us = TypedColumn()
        self.sessions: list[tuple[str, int]] = []

    def __len__(self) -> int:
        return len(self.seq)

    def append(
        self, session: str, count: int, fields: Mapping[str, Column], seqs: Column, times_us: Sequence[int] = ()
    ) -> None:
        """`count` more points, all with the same fields; the columns must not be used elsewhere."""
        for key, values in fields.items():
            column = self.fields.get(key)
            if column is None:
                column = self.fields[key] = TypedColumn()
            # Of the points since the last one that had this field, none did.
            column.extend_gap(len(self) - len(column))
            column.extend(values)
        self.seq.extend(seqs)
        self.time_us.extend(times_us)
        self._count_session(session, count)

    def complete(self) -> None:
        """Makes all columns equally long, once the last point is appended."""
        for column in self.fields.values():
            column.extend_gap(len(self) - len(column))

    def to_dict(self) -> dict[str, list[Any]]:
        """A list for each field, values as they were logged, None where a point does not have the field."""
        return {key: column.to_list() for key, column in self.fields.items()}

    def rows(self, runs: Sequence[range]) -> Columns:
        """Only the rows in these ascending ranges, and only the fields that any of them has."""
        chosen = Columns()
        for key, column in self.fields.items():
            cut = column.rows(runs)
            if not cut.is_gap:
                chosen.fields[key] = cut
        chosen.seq = self.seq.rows(runs)
        chosen.time_us = self.time_us.rows(runs) if len(self.time_us) else TypedColumn()
        start = 0
        for session, count in self.sessions:
            stop = start + count
            kept = sum(max(0, min(run.stop, stop) - max(run.start, start)) for run in runs)
            chosen._count_session(session, kept)
            start = stop
        return chosen

    def latest(self, lifetimes: Iterable[Lifetime]) -> Columns:
        """Without the points that a later attempt has superseded, by the rules of `state/attempts.py`."""
        logging = {session for session, _ in self.sessions}
        # A rewind supersedes points of every metric, also where nothing was logged after it.
        lifetimes = [each for each in lifetimes if each.session in logging or each.rewinds]
        if not any_comes_after(lifetimes):
            return self
        runs = latest_rows(lifetimes, self.stretches(lifetimes))
        return self if sum(map(len, runs)) == len(self) else self.rows(runs)

    def stretches(self, lifetimes: Iterable[Lifetime]) -> list[Stretch]:
        """The rows, cut wherever another attempt begins."""
        of_session = {each.session: each for each in lifetimes}
        steps = {field: self.fields[field] for field in STEP_FIELDS if field in self.fields}
        stretches = []
        start = 0
        for session, count in self.sessions:
            for rewinds, rows in self._attempts(of_session.get(session), start, start + count):
                cuts = {field: column.rows([rows]) for field, column in steps.items()}
                present = {field: cut.values() for field, cut in cuts.items() if not cut.is_gap}
                stretches.append(Stretch(session, len(rows), present, rewinds))
            start += count
        return stretches

    def counts(self, lifetimes: Iterable[Lifetime]) -> dict[AttemptKey, int]:
        """How many rows are of which attempt."""
        counts: dict[AttemptKey, int] = {}
        for stretch in self.stretches(lifetimes):
            counts[stretch.attempt] = counts.get(stretch.attempt, 0) + stretch.count
        return counts

    def summary(self) -> dict[str, dict[str, Any]]:
        """For each field `count last min max mean`, and `min_step max_step`: the steps of its best points, whichever
        way is up, by rule 1 of `state/attempts.py`.

        `last` is the last value there is, of any type.  The others are about numbers, NaN left out, as `FieldState` has
        it; they are None, and `count` 0, where there are none.
        """
        steps = {field: self.fields[field].to_list() for field in STEP_FIELDS if field in self.fields}
        return {key: _summary_of(column.to_list(), steps) for key, column in self.fields.items()}

    # -- inside --------------------------------------------------------------------------------------------------

    def _count_session(self, session: str, count: int) -> None:
        if self.sessions and self.sessions[-1][0] == session:
            count += self.sessions.pop()[1]
        if count:
            self.sessions.append((session, count))

    def _attempts(self, lifetime: Lifetime | None, start: int, stop: int) -> Iterator[tuple[int, range]]:
        """The rows of each attempt among those of one session, and how many rewinds were before it."""
        rewinds = lifetime.rewinds if lifetime is not None else ()
        seqs = self.seq.values() if rewinds else ()
        for number, (seq, _) in enumerate(rewinds):
            at = bisect_left(seqs, seq, start, stop)
            if at > start:
                yield number, range(start, at)
            start = at
        if stop > start:
            yield len(rewinds), range(start, stop)


def _summary_of(values: list[Any], steps: Mapping[str, list[Any]]) -> dict[str, Any]:
    numbers = Field()
    numbers.extend(values)
    field = numbers.state()
    return {
        "count": field.count,
        "last": next((value for value in reversed(values) if value is not None), None),
        "min": field.min,
        "max": field.max,
        "mean": _mean(field),
        "min_step": _step_at(values, field.min, steps),
        "max_step": _step_at(values, field.max, steps),
    }


def _mean(field: FieldState) -> float | None:
    if not field.count:
        return None
    try:
        return field.sum / field.count
    except OverflowError:
        return inf if field.sum > 0 else -inf


def _step_at(values: list[Any], best: Any, steps: Mapping[str, list[Any]]) -> int | float | None:
    """The step of the first point with this value; None where it has none."""
    if best is None:
        return None
    # True is 1 to `==`, but no number here.
    row = next(row for row, value in enumerate(values) if value == best and type(value) in (int, float))
    found = step_of({field: column[row] for field, column in steps.items()})
    return found[1] if found is not None else None
