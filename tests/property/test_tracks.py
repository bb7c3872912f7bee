"""Tracks against a model: a dict of rows by time, whatever is appended, flushed, reopened or read in between."""

from __future__ import annotations

import json
import tempfile
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ml_dash import Experiment
from ml_dash.recording.track_formats import entries_of, to_jsonl

from ..examples import examples

TOPICS = ["a/b", "a_b", "arm"]
TIMES = st.sampled_from([0, 1, 1.0, 2.5, 3, -2.0, 1e9])
VALUES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5)
FIELDS = st.dictionaries(st.sampled_from(["x", "y", "q.r", "timestamp"]), VALUES, max_size=3)
STEPS = st.one_of(
    st.tuples(st.just("append"), st.sampled_from([0, 1]), st.sampled_from(TOPICS), TIMES, FIELDS),
    st.tuples(st.sampled_from(["flush", "reopen", "flush track"]), st.sampled_from([0, 1])),
    st.tuples(st.just("read"), st.sampled_from([0, 1]), st.sampled_from(TOPICS)),
)


def expected(model: dict[float, dict[str, Any]]) -> list[dict[str, Any]]:
    return entries_of(sorted(model.items()))


@examples(30)
@given(st.lists(STEPS, max_size=25))
def test_tracks_read_back_the_same_however_writes_and_flushes_interleave(steps: list[Any]) -> None:
    model: dict[str, dict[float, dict[str, Any]]] = {topic: {} for topic in TOPICS}
    with tempfile.TemporaryDirectory() as root:
        handles = [Experiment("alice/tracks/property", dash_root=root) for _ in range(2)]
        for handle in handles:
            handle.run.start()
        try:
            for action, number, *rest in steps:
                handle = handles[number]
                if action == "append":
                    topic, time, fields = rest
                    handle.tracks(topic).append(_ts=time, **fields)
                    # Two open handles commit in the order in which they are asked to.
                    handle.tracks.flush()
                    model[topic].setdefault(float(time), {}).update(fields)
                elif action == "flush":
                    handle.flush()
                elif action == "flush track":
                    handle.tracks("arm").flush()
                elif action == "reopen":
                    handle.run.complete()
                    handle.run.start()
                else:
                    assert handle.tracks(rest[0]).list_entries() == expected(model[rest[0]])
            for topic, rows in model.items():
                entries = expected(rows)
                for handle in handles:
                    assert handle.tracks(topic).read() == {"entries": entries, "count": len(entries)}
                part = handles[0].tracks(topic).slice(0, 2.5)
                assert list(part) == [entry for entry in entries if 0 <= entry["timestamp"] <= 2.5]
                for entry in part:
                    assert part.findByTime(entry["timestamp"]) == entry
        finally:
            for handle in handles:
                handle.run.complete()


@examples(40)
@given(st.lists(st.tuples(TIMES, FIELDS), max_size=20))
def test_one_handle_needs_no_flush_to_read_its_own_rows(appended: list[Any]) -> None:
    model: dict[float, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as root, Experiment("alice/tracks/own", dash_root=root).run as experiment:
        for time, fields in appended:
            experiment.tracks("arm").append(_ts=time, **fields)
            model.setdefault(float(time), {}).update(fields)
        assert experiment.tracks("arm").list_entries() == expected(model)
        lines = experiment.tracks("arm").read(format="jsonl").splitlines()
        assert [json.loads(line) for line in lines] == expected(model)


@examples(100)
@given(st.lists(st.tuples(st.floats(allow_nan=False), FIELDS), max_size=10))
def test_an_entry_shows_every_field_and_the_time(rows: list[Any]) -> None:
    for (time, fields), entry in zip(rows, entries_of(rows), strict=True):
        assert entry["timestamp"] == time
        assert len(entry) == len(fields) + 1
        assert sorted(map(repr, list(entry.values())[1:])) == sorted(map(repr, fields.values()))
    assert len(to_jsonl(entries_of(rows)).splitlines()) == len(rows)
