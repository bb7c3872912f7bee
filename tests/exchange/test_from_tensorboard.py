"""Event files made by other programs: every scalar arrives, counted and compared with what TensorBoard itself reads."""

from __future__ import annotations

import random
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto
from tensorboardX import SummaryWriter

import ml_dash
from ml_dash import ConfigurationError, SourceFileError
from ml_dash.exchange.importing import find, import_from
from ml_dash.exchange.reports import ImportReport

from .support import PREFIX, counts, files_below, import_one, same, values

POINTS = 4_000
START = 1_700_000_000.0


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10,000 steps with two scalars each, NaN and infinities among them, and one of everything else."""
    folder = tmp_path_factory.mktemp("logdir")
    generator = random.Random(1)
    odd = {3: float("nan"), 4: float("inf"), 5: float("-inf")}
    with SummaryWriter(str(folder)) as writer:
        for step in range(POINTS):
            wall_time = START + step * 0.01
            writer.add_scalar("train/loss", odd.get(step, generator.random()), step, wall_time)
            writer.add_scalar("train/accuracy", step / POINTS, step, wall_time + 0.001)
            if step % 100 == 0:
                writer.add_scalar("lr", 0.1 * 0.99**step, step, wall_time + 0.002)
        writer.add_text("note", "hello *you*", 3, START + 200)
        writer.add_image("picture", np.zeros((3, 8, 8)), 5, START + 201)
        writer.add_histogram("weights", np.arange(10.0), 1, walltime=START + 202)
    return folder


@pytest.fixture(scope="module")
def report(logdir: Path, tmp_path_factory: pytest.TempPathFactory) -> ImportReport:
    """Of the import to `imported`."""
    before = files_below(logdir)
    found = import_one(logdir, tmp_path_factory.getbasetemp() / "imported-from-tensorboard")
    assert files_below(logdir) == before, "the source is only read"
    return found


@pytest.fixture(scope="module")
def imported(report: ImportReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "imported-from-tensorboard"


def test_every_scalar_arrives_with_its_step_and_time(logdir: Path, report: ImportReport, imported: Path) -> None:
    theirs = EventAccumulator(str(logdir), size_guidance={"scalars": 0})
    theirs.Reload()
    found = values(imported)
    series = {"train/loss": ("train", "loss"), "train/accuracy": ("train", "accuracy"), "lr": (None, "lr")}
    for tag, (name, key) in series.items():
        scalars = theirs.Scalars(tag)
        assert same(found[name, key], [scalar.value for scalar in scalars])
        assert found[name, "step"] == [scalar.step for scalar in scalars]
        assert report.values_read[name, key] == report.values_written[name, key] == len(scalars)
    assert counts(imported) == report.values_written == report.values_read
    losses = theirs.Scalars("train/loss")
    points = [event for event in ml_dash.events(PREFIX, dash_root=imported) if event.data.get("name") == "train"]
    assert [event.time_us for event in points] == [round(scalar.wall_time * 1e6) for scalar in losses]


def test_everything_else_arrives_or_is_counted(logdir: Path, report: ImportReport, imported: Path) -> None:
    assert report.left_out == {"histogram": 1}
    run = ml_dash.load(PREFIX, dash_root=imported)
    (line,) = run.logs
    assert (line.message, line.metadata) == ("hello *you*", {"tag": "note", "step": 3})
    (file,) = run.files
    assert (file.path, file.filename, file.metadata) == ("/picture", "5.png", {"tag": "picture", "step": 5})
    about = (run.sessions[0].environment or {})["imported"]
    assert about["source"] == str(logdir)
    assert {"format", "version", "fingerprint", "time", "by", "with"} == about.keys() - {"source"}


def test_state_at_a_time_is_what_had_been_logged_by_then(tmp_path: Path) -> None:
    _write(tmp_path / "runs", [(START + step, step, "x", float(step)) for step in range(100)])
    import_one(tmp_path / "runs", tmp_path / "root")
    moment = datetime.fromtimestamp(START + 49.5, timezone.utc)
    run = ml_dash.load(PREFIX, dash_root=tmp_path / "root", at=moment)
    assert run.metrics[None].columns()["step"] == list(range(50))
    assert run.created is not None
    assert run.created.timestamp() == START


def _write(folder: Path, scalars: list[tuple[float, int, str, float]], suffix: str = "") -> Path:
    """An event file of TensorBoard's own writer."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = EventFileWriter(str(folder), filename_suffix=suffix)
    for wall_time, step, tag, value in scalars:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        writer.add_event(Event(wall_time=wall_time, step=step, summary=summary))
    writer.close()
    (file,) = folder.glob(f"*tfevents*{suffix}")
    # Its first record has the time of now; an experiment of the past has one of then.
    return _redated(file, scalars[0][0])


def _redated(file: Path, wall_time: float) -> Path:
    records = [Event.FromString(record) for record in RawEventFileLoader(str(file)).Load()]
    records[0].wall_time = wall_time
    with file.open("wb") as out:
        for record in records:
            RecordWriter(out).write(record.SerializeToString())
    return file


def test_scalars_written_as_tensors_are_scalars(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    writer = EventFileWriter(str(folder))
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
    kept = {"f": np.float32(0.5), "d": np.float64(0.1), "i": np.int64(7), "one": np.array([0.25])}
    for tag, value in kept.items():
        tensor = Summary.Value(tag=tag, tensor=make_tensor_proto(value), metadata=metadata)
        writer.add_event(Event(wall_time=START, step=1, summary=Summary(value=[tensor])))
    for tag, value in {"vector": np.arange(3.0), "word": np.array(b"x", dtype=object)}.items():
        tensor = Summary.Value(tag=tag, tensor=make_tensor_proto(value))
        writer.add_event(Event(wall_time=START, step=1, summary=Summary(value=[tensor])))
    writer.close()
    report = import_one(folder, tmp_path / "root")
    found = values(tmp_path / "root")
    assert {key: value[0] for (_, key), value in found.items()} == {"f": 0.5, "d": 0.1, "i": 7, "one": 0.25, "step": 1}
    assert report.left_out == {"tensor": 2}


def test_hyperparameters_and_status_arrive(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "runs")) as writer:
        writer.add_hparams({"lr": 0.1, "layers": 3, "optimizer": "adam", "flag": True}, {"accuracy": 0.9}, name="trial")
    (report,) = [each for each in import_from(tmp_path / "runs", dash_root=tmp_path / "root") if each.kept]
    run = ml_dash.load(report.prefix, dash_root=tmp_path / "root")
    assert run.params == {"lr": 0.1, "layers": 3, "optimizer": "adam", "flag": True}
    assert run.status == "COMPLETED"
    assert run.metrics[None].columns()["accuracy"] == [pytest.approx(0.9)]


def test_nested_folders_become_experiments_with_their_path(tmp_path: Path) -> None:
    for name in ("a", "a/eval", "b"):
        _write(tmp_path / "runs" / name, [(START, 0, "x", 1.0)])
    reports = import_from(tmp_path / "runs", dash_root=tmp_path / "root", prefix="alice/tb")
    assert sorted(report.prefix for report in reports) == ["alice/tb/a", "alice/tb/a/eval", "alice/tb/b"]
    assert len(ml_dash.experiments("alice/tb", dash_root=tmp_path / "root")) == 3


def test_a_training_that_was_resumed_is_two_attempts(tmp_path: Path) -> None:
    first = _write(tmp_path / "runs", [(START + step, step, "loss", 1.0) for step in range(16)], ".first")
    first.rename(first.with_name("events.out.tfevents.1700000000.host.11.0"))
    second = _write(tmp_path / "runs", [(START + 100 + step, step, "loss", 2.0) for step in range(10, 21)], ".second")
    second.rename(second.with_name("events.out.tfevents.1700000100.host.12.0"))
    import_one(tmp_path / "runs", tmp_path / "root")
    run = ml_dash.load(PREFIX, dash_root=tmp_path / "root")
    assert [(session.host, session.pid) for session in run.sessions] == [("host", 11), ("host", 12)]
    assert run.metrics[None].columns()["step"] == list(range(21))
    assert run.metrics[None].columns()["loss"] == [1.0] * 10 + [2.0] * 11
    assert len(run.metrics[None].columns(attempts="all")["loss"]) == 27


def test_a_scalar_that_is_called_step_is_kept_beside_the_step(tmp_path: Path) -> None:
    _write(tmp_path / "runs", [(START, 7, "train/step", 1.5), (START, 7, "train/loss", 2.0)])
    import_one(tmp_path / "runs", tmp_path / "root")
    assert values(tmp_path / "root") == {
        ("train", "step"): [7],
        ("train", "step_scalar"): [1.5],
        ("train", "loss"): [2.0],
    }


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_of_a_torn_file_what_is_intact_arrives_and_the_rest_is_said(tmp_path: Path, cut: int) -> None:
    file = _write(tmp_path / "runs", [(START + step, step, "x", float(step)) for step in range(50)])
    file.write_bytes(file.read_bytes()[:-cut])
    report = import_one(tmp_path / "runs", tmp_path / "root")
    assert values(tmp_path / "root")[None, "step"] == list(range(49))
    assert report.left_out == {"torn or damaged end of an event file": 1}
    assert any("bytes from byte" in note for note in report.notes)


def test_of_a_damaged_file_what_lies_before_arrives(tmp_path: Path) -> None:
    file = _write(tmp_path / "runs", [(START + step, step, "x", float(step)) for step in range(50)])
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    report = import_one(tmp_path / "runs", tmp_path / "root")
    steps = values(tmp_path / "root")[None, "step"]
    assert steps == list(range(len(steps)))
    assert 20 <= len(steps) <= 26
    assert report.left_out == {"torn or damaged end of an event file": 1}


def test_a_file_of_which_nothing_can_be_read_makes_no_experiment(tmp_path: Path) -> None:
    file = _write(tmp_path / "runs", [(START, 0, "x", 1.0)])
    file.write_bytes(b"\0" * 7)
    with pytest.raises(SourceFileError, match="nothing was imported"):
        import_one(tmp_path / "runs", tmp_path / "root")
    assert ml_dash.experiments(dash_root=tmp_path / "root") == []


def test_a_folder_without_anything_to_import_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing to import"):
        find(tmp_path)
    with pytest.raises(SourceFileError, match="does not exist"):
        find(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="mlflow"):
        find(tmp_path, "mlflow")


def test_one_broken_run_does_not_keep_the_others_out(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        file = _write(tmp_path / "runs" / name, [(START, 0, "x", 1.0)])
        if name == "b":
            file.write_bytes(b"\0" * 7)
    reports = {each.prefix: each for each in import_from(tmp_path / "runs", dash_root=tmp_path / "root", prefix="a/tb")}
    assert {prefix: each.outcome for prefix, each in reports.items()} == {
        "a/tb/a": "imported",
        "a/tb/b": "failed",
        "a/tb/c": "imported",
    }
    assert "nothing was imported" in reports["a/tb/b"].notes[0]
    assert sorted(each.prefix for each in ml_dash.experiments(dash_root=tmp_path / "root")) == ["a/tb/a", "a/tb/c"]


@pytest.mark.parametrize("name", ["tensorboard", "google.protobuf"])
def test_without_the_package_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _write(tmp_path / "runs", [(START, 0, "x", 1.0)])
    for module in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ml_dash.MissingExtraError, match=r"ml_dash\[tensorboard\]"):
        import_one(tmp_path / "runs", tmp_path / "root")
    assert list(tmp_path.rglob("_journal")) == []
