"""What is not written down as the way to do it, and what people try first: it does what they mean, or says how."""

from __future__ import annotations

from datetime import timezone
from pathlib import Path
from typing import Any

import numpy
import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import ConfigurationError, ConflictError, ExperimentError

PREFIX = "alice/ml/run"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with Experiment(PREFIX, dash_root=tmp_path, console=False, description="A try").run as experiment:
        experiment.params.set(lr=0.1)
        experiment.metrics("train").log(step=0, loss=1.0)
        experiment.flush()
        experiment.params.set(lr=0.01)
        experiment.metrics("train").log(step=1, loss=0.5)
    return tmp_path


# --- moments ------------------------------------------------------------------------------------------------


def test_a_moment_may_be_a_number_of_numpy_or_a_text(root: Path) -> None:
    events = list(ml_dash.events(PREFIX, dash_root=root))
    assert ml_dash.load(PREFIX, dash_root=root, at=numpy.int64(3)).seq == 3  # type: ignore[arg-type]
    for event in events[1:]:
        text = event.time.astimezone(timezone.utc).isoformat()
        found = ml_dash.load(PREFIX, dash_root=root, at=text)
        assert found.seq == ml_dash.load(PREFIX, dash_root=root, at=event.time).seq >= event.seq


def test_a_moment_may_be_one_of_pandas_without_a_zone(root: Path) -> None:
    pandas = pytest.importorskip("pandas")
    last = list(ml_dash.events(PREFIX, dash_root=root))[-1]
    local = pandas.Timestamp(last.time.astimezone().replace(tzinfo=None))
    assert ml_dash.load(PREFIX, dash_root=root, at=local).seq == last.seq


@pytest.mark.parametrize("at", ["noon", True, 1.5, [1]])
def test_what_is_no_moment_is_said_to_be_none(root: Path, at: Any) -> None:
    with pytest.raises(ConfigurationError, match="ISO 8601"):
        ml_dash.load(PREFIX, dash_root=root, at=at)


# --- expecting ----------------------------------------------------------------------------------------------


def test_expecting_what_is_past_is_a_conflict_at_the_call(root: Path) -> None:
    with Experiment(PREFIX, dash_root=root, console=False).run as experiment:
        seq = experiment.seq
        experiment.expect(numpy.int64(seq))  # type: ignore[arg-type]
        experiment.params.set(lr=1)
        with pytest.raises(ConflictError) as caught:
            experiment.expect(seq)
        assert (caught.value.expected, caught.value.found) == (seq, seq + 1)
        with experiment.expect(experiment.seq), pytest.raises(ExperimentError, match="inside of a block"):
            experiment.expect(experiment.seq)
        assert experiment.params.get("lr") == 1


# --- going back ---------------------------------------------------------------------------------------------


def test_rewinding_to_a_number_of_nothing_says_what_to_name(root: Path) -> None:
    with Experiment(PREFIX, dash_root=root, console=False).run as experiment:
        seq = experiment.seq
        with pytest.raises(ConfigurationError, match=r"rewind\(step=10\)"):
            experiment.rewind(10)
        assert experiment.seq == seq


@pytest.mark.parametrize("moment", ["-1", "x", "2026-01-01", "1.0", ""])
def test_a_fork_behind_what_is_no_event_names_what_is_wrong_and_leaves_nothing(root: Path, moment: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{moment!r} is no number of an event"):
        Experiment("alice/ml/fork", dash_root=root, console=False, fork=f"{PREFIX}@{moment}").run.start()
    assert sorted(path.name for path in (root / "alice" / "ml").iterdir()) == ["run"]


# --- differences --------------------------------------------------------------------------------------------


def test_a_change_is_a_pair_of_old_and_new(root: Path) -> None:
    change = ml_dash.diff(f"{PREFIX}@3", PREFIX, dash_root=root).params["lr"]
    old, new = change
    assert change == (old, new) == (change.old, change.new) == (0.1, 0.01)


def test_a_difference_applied_to_one_run_gives_how_the_other_stands(root: Path) -> None:
    a, b = ml_dash.load(PREFIX, dash_root=root, at=3), ml_dash.load(PREFIX, dash_root=root)
    assert ml_dash.diff(a, b).apply(a) == b.view != a.view
    with pytest.raises(ValueError, match="this is the difference from where it is"):
        ml_dash.diff(a, b).apply(b)


def test_views_are_equal_where_nothing_differs_whatever_the_values(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with Experiment(f"alice/ml/{name}", dash_root=tmp_path, console=False).run as experiment:
            experiment.params.set(lr=float("nan"))
            experiment.metrics("train").log(loss=float("nan"))
    a, b = (ml_dash.load(f"alice/ml/{name}", dash_root=tmp_path) for name in ("a", "b"))
    assert not ml_dash.diff(a, b)
    assert a.view == b.view != ml_dash.load("alice/ml/a", dash_root=tmp_path, at=1).view


def test_readme_is_another_word_for_description_of_what_is_loaded_too(root: Path) -> None:
    run = ml_dash.load(PREFIX, dash_root=root)
    assert run.readme == run.description == "A try"


# --- reading what is loaded as what is open -----------------------------------------------------------------


@pytest.fixture
def resumed(tmp_path: Path) -> Path:
    """Killed at step 15, resumed at 10, run to 20."""
    for first, last in ((0, 15), (10, 20)):
        with Experiment(PREFIX, dash_root=tmp_path, console=False).run as experiment:
            for step in range(first, last):
                experiment.metrics("train").log(step=step, loss=float(first))
                experiment.tracks("arm").append(x=step, _ts=float(step))
    return tmp_path


def test_read_gives_the_same_of_a_loaded_run_as_of_an_open_one(resumed: Path) -> None:
    run = ml_dash.load(PREFIX, dash_root=resumed)
    with Experiment(PREFIX, dash_root=resumed, console=False).run as experiment:
        metric, track = experiment.metrics("train"), experiment.tracks("arm")
        for attempts in ("all", "latest"):
            for start, limit in ((0, 1000), (0, None), (3, 9), (8, 4), (24, 1), (30, 5), (0, 0)):
                page = run.metrics["train"].read(start, limit, attempts)
                assert page == metric.read(start, limit, attempts)
                assert page["total"] == len(page["data"])
        assert run.metrics["train"].stats() == metric.stats()
        assert run.tracks["arm"].read() == track.read()
        assert run.tracks["arm"].read(3, 5, ["x"], "jsonl") == track.read(3, 5, ["x"], "jsonl")
        assert run.tracks["arm"].list_entries() == track.list_entries()
        assert run.tracks["arm"].slice(0, 9).findByTime(4.5) == track.slice(0, 9).findByTime(4.5)


def test_read_of_the_latest_attempt_leaves_out_what_was_logged_again_and_keeps_every_index(resumed: Path) -> None:
    metric = ml_dash.load(PREFIX, dash_root=resumed).metrics["train"]
    latest, everything = metric.read(attempts="latest"), metric.read()
    assert [row["data"]["step"] for row in latest["data"]] == list(range(20))
    assert (everything["total"], latest["total"], latest["endIndex"], latest["hasMore"]) == (25, 20, 24, False)
    assert [row for row in everything["data"] if row in latest["data"]] == latest["data"]
    # Indices 10 to 14 are superseded: a window that begins there begins behind them.
    window = metric.read(10, 2, "latest")
    assert [(row["index"], row["data"]["step"]) for row in window["data"]] == [(15, 10), (16, 11)]
    assert (window["endIndex"], window["hasMore"]) == (16, True)
    with pytest.raises(ConfigurationError, match="'latest' leaves out"):
        metric.read(attempts="last")


def test_what_a_loaded_run_reads_is_what_there_was(resumed: Path) -> None:
    run = ml_dash.load(PREFIX, dash_root=resumed, at=8)
    assert (
        run.metrics["train"].read()["total"]
        == run.metrics["train"].count
        == int(run.metrics["train"].stats()["totalDataPoints"])
    )
    assert run.tracks["arm"].read()["count"] == len(run.tracks["arm"])


def test_a_table_has_columns_as_a_metric_has(resumed: Path) -> None:
    run = ml_dash.load(PREFIX, dash_root=resumed)
    table = run.table(["train"], on="step")
    assert table.columns() == table.to_dict() == run.metrics["train"].columns()
