"""Offline runs made by the real wandb: every value arrives, counted and compared with what was logged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash.exchange.importing import find, import_from
from ml_dash.exchange.reports import ImportReport, Tally
from ml_dash.exchange.wandb_records import BLOCK_BYTES, records_in

from .make_wandb import ODD
from .support import PREFIX, counts, files_below, import_one, same, values

SAMPLES = Path(__file__).with_name("wandb")
"""Made by older releases with `make_wandb.py`, 20 points each; of the first, the setting of the sampling interval was
called `_stats_sample_rate_seconds`."""
POINTS = 4_000
FEWER = 1_500


def record(folder: Path, points: int, exit_code: int = 0) -> Path:
    """The folder of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    environment |= {"WANDB_MODE": "offline", "WANDB_CONFIG_DIR": str(folder), "WANDB_CACHE_DIR": str(folder / "cache")}
    script = Path(__file__).with_name("make_wandb.py")
    arguments = [sys.executable, str(script), str(folder), str(points), str(exit_code)]
    subprocess.run(arguments, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    (run,) = folder.glob("wandb/offline-run-*")
    return run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("wandb"), POINTS)


@pytest.fixture(scope="module")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that failed."""
    return record(tmp_path_factory.mktemp("smaller"), FEWER, exit_code=3)


@pytest.fixture(scope="module")
def report(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ImportReport:
    """Of the import to `imported`."""
    before = files_below(run_folder)
    found = import_one(run_folder, tmp_path_factory.getbasetemp() / "imported-from-wandb")
    assert files_below(run_folder) == before, "the source is only read"
    return found


@pytest.fixture(scope="module")
def imported(report: ImportReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "imported-from-wandb"


def expected(points: int) -> dict[tuple[str | None, str], list[Any]]:
    loss = [ODD.get(step, 1 / (step + 1)) for step in range(points)]
    # wandb writes whole numbers without a point.
    return {
        (None, "loss"): [int(value) if value == 1 else value for value in loss],
        ("train", "accuracy"): [step / points if step else 0 for step in range(points)],
        (None, "nested.deep"): list(range(points)),
        (None, "text"): [f"t{step}" for step in range(points)],
    }


def _as_floats(found: list[Any]) -> list[Any]:
    return [float(value) if isinstance(value, int) else value for value in found]


def test_every_value_arrives_with_its_step_and_time(run_folder: Path, imported: Path) -> None:
    found = values(imported)
    for series, logged in expected(POINTS).items():
        assert same(found[series], logged), series
    assert found[None, "_step"] == [*range(POINTS + 1), POINTS + 10]
    assert found["train", "_step"] == list(range(POINTS))
    times = [event for event in ml_dash.events(PREFIX, dash_root=imported) if event.data.get("name") == "train"]
    assert [event.time_us for event in times] == [round(stamp * 1e6) for stamp in found["train", "_ts"]]
    assert found["train", "_ts"] == sorted(found["train", "_ts"])


def test_the_report_counts_what_the_log_holds(run_folder: Path, report: ImportReport, imported: Path) -> None:
    (log,) = run_folder.glob("*.wandb")
    keys: Counter[str] = Counter()
    for found in records_in(log, Tally()):
        if found.WhichOneof("record_type") == "history":
            keys.update(".".join(item.nested_key) or item.key for item in found.history.item)
    assert report.values_read == report.values_written == counts(imported)
    logged: dict[str, tuple[str | None, str]] = {"loss": (None, "loss"), "train/accuracy": ("train", "accuracy")}
    for key, series in logged.items():
        assert report.values_written[series] == keys[key] == POINTS
    assert set(report.left_out) <= {"debug log of wandb itself"}


def test_what_the_run_is_arrives(run_folder: Path, imported: Path) -> None:
    run = ml_dash.load(PREFIX, dash_root=imported)
    assert run.params == {
        "lr": 0.1,
        "model.depth": 3,
        "nothing": None,
        "sizes": [1, 2],
        "a/b": "c",
        "later": 5,
    }
    assert (run.status, run.description, set(run.tags)) == ("COMPLETED", "some notes", {"a", "b"})
    assert run.metadata is not None
    about = run.metadata["wandb"]
    assert (about["id"], about["name"], about["group"]) == ("abc123", "my run", "group 1")
    assert about["summary"]["best"] == 0.5
    assert about["summary"]["_step"] == POINTS + 10
    (session,) = run.sessions
    environment = session.environment or {}
    assert environment["python"] == sys.version.partition(" ")[0]
    assert environment["argv"][0].endswith("make_wandb.py")
    assert environment["imported"]["format"] == "wandb"
    assert environment["packages"]["pytest"] == pytest.__version__


def test_files_media_output_alerts_and_system_figures_arrive(run_folder: Path, imported: Path) -> None:
    run = ml_dash.load(PREFIX, dash_root=imported)
    names = {f"{file.path}/{file.filename}".replace("//", "/") for file in run.files}
    theirs = {f"/{path.relative_to(run_folder / 'files')}" for path in (run_folder / "files").rglob("*.*")}
    assert names == theirs
    assert any(name.startswith("/media/images/picture") for name in names)
    picture = next(value for value in run.metrics[None].columns()["picture"] if value is not None)
    assert picture["_type"] == "image-file"
    output = [event.data for event in ml_dash.events(PREFIX, dash_root=imported) if event.type == "output.written"]
    assert {"stream": "stdout", "text": "hello console"} in output
    assert {"stream": "stdout", "text": "progress 4"} in output
    assert {"stream": "stderr", "text": "to stderr"} in output
    assert ("warn", "careful: something happened") in [(line.level, line.message) for line in run.logs]
    assert any(key.startswith("proc.") for key in run.metrics["system"].columns())


def test_importing_again_does_nothing_and_a_changed_source_is_refused(smaller: Path, tmp_path: Path) -> None:
    copied = tmp_path / smaller.name
    shutil.copytree(smaller, copied, symlinks=True)
    assert import_one(smaller, tmp_path / "root").outcome == "imported"
    assert import_one(copied, tmp_path / "root").outcome == "already imported"
    (copied / "files" / "more.txt").write_text("more")
    with pytest.raises(ml_dash.ExperimentError, match="has changed since"):
        import_one(copied, tmp_path / "root")
    assert import_one(copied, tmp_path / "root", force=True).outcome == "replaced"
    assert len(list((tmp_path / "root" / PREFIX / "_files").glob("replaced-*/_journal/*.jsonl"))) == 1


def test_a_run_that_failed_says_so_and_its_prefix_names_it(smaller: Path, tmp_path: Path) -> None:
    (report,) = import_from(smaller, dash_root=tmp_path / "root")
    run = ml_dash.load(report.prefix, dash_root=tmp_path / "root")
    assert report.prefix.endswith("/proj/my run-abc123")
    assert (run.status, run.sessions[0].error) == (
        "FAILED",
        {"type": "SystemExit", "message": "exit code 3", "traceback": ""},
    )


def test_runs_of_one_id_are_sessions_of_one_experiment(smaller: Path, tmp_path: Path) -> None:
    for stamp in ("20260101_000000", "20260102_000000"):
        shutil.copytree(smaller, tmp_path / "wandb" / f"offline-run-{stamp}-abc123", symlinks=True)
    (found,) = find(tmp_path / "wandb")
    assert found.name == "proj/my run-abc123"
    import_one(tmp_path / "wandb", tmp_path / "root")
    assert len(ml_dash.load(PREFIX, dash_root=tmp_path / "root").sessions) == 2


def test_of_a_truncated_log_what_is_intact_arrives_and_the_run_stands_as_lost(smaller: Path, tmp_path: Path) -> None:
    cut = tmp_path / smaller.name
    shutil.copytree(smaller, cut, symlinks=True)
    (log,) = cut.glob("*.wandb")
    log.write_bytes(log.read_bytes()[: _boundary_behind(log, log.stat().st_size // 2) + 11])
    report = import_one(cut, tmp_path / "root")
    run = ml_dash.load(PREFIX, dash_root=tmp_path / "root")
    steps = values(tmp_path / "root")["train", "_step"]
    assert steps == list(range(len(steps)))
    assert FEWER // 4 < len(steps) < FEWER
    assert (run.status, run.sessions[0].reason) == ("FAILED", "lost")
    assert sum(count for kind, count in report.left_out.items() if "torn" in kind) == 1
    assert ml_dash.verify(PREFIX, dash_root=tmp_path / "root").ok


def _boundary_behind(log: Path, byte: int) -> int:
    """Where the first fragment ends that begins there or later."""
    return next(end for end in _ends_of_fragments(log.read_bytes()) if end > byte)


def _ends_of_fragments(data: bytes) -> Iterator[int]:
    at = 7
    while at + 7 <= len(data):
        if BLOCK_BYTES - at % BLOCK_BYTES < 7:
            at += BLOCK_BYTES - at % BLOCK_BYTES
        at += 7 + int.from_bytes(data[at + 4 : at + 6], "little")
        yield at


def test_wherever_a_log_is_cut_its_whole_records_are_read_and_the_rest_is_counted(tmp_path: Path) -> None:
    (sample,) = (SAMPLES / "0.19.11").rglob("*.wandb")
    data = sample.read_bytes()
    ends = list(_ends_of_fragments(data))
    whole = [record.SerializeToString() for record in records_in(sample, Tally())]
    assert len(ends) == len(whole) > 60
    log = tmp_path / "run-x.wandb"
    for cut in [*range(7, len(data), 97), *(end + off for end in ends[::9] for off in (-8, -1, 0, 1, 6, 7, 8))]:
        log.write_bytes(data[:cut])
        tally = Tally()
        found = [record.SerializeToString() for record in records_in(log, tally)]
        count = sum(end <= cut for end in ends)
        assert found == whole[:count]
        assert sum(tally.left_out.values()) == (0 if cut in (7, *ends) else 1), cut


def test_a_damaged_block_costs_that_block_alone(smaller: Path, tmp_path: Path) -> None:
    hurt = tmp_path / smaller.name
    shutil.copytree(smaller, hurt, symlinks=True)
    (log,) = hurt.glob("*.wandb")
    data = bytearray(log.read_bytes())
    data[3 * BLOCK_BYTES + 1000] ^= 1
    log.write_bytes(data)
    report = import_one(hurt, tmp_path / "root")
    steps = values(tmp_path / "root")["train", "_step"]
    assert report.left_out["torn or damaged part of the log"] == 1
    assert steps[0] == 0
    assert steps[-1] == FEWER - 1
    assert FEWER - 200 < len(steps) < FEWER
    assert ml_dash.load(PREFIX, dash_root=tmp_path / "root").status == "FAILED"


@pytest.mark.parametrize("release", ["0.17.9", "0.19.11"])
def test_runs_of_older_releases_are_read_as_well(release: str, tmp_path: Path) -> None:
    import_one(SAMPLES / release, tmp_path)
    found = values(tmp_path)
    for series, logged in expected(20).items():
        # Whether a whole number has a point depends on the release.
        assert list(map(str, _as_floats(found[series]))) == list(map(str, _as_floats(logged))), series
    run = ml_dash.load(PREFIX, dash_root=tmp_path)
    assert (run.status, run.description, set(run.tags)) == ("COMPLETED", "some notes", {"a", "b"})
    assert (run.params["model.depth"], run.params["later"]) == (3, 5)
    assert run.metadata is not None
    assert run.metadata["wandb"]["summary"]["nested"] == {"deep": 19}
    assert any(file.filename.endswith(".png") for file in run.files)
    assert (run.sessions[0].environment or {})["argv"][0].endswith("make_wandb.py")
