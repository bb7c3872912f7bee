"""What `ml_dash.load` gives of saved files and of parameters: their content, and how they came to be."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import ConfigurationError, StorageError, UnknownFileError

PREFIX = "alice/ml/loaded"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ML_DASH_CONSOLE", "off")
    with Experiment(PREFIX, dash_root="root").run as experiment:
        experiment.files.save_text("first", to="notes/a.txt")
        experiment.params.set(lr=0.1, model={"depth": 3})
        experiment.params.set(seed=7)
        experiment.files.save_text("second", to="notes/a.txt")
        experiment.files.save_blob(b"\0\1", to="b.bin")
        experiment.params.set(lr=0.2, model={"depth": 5})
    return "root"


def test_the_content_of_a_file_is_read_and_downloaded(root: str, tmp_path: Path) -> None:
    files = ml_dash.load(PREFIX, dash_root=root).files
    assert [each.filename for each in files] == ["b.bin", "a.txt"]
    assert (files[0].read_bytes(), files[1].read_text()) == (b"\0\1", "second")
    assert files[1].download() == "a.txt"
    assert (tmp_path / "a.txt").read_text() == "second"
    assert files[0].download(tmp_path / "to" / "c.bin") == tmp_path / "to" / "c.bin"
    assert (tmp_path / "to" / "c.bin").read_bytes() == b"\0\1"


def test_files_are_asked_by_name_as_those_of_an_experiment(root: str, tmp_path: Path) -> None:
    files = ml_dash.load(PREFIX, dash_root=root).files
    assert (files.read_text("notes/a.txt"), files.read_bytes("b.bin")) == ("second", b"\0\1")
    assert (files.exists("notes/*"), files.exists("c")) == (True, False)
    assert [each["filename"] for each in files.list("*.txt")] == ["a.txt"]
    assert len(files.versions("notes/a.txt")) == 2
    assert files.download("*.bin", to="out") == [str(Path("out", "b.bin"))]
    assert files.download("notes/a.txt", to="old.txt", version=0) == "old.txt"
    assert (tmp_path / "old.txt").read_text() == "first"
    with pytest.raises(UnknownFileError, match=r"notes/a\.txt"):
        files.read_text("notes/b.txt")


def test_files_are_those_of_the_moment_that_was_loaded(root: str) -> None:
    saved = next(each.seq for each in ml_dash.events(PREFIX, dash_root=root) if each.type == "file.saved")
    [file] = ml_dash.load(PREFIX, dash_root=root, at=saved).files
    assert file.read_text() == "first"


def test_a_copied_file_still_has_its_content(root: str) -> None:
    file = ml_dash.load(PREFIX, dash_root=root).files[1]
    for other in (copy.copy(file), copy.deepcopy(file), pickle.loads(pickle.dumps(file))):
        assert other == file
        assert other.read_text() == "second"


def test_content_that_is_damaged_is_not_handed_out(root: str, tmp_path: Path) -> None:
    file = ml_dash.load(PREFIX, dash_root=root).files[1]
    content = next(tmp_path.rglob(file.checksum))
    content.chmod(0o600)
    content.write_bytes(b"sec0nd")
    with pytest.raises(StorageError, match="damaged"):
        file.read_bytes()
    with pytest.raises(StorageError, match="damaged"):
        file.download("x.txt")
    assert not (tmp_path / "x.txt").exists()


def test_every_change_of_a_parameter_is_told_up_to_the_moment_that_was_loaded(root: str) -> None:
    run = ml_dash.load(PREFIX, dash_root=root)
    assert [value for _, _, value in run.params.history("lr")] == [0.1, 0.2]
    assert [value for _, _, value in run.params.history("model")] == [{"depth": 3}, {"depth": 5}]
    assert run.params.history("nothing") == []
    for seq, time, value in run.params.history("lr"):
        past = ml_dash.load(PREFIX, dash_root=root, at=seq)
        assert (past.params["lr"], past.updated) == (value, time)
        assert past.params.history("lr")[-1] == (seq, time, value)
        assert ml_dash.load(PREFIX, dash_root=root, at=seq - 1).params.history("lr")[-1:] != [(seq, time, value)]


def test_parameters_are_flat_and_are_had_nested(root: str) -> None:
    params = ml_dash.load(PREFIX, dash_root=root).params
    assert params == {"lr": 0.2, "model.depth": 5, "seed": 7}
    assert (params.get("model"), params.get("model.depth"), params.get("none", 1)) == ({"depth": 5}, 5, 1)
    assert params.nested() == {"lr": 0.2, "model": {"depth": 5}, "seed": 7}
    assert copy.deepcopy(params) == pickle.loads(pickle.dumps(params)) == params


def test_recovering_is_had_from_the_package(root: str) -> None:
    assert ml_dash.recover(PREFIX, dash_root=root) == []
    with pytest.raises(ConfigurationError, match="where the experiment was recorded"):
        ml_dash.recover(PREFIX, dash_url="http://127.0.0.1:1")
