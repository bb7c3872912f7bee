"""`ml_dash.archive` and `ml-dash archive`: with real processes, amid recording, following, redacting and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment, MissingExtraError, StorageError
from ml_dash.errors import JournalCorruptError, LockError
from ml_dash.journal import archive as journal_archive
from ml_dash.journal import folder as journal_folder
from ml_dash.journal import lock, segment_file
from ml_dash.journal.archive import rewriting
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import SEGMENT_BYTES_MAX
from ml_dash.journal.reader import JournalReader

from .histories import point
from .journals import append, session

PREFIX = "alice/ml/a"
SECRET = "hunter2hunter2"
SEALS = 400
"""More than a header has and less than one with a commit: each commit seals its segment."""


def in_segments(root: Path, count: int = 4, first: int = 0) -> JournalFolder:
    """A journal of so many segments, a point in each."""
    for step in range(first, first + count):
        bytes_max = SEALS if step < first + count - 1 else SEGMENT_BYTES_MAX
        append(root / PREFIX, ("s1", [point("train", step=step)]), segment_bytes_max=bytes_max)
    return JournalFolder(root / PREFIX)


def names(folder: JournalFolder) -> list[str]:
    return sorted(name for name in os.listdir(folder.path) if name.endswith((".jsonl", ".zst", ".new")))


def steps(root: Path) -> list[int]:
    return ml_dash.load(PREFIX, dash_root=root).metrics["train"].columns()["step"]


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ml_dash", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_all_but_the_newest_segment_is_archived_and_doing_it_again_does_nothing(tmp_path: Path) -> None:
    folder = in_segments(tmp_path)
    whole = names(folder)
    told: list[tuple[int, int]] = []
    done = ml_dash.archive(PREFIX, dash_root=tmp_path, progress=lambda *each: told.append(each))
    assert done.segments == tuple(range(1, len(whole)))
    assert names(folder) == [f"{name}.zst" for name in whole[:-1]] + whole[-1:]
    assert [each[0] for each in told] == sorted(each[0] for each in told)
    assert told[-1][0] == told[-1][1]
    assert (done.left, steps(tmp_path)) == ((), [0, 1, 2, 3])
    again = ml_dash.archive(PREFIX, dash_root=tmp_path)
    assert (again.segments, again.bytes_before, again.left) == ((), 0, ())
    undone = ml_dash.archive(PREFIX, undo=True, dash_root=tmp_path)
    assert (undone.segments, undone.bytes_after, undone.bytes_before) == (
        done.segments,
        done.bytes_before,
        done.bytes_after,
    )
    assert names(folder) == whole


def test_what_was_verified_for_archiving_is_not_read_again_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_segments(tmp_path)
    ml_dash.archive(PREFIX, dash_root=tmp_path)
    read: list[int] = []
    inner = JournalReader._lines

    def lines(self: Any, file: Any, end: int) -> Any:
        for line in inner(self, file, end):
            read.append(line.segment)
            yield line

    monkeypatch.setattr(JournalReader, "_lines", lines)
    with Experiment(PREFIX, dash_root=tmp_path, console=False).run:
        assert set(read) <= {4}


def test_archiving_amid_recording_and_following_disturbs_neither(tmp_path: Path) -> None:
    in_segments(tmp_path, 3)
    write = (
        "import sys\n"
        "from ml_dash import Experiment\n"
        "with Experiment('alice/ml/a', dash_root=sys.argv[1], console=False).run as experiment:\n"
        "    for step in range(3, 2003):\n"
        "        experiment.metrics('train').log(step=step)\n"
        "        if step % 200 == 0:\n"
        "            experiment.flush()\n"
        "            print(step, flush=True)\n"
        "            sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", write, str(tmp_path)]
    events = ml_dash.events(PREFIX, dash_root=tmp_path, follow=True)
    seen = [next(events).data["fields"]["step"] for _ in range(2)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for turn in range(10):
            assert process.stdout.readline()
            # Rotates under the writer, as another writer with small segments would.
            append(tmp_path / PREFIX, ("s2", [point("other", step=turn)]), segment_bytes_max=SEALS)
            assert ml_dash.archive(PREFIX, dash_root=tmp_path).segments
            print(file=process.stdin, flush=True)
        process.stdin.close()
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    found = []
    for each in events:
        found.append(each)
        if each.type == "run.completed":
            break
    seen += [
        each.data["fields"]["step"] for each in found if each.type == "metric.logged" and each.data["name"] == "train"
    ]
    assert seen == list(range(2003))
    assert steps(tmp_path) == list(range(2003))
    assert ml_dash.verify(PREFIX, dash_root=tmp_path).ok


ARCHIVE = "import sys, ml_dash; ml_dash.archive('alice/ml/a', undo=sys.argv[2] == 'undo', dash_root=sys.argv[1])"


@pytest.mark.parametrize("way", ["pack", "undo"])
def test_kill_9_amid_archiving_loses_nothing_and_the_next_one_completes_it(tmp_path: Path, way: str) -> None:
    for step in range(4):
        text = f"{step} ".encode().hex() * 60_000
        append(tmp_path / PREFIX, ("s1", [point("train", step=step, text=text)]), segment_bytes_max=SEALS)
    folder = JournalFolder(tmp_path / PREFIX)
    whole = [each.data for each in ml_dash.events(PREFIX, dash_root=tmp_path)]
    if way == "undo":
        ml_dash.archive(PREFIX, dash_root=tmp_path)
    begun = names(folder)
    states = set()
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", ARCHIVE, str(tmp_path), way])
        # Killed as soon as anything has moved on, wherever that is.
        while names(folder) == begun and process.poll() is None:
            pass
        process.kill()
        killed = process.wait(60) == -signal.SIGKILL
        begun = names(folder)
        states.add(tuple(name.partition(".")[2] for name in begun))
        assert [each.data for each in ml_dash.events(PREFIX, dash_root=tmp_path)] == whole
        if not killed:
            break
    assert len(states) > 1
    ml_dash.archive(PREFIX, undo=way == "undo", dash_root=tmp_path)
    assert len(names(folder)) == 5
    assert [each.data for each in ml_dash.events(PREFIX, dash_root=tmp_path)] == whole
    assert ml_dash.verify(PREFIX, dash_root=tmp_path).ok


# --- what is left as it is ----------------------------------------------------------------------------------


def test_a_damaged_segment_is_left_and_named_and_the_others_are_archived(tmp_path: Path) -> None:
    folder = in_segments(tmp_path)
    path = Path(folder.segment_path(2))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    done = ml_dash.archive(PREFIX, dash_root=tmp_path)
    assert done.segments == (1, 3)
    assert [(each.segment, "damaged" in each.reason) for each in done.left] == [(2, True)]
    assert path.read_bytes() == data
    found = run_command("archive", PREFIX, "--dash-root", str(tmp_path))
    assert found.returncode == 1
    assert "segment 00000002 was left as it is: it is damaged at byte" in found.stdout
    ml_dash.history.recover(PREFIX, dash_root=tmp_path)
    assert 2 in ml_dash.archive(PREFIX, dash_root=tmp_path).segments
    assert steps(tmp_path) == [0, 2, 3]


def test_a_damaged_archive_stays_archived_unless_every_byte_can_be_had(tmp_path: Path) -> None:
    folder = in_segments(tmp_path)
    ml_dash.archive(PREFIX, dash_root=tmp_path)
    first, second = Path(folder.archived_path(1)), Path(folder.archived_path(2))
    first.write_bytes(first.read_bytes()[:-1])
    second.write_bytes(second.read_bytes()[:40])
    report = ml_dash.verify(PREFIX, dash_root=tmp_path)
    assert [(each.kind.value, each.segment) for each in report.damage] == [("archive", 1), ("corrupt", 2)]
    shown = run_command("show", PREFIX, "--dash-root", str(tmp_path))
    assert "the archive of segment 00000001 has changed, and still gives every byte" in shown.stdout
    done = ml_dash.archive(PREFIX, undo=True, dash_root=tmp_path)
    assert (done.segments, [each.segment for each in done.left]) == ((1, 3), [2])
    assert second.exists()
    assert steps(tmp_path) == [0, 2, 3]


# --- redacting ----------------------------------------------------------------------------------------------


def test_a_secret_in_an_archived_segment_is_redacted_and_stands_nowhere(tmp_path: Path) -> None:
    recorded = [point("train", step=1, note=SECRET)]
    append(tmp_path / PREFIX, *session("s1", recorded), segment_bytes_max=SEALS)
    folder = in_segments(tmp_path, first=2)
    ml_dash.archive(PREFIX, dash_root=tmp_path)
    assert names(folder)[0] == "00000001.jsonl.zst"
    ml_dash.redact(PREFIX, 2, "note", reason="leaked", dash_root=tmp_path)
    assert names(folder)[0] == "00000001.jsonl"
    assert ml_dash.archive(PREFIX, dash_root=tmp_path).segments
    report = ml_dash.verify(PREFIX, dash_root=tmp_path)
    assert (report.ok, [each.is_done for each in report.redactions]) == (True, [True])
    ml_dash.archive(PREFIX, undo=True, dash_root=tmp_path)
    assert not any(SECRET.encode() in path.read_bytes() for path in Path(folder.path).iterdir() if path.is_file())
    assert steps(tmp_path) == [1, 2, 3, 4, 5]


def test_a_redaction_that_was_not_carried_out_keeps_its_segment_from_being_archived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path / PREFIX, *session("s1", [point("train", step=1, note=SECRET)]), segment_bytes_max=SEALS)
    in_segments(tmp_path, first=2)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    def refused(*_: object) -> None:
        raise OSError(30, os.strerror(30))

    with monkeypatch.context() as patch:
        patch.setattr("ml_dash.recording.redacting.finish", killed)
        with pytest.raises(Killed):
            ml_dash.redact(PREFIX, 2, "note", reason="leaked", dash_root=tmp_path)
        patch.setattr("ml_dash.journal.redaction.finish", refused)
        done = ml_dash.archive(PREFIX, dash_root=tmp_path)
    assert [(each.segment, "not carried out" in each.reason) for each in done.left] == [(1, True)]
    assert ml_dash.archive(PREFIX, dash_root=tmp_path).segments == (1,), "it is finished first"
    ml_dash.archive(PREFIX, undo=True, dash_root=tmp_path)
    assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_archiving_and_redacting_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = in_segments(tmp_path)
    monkeypatch.setattr(lock.JournalLock.__init__, "__defaults__", (0.05, *lock.JournalLock.__init__.__defaults__[1:]))
    with rewriting(folder):
        with pytest.raises(LockError, match="archives or redacts"):
            ml_dash.archive(PREFIX, dash_root=tmp_path)
        with pytest.raises(LockError, match="archives or redacts"):
            ml_dash.redact(PREFIX, 1, "step", reason="x", dash_root=tmp_path)


# --- without the library, and with an older release ---------------------------------------------------------


def test_without_zstandard_archiving_and_reading_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = in_segments(tmp_path)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "zstandard", None)
        with pytest.raises(MissingExtraError, match=r"ml_dash\[archive\]"):
            ml_dash.archive(PREFIX, dash_root=tmp_path)
        assert steps(tmp_path) == [0, 1, 2, 3]
    ml_dash.archive(PREFIX, dash_root=tmp_path)
    Path(folder.checkpoint_path).unlink()
    monkeypatch.setitem(sys.modules, "zstandard", None)
    for call in (ml_dash.load, ml_dash.verify):
        with pytest.raises(MissingExtraError, match=r"00000001.jsonl.zst needs the library zstandard"):
            call(PREFIX, dash_root=tmp_path)
    [summary] = ml_dash.experiments(dash_root=tmp_path)
    assert "ml_dash[archive]" in str(summary.error)
    with pytest.raises(MissingExtraError):
        Experiment(PREFIX, dash_root=tmp_path).run.start()


def test_a_release_that_knows_no_archives_names_what_it_misses_reads_the_rest_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = in_segments(tmp_path)
    ml_dash.archive(PREFIX, dash_root=tmp_path)
    Path(folder.checkpoint_path).unlink()
    before = {path: path.read_bytes() for path in Path(folder.path).glob("*.jsonl*")}
    with monkeypatch.context() as patch:
        # What it looks for.
        patch.setattr(journal_folder, "_SEGMENT_NAME", __import__("re").compile(r"([0-9]{8})\.jsonl"))
        patch.setattr(JournalFolder, "archived_path", lambda self, number: f"{self.path}/none")
        report = ml_dash.verify(PREFIX, dash_root=tmp_path)
        assert not report.ok
        assert [(each.segment, each.first_seq, each.last_seq) for each in report.damage] == [(3, 1, 3)]
        assert steps(tmp_path) == [3]
        with pytest.raises(JournalCorruptError):
            Experiment(PREFIX, dash_root=tmp_path).run.start()
    assert {path: path.read_bytes() for path in before} == before
    assert steps(tmp_path) == [0, 1, 2, 3]


# --- the command --------------------------------------------------------------------------------------------


def test_the_command_says_what_it_has_done_in_words_and_in_json(tmp_path: Path) -> None:
    in_segments(tmp_path)
    root = ("--dash-root", str(tmp_path))
    found = run_command("archive", PREFIX, *root)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith(f"{PREFIX}: 3 segments archived, ")
    assert (
        run_command("archive", PREFIX, *root).stdout
        == f"{PREFIX}: nothing to archive: the newest segment stays as it is\n"
    )
    assert "4 segments (3 archived)" in run_command("verify", PREFIX, *root).stdout
    undone = json.loads(run_command("archive", "--undo", "--json", PREFIX, *root).stdout)
    assert (undone["segments"], undone["left"], undone["undo"]) == ([1, 2, 3], [], True)
    assert json.loads(run_command("verify", "--json", PREFIX, *root).stdout)["archived"] == 0
    unknown = run_command("archive", "alice/ml/b", *root)
    assert unknown.returncode == 1
    assert PREFIX in unknown.stderr


def test_a_folder_that_cannot_be_written_to_is_named_and_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = in_segments(tmp_path)
    before = names(folder)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(journal_archive.JournalLock, "__enter__", refuse)
    with pytest.raises(StorageError, match="cannot be written to"):
        ml_dash.archive(PREFIX, dash_root=tmp_path)
    assert names(folder) == before
    assert segment_file.is_archived(folder, 1) is False
