"""`experiment.files`: what a caller gets, what stands afterwards, and what is refused."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ml_dash import Experiment
from ml_dash.errors import ConfigurationError, ExperimentError, MissingExtraError, NotFoundError, StorageError

KEYS = (
    "id path filename description tags bindrs metadata contentType sizeBytes checksum uploadedAt updatedAt deletedAt"
).split()


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    """An open experiment; the working directory is another, empty folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with Experiment("alice/files/run", dash_root=str(tmp_path / "root")).run as experiment:
        yield experiment


def names(files: list[dict[str, Any]]) -> list[str]:
    return [f"{file['path'].rstrip('/')}/{file['filename']}" for file in files]


def saved_events(tmp_path: Path) -> list[str]:
    import ml_dash

    events = ml_dash.events("alice/files/run", dash_root=str(tmp_path / "root"))
    return [event.type for event in events if event.type.startswith("file.")]


# --- what is returned ---------------------------------------------------------------------------------------


def test_a_save_is_answered_completely(experiment: Experiment) -> None:
    saved = experiment.files("models", description="best", tags=["a"], bindrs=["arm"], metadata={"epoch": 3}).save_text(
        "hello", to="notes.txt"
    )
    assert list(saved) == KEYS
    assert saved["path"] == "/models"
    assert saved["filename"] == "notes.txt"
    assert (saved["description"], saved["tags"], saved["bindrs"]) == ("best", ["a"], ["arm"])
    assert saved["metadata"] == {"epoch": 3}
    assert saved["contentType"] == "text/plain"
    assert saved["sizeBytes"] == 5
    assert saved["checksum"] == sha256(b"hello").hexdigest()
    assert saved["uploadedAt"] == saved["updatedAt"]
    assert datetime.fromisoformat(saved["uploadedAt"].replace("Z", "+00:00")).tzinfo is not None
    assert saved["deletedAt"] is None


def test_what_is_returned_is_what_is_listed(experiment: Experiment) -> None:
    saved = experiment.files.save_text("x", to="a.txt", metadata={"when": datetime(2026, 1, 2), "loss": math.inf})
    assert experiment.files.list() == [saved]


def test_returned_dicts_are_the_callers_own(experiment: Experiment) -> None:
    saved = experiment.files.save_text("x", to="a.txt", tags=["t"], metadata={"deep": {"list": [1]}})
    saved["tags"].append("changed")
    saved["metadata"]["deep"]["list"].append(2)
    listed = experiment.files.list()[0]
    assert listed["tags"] == ["t"]
    assert listed["metadata"] == {"deep": {"list": [1]}}
    listed["metadata"]["deep"]["list"].append(3)
    assert experiment.files.list()[0]["metadata"] == {"deep": {"list": [1]}}


def test_what_a_call_says_replaces_what_the_folder_was_given(experiment: Experiment) -> None:
    folder = experiment.files("models", description="folder", tags=["folder"], metadata={"folder": 1})
    saved = folder.save_text("x", to="a.txt", tags=["call"])
    assert (saved["description"], saved["tags"], saved["metadata"]) == ("folder", ["call"], {"folder": 1})


@pytest.mark.parametrize("folder", ["models", "/models", "models/", "./models", "/models//"])
def test_a_folder_has_one_spelling(experiment: Experiment, folder: str) -> None:
    assert experiment.files(folder).save_text("x", to="a.txt")["path"] == "/models"


def test_without_a_folder_the_path_is_the_root(experiment: Experiment) -> None:
    assert experiment.files().save_text("x", to="a.txt")["path"] == "/"
    assert experiment.files.save_text("x", to="b.txt")["path"] == "/"


# --- where `to` may lead ------------------------------------------------------------------------------------


def test_every_save_may_name_folders(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "source.bin").write_bytes(b"x")
    folder = experiment.files("top")
    saved = [
        folder.upload(tmp_path / "source.bin", to="a/b/1.bin"),
        folder.save(b"x", to="a/b/2.bin"),
        folder.save_json({}, to="a/b/3.json"),
        folder.save_text("x", to="a/b/4.txt"),
        folder.save_blob(b"x", to="a/b/5.bin"),
        folder.save_pkl(1, to="a/b/6.pkl"),
    ]
    assert {file["path"] for file in saved} == {"/top/a/b"}


@pytest.mark.parametrize(
    "to", ["../x", "a/../../x", "a/..", "..", "/etc/passwd", "a\\b", "a\0b", "", ".", "a/", "/", "a/./"]
)
def test_a_target_that_leaves_its_folder_or_names_no_file_is_refused(experiment: Experiment, to: str) -> None:
    for save in (experiment.files.save_text, experiment.files("folder").save_text):
        with pytest.raises(ConfigurationError) as caught:
            save("x", to=to)
        assert repr(to) in str(caught.value)
    assert experiment.files.list() == []


@pytest.mark.parametrize("folder", ["..", "../models", "a/../..", "a\\b", "a\0"])
def test_a_folder_that_leaves_the_files_is_refused(experiment: Experiment, folder: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(folder))):
        experiment.files(folder)


# --- upload and save ----------------------------------------------------------------------------------------


def test_an_upload_keeps_its_name(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    assert names([experiment.files.upload(tmp_path / "model.pt")]) == ["/model.pt"]
    assert names([experiment.files("m").upload(str(tmp_path / "model.pt"), to="sub/")]) == ["/m/sub/model.pt"]
    assert names([experiment.files.upload(tmp_path / "model.pt", to="sub/other.pt")]) == ["/sub/other.pt"]


def test_what_is_saved_is_the_content_at_the_time_of_the_call(experiment: Experiment, tmp_path: Path) -> None:
    source = tmp_path / "log.txt"
    source.write_text("then")
    experiment.files.upload(source)
    source.write_text("now and more")
    assert experiment.files.read_text("log.txt") == "then"


def test_a_missing_file_or_a_folder_cannot_be_uploaded(experiment: Experiment, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, words in [
        (tmp_path / "nothing", "does not exist"),
        (tmp_path, "is a folder"),
        (tmp_path / "fifo", "regular"),
        ("a\0b", "does not exist|is not the path"),
        (None, "not the path"),
    ]:
        with pytest.raises(ValueError, match=words) as caught:
            experiment.files.upload(path)  # type: ignore[arg-type]
        assert isinstance(caught.value, FileNotFoundError)
    assert experiment.files.list() == []


@dataclass
class Config:
    rate: float
    path: Path


def test_save_picks_the_way_by_what_it_is_given(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "source.txt").write_text("from a path")
    files = experiment.files
    files.save(tmp_path / "source.txt")
    files.save(str(tmp_path / "source.txt"), to="renamed.txt")
    files.save(b"bytes", to="a.bin")
    files.save(bytearray(b"bytes"), to="b.bin")
    files.save({"loss": [1, 2.5, None]}, to="c.json")
    files.save([1, (2, 3)], to="d.json")
    files.save({"any": object}, to="e.pkl")
    files.save(np.arange(4.0), to="f.npy")
    out = tmp_path / "out"
    files.download("*", to=out)
    assert (out / "source.txt").read_text() == (out / "renamed.txt").read_text() == "from a path"
    assert (out / "a.bin").read_bytes() == (out / "b.bin").read_bytes() == b"bytes"
    assert json.loads((out / "c.json").read_text()) == {"loss": [1, 2.5, None]}
    assert json.loads((out / "d.json").read_text()) == [1, [2, 3]]
    assert pickle.loads((out / "e.pkl").read_bytes()) == {"any": object}
    assert np.load(out / "f.npy").tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_string_that_is_no_path_is_refused_with_the_way_to_save_it(experiment: Experiment) -> None:
    for text in ("no/such/file", "", "x" * 5000, "nul\0"):
        with pytest.raises(ValueError, match="save_text"):
            experiment.files.save(text, to="a.txt")


@pytest.mark.parametrize("content", [b"x", {}, [], np.zeros((2, 2))])
def test_content_without_a_name_is_refused(experiment: Experiment, content: Any) -> None:
    with pytest.raises(ValueError, match="'to' is required"):
        experiment.files.save(content)


@pytest.mark.parametrize("content", [None, 3, 2.5, object()])
def test_content_of_no_kind_is_refused(experiment: Experiment, content: Any) -> None:
    with pytest.raises(ValueError, match="Unsupported content type"):
        experiment.files.save(content, to="x.bin")


def test_json_holds_what_json_can_say_of_a_value(experiment: Experiment) -> None:
    value = {
        "array": np.array([[1, 2], [3, 4]]),
        "scalar": np.float32(0.5),
        "config": Config(0.1, Path("/data")),
        "set": {1},
        "day": datetime(2026, 1, 2, 3),
        "nan": float("nan"),
        "nested nan": np.array([1.0, np.nan, -np.inf]),
        "big": 10**30,
        "text": "grün 日本",
        "surrogate": "\ud800",
    }
    experiment.files.save_json(value, to="a.json")
    back = json.loads(experiment.files.read_text("a.json"))
    assert back["array"] == [[1, 2], [3, 4]]
    assert (back["scalar"], back["config"], back["set"]) == (0.5, {"rate": 0.1, "path": "/data"}, [1])
    assert back["day"] == "2026-01-02T03:00:00"
    assert math.isnan(back["nan"])
    assert math.isnan(back["nested nan"][1])
    assert back["nested nan"][2] == -math.inf
    assert (back["big"], back["text"], back["surrogate"]) == (10**30, "grün 日本", "\ud800")


def test_json_refuses_what_it_could_only_change(experiment: Experiment) -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in ({"f": object()}, {"b": b"bytes"}, {"c": 1j}, {(1, 2): 3}, loop):
        with pytest.raises(ValueError, match="cannot be saved as JSON"):
            experiment.files.save_json(value, to="a.json")
    assert experiment.files.list() == []


def test_what_cannot_be_pickled_is_refused_and_leaves_nothing(experiment: Experiment, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be pickled"):
        experiment.files.save_pkl([b"x" * 100_000, lambda: None], to="a.pkl")
    assert experiment.files.list() == []
    assert [path for path in (tmp_path / "root").rglob("_files/**/*") if path.is_file()] == []


def test_text_in_another_encoding_comes_back(experiment: Experiment) -> None:
    experiment.files.save_text("grün", to="a.txt", encoding="latin-1")
    assert experiment.files("a.txt").read_text("latin-1") == "grün"
    with pytest.raises(UnicodeDecodeError):
        experiment.files("a.txt").read_text()
    for text, encoding in (("日本", "latin-1"), ("\ud800", "utf-8"), ("x", "no-such")):
        with pytest.raises(ValueError, match="cannot be saved as"):
            experiment.files.save_text(text, to="b.txt", encoding=encoding)
    with pytest.raises(ValueError, match="Expected a string"):
        experiment.files.save_text(b"x", to="b.txt")  # type: ignore[arg-type]


def test_a_blob_is_any_buffer(experiment: Experiment) -> None:
    saved = experiment.files.save_blob(np.arange(3, dtype="<u2"), to="a.bin")  # type: ignore[arg-type]
    assert saved["checksum"] == sha256(b"\0\0\1\0\2\0").hexdigest()
    with pytest.raises(ValueError, match="save_text"):
        experiment.files.save_blob("text", to="b.bin")  # type: ignore[arg-type]


class Module:
    """Bears the name by which a PyTorch module is known."""


Module.__module__ = "torch.nn.modules.module"


class Network(Module):
    pass


def test_pytorch_writes_what_is_its_own(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = SimpleNamespace(save=lambda content, file: file.write(f"torch {type(content).__name__}".encode()))
    monkeypatch.setitem(sys.modules, "torch", torch)
    experiment.files.save_torch(Network(), to="a.bin")
    experiment.files.save(Network(), to="b.bin")
    experiment.files.save({"weight": 1}, to="c.pt")
    read = [experiment.files.read_text(name) for name in ("a.bin", "b.bin", "c.pt")]
    assert read == ["torch Network", "torch Network", "torch dict"]


def test_torch_is_named_when_it_is_missing(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="pip install 'torch'") as caught:
        experiment.files.save_torch({"w": 1}, to="m.pt")
    assert isinstance(caught.value, ImportError)
    assert experiment.files.list() == []


@pytest.mark.parametrize(
    "said",
    [{"tags": [1]}, {"tags": 3}, {"bindrs": [None]}, {"metadata": [1]}, {"metadata": "x"}, {"description": 3}],
)
def test_details_of_a_wrong_type_are_refused(experiment: Experiment, said: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(said))):
        experiment.files.save_text("x", to="a.txt", **said)
    with pytest.raises(ConfigurationError):
        experiment.files("models", **said)


@pytest.mark.parametrize("way", ["save_text", "save_json", "save_pkl", "save_image", "save_video"])
@pytest.mark.parametrize("to", [None, 3, b"a.txt"])
def test_a_target_is_a_string(experiment: Experiment, way: str, to: Any) -> None:
    with pytest.raises(ConfigurationError, match="target"):
        getattr(experiment.files, way)("x", to=to)


def test_one_tag_may_be_a_string(experiment: Experiment) -> None:
    assert experiment.files.save_text("x", to="a.txt", tags="best", bindrs=("arm",))["tags"] == ["best"]


# --- finding ------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(experiment: Experiment) -> Experiment:
    for name in ("a.txt", "models/a.txt", "models/b.pt", "models/deep/c.pt", "models2/d.pt", "images/e.png"):
        experiment.files.save_text(name, to=name)
    return experiment


@pytest.mark.parametrize(
    ("folder", "pattern", "expected"),
    [
        (None, None, "/a.txt /models/a.txt /models/b.pt /models/deep/c.pt /models2/d.pt /images/e.png"),
        ("models", None, "/models/a.txt /models/b.pt /models/deep/c.pt"),
        ("models/", None, "/models/a.txt /models/b.pt /models/deep/c.pt"),
        (None, "*.pt", "/models/b.pt /models/deep/c.pt /models2/d.pt"),
        (None, "models/*.pt", "/models/b.pt /models/deep/c.pt"),
        (None, "/models/*.pt", "/models/b.pt /models/deep/c.pt"),
        (None, "**/*.txt", "/a.txt /models/a.txt"),
        (None, "models/**/*.pt", "/models/b.pt /models/deep/c.pt"),
        (None, "?.p[nt]*", "/models/b.pt /models/deep/c.pt /models2/d.pt /images/e.png"),
        ("models", "*.pt", "/models/b.pt /models/deep/c.pt"),
        ("models", "deep/*", "/models/deep/c.pt"),
        ("models", "a.txt", "/models/a.txt"),
        ("models/*.pt", None, "/models/b.pt /models/deep/c.pt"),
        ("models/b.pt", None, "/models/b.pt"),
        (None, "nothing", ""),
        ("nothing", None, ""),
    ],
)
def test_list_knows_folders_and_patterns(
    shelf: Experiment, folder: str | None, pattern: str | None, expected: str
) -> None:
    assert names(shelf.files(folder).list(pattern)) == expected.split()


def test_list_keeps_files_that_carry_any_of_the_tags(experiment: Experiment) -> None:
    for name, tags in (("a", ["x"]), ("b", ["x", "y"]), ("c", ["z"]), ("d", [])):
        experiment.files.save_text(name, to=name, tags=tags, bindrs=[name])
    assert names(experiment.files.list(tags=["y", "z"])) == ["/b", "/c"]
    assert names(experiment.files(tags=["x"]).list()) == ["/a", "/b"]
    assert names(experiment.files.list(bindrs=["d"])) == ["/d"]


def test_a_bindr_lists_the_files_that_carry_it(experiment: Experiment) -> None:
    experiment.files.save_text("1", to="a.txt", bindrs=["arm", "left"])
    experiment.files.save_text("2", to="b.txt", bindrs=["arm"])
    experiment.files.save_text("3", to="c.txt")
    assert names(experiment.bindrs("arm").list()) == ["/a.txt", "/b.txt"]
    assert names(experiment.bindrs("left").list()) == ["/a.txt"]
    assert experiment.bindrs("right").list() == []
    experiment.files("a.txt").delete()
    assert names(experiment.bindrs("arm").list()) == ["/b.txt"]


def test_a_bare_name_means_the_first_file_stored_with_it(shelf: Experiment) -> None:
    assert shelf.files("c.pt").read_text() == "models/deep/c.pt"
    assert shelf.files("a.txt").read_text() == "a.txt"
    assert shelf.files("a.txt").delete()
    assert shelf.files("a.txt").read_text() == "models/a.txt"
    assert shelf.files("/models/a.txt").read_text() == "models/a.txt"


def test_exists_knows_paths_names_and_patterns(shelf: Experiment) -> None:
    for path in ("a.txt", "models/b.pt", "/models/b.pt", "c.pt", "*.png"):
        assert shelf.files(path).exists()
        assert shelf.files.exists(path)
    for path in ("models", "nothing", "models/d.pt", "*.gif"):
        assert not shelf.files(path).exists()
    with pytest.raises(ValueError, match="No file path specified"):
        shelf.files().exists()


def test_names_that_look_like_patterns_mean_themselves_first(experiment: Experiment) -> None:
    experiment.files.save_text("brackets", to="run[1].txt")
    experiment.files.save_text("plain", to="run1.txt")
    assert experiment.files("run[1].txt").read_text() == "brackets"
    assert names(experiment.files.list("run[[]1].txt")) == ["/run[1].txt"]


# --- fetching -----------------------------------------------------------------------------------------------


def test_a_download_goes_to_its_own_name_by_default(shelf: Experiment) -> None:
    assert shelf.files("models/b.pt").download() == "b.pt"
    assert Path("b.pt").read_text() == "models/b.pt"


def test_a_download_gives_the_path_as_it_was_given(shelf: Experiment, tmp_path: Path) -> None:
    assert shelf.files("models/b.pt").download(to="new/folder/x.pt") == "new/folder/x.pt"
    assert shelf.files.download("models/b.pt", to=str(tmp_path / "y.pt")) == str(tmp_path / "y.pt")
    assert shelf.files.download("models/b.pt", to=tmp_path / "y.pt") == tmp_path / "y.pt"
    assert Path("new/folder/x.pt").read_text() == (tmp_path / "y.pt").read_text() == "models/b.pt"


def test_a_download_into_a_folder_keeps_the_name(shelf: Experiment) -> None:
    Path("there").mkdir()
    assert shelf.files("b.pt").download(to="there") == str(Path("there/b.pt"))
    assert shelf.files("b.pt").download(to="made/") == str(Path("made/b.pt"))
    assert Path("made/b.pt").read_text() == "models/b.pt"


def test_a_download_replaces_what_was_there_and_follows_a_link(shelf: Experiment) -> None:
    Path("real").write_text("old")
    Path("link").symlink_to("real")
    shelf.files("b.pt").download(to="link")
    assert Path("link").is_symlink()
    assert Path("real").read_text() == "models/b.pt"


def test_a_pattern_downloads_side_by_side(shelf: Experiment) -> None:
    for found in (
        shelf.files.download("models/**/*.pt", to="out"),
        shelf.files("models").download("*.pt", to="out"),
        shelf.files("models/*.pt").download(to="out"),
        shelf.files().download("models/*.pt", to="out"),
    ):
        assert found == [str(Path("out/b.pt")), str(Path("out/c.pt"))]
    assert Path("out/c.pt").read_text() == "models/deep/c.pt"


def test_files_of_one_name_do_not_overwrite_each_other(shelf: Experiment) -> None:
    assert shelf.files.download("*.txt", to="out") == [str(Path("out/a.txt")), str(Path("out/models/a.txt"))]
    assert (Path("out/a.txt").read_text(), Path("out/models/a.txt").read_text()) == ("a.txt", "models/a.txt")


def test_only_files_that_share_a_name_go_in_their_folders(shelf: Experiment) -> None:
    assert shelf.files.download("*", to="out") == [
        str(Path("out", name)) for name in ("a.txt", "models/a.txt", "b.pt", "c.pt", "d.pt", "e.png")
    ]
    assert Path("out/c.pt").read_text() == "models/deep/c.pt"


def test_a_file_that_is_called_as_a_folder_is_does_not_stand_in_its_way(experiment: Experiment) -> None:
    for name in ("x/models", "a.txt", "models/a.txt"):
        experiment.files.save_text(name, to=name)
    for path in experiment.files.download("*", to="out"):
        assert Path(path).read_text() == str(Path(path).relative_to("out"))


def test_a_download_that_cannot_be_written_says_where(shelf: Experiment) -> None:
    Path("file").write_text("x")
    os.mkfifo("fifo")
    for target in ("file/below", "fifo", "x" * 300, "nul\0"):
        with pytest.raises(StorageError, match=re.escape(repr(target)[:50])):
            shelf.files("b.pt").download(to=target)
    assert Path("file").read_text() == "x"


def test_damaged_content_is_named_by_both_hashes_and_not_written(experiment: Experiment, tmp_path: Path) -> None:
    saved = experiment.files.save_text("good", to="a.txt")
    (path,) = (tmp_path / "root").rglob(f"_files/*/{saved['checksum']}")
    path.chmod(0o644)
    path.write_text("evil")
    with pytest.raises(StorageError) as caught:
        experiment.files("a.txt").download(to="out.txt")
    assert saved["checksum"] in str(caught.value)
    assert sha256(b"evil").hexdigest() in str(caught.value)
    assert os.listdir() == []
    with pytest.raises(StorageError):
        experiment.files("a.txt").read_text()


def test_a_folder_is_not_a_file(shelf: Experiment) -> None:
    for call in (shelf.files("models").download, shelf.files("models").delete, shelf.files("models").read_text):
        with pytest.raises(FileNotFoundError, match=re.escape("'models/*'")):
            call()
    assert len(shelf.files.list()) == 6


@pytest.mark.parametrize("call", ["download", "delete", "read_text", "versions", "update"])
def test_what_means_no_file_is_an_error_of_every_kind_that_users_catch(shelf: Experiment, call: str) -> None:
    for files in (shelf.files("models/nothing.pt"), shelf.files("*.nothing"), shelf.files(file_id="nothing")):
        for kind in (FileNotFoundError, ValueError, KeyError, NotFoundError, StorageError):
            with pytest.raises(kind):
                getattr(files, call)()
    with pytest.raises(FileNotFoundError, match=re.escape("'models/b.pt'")):
        getattr(shelf.files("models/bb.pt"), call)()


# --- versions, deleting, changing ---------------------------------------------------------------------------


def test_saving_again_makes_a_version_and_leaves_one_file(experiment: Experiment) -> None:
    first = experiment.files("m").save_text("1", to="a.txt")
    second = experiment.files.save_text("2", to="m/a.txt")
    other = experiment.files.save_text("3", to="n/a.txt")
    assert first["id"] != second["id"]
    assert experiment.files.list() == [second, other]
    assert experiment.files("m/a.txt").versions() == experiment.files.versions("m/a.txt") == [first, second]
    with pytest.raises(FileNotFoundError, match=r"older version of 'm/a\.txt'"):
        experiment.files(file_id=first["id"]).download()
    assert experiment.files(file_id=second["id"]).read_text() == "2"


def test_older_versions_can_be_fetched(experiment: Experiment) -> None:
    saved = [experiment.files.save_text(text, to="a.txt") for text in ("one", "two", "three")]
    for version, text in [(0, "one"), (-1, "three"), (-3, "one"), (saved[1]["id"], "two")]:
        experiment.files("a.txt").download(to="out.txt", version=version)
        assert Path("out.txt").read_text() == text
    for version in (3, -4, "nothing"):
        with pytest.raises(FileNotFoundError, match="version"):
            experiment.files("a.txt").download(version=version)
    with pytest.raises(ValueError, match="pattern"):
        experiment.files.download("*.txt", version=0)


def test_a_deleted_file_is_gone_from_lists_and_stays_in_history(experiment: Experiment, tmp_path: Path) -> None:
    saved = experiment.files.save_text("x", to="a.txt")
    deleted = experiment.files("a.txt").delete()
    assert isinstance(deleted, dict)
    assert set(deleted) == {"id", "deletedAt"}
    assert deleted["id"] == saved["id"]
    assert experiment.files.list() == []
    assert not experiment.files("a.txt").exists()
    with pytest.raises(FileNotFoundError):
        experiment.files("a.txt").download()
    with pytest.raises(FileNotFoundError, match="was deleted"):
        experiment.files(file_id=saved["id"]).delete()
    assert experiment.files("a.txt").versions() == [{**saved, "deletedAt": deleted["deletedAt"]}]
    assert list((tmp_path / "root").rglob(f"_files/*/{saved['checksum']}"))


def test_deleting_takes_the_file_away_not_only_its_newest_version(experiment: Experiment) -> None:
    experiment.files.save_text("1", to="a.txt")
    experiment.files.save_text("2", to="a.txt")
    experiment.files("a.txt").delete()
    assert experiment.files.list() == []
    again = experiment.files.save_text("3", to="a.txt")
    assert experiment.files.list() == [again]
    assert len(experiment.files("a.txt").versions()) == 3


def test_a_pattern_deletes_every_match(shelf: Experiment) -> None:
    deleted = shelf.files.delete("*.pt")
    assert isinstance(deleted, list)
    assert len(deleted) == 3
    assert names(shelf.files.list()) == ["/a.txt", "/models/a.txt", "/images/e.png"]
    assert isinstance(shelf.files("models").delete("a.txt"), dict)


def test_update_changes_only_what_is_said(experiment: Experiment) -> None:
    saved = experiment.files.save_text("x", to="a.txt", description="d", tags=["t"], bindrs=["b"], metadata={"m": 1})
    changed = experiment.files("a.txt").update(tags=["new"], metadata={})
    assert changed == {**saved, "tags": ["new"], "metadata": {}, "updatedAt": changed["updatedAt"]}
    assert changed["updatedAt"] > saved["updatedAt"]
    assert experiment.files.list() == [changed]
    changed = experiment.files(file_id=saved["id"], description="other", bindrs=[]).update()
    assert (changed["description"], changed["tags"], changed["bindrs"]) == ("other", ["new"], [])
    assert experiment.files.update("a.txt", description="third")["description"] == "third"
    assert experiment.files("a.txt").update()["description"] == "third"


def test_update_needs_one_file(shelf: Experiment) -> None:
    with pytest.raises(ValueError, match="No file path specified"):
        shelf.files(description="x").update()
    with pytest.raises(ValueError, match="means 3 files"):
        shelf.files("*.pt").update(description="x")


def test_a_duplicate_has_the_same_content_under_another_name(experiment: Experiment) -> None:
    saved = experiment.files.save_text("x", to="m/a.txt", description="d", tags=["t"])
    copy = experiment.files("m").duplicate(saved, to="latest/b.json")
    assert (copy["path"], copy["filename"], copy["contentType"]) == ("/latest", "b.json", "application/json")
    assert (copy["checksum"], copy["sizeBytes"]) == (saved["checksum"], saved["sizeBytes"])
    assert copy["id"] != saved["id"]
    assert (copy["description"], copy["tags"]) == ("d", ["t"])
    assert experiment.files.list() == [saved, copy]
    assert names([experiment.files.duplicate(saved["id"], "/root.txt", tags=[])]) == ["/root.txt"]
    assert experiment.files("root.txt").update()["tags"] == []
    assert experiment.files.duplicate("m/a.txt", "third.txt")["checksum"] == saved["checksum"]


def test_a_duplicate_replaces_its_target_and_brings_older_versions_back(experiment: Experiment) -> None:
    first = experiment.files.save_text("good", to="a.txt")
    experiment.files.save_text("bad", to="a.txt")
    experiment.files("a.txt").delete()
    experiment.files.duplicate(first, "a.txt")
    assert experiment.files("a.txt").read_text() == "good"
    assert len(experiment.files("a.txt").versions()) == 3


@pytest.mark.parametrize("source", [None, 3, [], {}, {"id": ""}, "", {"id": 3}])
def test_a_source_that_is_no_file_is_refused(experiment: Experiment, source: Any) -> None:
    with pytest.raises(ValueError, match="source must be"):
        experiment.files.duplicate(source, "a.txt")


def test_an_unknown_source_or_a_target_without_a_name_is_refused(experiment: Experiment) -> None:
    saved = experiment.files.save_text("x", to="a.txt")
    for source in ("nothing", {"id": "nothing"}):
        with pytest.raises(FileNotFoundError):
            experiment.files.duplicate(source, "b.txt")
    for target in ("b/", "", "/", "../b"):
        with pytest.raises(ValueError, match="target"):
            experiment.files.duplicate(saved, target)


# --- over the life of an experiment -------------------------------------------------------------------------


def test_files_are_there_after_reopening_and_in_the_loaded_run(experiment: Experiment, tmp_path: Path) -> None:
    saved = experiment.files.save_text("x", to="a.txt", tags=["t"])
    experiment.run.complete()
    with Experiment("alice/files/run", dash_root=str(tmp_path / "root")).run as again:
        assert again.files.list() == [saved]
        again.files.save_text("y", to="a.txt")
        assert len(again.files("a.txt").versions()) == 2


def test_the_same_content_in_two_files_is_stored_once(experiment: Experiment, tmp_path: Path) -> None:
    experiment.files.save_text("x", to="a.txt")
    experiment.files.save_text("x", to="b.txt")
    assert len([path for path in (tmp_path / "root").rglob("_files/*/*") if path.is_file()]) == 1


def test_every_change_is_one_event(experiment: Experiment, tmp_path: Path) -> None:
    saved = experiment.files.save_text("x", to="a.txt")
    experiment.files("a.txt").update(tags=["t"])
    experiment.files("a.txt").update()
    experiment.files.duplicate(saved, "b.txt")
    experiment.files("a.txt").delete()
    experiment.flush()
    assert saved_events(tmp_path) == ["file.saved", "file.updated", "file.saved", "file.deleted"]


def test_nothing_is_stored_while_the_experiment_is_not_open(tmp_path: Path) -> None:
    experiment = Experiment("alice/files/run", dash_root=str(tmp_path / "root"))
    with experiment.run:
        folder = experiment.files("models")
        saved = folder.save_text("x", to="a.txt")
    calls = [
        lambda: folder.save_text("other", to="b.txt"),
        lambda: folder.delete("a.txt"),
        lambda: folder.duplicate(saved, "b.txt"),
        lambda: experiment.files.save_text("other", to="b.txt"),
    ]
    for call in calls:
        with pytest.raises(ExperimentError, match="not started"):
            call()
    assert len([path for path in (tmp_path / "root").rglob("_files/*/*") if path.is_file()]) == 1
    assert saved_events(tmp_path) == ["file.saved"]


def test_while_disabled_everything_is_accepted_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_DASH_MODE", "disabled")
    with Experiment("alice/files/run", dash_root=str(tmp_path / "root")).run as experiment:
        saved = experiment.files("m").save_pkl([1], to="a.pkl")
        assert list(saved) == KEYS
        assert saved["checksum"] == sha256(pickle.dumps([1])).hexdigest()
        assert experiment.files.list() == []
        assert not experiment.files("m/a.pkl").exists()
    assert not (tmp_path / "root").exists()


def test_a_name_in_the_journal_that_would_leave_the_folder_is_not_followed(experiment: Experiment) -> None:
    saved = experiment.files.save_text("x", to="a.txt")
    event = {key: value for key, value in saved.items() if not key.endswith("At")}
    for number, (path, filename) in enumerate([("/", "../evil"), ("/..", "evil"), ("/a", "b/../../../evil")]):
        forged = {**event, "id": f"forged{number}", "path": path, "filename": filename}
        experiment._recorder.writer().record("file.saved", forged)
    with pytest.raises(ValueError, match=re.escape("'..'")):
        experiment.files.download("*evil", to="out")
    for number in (0, 2):
        with pytest.raises(ValueError, match=re.escape("'..'")):
            experiment.files(file_id=f"forged{number}").download(to="out/")
    assert experiment.files(file_id="forged1").download(to="out/") == str(Path("out/evil"))
    assert not [path for path in Path("..").rglob("evil") if path.resolve() != Path("out/evil").resolve()]
