"""Whatever was recorded: what goes out as JSON Lines comes back as it was, and what goes out to TensorBoard comes back
with every number that TensorBoard can hold."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import ml_dash
from ml_dash import Experiment
from ml_dash.exchange.event_lines import from_line, to_line
from ml_dash.exchange.importing import import_from
from ml_dash.exchange.row_joining import WINDOW_US, RowJoiner
from ml_dash.facts.events import Event
from ml_dash.facts.values import to_plain
from ml_dash.state.plain_state import to_plain_state

from ..examples import examples
from ..journals import Part, append
from ..sameness import same
from .test_history import PREFIX, histories
from .value_strategies import EXACT, TEXTS


@given(st.dictionaries(TEXTS, EXACT, max_size=4))
def test_an_event_is_its_line_whatever_it_holds(data: dict[str, Any]) -> None:
    line = to_line(Event(7, "params.set", 1_700_000_000_123_456, data, "w1", "s1"))
    assert line.count(b"\n") == 1
    back = from_line(line)
    assert same(back.data, data)
    assert (back.seq, back.type, back.time_us, back.session) == (7, "params.set", 1_700_000_000_123_456, "s1")


@given(histories())
@examples(25)
def test_an_experiment_that_went_out_and_came_back_has_equal_events_and_state(parts: list[Part]) -> None:
    with TemporaryDirectory() as place:
        here, there = Path(place, "here"), Path(place, "there")
        append(here / PREFIX, *parts)
        ml_dash.export(PREFIX, to=Path(place, "out.jsonl"), dash_root=here)
        import_from(Path(place, "out.jsonl"), dash_root=there, prefix=PREFIX)
        ours, theirs = (list(map(to_line, ml_dash.events(PREFIX, dash_root=root))) for root in (here, there))
        assert ours == theirs
        ours, theirs = (to_plain_state(ml_dash.load(PREFIX, dash_root=root).state) for root in (here, there))
        assert to_plain(ours) == to_plain(theirs)


numbers = st.floats(width=32) | st.integers(-(2**20), 2**20) | st.booleans()


@given(st.lists(st.tuples(st.sampled_from([None, "a", "a/b"]), st.dictionaries(st.sampled_from("xyz"), numbers))))
@examples(15)
def test_every_number_comes_back_from_tensorboard_with_its_step(
    points: list[tuple[str | None, dict[str, Any]]],
) -> None:
    with TemporaryDirectory() as place:
        with Experiment(PREFIX, dash_root=place, console=False).run as run:
            for step, (name, fields) in enumerate(points):
                run.metrics(name).log(step=step, **fields)
        ml_dash.export(PREFIX, to=Path(place, "out"), format="tensorboard", dash_root=place)
        import_from(Path(place, "out"), dash_root=Path(place, "back"), prefix=PREFIX)
        found = [
            (event.data["name"], event.data["fields"])
            for event in ml_dash.events(PREFIX, dash_root=Path(place, "back"))
            if event.type == "metric.logged"
        ]
    expected = [(name, {"step": step, **fields}) for step, (name, fields) in enumerate(points) if fields]
    assert [(name, _comparable(fields)) for name, fields in found] == [
        (name, _comparable(fields)) for name, fields in expected
    ]


def _comparable(fields: dict[str, Any]) -> dict[str, str]:
    return {key: "nan" if math.isnan(value) else repr(float(np.float32(value))) for key, value in fields.items()}


scalars = st.tuples(
    st.integers(0, 5 * WINDOW_US), st.sampled_from([None, "a"]), st.integers(0, 3), st.sampled_from("xy"), st.integers()
)


@given(st.lists(scalars, max_size=60))
def test_joined_rows_hold_every_scalar_once_with_its_step_and_in_order_of_time(found: list[tuple[Any, ...]]) -> None:
    found.sort(key=lambda scalar: scalar[0])
    joiner = RowJoiner()
    rows = [row for scalar in found for row in joiner.scalar(*scalar)]
    rows += joiner.finish()
    assert [row.time_us for row in rows] == sorted(row.time_us for row in rows)
    told = sorted(
        (str(row.name), row.fields["step"], key, value)
        for row in rows
        if row.fields is not None
        for key, value in row.fields.items()
        if key != "step"
    )
    assert told == sorted((str(name), step, key, value) for _, name, step, key, value in found)
