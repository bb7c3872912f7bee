"""Folders that the real package `ml-dash` recorded (`make_upstream.py`): everything in them arrives."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.exchange.importing import find, import_from

from .support import PREFIX, counts, files_below, import_one, same, values

SAMPLES = Path(__file__).with_name("upstream")
RELEASES = sorted(path.name for path in SAMPLES.iterdir() if path.is_dir())
THERE = "alice/proj/run-a"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A sample that may be damaged."""
    shutil.copytree(SAMPLES / "0.6.27", tmp_path / "source")
    return tmp_path / "source" / THERE


def test_there_is_a_sample_of_several_releases() -> None:
    assert {"0.6.2", "0.6.27", "0.11.0"} <= set(RELEASES)


@pytest.mark.parametrize("release", RELEASES)
def test_metrics_arrive_point_by_point(release: str, tmp_path: Path) -> None:
    report = import_one(SAMPLES / release, tmp_path, prefix=None)
    assert (report.prefix, report.left_out) == (THERE, {})
    found = values(tmp_path, THERE)
    loss = [math.nan if step == 3 else 1 / (step + 1) for step in range(30)]
    assert same(found["train", "loss"], [*loss, 0.5])
    assert found["train", "step"] == list(range(31))
    assert found["train", "note"] == ["s"] * 30
    assert same(found["eval", "acc"], [math.inf if step == 2 else step for step in range(30)])
    assert (found[None, "epoch"], found[None, "a"]) == ([1], [2])
    assert report.values_read == report.values_written == counts(tmp_path, THERE)


@pytest.mark.parametrize("release", RELEASES)
def test_every_line_of_the_source_is_an_event_with_its_time(release: str, tmp_path: Path) -> None:
    source = SAMPLES / release / THERE
    import_one(SAMPLES / release, tmp_path)
    events = list(ml_dash.events(PREFIX, dash_root=tmp_path))
    for name in ("train", "eval"):
        lines = [json.loads(line) for line in (source / "metrics" / name / "data.jsonl").read_text().splitlines()]
        points = [event for event in events if event.data.get("name") == name]
        for line, point in zip(lines, points, strict=True):
            stamp = line["data"].get("_ts")
            expected = (
                round(stamp * 1e6)
                if stamp is not None
                else round(datetime.fromisoformat(line["createdAt"].replace("Z", "+00:00")).timestamp() * 1e6)
            )
            assert abs(point.time_us - expected) <= 1
    described = json.loads((source / "experiment.json").read_text())
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    assert run.created == datetime.fromisoformat(described["created_at"].replace("Z", "+00:00"))
    assert [event.time_us for event in events] == sorted(event.time_us for event in events)


@pytest.mark.parametrize("release", RELEASES)
def test_description_params_logs_tracks_and_files_arrive(release: str, tmp_path: Path) -> None:
    import_one(SAMPLES / release, tmp_path)
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    assert (run.status, run.description, run.tags, run.metadata) == (
        "COMPLETED",
        "A description",
        ("x", "y"),
        {"k": 1},
    )
    assert run.params == {"lr": 0.002, "model.depth": 50, "nothing": None, "sizes": [1, 2]}
    assert [(line.level, line.message) for line in run.logs] == [
        ("info", "hello"),
        ("error", "bad\nthing"),
        ("info", "again"),
    ]
    assert run.logs[0].metadata == {"a": 1}
    if release != "0.6.2":
        assert run.tracks["robot/pose"].rows() == [
            (100.0 + time, {"x": time, "q": [1, 2], "n.a": 1}) for time in range(5)
        ]
    listed = json.loads((SAMPLES / release / THERE / "files/.files_metadata.json").read_text())["files"]
    standing = {file["id"]: file for file in listed if file["deletedAt"] is None}
    assert {file.id: file.checksum for file in run.files} == {key: file["checksum"] for key, file in standing.items()}
    experiment = Experiment(PREFIX, dash_root=tmp_path, console=False)
    with experiment.run:
        assert experiment.files("data/x.txt").read_text() == "hey"
        (saved,) = [file for file in experiment.files("data").list() if file["filename"] == "x.txt"]
    assert (saved["description"], saved["tags"], saved["contentType"]) == ("d", ["t"], "text/plain")


def test_the_source_is_only_read_and_importing_again_does_nothing(copied: Path, tmp_path: Path) -> None:
    before = files_below(copied)
    assert import_one(copied, tmp_path / "root").outcome == "imported"
    assert import_one(copied, tmp_path / "root").outcome == "already imported"
    assert files_below(copied) == before


def test_time_travel_goes_into_the_imported_past(tmp_path: Path) -> None:
    import_one(SAMPLES / "0.6.2", tmp_path)
    lines = (SAMPLES / "0.6.2" / THERE / "metrics/train/data.jsonl").read_text().splitlines()
    created = datetime.fromisoformat(json.loads(lines[10])["createdAt"].replace("Z", "+00:00"))
    run = ml_dash.load(PREFIX, dash_root=tmp_path, at=created.astimezone(timezone.utc))
    assert run.metrics["train"].columns()["step"] == list(range(11))
    assert run.params == {}


def test_several_experiments_of_one_root_keep_their_prefixes(tmp_path: Path) -> None:
    for number in range(3):
        target = tmp_path / "source/alice/proj" / f"run-{number}"
        shutil.copytree(SAMPLES / "0.6.27" / THERE, target)
        described = json.loads((target / "experiment.json").read_text())
        (target / "experiment.json").write_text(json.dumps(described | {"prefix": f"alice/proj/run-{number}"}))
    reports = import_from(tmp_path / "source", dash_root=tmp_path / "root")
    assert [report.prefix for report in reports] == [f"alice/proj/run-{number}" for number in range(3)]


def _tear(path: str) -> Callable[[Path], None]:
    def tear(folder: Path) -> None:
        file = folder / path
        file.write_bytes(file.read_bytes()[:-15])

    return tear


def _remove(path: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        found = next(folder.glob(path))
        shutil.rmtree(found) if found.is_dir() else found.unlink()

    return remove


@pytest.mark.parametrize(
    ("damage", "left_out", "lost"),
    [
        (_tear("metrics/train/data.jsonl"), {"torn metric line": 1}, 1),
        (_tear("logs/logs.jsonl"), {"torn log line": 1}, 0),
        (_tear("tracks/robot_pose/data.jsonl"), {"torn track line": 1}, 0),
        (_tear("parameters.json"), {"unreadable parameters.json": 1}, 0),
        (_tear("experiment.json"), {"unreadable experiment.json": 1}, 0),
        (_remove("experiment.json"), {}, 0),
        (_remove("parameters.json"), {}, 0),
        (_remove("logs"), {}, 0),
        (_remove("metrics/train/metadata.json"), {}, 0),
        (_remove("files/data/*/x.txt"), {"file without content": 1}, 0),
        (_tear("files/models/cfg.json"), {"checksum of a file": 1}, 0),
    ],
)
def test_of_a_damaged_folder_what_is_intact_arrives_and_the_rest_is_counted(
    copied: Path, tmp_path: Path, damage: Callable[[Path], None], left_out: dict[str, int], lost: int
) -> None:
    (content,) = copied.glob("files/models/*/cfg.json")
    if left_out == {"checksum of a file": 1}:
        content.write_bytes(b"other")
    else:
        damage(copied)
    report = import_one(copied, tmp_path / "root")
    assert report.left_out == left_out
    assert len(values(tmp_path / "root")["train", "step"]) == 31 - lost
    assert len(values(tmp_path / "root")["eval", "acc"]) == 30
    assert ml_dash.verify(PREFIX, dash_root=tmp_path / "root").ok


def test_files_that_the_layout_does_not_know_are_named(copied: Path, tmp_path: Path) -> None:
    (copied / "notes.txt").write_text("mine")
    report = import_one(copied, tmp_path / "root")
    assert report.left_out == {"file that the layout does not know": 1}
    assert "notes.txt was not imported" in report.notes


def test_a_file_is_never_taken_from_outside_the_experiment(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    path = copied / "files/.files_metadata.json"
    listed: dict[str, Any] = json.loads(path.read_text())
    listed["files"][0] |= {"path": "/", "id": "..", "filename": "../../../../secret"}
    path.write_text(json.dumps(listed))
    report = import_one(copied, tmp_path / "root")
    assert report.left_out["file without content"] == 1


def test_files_of_others_that_have_the_same_names_are_not_taken_for_theirs(tmp_path: Path) -> None:
    (tmp_path / "parameters.json").write_text('{"lr": 1}')
    (tmp_path / "experiment.json").write_text('{"name": "x"}')
    with pytest.raises(ml_dash.ConfigurationError, match="nothing to import"):
        find(tmp_path)


def test_our_own_experiments_are_not_taken_for_theirs(tmp_path: Path) -> None:
    with Experiment(PREFIX, dash_root=tmp_path, console=False).run as run:
        run.metrics("m").log(x=1)
    with pytest.raises(ml_dash.ConfigurationError, match="nothing to import"):
        find(tmp_path)
