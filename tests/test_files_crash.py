"""Processes that are killed, disks that fill, children that fork: while files are being saved."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import ml_dash
from ml_dash import Experiment

from .promises import RecordProperty

PREFIX = "alice/files/crash"
DEADLINE_S = 60.0

SAVE_UNTIL_KILLED = """
import os, sys
from ml_dash import Experiment
root, source = sys.argv[1:]
with Experiment("alice/files/crash", dash_root=root).run as experiment:
    number = 0
    while True:
        number += 1
        with open(source, "r+b") as file:
            file.write(b"%d" % number)
        print(experiment.files.upload(source, to=f"{number}.bin")["checksum"], flush=True)
"""


def files_below(root: Path) -> list[Path]:
    return [path for path in (root / PREFIX / "_files").rglob("*") if path.is_file()]


def saved_events(root: Path) -> list[dict[str, Any]]:
    return [event.data for event in ml_dash.events(PREFIX, dash_root=str(root)) if event.type == "file.saved"]


def checksum_of(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def kill_while_saving(root: Path, source: Path, saves: int) -> list[str]:
    """Kills a process in the middle of its save number `saves` + 1; the checksums that it had been given by then."""
    child = subprocess.Popen(
        [sys.executable, "-c", SAVE_UNTIL_KILLED, str(root), str(source)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    given = [child.stdout.readline().strip() for _ in range(saves)]
    deadline = time.monotonic() + DEADLINE_S
    while not any(map(size_of, drafts(root))):
        assert time.monotonic() < deadline, "no save was seen under way"
    child.send_signal(signal.SIGKILL)
    rest, _ = child.communicate()
    return given + rest.split()


def drafts(root: Path) -> list[Path]:
    return list((root / PREFIX / "_files").glob(".draft-*"))


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_a_process_killed_while_saving_leaves_no_half_file_and_no_event_of_it(
    tmp_path: Path, record_property: RecordProperty
) -> None:
    root, source = tmp_path / "root", tmp_path / "source.bin"
    source.touch()
    os.truncate(source, 48 * 1024 * 1024)
    given: list[str] = []
    for saves in (0, 1, 2):
        given += kill_while_saving(root, source, saves)
        whole = [path for path in files_below(root) if not path.name.startswith(".draft-")]
        assert all(path.name == checksum_of(path) for path in whole)
        told = [event["checksum"] for event in saved_events(root)]
        # Everything that was answered is in the journal; everything in the journal has its content.
        in_order = iter(told)
        assert all(checksum in in_order for checksum in given)
        assert len(told) <= len(given) + saves + 1
        assert set(told) <= {path.name for path in whole}
        record_property("kills of writers", 1)
    with Experiment(PREFIX, dash_root=str(root)).run as experiment:
        experiment.files.save_text("after all that", to="after.txt")
        assert drafts(root) == []
        assert experiment.files.read_text("after.txt") == "after all that"
        for file in experiment.files.list("*.bin"):
            path = experiment.files(file_id=file["id"]).download(to=tmp_path / "out.bin")
            assert checksum_of(Path(str(path))) == file["checksum"]


SAVE_ON_A_FULL_DISK = """
import json, os, resource, sys
import numpy as np
import matplotlib; matplotlib.use("Agg")
from matplotlib.figure import Figure
from ml_dash import Experiment
from ml_dash.errors import StorageError
noise = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
figure = Figure(figsize=(20, 20), dpi=100)
figure.subplots().imshow(noise[0])
with Experiment("alice/files/crash", dash_root=sys.argv[1]).run as experiment:
    files = experiment.files
    experiment.log("open", level="info")
    experiment.flush()
    with open("big.bin", "wb") as file:
        file.write(noise.tobytes())
    # No file may grow beyond this: to the process the same as a disk that is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
    ways = {
        "upload": lambda: files.upload("big.bin"),
        "blob": lambda: files.save_blob(noise, to="a.bin"),
        "pkl": lambda: files.save_pkl(noise, to="a.pkl"),
        "json": lambda: files.save_json(noise[0], to="a.json"),
        "image": lambda: files.save_image(np.concatenate(noise[:20]), to="a.png"),
        "array": lambda: files.save(noise, to="a.npy"),
        "fig": lambda: files.save_fig(figure, to="a.png"),
        "film": lambda: files.save_video(noise, to="a.mp4"),
        "gif": lambda: files.save_video(noise, to="a.gif"),
    }
    said = {}
    for name, way in ways.items():
        try:
            way()
            said[name] = "saved"
        except StorageError as error:
            said[name] = str(error)
        except Exception as error:
            said[name] = f"other {error!r}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    left = [name for _, _, names in os.walk(sys.argv[1] + "/alice/files/crash/_files") for name in names]
    saved = files.save_text("space again", to="a.txt")
    print(json.dumps([said, left, [file["filename"] for file in files.list()]]))
"""


def test_a_full_disk_is_a_storage_error_whatever_was_being_written(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SAVE_ON_A_FULL_DISK, str(tmp_path / "root")]
    run = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    said, left, listed = json.loads(run.stdout.splitlines()[-1])
    assert {name: text for name, text in said.items() if "could not be saved" not in text} == {}
    assert left == []
    assert listed == ["a.txt"]


def test_processes_that_save_at_once_keep_every_file(tmp_path: Path) -> None:
    code = """
import sys
from ml_dash import Experiment
root, name = sys.argv[1:]
with Experiment("alice/files/crash", dash_root=root).run as experiment:
    for number in range(8):
        experiment.files.save_text(f"{number}" * 1000, to=f"{name}/{number}.txt")
        experiment.files.save_text(name, to="shared.txt")
"""
    root = tmp_path / "root"
    children = [subprocess.Popen([sys.executable, "-c", code, str(root), name]) for name in ("a", "b", "c")]
    assert [child.wait(DEADLINE_S) for child in children] == [0, 0, 0]
    with Experiment(PREFIX, dash_root=str(root)).run as experiment:
        assert len(experiment.files.list()) == 25
        assert len(experiment.files("shared.txt").versions()) == 24
        assert {file.name for file in files_below(root)} == {file["checksum"] for file in experiment.files.list()} | {
            sha256(name.encode()).hexdigest() for name in "abc"
        }
        for file in experiment.files.list("?/*.txt"):
            assert experiment.files(file_id=file["id"]).read_text() == file["filename"][0] * 1000


def test_a_forked_child_saves_files_of_its_own(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with Experiment(PREFIX, dash_root=str(root)).run as experiment:
        experiment.files.save_text("parent", to="parent.txt")
        child = os.fork()
        if child == 0:
            try:
                experiment.files.save_text("child", to="child.txt")
                experiment.flush()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert sorted(file["filename"] for file in experiment.files.list()) == ["child.txt", "parent.txt"]
        assert experiment.files.read_text("child.txt") == "child"
