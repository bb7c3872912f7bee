"""What an experiment is after given events: statuses, metadata, parameters, files, metrics, tracks."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from ml_dash.facts.events import (
    EXPERIMENT_DESCRIBED,
    FILE_DELETED,
    FILE_UPDATED,
    METRIC_DESCRIBED,
    PARAMS_SET,
    RUN_CANCELLED,
    RUN_COMPLETED,
    RUN_FAILED,
    WRITER_JOINED,
    Event,
)
from ml_dash.state import EMPTY, State, Status, apply, fold

from .histories import EPOCH_US, Recorded, entry, event, point, saved, started

ENDS = {"C": RUN_COMPLETED, "F": RUN_FAILED, "X": RUN_CANCELLED}


def state_of(recorded: Sequence[Recorded], writer: str = "s1", session: str = "s1") -> State:
    return fold(events_of(recorded, writer, session))


def events_of(recorded: Sequence[Recorded], writer: str = "s1", session: str = "s1") -> list[Event]:
    return [
        Event(
            seq,
            each.type,
            each.time_us,
            {"name": each.name, "fields": each.data} if each.is_stream else each.data,
            writer,
            each.data.get("session", session),
        )
        for seq, each in enumerate(recorded, 1)
    ]


def sessions_after(script: str) -> State:
    """`a` opens session a; `aC`, `aF`, `aX` end it: completed, failed, cancelled."""
    recorded = []
    for word in script.split():
        recorded.append(started(word[0]) if len(word) == 1 else event(ENDS[word[1]], session=word[0]))
    return state_of(recorded)


# -- statuses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("", "COMPLETED"),
        ("a", "RUNNING"),
        ("a aC", "COMPLETED"),
        ("a aF", "FAILED"),
        ("a aX", "CANCELLED"),
        # Resumed: only the newest counts.
        ("a aF b", "RUNNING"),
        ("a aF b bC", "COMPLETED"),
        ("a aC b bF", "FAILED"),
        ("a aF b bX", "CANCELLED"),
        # Side by side: the worst of them counts.
        ("a b aC", "RUNNING"),
        ("a b aF", "RUNNING"),
        ("a b aC bC", "COMPLETED"),
        ("a b aF bC", "FAILED"),
        ("a b aC bF", "FAILED"),
        ("a b aX bC", "CANCELLED"),
        ("a b aX bF", "FAILED"),
        ("a b bF aX", "FAILED"),
        # Overlapping through a third one, which itself ended well.
        ("a aF b c bC d cC dC", "COMPLETED"),
        ("a b aF c bC cC", "FAILED"),
        ("a b bF aC c cC", "COMPLETED"),
        # Open for long before the newest began: still running.
        ("a b bC c cC", "RUNNING"),
        ("a b bC c cC aX", "CANCELLED"),
    ],
)
def test_the_sessions_that_overlapped_with_the_newest_decide_the_status(script: str, status: str) -> None:
    assert sessions_after(script).status == status


def test_a_status_is_its_name() -> None:
    status = sessions_after("a aF").status
    assert status == "FAILED"
    assert str(status) == f"{status}" == "FAILED"
    assert json.dumps(status) == '"FAILED"'
    assert status is Status.FAILED


def test_attempts_count_sessions_in_the_order_in_which_they_began() -> None:
    sessions = sessions_after("a b bC aF c").sessions
    assert [(each.id, each.attempt, each.started_seq, each.ended_seq) for each in sessions.values()] == [
        ("a", 1, 1, 4),
        ("b", 2, 2, 3),
        ("c", 3, 5, None),
    ]


def test_a_failure_says_why() -> None:
    error = {"type": "ValueError", "message": "loss is nan", "traceback": "…"}
    state = state_of([started("s1"), event(RUN_FAILED, EPOCH_US + 5, session="s1", reason="exception", error=error)])
    session = state.sessions["s1"]
    assert (session.status, session.reason, session.error) == ("FAILED", "exception", error)
    assert (session.started_us, session.ended_us) == (EPOCH_US, EPOCH_US + 5)


@pytest.mark.parametrize(
    ("script", "status"),
    [("a aC aF", "FAILED"), ("a aF aC", "FAILED"), ("a aX aC", "CANCELLED"), ("a aC aX", "CANCELLED")],
)
def test_a_second_end_of_a_session_changes_how_if_it_is_worse_and_never_when(script: str, status: str) -> None:
    session = sessions_after(script).sessions["a"]
    assert (session.status, session.ended_seq) == (status, 2)


def test_a_session_that_fails_again_keeps_its_first_reason() -> None:
    ends = [event(RUN_FAILED, session="s1", reason=reason) for reason in ("stated", "lost")]
    assert state_of([started("s1"), *ends]).sessions["s1"].reason == "stated"


def test_what_is_recorded_behind_the_end_counts_and_opens_nothing() -> None:
    state = state_of([started("s1"), event(RUN_COMPLETED, session="s1"), point("train", loss=1.0)])
    assert state.status == "COMPLETED"
    assert state.metrics["train"].count == 1


def test_a_forked_child_takes_part_and_may_end_the_session() -> None:
    before = state_of([started("s1")])
    joined = Event(2, WRITER_JOINED, 5, {"session": "s1", "parent": "s1", "host": "h", "pid": 9, "rank": 1}, "w2", "s1")
    ended = Event(3, RUN_FAILED, 6, {"session": "s1", "reason": "exception", "error": None}, "w2", "s1")
    state = fold([joined, ended], before)
    assert state.sessions["s1"].writers == ("s1", "w2")
    assert state.status == "FAILED"
    child = state.writers["w2"]
    assert (child.parent, child.pid, child.rank, child.session) == ("s1", 9, 1, "s1")
    assert (child.first_seq, child.last_seq, child.count) == (2, 3, 2)


def test_a_session_whose_beginning_was_lost_begins_with_what_is_left_of_it() -> None:
    state = state_of([point("train", loss=1.0), started("s1")])
    assert state.status == "RUNNING"
    assert (state.sessions["s1"].started_seq, state.sessions["s1"].host) == (1, "node1")


def test_an_event_of_a_later_release_opens_no_session() -> None:
    assert state_of([event("value.audited")]).sessions == {}


def test_the_prefix_is_the_one_under_which_it_was_opened_last() -> None:
    moved = event("run.started", session="s2", prefix="alice/ml/moved")
    assert state_of([started("s1")]).prefix == "alice/ml/a"
    assert state_of([started("s1"), moved]).prefix == "alice/ml/moved"


# -- descriptions ------------------------------------------------------------------------------------------------


def test_what_is_given_replaces_and_what_is_not_given_stays() -> None:
    first = event(EXPERIMENT_DESCRIBED, description="d", tags=["a", "b"], bindrs=["x"], metadata={"k": 1, "l": 2})
    second = event(EXPERIMENT_DESCRIBED, tags=["c"], metadata={"k": 3})
    state = state_of([first, second])
    assert (state.description, state.tags, state.bindrs, state.metadata) == ("d", ("c",), ("x",), {"k": 3})


def test_empty_tags_clear_them() -> None:
    given = [event(EXPERIMENT_DESCRIBED, tags=["a"]), event(EXPERIMENT_DESCRIBED, tags=[])]
    assert state_of(given).tags == ()


def test_a_malformed_description_changes_nothing_at_all() -> None:
    state = state_of([event(EXPERIMENT_DESCRIBED, description="not taken", tags="text")])
    assert state.description is None
    assert state.unknown == {EXPERIMENT_DESCRIBED: 1}


def test_a_metric_may_be_described_before_and_after_its_points() -> None:
    described = [
        event(METRIC_DESCRIBED, name="train", description="d", tags=["t"]),
        point("train", loss=1.0),
        event(METRIC_DESCRIBED, name="train", metadata={"unit": "nats"}),
    ]
    metric = state_of(described).metrics["train"]
    assert (metric.description, metric.tags, metric.metadata) == ("d", ("t",), {"unit": "nats"})
    assert (metric.count, metric.first_seq, metric.last_seq) == (1, 2, 2)
    assert state_of(described[:1]).metrics["train"].first_seq is None


# -- parameters --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sets", "flat"),
    [
        ([{"lr": 1}, {"lr": 2}], {"lr": 2}),
        ([{"a.x": 1, "a.y": 2}, {"a": 3}], {"a": 3}),
        ([{"a": 3}, {"a.x": 1}], {"a.x": 1}),
        ([{"a.b.c": 1, "a.b2": 2}, {"a.b": 3}], {"a.b2": 2, "a.b": 3}),
        ([{"a.b": {}}, {"a.b.c": 1}], {"a.b.c": 1}),
        ([{"a.b.c": 1}, {"a.b": {}}], {"a.b": {}}),
        ([{"a": 1, "ab": 2, "a.b": 3}], {"ab": 2, "a.b": 3}),
        ([{"a": 1}, {"b": 2}, {"a": 3}], {"a": 3, "b": 2}),
    ],
)
def test_setting_a_key_replaces_what_is_above_and_below_it(sets: list[dict[str, Any]], flat: dict[str, Any]) -> None:
    state = state_of([event(PARAMS_SET, params=given) for given in sets])
    assert state.params == flat
    assert list(state.params) == list(flat)


# -- metrics and tracks ------------------------------------------------------------------------------------------


def test_a_field_has_count_last_min_max_and_sum_of_its_numbers() -> None:
    values: list[Any] = [2, None, -1.5, "text", True, math.nan, 4]
    field = state_of([point("m", x=value) for value in values]).metrics["m"].fields["x"]
    assert (field.count, field.last, field.min, field.max, field.sum) == (3, 4, -1.5, 4, 4.5)


def test_a_diverged_loss_is_the_last_value_and_spoils_no_statistic() -> None:
    field = state_of([point("m", loss=0.5), point("m", loss=math.nan)]).metrics["m"].fields["loss"]
    assert math.isnan(field.last)
    assert (field.count, field.min, field.max, field.sum) == (1, 0.5, 0.5, 0.5)


def test_infinities_count_and_cancel_to_nan() -> None:
    points = [point("m", x=value) for value in (1.0, math.inf, -math.inf, 2.0)]
    field = state_of(points).metrics["m"].fields["x"]
    assert (field.count, field.min, field.max) == (4, -math.inf, math.inf)
    assert math.isnan(field.sum)


def test_integers_add_up_exactly_and_beyond_doubles_count_as_infinity_beside_floats() -> None:
    big = 10**400
    exact = state_of([point("m", x=value) for value in (big, 1, 2**63)]).metrics["m"].fields["x"]
    mixed = state_of([point("m", x=value) for value in (big, 0.5, -3)]).metrics["m"].fields["x"]
    assert exact.sum == big + 1 + 2**63
    negative = state_of([point("m", x=value) for value in (0.5, -big)]).metrics["m"].fields["x"]
    assert (mixed.sum, mixed.max, mixed.min) == (math.inf, big, -3)
    assert negative.sum == -math.inf


def test_metrics_of_no_name_and_of_the_name_none_are_two() -> None:
    state = state_of([point(None, x=1), point("None", x=2), point(None, x=3)])
    assert {name: metric.count for name, metric in state.metrics.items()} == {None: 2, "None": 1}


def test_a_topic_knows_its_span_of_time_whatever_the_order() -> None:
    entries = [entry("a/b", _ts=2.0, x=1), entry("a/b", _ts=0.5, y=1), entry("a/b", _ts=1.0, x=2)]
    tracks = state_of([*entries, entry("a_b", _ts=9.0)]).tracks
    track = tracks["a/b"]
    assert (track.count, track.first_ts, track.last_ts, track.fields) == (3, 0.5, 2.0, ("x", "y"))
    assert tracks["a_b"].count == 1


# -- files -------------------------------------------------------------------------------------------------------


def test_a_file_is_saved_described_anew_and_deleted() -> None:
    state = state_of(
        [
            saved("f1"),
            event(FILE_UPDATED, EPOCH_US + 1, id="f1", tags=["y"], metadata={"epoch": 3}),
            event(FILE_DELETED, EPOCH_US + 2, id="f1"),
            event(FILE_DELETED, EPOCH_US + 3, id="f1"),
        ]
    )
    file = state.files["f1"]
    assert (file.path, file.filename, file.size_bytes, file.content_type, file.seq) == (
        "/models",
        "a.pt",
        3,
        "application/octet-stream",
        1,
    )
    assert (file.tags, file.metadata) == (("y",), {"epoch": 3})
    assert (file.uploaded_us, file.updated_us, file.deleted_us) == (EPOCH_US, EPOCH_US + 1, EPOCH_US + 2)


def test_every_version_of_a_file_is_kept() -> None:
    files = state_of([saved("f1"), saved("f2")]).files
    assert [(file.id, file.path, file.filename) for file in files.values()] == [
        ("f1", "/models", "a.pt"),
        ("f2", "/models", "a.pt"),
    ]


# -- the whole ---------------------------------------------------------------------------------------------------


def test_times_are_those_of_the_first_and_of_the_last_event_whatever_clocks_do() -> None:
    state = state_of([point("m", EPOCH_US + 5), point("m", EPOCH_US + 9), point("m", EPOCH_US - 7)])
    assert (state.seq, state.created_us, state.time_us) == (3, EPOCH_US + 5, EPOCH_US - 7)


def test_a_state_cannot_be_changed() -> None:
    state = state_of([started("s1"), event(PARAMS_SET, params={"lr": 1}), point("m", x=1)])
    for change in (
        lambda: state.params.__setitem__("lr", 2),
        lambda: state.params.update(lr=2),  # type: ignore[attr-defined]
        lambda: state.metrics.clear(),  # type: ignore[attr-defined]
        lambda: state.metrics["m"].fields.pop("x"),  # type: ignore[attr-defined]
        lambda: setattr(state, "seq", 9),
    ):
        with pytest.raises((TypeError, AttributeError)):
            change()
    assert state.params == {"lr": 1}


def test_a_state_can_be_copied_pickled_and_its_mappings_written_as_json() -> None:
    state = state_of([started("s1"), event(PARAMS_SET, params={"lr": 1, "model.depth": 50}), point("m", x=1)])
    assert copy.deepcopy(state) == pickle.loads(pickle.dumps(state)) == state
    with pytest.raises(TypeError, match="history"):
        copy.deepcopy(state).params["lr"] = 2  # type: ignore[index]
    assert json.loads(json.dumps(state.params)) == {"lr": 1, "model.depth": 50}


def test_one_more_event_shares_what_did_not_change() -> None:
    state = state_of([started("s1"), event(PARAMS_SET, params={"lr": 1}), point("m", x=1)])
    after = apply(state, Event(4, PARAMS_SET, 0, {"params": {"lr": 2}}, "s1", "s1"))
    assert after.metrics is state.metrics
    assert after.sessions is state.sessions
    assert state.params == {"lr": 1}


def test_before_the_first_event_there_is_nothing() -> None:
    assert fold([]) is EMPTY
    assert (EMPTY.seq, EMPTY.created_us, EMPTY.status) == (0, None, "COMPLETED")
