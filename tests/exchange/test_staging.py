"""An import that is killed leaves nothing half, and one that is repeated leaves nothing twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ml_dash
from ml_dash import ExperimentError
from ml_dash.exchange.bulk import EVENTS_PER_COMMIT_MAX, BulkWriter
from ml_dash.exchange.staging import alone
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.reader import JournalReader

from ..examples import share
from .support import PREFIX, counts, import_one, lines
from .test_from_upstream import SAMPLES

COUNT = 20_000
KILLED = """
import os, signal, sys
from ml_dash.exchange.importing import import_from

def die(prefix, done):
    if done >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

import_from(sys.argv[1], dash_root=sys.argv[2], prefix=sys.argv[4], on_progress=die)
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of many commits."""
    folder = tmp_path_factory.mktemp("exported")
    with ml_dash.Experiment(PREFIX, dash_root=folder, console=False).run as run:
        train = run.metrics("train")
        for step in range(COUNT):
            train.log(step=step, loss=1 / (step + 1))
    ml_dash.export(PREFIX, to=folder / "out.jsonl", dash_root=folder)
    return folder


@pytest.mark.parametrize("after", share([0, 8192, 18_000], 2))
def test_an_import_that_is_killed_and_repeated_is_one_experiment(exported: Path, tmp_path: Path, after: int) -> None:
    for _ in range(2):
        command = [sys.executable, "-c", KILLED, str(exported / "out.jsonl"), str(tmp_path), str(after), PREFIX]
        assert subprocess.run(command).returncode == -signal.SIGKILL
        assert ml_dash.experiments(dash_root=tmp_path) == []
        assert len(list(tmp_path.glob(f"{PREFIX}/_files/importing-*"))) == 1
    assert import_one(exported / "out.jsonl", tmp_path).outcome == "imported"
    assert lines(tmp_path) == lines(exported)
    assert list(tmp_path.glob(f"{PREFIX}/_files/importing-*")) == []
    assert ml_dash.verify(PREFIX, dash_root=tmp_path).ok


def test_commits_of_an_import_count_the_events_of_their_writer_without_gap(exported: Path, tmp_path: Path) -> None:
    import_one(exported / "out.jsonl", tmp_path)
    counted = 1
    for line in JournalReader(JournalFolder(tmp_path / PREFIX)).commits():
        assert line.counter == counted
        assert line.count <= EVENTS_PER_COMMIT_MAX
        counted += line.count
    assert counted - 1 == len(lines(exported))


def test_two_imports_at_once_make_one_experiment(exported: Path, tmp_path: Path) -> None:
    import_now = (
        "import sys; from ml_dash.exchange.importing import import_from; "
        "print(import_from(sys.argv[1], dash_root=sys.argv[2])[0].outcome)"
    )
    command = [sys.executable, "-c", import_now, str(exported / "out.jsonl"), str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(process.communicate()[0].strip() for process in processes) == ["already imported", "imported"]
    assert counts(tmp_path)["train", "loss"] == COUNT


def test_a_value_that_is_lost_on_the_way_is_never_published(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = BulkWriter.add

    def forget_one(writer: BulkWriter, event: ml_dash.Event) -> None:
        if event.data.get("fields", {}).get("step") != 77:
            add(writer, event)

    monkeypatch.setattr(BulkWriter, "add", forget_one)
    with pytest.raises(ml_dash.StorageError, match="20000 values were read and 19999 written"):
        import_one(exported / "out.jsonl", tmp_path)
    assert ml_dash.experiments(dash_root=tmp_path) == []


def test_what_force_replaces_is_kept_aside_and_only_if_it_was_imported(tmp_path: Path) -> None:
    import_one(SAMPLES / "0.6.27", tmp_path)
    with ml_dash.Experiment(PREFIX, dash_root=tmp_path, console=False).run as run:
        run.params.set(mine=1)
    before = lines(tmp_path)
    with pytest.raises(ExperimentError, match="another prefix"):
        import_one(SAMPLES / "0.6.2", tmp_path, force=True)
    assert lines(tmp_path) == before


def test_a_prefix_that_was_imported_from_elsewhere_is_refused_and_named(tmp_path: Path) -> None:
    import_one(SAMPLES / "0.6.27", tmp_path)
    with pytest.raises(ExperimentError, match=r"imported before, from .*0\.6\.27"):
        import_one(SAMPLES / "0.6.2", tmp_path)
    assert import_one(SAMPLES / "0.6.2", tmp_path, force=True).outcome == "replaced"
    kept = list(tmp_path.glob(f"{PREFIX}/_files/replaced-*/_journal/*.jsonl"))
    assert len(kept) == 1


def test_who_waits_too_long_for_another_import_is_told_so(exported: Path, tmp_path: Path) -> None:
    folder = JournalFolder(tmp_path / PREFIX, prefix=PREFIX)
    with alone(folder), pytest.raises(ml_dash.LockError, match="is being imported by another process"):
        import_one(exported / "out.jsonl", tmp_path)
    assert import_one(exported / "out.jsonl", tmp_path).outcome == "imported"
