"""`experiment.tracks`: what is appended, how rows merge, what is read back in every format."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

import ml_dash
from ml_dash import Experiment, tracks
from ml_dash.errors import ConfigurationError, ExperimentError, MissingExtraError, StorageError

PREFIX = "alice/tracks/run"


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


@pytest.fixture
def experiment(root: str) -> Iterator[Experiment]:
    with Experiment(PREFIX, dash_root=root).run as experiment:
        yield experiment


def times(experiment: Experiment, topic: str) -> list[float]:
    return [entry["timestamp"] for entry in experiment.tracks(topic).list_entries()]


# --- appending ----------------------------------------------------------------------------------------------


def test_appends_chain_and_are_read_back_at_once(experiment: Experiment) -> None:
    track = experiment.tracks("arm")
    assert track.append(q=[1.0, 2.0], _ts=1.0).append(q=[3.0, 4.0], _ts=2.0) is track
    assert track.read() == {
        "entries": [{"timestamp": 1.0, "q": [1.0, 2.0]}, {"timestamp": 2.0, "q": [3.0, 4.0]}],
        "count": 2,
    }


def test_without_a_time_it_is_now_and_never_twice_the_same(experiment: Experiment) -> None:
    before = datetime.now().timestamp()
    for number in range(200):
        experiment.tracks("arm").append(number=number)
    entries = experiment.tracks("arm").list_entries()
    assert [entry["number"] for entry in entries] == list(range(200))
    assert len({entry["timestamp"] for entry in entries}) == 200
    assert before <= entries[0]["timestamp"] <= entries[-1]["timestamp"] <= datetime.now().timestamp() + 0.001


def test_a_clock_that_stands_still_or_jumps_back_gives_times_a_microsecond_apart(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([1_900_000_000_000_000, 1_900_000_000_000_000, 1_800_000_000_000_000, 1_900_000_000_000_009])
    monkeypatch.setattr(tracks, "_CLOCK", tracks._Clock())
    monkeypatch.setattr(tracks, "now_us", lambda: next(moments))
    for number in range(4):
        experiment.tracks("arm").append(number=number)
    assert times(experiment, "arm") == [1_900_000_000 + offset / 1e6 for offset in (0, 1, 2, 9)]


def test_threads_never_get_the_same_time(experiment: Experiment) -> None:
    def append() -> None:
        for _ in range(100):
            experiment.tracks("arm").append(x=1)

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(experiment.tracks("arm").list_entries()) == 400


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (2, 2.0),
        (2.5, 2.5),
        ("1.5", 1.5),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7.0),
        (0, 0.0),
        (-2.5, -2.5),
        (1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
    ],
)
def test_a_time_is_anything_like_a_number(experiment: Experiment, given: Any, kept: float) -> None:
    experiment.tracks("arm").append(x=1, _ts=given)
    assert times(experiment, "arm") == [kept]


@pytest.mark.parametrize("given", ["soon", None, [1], math.nan, math.inf, -math.inf, datetime(2026, 1, 1), 10**400])
def test_a_time_that_is_no_number_is_refused(experiment: Experiment, given: Any) -> None:
    with pytest.raises(ValueError, match="_ts=") as caught:
        experiment.tracks("arm").append(x=1, _ts=given)
    assert isinstance(caught.value, ConfigurationError)
    assert experiment.tracks("arm").list_entries() == []


def test_minus_one_inherits_the_last_time_across_topics_and_metrics(experiment: Experiment) -> None:
    experiment.tracks("arm").append(x=1, _ts=5.0)
    experiment.tracks("camera").append(width=640, _ts=-1)
    assert times(experiment, "camera") == [5.0]
    experiment.tracks("arm").append(x=2)
    experiment.tracks("camera").append(width=320, _ts=-1)
    assert times(experiment, "camera") == times(experiment, "arm")
    experiment.metrics("train").log(loss=1.0, _ts=9.0)
    experiment.tracks("arm").append(x=3, _ts=-1.0)
    assert times(experiment, "arm")[0:2] == [5.0, 9.0]


def test_minus_one_is_now_where_this_thread_has_no_last_time(experiment: Experiment) -> None:
    experiment.tracks("arm").append(x=1, _ts=5.0)
    before = datetime.now().timestamp()
    thread = threading.Thread(target=lambda: experiment.tracks("camera").append(x=1, _ts=-1))
    thread.start()
    thread.join()
    assert times(experiment, "camera")[0] >= before


def test_nested_dicts_become_dotted_columns(experiment: Experiment) -> None:
    experiment.tracks("arm").append(
        _ts=1, pose={"position": {"x": 1, "y": 2.5}, "frame": "base"}, empty={}, many=[{"a": 1}], odd={3: True}
    )
    assert experiment.tracks("arm").list_entries() == [
        {
            "timestamp": 1.0,
            "pose.position.x": 1,
            "pose.position.y": 2.5,
            "pose.frame": "base",
            "empty": {},
            "many": [{"a": 1}],
            "odd.3": True,
        }
    ]


def test_arrays_become_lists_and_scalars_become_numbers(experiment: Experiment) -> None:
    experiment.tracks("arm").append(
        _ts=1,
        q=np.array([[1, 2], [3, 4]]),
        f=np.float32(0.5),
        i=np.int64(3),
        b=np.bool_(True),
        mixed=[np.float64(1.5), {"deep": np.arange(2)}],
        none=None,
    )
    (entry,) = experiment.tracks("arm").list_entries()
    assert entry == {
        "timestamp": 1.0,
        "q": [[1, 2], [3, 4]],
        "f": 0.5,
        "i": 3,
        "b": True,
        "mixed": [1.5, {"deep": [0, 1]}],
        "none": None,
    }
    assert [type(entry[key]) for key in ("f", "i", "b")] == [float, int, bool]


def test_values_of_any_kind_are_recorded(experiment: Experiment) -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"d": deep}
    experiment.tracks("arm").append(_ts=1, nan=math.nan, big=10**400, data=b"\0", loop=loop, deep=deep, any=object())
    (entry,) = experiment.tracks("arm").list_entries()
    assert math.isnan(entry["nan"])
    assert (entry["big"], entry["data"]) == (10**400, b"\0")


def test_any_name_is_a_field(experiment: Experiment) -> None:
    fields = {"self": 1, "topic": 2, "recorder": 3, "fields": 4, "name": 5, "with space": 6, "a.b": 7, "": 8}
    experiment.tracks("arm").append(_ts=1, **fields)
    assert experiment.tracks("arm").list_entries() == [{"timestamp": 1.0, **fields}]


def test_an_entry_may_hold_nothing_but_its_time(experiment: Experiment) -> None:
    experiment.tracks("arm").append(_ts=1)
    assert experiment.tracks("arm").list_entries() == [{"timestamp": 1.0}]


@pytest.mark.parametrize("topic", ["", None, 3])
def test_a_topic_is_a_name(experiment: Experiment, topic: Any) -> None:
    with pytest.raises(ConfigurationError, match="topic"):
        experiment.tracks(topic)


def test_a_topic_gives_the_same_builder_each_time(experiment: Experiment) -> None:
    assert experiment.tracks("a/b") is experiment.tracks("a/b")
    assert experiment.tracks("a/b") is not experiment.tracks("a_b")


def test_topics_that_look_alike_are_apart(experiment: Experiment) -> None:
    topics = ["a/b", "a_b", "a.b", "a//b", "/a/b", "A/b", "ä", 'q"uote', "back\\slash", "new\nline", "../x"]
    for number, topic in enumerate(topics):
        experiment.tracks(topic).append(_ts=1, number=number)
    for number, topic in enumerate(topics):
        assert experiment.tracks(topic).list_entries() == [{"timestamp": 1.0, "number": number}]


def test_a_track_and_a_metric_of_one_name_are_apart(experiment: Experiment) -> None:
    experiment.metrics("arm").log(x=1)
    experiment.tracks("arm").append(_ts=1, y=2)
    assert experiment.tracks("arm").list_entries() == [{"timestamp": 1.0, "y": 2}]


def test_recording_needs_an_open_experiment(experiment: Experiment, root: str) -> None:
    track = experiment.tracks("arm").append(_ts=1, x=1)
    experiment.run.complete()
    for call in (lambda: track.append(_ts=2, x=2), track.flush):
        with pytest.raises(ExperimentError, match="not started"):
            call()
    experiment.run.start()
    track.append(_ts=3, x=3)
    assert times(experiment, "arm") == [1.0, 3.0]


# --- merging ------------------------------------------------------------------------------------------------


def test_entries_of_one_time_are_one_row_and_later_fields_win(experiment: Experiment) -> None:
    track = experiment.tracks("arm")
    track.append(_ts=2, a=1, b=1).append(_ts=1, a=0).flush()
    track.append(_ts=2.0, b=2, c=3)
    assert track.list_entries() == [{"timestamp": 1.0, "a": 0}, {"timestamp": 2.0, "a": 1, "b": 2, "c": 3}]


def test_rows_merge_across_sessions_and_processes(experiment: Experiment, root: str) -> None:
    experiment.tracks("arm").append(_ts=2, a=1)
    experiment.run.complete()
    code = (
        "import sys\nfrom ml_dash import Experiment\n"
        "with Experiment('alice/tracks/run', dash_root=sys.argv[1]).run as e:\n"
        "    e.tracks('arm').append(_ts=2.0, b=2).append(_ts=1, c=3)\n"
    )
    subprocess.run([sys.executable, "-c", code, root], check=True)
    with Experiment(PREFIX, dash_root=root).run as again:
        again.tracks("arm").append(_ts=1.5, d=4)
        assert again.tracks("arm").list_entries() == [
            {"timestamp": 1.0, "c": 3},
            {"timestamp": 1.5, "d": 4},
            {"timestamp": 2.0, "a": 1, "b": 2},
        ]


def test_the_journal_keeps_every_entry_as_it_was_appended(experiment: Experiment, root: str) -> None:
    experiment.tracks("arm").append(_ts=2, a=1).append(_ts=2, a=2)
    experiment.flush()
    events = [event for event in ml_dash.events(PREFIX, dash_root=root) if event.type == "track.appended"]
    assert [event.data for event in events] == [
        {"name": "arm", "fields": {"_ts": 2.0, "a": 1}},
        {"name": "arm", "fields": {"_ts": 2.0, "a": 2}},
    ]


# --- reading ------------------------------------------------------------------------------------------------


@pytest.fixture
def arm(experiment: Experiment) -> Any:
    track = experiment.tracks("robot/arm")
    for second in (3, 1, 2, 5):
        track.append(_ts=second, q=[second, second + 0.5], pose={"x": second})
    return track.append(_ts=4, note="grün")


def test_bounds_are_included(arm: Any) -> None:
    assert [entry["timestamp"] for entry in arm.read(2, 4.0)["entries"]] == [2.0, 3.0, 4.0]
    assert [entry["timestamp"] for entry in arm.read(start_timestamp=4.5)["entries"]] == [5.0]
    assert [entry["timestamp"] for entry in arm.read(end_timestamp=np.float64(1))["entries"]] == [1.0]
    assert arm.read(7, 3) == {"entries": [], "count": 0}


def test_columns_are_chosen_by_name_or_by_their_dict(arm: Any) -> None:
    assert arm.read(1, 1, columns=["pose.x"])["entries"] == [{"timestamp": 1.0, "pose.x": 1}]
    assert arm.read(1, 1, columns=["pose"])["entries"] == [{"timestamp": 1.0, "pose.x": 1}]
    assert arm.read(4, 5, columns=["note", "q"])["entries"] == [
        {"timestamp": 4.0, "note": "grün"},
        {"timestamp": 5.0, "q": [5, 5.5]},
    ]
    assert arm.read(4, 4, columns=["pos", "nothing"])["entries"] == [{"timestamp": 4.0}]
    assert arm.read(1, 1, columns="q")["entries"] == [{"timestamp": 1.0, "q": [1, 1.5]}]


def test_jsonl_is_an_entry_a_line(arm: Any) -> None:
    data = arm.read(format="jsonl")
    assert isinstance(data, bytes)
    assert not data.endswith(b"\n")
    assert [json.loads(line) for line in data.splitlines()] == arm.read()["entries"]


def test_jsonl_says_what_json_can(experiment: Experiment) -> None:
    experiment.tracks("t").append(_ts=1, nan=math.nan, inf=-math.inf, big=10**30, day=datetime(2026, 1, 2), s="\ud800")
    entry = json.loads(experiment.tracks("t").read(format="jsonl"))
    assert math.isnan(entry.pop("nan"))
    assert entry == {"timestamp": 1.0, "inf": -math.inf, "big": 10**30, "day": "2026-01-02T00:00:00", "s": "\ud800"}


def test_parquet_has_a_column_a_field(arm: Any) -> None:
    table = pyarrow.parquet.read_table(io.BytesIO(arm.read(format="parquet")))
    assert table.to_pydict() == {
        "timestamp": [1.0, 2.0, 3.0, 4.0, 5.0],
        "q": [[1.0, 1.5], [2.0, 2.5], [3.0, 3.5], None, [5.0, 5.5]],
        "pose.x": [1, 2, 3, None, 5],
        "note": [None, None, None, "grün", None],
    }


def test_parquet_holds_columns_of_any_values(experiment: Experiment) -> None:
    track = experiment.tracks("t")
    track.append(_ts=1, mixed=1, empty={}, many=[{"a": 1}], big=10**30, nan=math.nan)
    track.append(_ts=2, mixed="text", empty={}, many=[{"b": 2.5}], big=2, nan=1.0)
    read = pyarrow.parquet.read_table(io.BytesIO(track.read(format="parquet"))).to_pydict()
    assert [json.loads(text) for text in read["many"]] == [[{"a": 1}], [{"b": 2.5}]]
    assert [json.loads(text) for text in read["empty"]] == [{}, {}]
    assert [int(text) for text in read["big"]] == [10**30, 2]
    assert read["mixed"] == ["1", "text"]
    assert math.isnan(read["nan"][0])


def test_parquet_names_the_extra_when_pyarrow_is_missing(arm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ml_dash\[analysis\]'"):
        arm.read(format="parquet")


def test_mocap_has_frames_and_channels(arm: Any) -> None:
    mocap = arm.read(2, 5, format="mocap")
    assert set(mocap) == {"version", "metadata", "channels", "frames"}
    assert mocap["metadata"] == {
        "topic": "robot/arm",
        "fps": 1.0,
        "duration": 3.0,
        "frameCount": 4,
        "startTime": 2.0,
        "endTime": 5.0,
    }
    assert mocap["channels"] == ["note", "pose.x", "q"]
    assert mocap["frames"][0] == {"time": 2.0, "q": [2, 2.5], "pose.x": 2}
    assert arm.read(columns=["note"], format="mocap")["channels"] == ["note"]


def test_an_unknown_topic_reads_empty(experiment: Experiment) -> None:
    track = experiment.tracks("nothing")
    assert track.read() == {"entries": [], "count": 0}
    assert track.read(format="jsonl") == b""
    assert pyarrow.parquet.read_table(io.BytesIO(track.read(format="parquet"))).column_names == ["timestamp"]
    assert track.read(format="mocap")["frames"] == []
    assert track.list_entries() == list(track.slice()) == []


def test_an_unknown_format_is_refused(arm: Any) -> None:
    with pytest.raises(ConfigurationError, match="Unsupported format: 'csv'"):
        arm.read(format="csv")


def test_a_field_called_as_the_time_does_not_hide_it(experiment: Experiment) -> None:
    track = experiment.tracks("t").append(_ts=1, timestamp="mine", time=2, timestamp_=3)
    assert track.list_entries() == [{"timestamp": 1.0, "timestamp_": "mine", "time": 2, "timestamp__": 3}]
    assert track.read(format="mocap")["frames"][0] == {"time": 1.0, "timestamp": "mine", "time_": 2, "timestamp_": 3}


# --- slices -------------------------------------------------------------------------------------------------


def test_a_slice_is_sized_iterable_again_and_again_and_shows_itself(arm: Any) -> None:
    part = arm.slice(0.0, 3.0)
    assert repr(part) == "TrackSlice(topic='robot/arm', start=0.0, end=3.0)"
    assert len(part) == 3
    assert [entry["timestamp"] for entry in part] == [entry["timestamp"] for entry in part] == [1.0, 2.0, 3.0]
    assert [a["timestamp"] + b["timestamp"] for a in part for b in part][:3] == [2.0, 3.0, 4.0]


def test_a_slice_is_a_snapshot_from_its_first_use(arm: Any) -> None:
    part = arm.slice()
    arm.append(_ts=6, x=1)
    assert len(part) == 6
    arm.append(_ts=7, x=1)
    assert len(part) == 6
    assert len(arm.slice()) == 7


def test_find_by_time_gives_the_row_at_or_before(arm: Any) -> None:
    part = arm.slice(2, 5)
    for asked, found in [(2, 2.0), (2.0, 2.0), (2.9, 2.0), (5, 5.0), (1e9, 5.0), (np.float32(3.5), 3.0)]:
        assert part.findByTime(asked)["timestamp"] == found
    assert [entry["timestamp"] for entry in part.findByTime([5, 2.5, 3])] == [5.0, 2.0, 3.0]
    assert [entry["timestamp"] for entry in part.findByTime(np.array([4.5, 2.0]))] == [4.0, 2.0]
    assert part.findByTime([]) == []


def test_find_by_time_says_when_there_is_none(arm: Any, experiment: Experiment) -> None:
    for kind in (StorageError, KeyError):
        with pytest.raises(kind, match=r"No entry found with timestamp <= 0\.5"):
            arm.slice().findByTime(0.5)
        with pytest.raises(kind, match="No entries in track slice"):
            experiment.tracks("nothing").slice().findByTime(1)
    with pytest.raises(KeyError):
        arm.slice().findByTime([3, 0.5])
    with pytest.raises(KeyError):
        arm.slice().findByTime(math.nan)


# --- the rest -----------------------------------------------------------------------------------------------


def test_flushing_makes_entries_durable(experiment: Experiment) -> None:
    track = experiment.tracks("arm").append(_ts=1, x=1)
    assert experiment.tracks.flush() is None  # type: ignore[func-returns-value]
    durable = experiment.durable_seq
    assert track.append(_ts=2, x=2).flush() is track
    assert experiment.durable_seq == durable + 1


def test_while_disabled_tracks_accept_everything_and_are_empty(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_MODE", "disabled")
    with Experiment(PREFIX, dash_root=root).run as experiment:
        track = experiment.tracks("arm").append(_ts=1, x=1).flush()
        assert track.list_entries() == []
        assert track.read() == {"entries": [], "count": 0}
