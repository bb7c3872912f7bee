"""Corrections: an event that names another one replaces its values in all that is read afterwards."""

from __future__ import annotations

import os
from math import isnan, nan
from pathlib import Path
from typing import Any

import orjson
import pytest

import ml_dash
from ml_dash import ConfigurationError, Experiment, NotFoundError
from ml_dash.facts.events import VALUE_CORRECTED, Event
from ml_dash.journal.folder import JournalFolder
from ml_dash.reading.points import log_rows, metric_columns, metric_rows, track_rows
from ml_dash.reading.replay import KEEP_BYTES_MIN, Replay
from ml_dash.state import EMPTY, Fold, State, apply, fold, from_plain_state, to_plain_state
from ml_dash.state.corrections import Corrections, corrections_in

from .histories import entry, event, events_in, history, point

PREFIX = "alice/ml/a"
WHY = "it was wrong"


def recorded(root: Path, points: int = 40) -> Experiment:
    experiment = Experiment(PREFIX, dash_root=root, console=False)
    with experiment.run:
        experiment.params.set(lr=0.1, model={"depth": 50, "name": "resnet"})
        for step in range(points):
            experiment.metrics("train").log(step=step, loss=1 / (step + 1), note="x")
        experiment.log("hello", level="warn", epoch=3)
        experiment.tracks("arm").append(_ts=1.5, q=[0.1])
        experiment.tracks("arm").append(_ts=2.5, q=[0.2])
    return experiment


def load(root: Path, at: int | None = None) -> ml_dash.Run:
    return ml_dash.load(PREFIX, dash_root=root, at=at)


def seqs(root: Path, event_type: str) -> list[int]:
    return [each.seq for each in ml_dash.events(PREFIX, dash_root=root) if each.type == event_type]


def correct(root: Path, seq: int, values: dict[str, Any] | None = None, **more: Any) -> int:
    return ml_dash.correct(PREFIX, seq, values, reason=WHY, dash_root=root, **more)


# -- what is read ------------------------------------------------------------------------------------------------


def test_a_corrected_point_shows_in_everything_that_is_read_afterwards(tmp_path: Path) -> None:
    experiment = recorded(tmp_path)
    wrong = seqs(tmp_path, "metric.logged")[0]
    assert load(tmp_path).state.metrics["train"].fields["loss"].max == 1.0
    correct(tmp_path, wrong, loss=0.75)
    run = load(tmp_path)
    loss = run.state.metrics["train"].fields["loss"]
    expected = [0.75, *(1 / (step + 1) for step in range(1, 40))]
    assert (loss.count, loss.max, loss.sum) == (40, 0.75, sum(expected))
    assert run.metrics["train"].columns()["loss"] == expected
    assert run.metrics["train"].columns()["note"] == ["x"] * 40
    assert run.metrics["train"].to_numpy()["loss"].tolist() == expected
    assert run.metrics["train"].summary()["loss"]["max"] == 0.75
    folder = JournalFolder(tmp_path / PREFIX)
    for source in (folder, Replay(folder)):
        assert metric_rows(source, "train", 0, 1)[0]["data"] == {"step": 0, "loss": 0.75, "note": "x"}
        assert metric_columns(source, "train").to_dict()["loss"] == expected
    experiment.run.start()
    assert experiment.metrics("train").read(limit=1)["data"][0]["data"]["loss"] == 0.75
    assert experiment.metrics("train").columns()["loss"] == expected
    experiment.run.complete()


def test_history_before_a_correction_is_as_it_was(tmp_path: Path) -> None:
    recorded(tmp_path)
    wrong = seqs(tmp_path, "metric.logged")[0]
    end = load(tmp_path).seq
    first = correct(tmp_path, wrong, loss=0.75)
    second = correct(tmp_path, wrong, loss=0.5)
    assert (first, second) == (end + 1, end + 2)
    for at, loss in ((end, 1.0), (first, 0.75), (second, 0.5)):
        run = load(tmp_path, at)
        assert run.metrics["train"].columns()["loss"][0] == loss
        assert run.state.metrics["train"].fields["loss"].max == max(loss, 0.5)
        assert metric_columns(JournalFolder(tmp_path / PREFIX), "train", at=at).to_dict()["loss"][0] == loss


def test_events_show_both_and_the_bytes_of_the_first_stay(tmp_path: Path) -> None:
    recorded(tmp_path)
    wrong = seqs(tmp_path, "metric.logged")[0]
    segment = tmp_path / PREFIX / "_journal/00000001.jsonl"
    before = segment.read_bytes()
    correct(tmp_path, wrong, loss=nan)
    assert segment.read_bytes()[: len(before)] == before
    by_seq = {each.seq: each for each in ml_dash.events(PREFIX, dash_root=tmp_path)}
    assert by_seq[wrong].data["fields"]["loss"] == 1.0
    correction = by_seq[max(by_seq)]
    assert (correction.type, correction.data["seq"], correction.data["reason"]) == (VALUE_CORRECTED, wrong, WHY)
    assert "@" in correction.data["by"]
    assert isnan(load(tmp_path).metrics["train"].columns()["loss"][0])
    report = ml_dash.verify(PREFIX, dash_root=tmp_path)
    assert (report.ok, report.damage) == (True, ())


def test_a_corrected_parameter_counts_where_it_was_set_and_not_where_it_was_set_again(tmp_path: Path) -> None:
    experiment = recorded(tmp_path)
    [wrong] = seqs(tmp_path, "params.set")
    with experiment.run:
        experiment.params.set(lr=0.2)
    correct(tmp_path, wrong, {"model.depth": 18, "lr": 0.05})
    run = load(tmp_path)
    assert dict(run.params) == {"lr": 0.2, "model.depth": 18, "model.name": "resnet"}
    assert load(tmp_path, wrong).params["model.depth"] == 50
    with experiment.run:
        assert [value for _, _, value in experiment.params.history("lr")] == [0.05, 0.2]
        assert experiment.params.get("model") == {"depth": 18, "name": "resnet"}


def test_a_corrected_line_is_found_by_what_it_says_now(tmp_path: Path) -> None:
    recorded(tmp_path)
    [wrong] = seqs(tmp_path, "log.written")
    correct(tmp_path, wrong, message="good bye", level="WARNING", metadata={"epoch": 4})
    correct(tmp_path, wrong, level="error")
    run = load(tmp_path)
    [line] = run.logs
    assert (line.message, line.level, line.metadata, line.seq) == ("good bye", "error", {"epoch": 4}, wrong)
    assert dict(run.state.log_counts) == {"error": 1}
    assert run.logs.read(search="hello") == []
    assert [each.level for each in log_rows(JournalFolder(tmp_path / PREFIX), "error")] == ["error"]


def test_a_corrected_entry_stands_at_its_corrected_time(tmp_path: Path) -> None:
    recorded(tmp_path)
    correct(tmp_path, seqs(tmp_path, "track.appended")[0], _ts=9.5, q=[0.7])
    run = load(tmp_path)
    assert run.tracks["arm"].rows() == [(2.5, {"q": [0.2]}), (9.5, {"q": [0.7]})]
    assert (run.state.tracks["arm"].first_ts, run.state.tracks["arm"].last_ts) == (2.5, 9.5)
    assert track_rows(JournalFolder(tmp_path / PREFIX), "arm") == run.tracks["arm"].rows()


def test_a_corrected_step_decides_what_a_later_attempt_supersedes(tmp_path: Path) -> None:
    recorded(tmp_path, points=3)
    experiment = Experiment(PREFIX, dash_root=tmp_path)
    with experiment.run:
        experiment.metrics("train").log(step=0, loss=9.0)
    assert load(tmp_path).metrics["train"].columns()["step"] == [0]
    correct(tmp_path, seqs(tmp_path, "metric.logged")[-1], step=2)
    assert load(tmp_path).metrics["train"].columns()["step"] == [0, 1, 2]


# -- whoever is there --------------------------------------------------------------------------------------------


def test_an_open_experiment_sees_a_correction_and_goes_on_with_it(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX, dash_root=tmp_path)
    with experiment.run:
        experiment.params.set(lr=1)
        train = experiment.metrics("train")
        train.log(loss=5.0)
        experiment.flush()
        assert train.summary()["loss"]["max"] == 5.0
        [params], [first] = seqs(tmp_path, "params.set"), seqs(tmp_path, "metric.logged")
        correct(tmp_path, params, lr=2)
        correct(tmp_path, first, loss=1.0)
        train.log(loss=3.0)
        assert experiment.params.get() == {"lr": 2}
        assert train.columns()["loss"] == [1.0, 3.0]
        assert experiment.data is not None
    run = load(tmp_path)
    assert run.state.metrics["train"].fields["loss"].sum == 4.0
    assert (run.status, len(run.sessions), len(run.sessions[0].writers)) == ("COMPLETED", 1, 1)


def test_a_correction_opens_no_session_and_changes_no_status(tmp_path: Path) -> None:
    recorded(tmp_path)
    before = load(tmp_path)
    correct(tmp_path, seqs(tmp_path, "params.set")[0], lr=2)
    after = load(tmp_path)
    assert repr(after.sessions) == repr(before.sessions)
    assert after.status == "COMPLETED"
    assert dict(after.state.unknown) == {}


def test_a_kept_state_from_before_a_correction_is_not_gone_on_from(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX, dash_root=tmp_path, console=False)
    with experiment.run:
        experiment.params.set(lr=1)
        for _ in range(40):
            experiment.log("x" * (KEEP_BYTES_MIN // 20))
    folder = JournalFolder(tmp_path / PREFIX)
    Replay(folder).refresh()
    assert b'"fold"' in Path(folder.checkpoint_path).read_bytes()
    correct(tmp_path, seqs(tmp_path, "params.set")[0], lr=2)
    corrected = load(tmp_path)
    assert corrected.params["lr"] == 2
    # The state that is kept now holds the correction, and is gone on from.
    assert repr(load(tmp_path).state) == repr(corrected.state) == repr(Replay(folder).refresh())
    Path(folder.checkpoint_path).unlink()
    assert repr(load(tmp_path).state) == repr(corrected.state)


def test_a_dead_writers_events_can_be_corrected(tmp_path: Path) -> None:
    recorded(tmp_path)
    spool = tmp_path / PREFIX / "_journal/spool"
    experiment = Experiment(PREFIX, dash_root=tmp_path)
    child = os.fork()
    if child == 0:
        experiment.run.start()
        experiment.metrics("late").log(loss=5.0)
        os._exit(0)
    os.waitpid(child, 0)
    assert list(spool.glob("*.jsonl"))
    seq = load(tmp_path).seq - 1
    correct(tmp_path, seq, loss=4.0)
    assert load(tmp_path).metrics["late"].columns() == {"loss": [4.0]}
    assert list(spool.glob("*.jsonl")) == []


# -- what cannot be corrected ------------------------------------------------------------------------------------


def test_what_cannot_be_corrected_is_refused_by_name_and_nothing_is_recorded(tmp_path: Path) -> None:
    recorded(tmp_path)
    params, point_seq = seqs(tmp_path, "params.set")[0], seqs(tmp_path, "metric.logged")[0]
    line, entry_seq = seqs(tmp_path, "log.written")[0], seqs(tmp_path, "track.appended")[0]
    end = load(tmp_path).seq
    wrong: list[tuple[int, dict[str, Any], str]] = [
        (0, {"loss": 1}, "expected the number of an event"),
        (True, {"loss": 1}, "expected the number of an event"),
        (end + 1, {"loss": 1}, "has no such event"),
        (1, {"prefix": "b/c"}, "run.started, which is not corrected"),
        (point_seq, {"los": 1}, "Did you mean 'loss'"),
        (point_seq, {}, "no corrected value is given"),
        (params, {"model": {"depth": 1}}, "'model' cannot be corrected"),
        (params, {"lr": {"a": 1}}, "a single value"),
        (line, {"level": "loud"}, "Invalid log level"),
        (line, {"message": 5}, "expected text"),
        (line, {"metadata": [1]}, "expected a dict"),
        (entry_seq, {"_ts": "now"}, "expected a time in seconds"),
    ]
    for seq, values, message in wrong:
        with pytest.raises(ConfigurationError, match=message):
            correct(tmp_path, seq, values)
    for reason in ("", "  ", None):
        with pytest.raises(ConfigurationError, match="reason"):
            ml_dash.correct(PREFIX, params, lr=1, reason=reason, dash_root=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a mapping"):
        correct(tmp_path, params, [1])  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        ml_dash.correct("alice/ml/b", 1, lr=1, reason=WHY, dash_root=tmp_path)
    assert load(tmp_path).seq == end


# -- the fold ----------------------------------------------------------------------------------------------------


def remark(seq: int, **data: Any) -> Any:
    return event(VALUE_CORRECTED, seq=seq, data=data, reason=WHY, by="a@b")


HISTORY = history(
    [event("params.set", params={"lr": 1, "m.d": 2})],
    [point("train", step=step, loss=step / 3) for step in range(30)],
    [event("log.written", message="m", level="info", metadata=None), entry("arm", _ts=1.0, q=1)],
    [point("train", step=30, loss=None), remark(1, lr=5)],
    [remark(2, loss=7.5), remark(31, loss="late", step=-1)],
    [remark(32, level="error"), remark(33, _ts=0.5), remark(34, loss=nan), remark(2, loss=80.5)],
    [point("train", step=31, loss=0.5)],
)


def folded_by_block(corrections: Any = ()) -> tuple[State, bool]:
    folding = Fold(EMPTY, corrections)
    for commit in HISTORY:
        folding.add_commit(commit.blocks, commit)
    return folding.state(), folding.is_stale


def test_block_by_block_and_event_by_event_give_the_same_state() -> None:
    events = events_in(HISTORY)
    state, is_stale = folded_by_block(corrections_in(events))
    assert not is_stale
    assert repr(state) == repr(fold(events))
    assert state.unknown == {}
    assert state.metrics["train"].fields["loss"].max == 80.5
    assert (state.params["lr"], dict(state.log_counts), state.tracks["arm"].first_ts) == (5, {"error": 1}, 0.5)


def test_the_state_is_that_of_a_history_which_was_right_from_the_start() -> None:
    events = events_in(HISTORY)
    corrections = Corrections(corrections_in(events))
    right = [
        Event(each.seq, each.type, each.time_us, corrections.payload(each.seq, each.type, each.data), "w1", "s1")
        for each in events
    ]
    assert fold(right).params == fold(events).params
    for name in ("params", "metrics", "tracks", "log_counts", "sessions"):
        plain = [each for each in right if each.type != VALUE_CORRECTED]
        assert repr(getattr(fold(plain), name)) == repr(getattr(fold(events), name))


def test_a_fold_that_was_not_told_says_that_it_is_stale() -> None:
    state, is_stale = folded_by_block()
    assert is_stale
    assert state.params["lr"] == 1
    assert len(state.corrections) == 7


@pytest.mark.parametrize(
    "data",
    [
        {"seq": 99, "data": {"lr": 1}},
        {"seq": 2, "data": {"lr": 1}},
        {"seq": True, "data": {"lr": 1}},
        {"seq": -1, "data": {"lr": 1}},
        {"seq": 1, "data": [1]},
        {"seq": 1, "data": {"lr": 3, "not there": 1}},
        {"seq": 1},
        {"data": {}},
    ],
)
def test_a_correction_of_nothing_is_counted_and_changes_nothing(data: dict[str, Any]) -> None:
    events = events_in(history([event("params.set", params={"lr": 1})], [event(VALUE_CORRECTED, **data)]))
    state = fold(events)
    assert (dict(state.unknown), dict(state.params), dict(state.corrections)) == ({VALUE_CORRECTED: 1}, {"lr": 1}, {})


def test_what_a_state_holds_already_is_not_corrected_but_listed() -> None:
    first, second = events_in(history([event("params.set", params={"lr": 1})], [remark(1, lr=2)]))
    state = apply(apply(EMPTY, first), second)
    assert (state.params["lr"], list(state.corrections)) == (1, [2])


def test_a_state_with_corrections_is_kept_exactly() -> None:
    state = fold(events_in(HISTORY))
    kept = from_plain_state(orjson.loads(orjson.dumps(to_plain_state(state))))
    assert repr(kept) == repr(state)
