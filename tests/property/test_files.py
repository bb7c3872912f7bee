"""Files against a model, and the rules of paths and patterns against a slow and obvious reading of them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ml_dash import Experiment
from ml_dash.errors import ConfigurationError, UnknownFileError
from ml_dash.recording.file_paths import below, clean_folder, local_names, matching, name_of, split_target

from ..examples import examples

PARTS = st.text(min_size=1, max_size=8).filter(lambda part: part not in (".", "..") and not set(part) & set("/\\\0"))
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
ENCODABLE = NAMES.filter(lambda name: name.encode("utf-8", "ignore").decode() == name)
CONTENT = st.binary(max_size=200)


@dataclass(frozen=True)
class File:
    path: str
    filename: str


def file(name: str) -> File:
    return File(*split_target("", name))


# --- names --------------------------------------------------------------------------------------------------


@given(NAMES, NAMES)
def test_a_target_stands_below_its_folder(folder: str, target: str) -> None:
    path, filename = split_target(clean_folder(folder), target)
    assert path.startswith(f"/{folder}")
    assert f"{path}/{filename}" == f"/{folder}/{target}"
    assert name_of(File(path, filename)) == f"{folder}/{target}"
    assert below([File(path, filename)], folder) == [File(path, filename)]


@given(st.text(alphabet="ab./\\\0", max_size=12))
def test_a_target_is_either_inside_or_refused(target: str) -> None:
    parts = [part for part in target.split("/") if part not in ("", ".")]
    leaves = set(target) & set("\\\0") or ".." in parts or target.startswith("/")
    if leaves or not parts or target.endswith("/"):
        with pytest.raises(ConfigurationError):
            split_target("top", target)
        return
    path, filename = split_target("top", target)
    whole = f"{path}/{filename}"
    assert whole.startswith("/top/")
    assert Path(whole).resolve().is_relative_to("/top")
    assert not {"", ".", ".."} & set(whole[1:].split("/"))


@given(st.lists(NAMES, max_size=6, unique=True), NAMES | st.just(""))
def test_files_that_are_fetched_together_get_names_of_their_own(names: list[str], folder: str) -> None:
    files = [file(name) for name in names]
    targets = local_names(files, folder)
    flat = [each.filename for each in files]
    assert targets == flat if len(set(flat)) == len(flat) else len(targets) == len(names)
    if not folder:
        assert len(set(targets)) == len(names)


# --- patterns -----------------------------------------------------------------------------------------------


def matches(text: str, pattern: str) -> bool:
    """What `*`, `?` and `**/` mean, one step at a time."""
    if not pattern:
        return not text
    if pattern.startswith("**/"):
        rest = pattern[3:]
        return matches(text, rest) or any(
            matches(text[index + 1 :], rest) for index, character in enumerate(text) if character == "/"
        )
    if pattern[0] == "*":
        return any(matches(text[index:], pattern[1:]) for index in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and matches(text[1:], pattern[1:])


SMALL = st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=3).map("/".join)
PATTERNS = st.lists(st.sampled_from(["**/", "*", "?", "a", "b", "/"]), min_size=1, max_size=6).map("".join)


@examples(300)
@given(SMALL, PATTERNS)
def test_a_pattern_is_tried_on_the_filename_and_on_the_name(name: str, pattern: str) -> None:
    one = file(name)
    assert bool(matching([one], pattern)) == (matches(one.filename, pattern) or matches(name, pattern))


@examples(100)
@given(SMALL, PATTERNS)
def test_in_a_folder_a_pattern_is_also_tried_on_the_name_below_it(name: str, pattern: str) -> None:
    one = file(f"top/{name}")
    expected = any(matches(text, pattern) for text in (one.filename, name, f"top/{name}"))
    assert bool(matching([one], pattern, "top")) == expected


@given(NAMES)
def test_a_name_without_marks_matches_itself_alone(name: str) -> None:
    if not set(name) & set("*?["):
        assert matching([file(name), file(f"{name}x"), file(f"x{name}")], name) == [file(name)]


# --- the whole --------------------------------------------------------------------------------------------------


@examples(40)
@given(st.dictionaries(NAMES, CONTENT, min_size=1, max_size=5))
def test_a_file_saved_is_the_file_read_for_any_name_and_content(files: dict[str, bytes]) -> None:
    with (
        tempfile.TemporaryDirectory() as root,
        Experiment("alice/files/any", dash_root=f"{root}/dash").run as experiment,
    ):
        saved = [experiment.files.save_blob(content, to=name) for name, content in files.items()]
        assert experiment.files.list() == saved
        for one, (name, content) in zip(saved, files.items(), strict=True):
            assert one["checksum"] == sha256(content).hexdigest()
            assert experiment.files(name).versions() == [one]
            target = f"{root}/out"
            assert experiment.files(name).download(to=target) == target
            assert Path(target).read_bytes() == content


@examples(40)
@given(st.dictionaries(ENCODABLE, CONTENT, min_size=1, max_size=5))
def test_files_saved_are_the_files_downloaded_for_any_pattern(files: dict[str, bytes]) -> None:
    # A file and a folder cannot have one name on a disk, though they can here.
    if any(other.startswith(f"{name}/") for name in files for other in files):
        return
    with (
        tempfile.TemporaryDirectory() as root,
        Experiment("alice/files/any", dash_root=f"{root}/dash").run as experiment,
    ):
        for name, content in files.items():
            experiment.files.save_blob(content, to=name)
        paths = experiment.files.download("**/*", to=f"{root}/out")
        assert isinstance(paths, list)
        assert [Path(path).read_bytes() for path in paths] == list(files.values())


class FilesMachine(RuleBasedStateMachine):
    """Saves, deletes, updates, duplicates and reopens; the model is a list of all versions ever saved."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.experiment = Experiment("alice/files/machine", dash_root=f"{self.folder.name}/dash")
        self.experiment.run.start()
        self.versions: list[tuple[dict[str, Any], bytes]] = []

    def teardown(self) -> None:
        if hasattr(self, "experiment"):
            self.experiment.run.complete()
            self.folder.cleanup()

    names = st.sampled_from(["a.txt", "b.txt", "m/a.txt", "m/deep/c.bin", "m2/d"])

    def _of(self, name: str) -> list[tuple[dict[str, Any], bytes]]:
        return [each for each in self.versions if f"{each[0]['path']}/{each[0]['filename']}".lstrip("/") == name]

    def _standing(self, name: str) -> tuple[dict[str, Any], bytes] | None:
        newest = self._of(name)[-1:]
        return newest[0] if newest and newest[0][0]["deletedAt"] is None else None

    @rule(name=names, content=CONTENT, tags=st.lists(st.sampled_from(["x", "y"]), max_size=2))
    def save(self, name: str, content: bytes, tags: list[str]) -> None:
        self.versions.append((self.experiment.files.save_blob(content, to=name, tags=tags), content))

    @rule(name=names)
    def delete(self, name: str) -> None:
        standing = self._standing(name)
        # By path where it can mean no other file: a bare name may be that of one in a folder.
        files = self.experiment.files(f"/{name}") if "/" in name else self.experiment.files(file_id=self._id(name))
        if standing is None:
            with pytest.raises(UnknownFileError):
                files.delete()
        else:
            deleted = files.delete()
            assert isinstance(deleted, dict)
            standing[0]["deletedAt"] = deleted["deletedAt"]

    def _id(self, name: str) -> str:
        of_name = self._of(name)
        return of_name[-1][0]["id"] if of_name else "none"

    @rule(name=names, description=st.text(max_size=3))
    def update(self, name: str, description: str) -> None:
        standing = self._standing(name)
        if standing is not None:
            standing[0].update(self.experiment.files(file_id=standing[0]["id"]).update(description=description))
            assert standing[0]["description"] == description

    @rule(data=st.data(), name=names)
    def duplicate(self, data: st.DataObject, name: str) -> None:
        if self.versions:
            source, content = data.draw(st.sampled_from(self.versions))
            copy = self.experiment.files.duplicate(source, f"/{name}")
            assert (copy["tags"], copy["description"]) == (source["tags"], source["description"])
            self.versions.append((copy, content))

    @rule()
    def reopen(self) -> None:
        self.experiment.run.complete()
        self.experiment.run.start()

    @rule()
    def everything_is_as_the_model_says(self) -> None:
        names = dict.fromkeys(f"{each['path']}/{each['filename']}".lstrip("/") for each, _ in self.versions)
        standing = [found for name in names if (found := self._standing(name)) is not None]
        assert self.experiment.files.list() == [each for each, _ in standing]
        for each, content in standing:
            target = f"{self.folder.name}/out"
            self.experiment.files(file_id=each["id"]).download(to=target)
            assert Path(target).read_bytes() == content
        for name in names:
            own = self._of(name)
            # A bare name may mean a file in a folder, but its own name comes first.
            assert self.experiment.files(name).versions() == [each for each, _ in own]


def test_files_behave_as_a_list_of_versions() -> None:
    run_state_machine_as_test(FilesMachine, settings=examples(15, stateful_step_count=15, deadline=None))
