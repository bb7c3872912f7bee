"""CSV and Parquet: a table for each metric and track, and every value keeps its meaning."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pandas as pd
import pyarrow.parquet as parquet
import pytest

import ml_dash
from ml_dash import ConfigurationError, Experiment

from .support import PREFIX


@pytest.fixture(scope="module")
def out(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    for format in ("csv", "parquet"):
        ml_dash.export(PREFIX, to=folder / format, format=format, dash_root=recorded)
    return folder


def test_every_metric_and_track_is_a_file(out: Path) -> None:
    for format in ("csv", "parquet"):
        names = {str(path.relative_to(out / format)) for path in (out / format).rglob("*") if path.is_file()}
        tables = ("metrics/train", "metrics/odd/values", "metrics/_unnamed", "tracks/robot/pose", "logs")
        assert names == {"params.json", "summary.json", *(f"{table}.{format}" for table in tables)}


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_pandas_reads_the_points_that_load_gives(out: Path, recorded: Path, format: str) -> None:
    path = out / format / f"metrics/train.{format}"
    frame = pd.read_parquet(path) if format == "parquet" else pd.read_csv(path, parse_dates=["time"])
    columns = ml_dash.load(PREFIX, dash_root=recorded).metrics["train"].columns()
    assert list(frame.columns) == ["seq", "time", *columns]
    assert frame["step"].tolist() == columns["step"] == list(range(25))
    assert frame["loss"].tolist() == columns["loss"]
    assert [None if pd.isna(note) else note for note in frame["note"]] == columns["note"]
    events = {event.seq: event for event in ml_dash.events(PREFIX, dash_root=recorded)}
    for seq, time in zip(frame["seq"], frame["time"], strict=True):
        assert events[seq].time == time.to_pydatetime()


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_all_attempts_are_exported_when_asked_for(recorded: Path, tmp_path: Path, format: str) -> None:
    ml_dash.export(PREFIX, to=tmp_path, format=format, dash_root=recorded, attempts="all", metric="train")
    path = tmp_path / f"metrics/train.{format}"
    frame = pd.read_parquet(path) if format == "parquet" else pd.read_csv(path)
    assert frame["step"].tolist() == [*range(20), *range(15, 25)]
    assert not (tmp_path / "params.json").exists()


def test_odd_values_in_csv_keep_their_meaning(out: Path) -> None:
    text = (out / "csv/metrics/odd/values.csv").read_text(encoding="utf-8")
    head, *rest = text.split("\n", 1)
    assert head == "seq,time,v,mixed,wide,text,empty,item,ok"
    # Text is quoted, numbers are not: so "NaN" and NaN, "" and nothing are told apart.
    first = rest[0].split("\n")[0].split(",", 2)[2]
    assert first == f'NaN,1,{2**70},"NaN","","[1,2]",True'
    with (out / "csv/metrics/odd/values.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["v"] for row in rows] == ["NaN", "inf", "-inf"]
    assert [row["mixed"] for row in rows] == ["1", "x", "NaN"]
    assert [row["text"] for row in rows] == ["NaN", "", "é\n"]
    assert [row["ok"] for row in rows] == ["True", "False", ""]


def test_odd_values_in_parquet_keep_their_meaning(out: Path) -> None:
    table = parquet.read_table(out / "parquet/metrics/odd/values.parquet").to_pydict()
    assert math.isnan(table["v"][0])
    assert table["v"][1:] == [math.inf, -math.inf]
    assert table["mixed"] == ["1", "x", "NaN"]
    assert table["wide"] == [str(2**70), "1", "2"]
    assert table["text"] == ["NaN", None, "é\n"]
    assert table["empty"] == ["", None, ""]
    assert table["item"] == ["[1,2]", None, None]
    assert table["ok"] == [True, False, None]


def test_integers_among_floats_are_doubles_only_where_that_is_exact(tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=tmp_path / "root", console=False).run as run:
        run.metrics("m").log(small=1, large=2**53 + 1)
        run.metrics("m").log(small=0.5, large=0.5)
    ml_dash.export(PREFIX, to=tmp_path / "out", format="parquet", dash_root=tmp_path / "root")
    table = parquet.read_table(tmp_path / "out/metrics/m.parquet").to_pydict()
    assert table["small"] == [1.0, 0.5]
    assert table["large"] == [str(2**53 + 1), "0.5"]


def test_tracks_and_logs_have_the_rows_that_reading_gives(out: Path, recorded: Path) -> None:
    track = pd.read_parquet(out / "parquet/tracks/robot/pose.parquet")
    assert track["_ts"].tolist() == [0.5, 1.5]
    assert track["x"].tolist() == [2, 1]
    logs = pd.read_csv(out / "csv/logs.csv")
    assert logs["message"].tolist() == ["hello"]
    assert json.loads(logs["metadata"][0]) == {"a": 1}


def test_params_and_summary_stand_beside(out: Path) -> None:
    params = json.loads((out / "csv/params.json").read_text())
    assert (params["lr"], params["model.depth"], params["nothing"]) == (0.1, 3, None)
    summary = json.loads((out / "csv/summary.json").read_text())
    assert (summary["status"], summary["tags"], len(summary["sessions"])) == ("COMPLETED", ["x"], 2)
    assert summary["metrics"]["train"]["points"] == 30


def test_a_large_metric_is_written_in_pieces_that_fit_together(tmp_path: Path) -> None:
    count = 150_000
    with Experiment(PREFIX, dash_root=tmp_path / "root", console=False).run as run:
        train = run.metrics("train")
        for step in range(count):
            train.log(step=step, loss=step / 7)
        train.log(step=count, loss=0.0, late="only here")
    ml_dash.export(PREFIX, to=tmp_path / "out", format="parquet", dash_root=tmp_path / "root")
    file = parquet.ParquetFile(tmp_path / "out/metrics/train.parquet")
    assert file.metadata.num_row_groups > 1
    table = file.read()
    assert table["step"].to_pylist() == list(range(count + 1))
    assert table["late"].to_pylist()[-2:] == [None, "only here"]


def test_names_never_leave_the_folder_and_never_share_a_file(tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=tmp_path / "root", console=False).run as run:
        for number, name in enumerate(["../../up", "/abs", "a:b", "a-b", "A-b", "..", "_unnamed"]):
            run.metrics(name).log(number=number)
        run.metrics.log(number=7)
    (report,) = ml_dash.export(PREFIX, to=tmp_path / "out", format="csv", dash_root=tmp_path / "root")
    written = [path for path in tmp_path.rglob("*.csv") if "root" not in path.parts]
    assert all(path.is_relative_to(tmp_path / "out/metrics") for path in written)
    assert sorted(int(pd.read_csv(path)["number"][0]) for path in written) == list(range(8))
    assert len(set(report.files)) == len(report.files)


def test_fields_that_are_called_like_the_first_columns_are_kept(tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=tmp_path / "root", console=False).run as run:
        run.metrics("m").log(seq=7, time=8.5, x=1)
    ml_dash.export(PREFIX, to=tmp_path / "out", format="csv", dash_root=tmp_path / "root")
    frame = pd.read_csv(tmp_path / "out/metrics/m.csv")
    assert (frame["field.seq"][0], frame["field.time"][0]) == (7, 8.5)


def test_several_experiments_go_to_their_prefixes(recorded: Path, tmp_path: Path) -> None:
    with Experiment("alice/ml/b", dash_root=recorded, console=False).run as run:
        run.metrics("m").log(x=1)
    reports = ml_dash.export("alice/**", to=tmp_path, format="csv", dash_root=recorded)
    assert [report.prefix for report in reports] == [PREFIX, "alice/ml/b"]
    assert (tmp_path / "alice/ml/b/metrics/m.csv").exists()
    assert (tmp_path / "alice/ml/a/metrics/train.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"prefix": "nobody/**"}, "matches"),
        ({"prefix": PREFIX, "format": "xlsx"}, "xlsx"),
        ({"prefix": PREFIX, "format": "csv", "metric": "trian"}, "trian"),
        ({"prefix": PREFIX, "format": "jsonl", "metric": "train"}, "every event"),
        ({"prefix": PREFIX, "format": "csv", "to": "-"}, "standard output"),
        ({"prefix": PREFIX, "attempts": "newest"}, "newest"),
        ({"prefix": []}, "no experiment"),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(
    recorded: Path, tmp_path: Path, arguments: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ml_dash.export(**({"to": tmp_path / "out", "dash_root": recorded} | arguments))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
