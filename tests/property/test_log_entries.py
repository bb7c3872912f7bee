"""`ml-dash log` over whatever was recorded, malformed payloads included: every event once, in order, in words."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from ml_dash.cli.event_words import Narrator
from ml_dash.cli.log_entries import Choice, Entry, entries
from ml_dash.facts.events import COLUMNAR_TYPES, EVENT_TYPES, Event
from ml_dash.history import events
from ml_dash.reading.audit import commits
from ml_dash.state import fold

from ..examples import examples
from ..histories import SESSIONS, Recorded, runs, sessions, singles
from ..journals import Part, append

PREFIX = "alice/ml/a"


@st.composite
def journals(draw: st.DrawFn) -> list[Part]:
    parts: list[Part] = []
    for _ in range(draw(st.integers(1, 6))):
        some = draw(st.lists(runs() | singles.map(lambda single: [single]), min_size=1, max_size=3))
        recorded: list[Recorded] = [each for part in some for each in part]
        parts.append((draw(sessions), recorded))
    return parts


def read(parts: list[Part], choice: Choice) -> tuple[list[Entry], list[Event]]:
    with TemporaryDirectory() as root:
        append(Path(root) / PREFIX, *parts)
        told = list(events(PREFIX, dash_root=root))
        attempts = {session.id: session.attempt for session in fold(told).sessions.values()}
        return list(entries(commits(PREFIX, dash_root=root), choice, Narrator(attempts))), told


@examples(60)
@given(journals())
def test_entries_are_dense_and_count_every_event_once(parts: list[Part]) -> None:
    found, told = read(parts, Choice())
    assert found[0].first == 1
    assert found[-1].last == told[-1].seq
    assert all(after.first == before.last + 1 for before, after in pairwise(found))
    # What happened stands alone, what was only logged together.
    assert all(entry.commits == 1 for entry in found if entry.told)
    assert not any(before.is_quiet and after.is_quiet for before, after in pairwise(found))
    counts: dict[str, int] = {}
    for each in told:
        counts[each.type] = counts.get(each.type, 0) + 1
    of_entries = [count for entry in found for count in entry.counts.items()]
    assert {kind: sum(n for other, n in of_entries if other == kind) for kind, _ in of_entries} == counts
    alone = [(each.seq, each.type) for each in told if each.type not in COLUMNAR_TYPES]
    assert [(each.event.seq, each.event.type) for entry in found for each in entry.told] == alone
    assert all("\n" not in each.words for entry in found for each in entry.told)


@examples(40)
@given(journals(), st.sampled_from(EVENT_TYPES), st.sampled_from(SESSIONS))
def test_what_is_chosen_is_what_a_plain_look_at_the_events_chooses(parts: list[Part], kind: str, session: str) -> None:
    found, told = read(parts, Choice(types=(kind,), session=session))
    expected = sum(each.type == kind and each.session == session for each in told)
    assert sum(count for entry in found for count in entry.counts.values()) == expected


@examples(40)
@given(journals(), st.sampled_from(["a", "a.b", "b", "c"]))
def test_the_changes_of_a_parameter_lead_to_the_value_that_it_has(parts: list[Part], key: str) -> None:
    found, told = read(parts, Choice(param=key))
    value: object = None
    changes = [change for entry in found for each in entry.told for change in each.changes if change[0] == key]
    for _, old, new in changes:
        if value is not None:
            assert repr(old) == repr(value)
        value = new
    params = fold(told).params
    if key in params:
        assert repr(value) == repr(params[key])
