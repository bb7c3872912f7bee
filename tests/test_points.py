"""Points, track rows and log lines come back from a journal as they were logged."""

from __future__ import annotations

import sys
from array import array
from datetime import datetime, timezone
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_dash.errors import ConfigurationError, MissingExtraError
from ml_dash.journal.folder import JournalFolder
from ml_dash.reading.column_exports import to_arrow, to_numpy, to_pandas, to_polars
from ml_dash.reading.points import log_rows, metric_columns, metric_rows, track_rows
from ml_dash.reading.replay import Replay
from ml_dash.reading.typed_columns import TypedColumn

from .histories import EPOCH_US, Recorded, entry, event, point
from .journals import append, append_bytes, session


def journal(folder: Path, *recorded: Recorded) -> JournalFolder:
    return append(folder, *session("s1", recorded))


def training(name: str, steps: range) -> list[Recorded]:
    return [point(name, step=step, loss=1 / (step + 1)) for step in steps]


# --- columns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeat", [1, 40])
def test_every_value_comes_back_with_its_type(tmp_path: Path, repeat: int) -> None:
    values = [1, 1.0, True, None, "1", -0.0, nan, inf, -inf, 2**63, -(2**63), 10**400, [1, {"a": None}], "\ud800"]
    points = [point("odd", value=value) for value in values for _ in range(repeat)]
    columns = metric_columns(journal(tmp_path, *points), "odd").to_dict()
    assert repr(columns["value"]) == repr([value for value in values for _ in range(repeat)])


@pytest.mark.parametrize("name", [None, "None", "train/loss", 'q"\\uote', "ü", "a\nb", "\ud800", ""])
def test_a_metric_is_found_by_its_name_and_no_other(tmp_path: Path, name: str | None) -> None:
    others = [each for each in (None, "None", "train", "train/loss", "ü ") if each != name]
    points = [point(each, value=index) for index, each in enumerate([*others, name, *others, name] * 20)]
    folder = journal(tmp_path, *points)
    expected = [index for index, each in enumerate(points) if each.name == name]
    assert metric_columns(folder, name).to_dict() == {"value": expected}


def test_a_metric_that_is_not_there_is_empty(tmp_path: Path) -> None:
    folder = journal(tmp_path, point("train", loss=1.0))
    assert metric_columns(folder, "eval").to_dict() == {}
    assert len(metric_columns(folder, "eval")) == 0


def test_a_name_inside_a_value_is_not_taken_for_the_metric(tmp_path: Path) -> None:
    folder = journal(tmp_path, point("a", note='"name":"train"'), point("b", value={"name": "train", "fields": {}}))
    assert metric_columns(folder, "train").to_dict() == {}


@pytest.mark.parametrize("spelling", [b"a\\nb", b"a\\u000ab", b"a\\u000Ab"])
def test_a_name_is_found_however_json_spells_it(tmp_path: Path, spelling: bytes) -> None:
    events = b'[{"type":"metric.logged","t":0,"data":{"name":"%b","fields":{"x":1}}}]' % spelling
    assert metric_columns(append_bytes(tmp_path, events, 1), "a\nb").to_dict() == {"x": [1]}


def test_points_of_no_metric_are_not_those_of_the_unnamed_one(tmp_path: Path) -> None:
    described = b'{"type":"metric.described","t":0,"data":{"name":null}}'
    nameless = b'{"type":"metric.logged","n":2,"at":1,"t":[0,0],"columns":{"x":[1,2]}}'
    folder = append_bytes(tmp_path, b"[%b,%b]" % (described, nameless), 3)
    assert metric_columns(folder, None).to_dict() == {}


def test_fields_that_a_point_does_not_have_are_none(tmp_path: Path) -> None:
    points = [point("train", step=0, loss=0.5), point("train", step=1), point("train", acc=1.0, step=2)]
    columns = metric_columns(journal(tmp_path, *points), "train").to_dict()
    assert columns == {"step": [0, 1, 2], "loss": [0.5, None, None], "acc": [None, None, 1.0]}


def test_a_point_without_fields_is_a_row(tmp_path: Path) -> None:
    folder = journal(tmp_path, point("train"), point("train", loss=0.5), point("train"))
    assert metric_columns(folder, "train").to_dict() == {"loss": [None, 0.5, None]}


def test_columns_of_many_commits_are_joined_in_order_and_stay_typed(tmp_path: Path) -> None:
    parts = [("s1", training("train", range(start, start + 50))) for start in range(0, 500, 50)]
    columns = metric_columns(append(tmp_path, *parts), "train")
    assert columns.fields["step"].pieces == [range(500)]
    assert columns.fields["loss"].pieces == [array("d", [1 / (step + 1) for step in range(500)])]
    assert columns.seq.pieces == [range(1, 501)]


@pytest.mark.parametrize("second", [range(20, 40), range(20, 60, 2), range(19, 40), range(19, 0, -1), range(20)])
def test_columns_that_count_are_joined_only_where_they_go_on_counting(second: range) -> None:
    column = TypedColumn()
    column.extend(range(20))
    column.extend(second)
    assert column.to_list() == [*range(20), *second]


def test_points_of_short_commits_become_one_typed_column_too(tmp_path: Path) -> None:
    parts = [("s1", training("train", range(start, start + 3))) for start in range(0, 60, 3)]
    columns = metric_columns(append(tmp_path, *parts), "train")
    assert columns.fields["step"].pieces == [array("q", range(60))]
    assert len(columns.fields["loss"].pieces) == 1


def test_each_row_has_its_sequence_number_time_and_session(tmp_path: Path) -> None:
    first = [point("train", EPOCH_US + 10, loss=0.5), point("eval", loss=0.1), point("train", EPOCH_US + 20, loss=0.4)]
    append(tmp_path, ("s1", first))
    folder = append(tmp_path, ("s2", [point("train", EPOCH_US + 30, loss=0.3)]))
    columns = metric_columns(folder, "train", with_times=True)
    assert columns.seq.to_list() == [1, 3, 4]
    assert columns.time_us.to_list() == [EPOCH_US + 10, EPOCH_US + 20, EPOCH_US + 30]
    assert columns.sessions == [("s1", 2), ("s2", 1)]


def test_columns_as_they_were_after_an_event_end_there(tmp_path: Path) -> None:
    folder = append(tmp_path, ("s1", training("train", range(40))), ("s1", training("train", range(40, 80))))
    for at in (0, 1, 39, 40, 41, 79, 80, 81):
        assert metric_columns(folder, "train", at=at).to_dict().get("step", []) == list(range(min(at, 80)))


UNDECODABLE = b'{"type":"%b",%b"n":20,"at":0,"t":{"range":[0,0]},"columns":{"step":{"packed":"f8","data":"AAAA"}}}'


def test_a_column_that_cannot_be_decoded_is_no_points_and_hides_none(tmp_path: Path) -> None:
    append(tmp_path, ("s1", training("train", range(5))))
    append_bytes(tmp_path, b"[%b]" % (UNDECODABLE % (b"metric.logged", b'"name":"train",')), 20)
    folder = append(tmp_path, ("s1", training("train", range(5, 10))))
    assert metric_columns(folder, "train").to_dict()["step"] == list(range(10))
    rows = [(row["index"], row["data"]["step"]) for row in metric_rows(folder, "train")]
    assert rows == [*((step, step) for step in range(5)), *((step + 20, step) for step in range(5, 10))]
    assert metric_columns(folder, "train", at=10).to_dict()["step"] == list(range(5))
    assert Replay(folder).refresh().metrics["train"].count == 10
    assert Replay(folder, at=10).refresh().unknown == {"(undecodable)": 5}


def test_log_lines_and_track_entries_that_cannot_be_decoded_hide_none(tmp_path: Path) -> None:
    append(tmp_path, ("s1", [line("a"), entry("arm", _ts=1)]))
    append_bytes(tmp_path, b"[%b]" % (UNDECODABLE % (b"log.written", b"")), 20)
    append_bytes(tmp_path, b"[%b]" % (UNDECODABLE % (b"track.appended", b'"name":"arm",')), 20)
    append_bytes(tmp_path, b'[{"type":"log.written","t":0,"data":{}},{"type":"log.written","t":0,"data":[1]}]', 2)
    folder = append(tmp_path, ("s1", [line("b"), entry("arm", _ts=2)]))
    assert [found.message for found in log_rows(folder)] == ["a", "b"]
    assert track_rows(folder, "arm") == [(1, {}), (2, {})]
    assert sum(Replay(folder).refresh().log_counts.values()) == 2


# --- attempts -----------------------------------------------------------------------------------------------


def test_a_training_killed_at_15_and_resumed_at_10_has_20_rows_and_26_in_all(tmp_path: Path) -> None:
    append(tmp_path, *session("s1", training("train", range(15)), end="run.failed"))
    folder = append(tmp_path, *session("s2", training("train", range(9, 20)), end=None))
    assert metric_columns(folder, "train").to_dict()["step"] == list(range(20))
    assert metric_columns(folder, "train", "all").to_dict()["step"] == [*range(15), *range(9, 20)]
    latest = metric_columns(folder, "train", with_times=True)
    assert latest.sessions == [("s1", 9), ("s2", 11)]
    assert len(latest.seq) == len(latest.time_us) == 20


def test_other_metrics_of_the_resumed_session_supersede_nothing_here(tmp_path: Path) -> None:
    append(tmp_path, *session("s1", training("train", range(15))))
    folder = append(tmp_path, *session("s2", training("eval", range(5))))
    assert metric_columns(folder, "train").to_dict()["step"] == list(range(15))


def test_before_the_second_attempt_nothing_was_superseded(tmp_path: Path) -> None:
    append(tmp_path, *session("s1", training("train", range(15))))
    folder = append(tmp_path, *session("s2", training("train", range(5))))
    assert len(metric_columns(folder, "train", at=17)) == 15
    assert metric_columns(folder, "train", at=19).to_dict()["step"] == [0]


def test_a_field_that_only_superseded_points_have_is_left_out(tmp_path: Path) -> None:
    append(tmp_path, *session("s1", [point("train", step=0, typo=1.0)]))
    folder = append(tmp_path, *session("s2", [point("train", step=0, loss=1.0)]))
    assert metric_columns(folder, "train").to_dict() == {"step": [0], "loss": [1.0]}


def test_any_other_word_for_attempts_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"attempts='newest'.*'latest'.*'all'"):
        metric_columns(journal(tmp_path, point("train", loss=1.0)), "train", "newest")


def test_a_summary_is_of_the_numbers_and_names_the_steps_of_the_best(tmp_path: Path) -> None:
    points = [
        point("train", step=10, loss=0.5, note="a"),
        point("train", step=20, loss=nan, note=None),
        point("train", step=30, loss=-1.0, note=True),
        point("train", loss=2, note=None),
    ]
    summary = metric_columns(journal(tmp_path, *points), "train").summary()
    assert summary["loss"] == {
        "count": 3, "last": 2, "min": -1.0, "max": 2, "mean": 0.5, "min_step": 30, "max_step": None,
    }  # fmt: skip
    none = dict.fromkeys(("min", "max", "mean", "min_step", "max_step"))
    assert summary["note"] == {"count": 0, "last": True, **none}


def test_a_summary_of_numbers_beyond_doubles_does_not_fail(tmp_path: Path) -> None:
    folder = journal(tmp_path, *(point("train", value=value) for value in (10**400, 0.5, 10**400)))
    assert metric_columns(folder, "train").summary()["value"]["mean"] == inf


# --- rows ---------------------------------------------------------------------------------------------------


def test_rows_are_numbered_across_commits_and_cut_to_the_window(tmp_path: Path) -> None:
    folder = append(tmp_path, *(("s1", training("train", range(start, start + 7))) for start in range(0, 70, 7)))
    rows = metric_rows(folder, "train", 5, 30)
    assert [row["index"] for row in rows] == list(range(5, 35))
    assert [row["data"]["step"] for row in rows] == list(range(5, 35))
    assert metric_rows(folder, "train", 68) == metric_rows(folder, "train", 0, None)[68:]
    assert metric_rows(folder, "train", 70) == metric_rows(folder, "eval") == []


def test_rows_have_only_the_fields_that_were_logged_with_them(tmp_path: Path) -> None:
    folder = journal(tmp_path, point("train", loss=0.5), point("train", acc=nan))
    assert repr([row["data"] for row in metric_rows(folder, "train")]) == "[{'loss': 0.5}, {'acc': nan}]"


def test_rows_say_when_they_were_recorded_in_utc_with_microseconds(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 31, 12, 0, 0, 7, timezone.utc)
    microseconds = int(moment.timestamp()) * 1_000_000 + 7
    folder = journal(tmp_path, point("train", microseconds, loss=0.5), point("train", microseconds - 7, loss=0.5))
    created = [row["createdAt"] for row in metric_rows(folder, "train")]
    assert created == ["2026-01-31T12:00:00.000007Z", "2026-01-31T12:00:00.000000Z"]


def test_track_entries_of_one_time_are_one_row_whenever_they_were_written(tmp_path: Path) -> None:
    first = [entry("arm", _ts=2.0, q=[1]), entry("arm", _ts=1, q=[0], x=1), entry("leg", _ts=1, q=[9])]
    append(tmp_path, ("s1", first))
    folder = append(tmp_path, ("s1", [entry("arm", _ts=2, q=[2], y=True), entry("arm", _ts=0.5)]))
    assert track_rows(folder, "arm") == [(0.5, {}), (1, {"q": [0], "x": 1}), (2.0, {"q": [2], "y": True})]
    assert track_rows(folder, "arm", start=1, end=1) == [(1, {"q": [0], "x": 1})]
    assert track_rows(folder, "arm", at=2) == [(1, {"q": [0], "x": 1}), (2.0, {"q": [1]})]


def line(message: str, level: str = "info", metadata: object = None) -> Recorded:
    return event("log.written", message=message, level=level, metadata=metadata)


def test_log_lines_are_chosen_by_level_and_text_and_numbered_from_0(tmp_path: Path) -> None:
    lines = [line("Start"), line("loss DIVERGED", "error", {"step": 3}), line("start again"), line("", "error")]
    folder = journal(tmp_path, *lines)
    assert [entry.message for entry in log_rows(folder)] == ["Start", "loss DIVERGED", "start again", ""]
    assert [entry.index for entry in log_rows(folder)] == [0, 1, 2, 3]
    assert [entry.index for entry in log_rows(folder, "error")] == [1, 3]
    assert [entry.index for entry in log_rows(folder, search="START")] == [0, 2]
    assert [entry.index for entry in log_rows(folder, start=1, limit=2)] == [1, 2]
    (found,) = log_rows(folder, "error", "diverged")
    assert (found.seq, found.level, found.metadata) == (3, "error", {"step": 3})
    assert found.time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)


# --- exports ------------------------------------------------------------------------------------------------

BIG = 2**53 + 1
COLUMNS: dict[str, list[Any]] = {
    "floats": [0.5, nan, -0.0],
    "floats_missing": [0.5, None, nan],
    "integers": [1, 2, 2**63 - 1],
    "integers_missing": [1, None, BIG],
    "mixed_numbers": [1, 0.5, 2**53],
    "mixed_beyond": [BIG, 0.5, 1],
    "beyond_64_bits": [2**63, 1, -1],
    "bools": [True, False, True],
    "bools_missing": [True, None, False],
    "text": ["a", "b\0", ""],
    "lists": [[1.5], [], [2.5, 3.5]],
    "nothing": [None, None, None],
    "anything": [1, "1", None],
}


def table() -> dict[str, TypedColumn]:
    columns = {key: TypedColumn() for key in COLUMNS}
    for key, values in COLUMNS.items():
        for value in values:
            if value is None:
                columns[key].extend_gap(1)
            else:
                columns[key].extend([value])
    return columns


def test_numpy_columns_have_the_narrowest_type_that_changes_no_value() -> None:
    arrays = to_numpy(table())
    assert {key: array.dtype.name for key, array in arrays.items()} == {
        "floats": "float64",
        "floats_missing": "float64",
        "integers": "int64",
        "integers_missing": "object",
        "mixed_numbers": "float64",
        "mixed_beyond": "object",
        "beyond_64_bits": "object",
        "bools": "bool",
        "bools_missing": "object",
        "text": "object",
        "lists": "object",
        "nothing": "object",
        "anything": "object",
    }
    expected = COLUMNS | {"floats_missing": [0.5, nan, nan], "mixed_numbers": [1.0, 0.5, 2.0**53]}
    assert repr({key: array.tolist() for key, array in arrays.items()}) == repr(expected)


def test_pandas_columns_keep_integers_and_say_what_is_missing() -> None:
    frame = to_pandas(table())
    assert {key: str(dtype) for key, dtype in frame.dtypes.items() if str(dtype) != "object"} == {
        "floats": "float64",
        "floats_missing": "float64",
        "integers": "int64",
        "integers_missing": "Int64",
        "mixed_numbers": "float64",
        "bools": "bool",
        "bools_missing": "boolean",
    }
    assert frame["integers_missing"].isna().tolist() == [False, True, False]
    assert frame["integers_missing"][2] == BIG
    assert frame["mixed_beyond"].tolist() == COLUMNS["mixed_beyond"]


def test_arrow_columns_tell_missing_from_nan_and_never_round() -> None:
    found = to_arrow(table())
    assert {field.name: str(field.type) for field in found.schema} == {
        "floats": "double",
        "floats_missing": "double",
        "integers": "int64",
        "integers_missing": "int64",
        "mixed_numbers": "double",
        "mixed_beyond": "string",
        "beyond_64_bits": "string",
        "bools": "bool",
        "bools_missing": "bool",
        "text": "string",
        "lists": "list<item: double>",
        "nothing": "null",
        "anything": "string",
    }
    texts = {
        "mixed_numbers": [1.0, 0.5, 2.0**53],
        "mixed_beyond": [str(BIG), "0.5", "1"],
        "beyond_64_bits": [str(2**63), "1", "-1"],
        "anything": ["1", "1", None],
    }
    assert repr(found.to_pydict()) == repr(COLUMNS | texts)


def test_polars_columns_are_those_of_arrow() -> None:
    assert repr(to_polars(table()).to_dict(as_series=False)) == repr(to_arrow(table()).to_pydict())


def test_exports_of_no_points_are_empty() -> None:
    assert to_numpy({}) == {}
    assert to_pandas({}).shape == to_polars({}).shape == to_arrow({}).shape == (0, 0)


def test_a_typed_column_is_handed_over_without_a_copy(tmp_path: Path) -> None:
    columns = metric_columns(journal(tmp_path, *training("train", range(500))), "train").fields
    (loss,) = columns["loss"].pieces
    assert isinstance(loss, array)
    address = loss.buffer_info()[0]
    assert to_numpy(columns)["loss"].__array_interface__["data"][0] == address
    assert to_arrow(columns)["loss"].chunk(0).buffers()[1].address == address
    assert np.shares_memory(to_pandas(columns)["loss"].to_numpy(), to_numpy(columns)["loss"])


def test_a_missing_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, export in {"numpy": to_numpy, "pandas": to_pandas, "polars": to_polars, "pyarrow": to_arrow}.items():
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(MissingExtraError, match=rf"{name}.*pip install 'ml_dash\[analysis\]'"):
                export(table())


def test_a_step_that_counts_on_is_one_range_however_short_the_commits_between_are(tmp_path: Path) -> None:
    parts = [("s1", training("train", range(*span))) for span in [(0, 300), (300, 301), (301, 304), (304, 900)]]
    [piece] = metric_columns(append(tmp_path, *parts), "train").fields["step"].pieces
    assert piece == range(900)
