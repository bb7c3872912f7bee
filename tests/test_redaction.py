"""Redaction: the bytes of a secret leave the journal, the chain holds, and a trace stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from errno import EIO
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import ConfigurationError, Experiment, ExperimentError, StorageError
from ml_dash.facts.events import EVENT_REDACTED
from ml_dash.history import Report
from ml_dash.journal.disk import Disk
from ml_dash.journal.drain import is_locked
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import HASH_TAIL_BYTES, CommitLine, chain_hash
from ml_dash.journal.reader import JournalReader
from ml_dash.reading.replay import KEEP_BYTES_MIN, Replay
from ml_dash.recording.remarks import record_remark

from .histories import event, point
from .journals import append, session

PREFIX = "alice/ml/a"
SECRET = "hunter2-hunter2"
WHY = "it leaked"
PARAMS, LINE, FIRST_POINT = 2, 3, 4


def recorded(root: Path) -> Experiment:
    experiment = Experiment(PREFIX, dash_root=root, console=False)
    with experiment.run:
        experiment.params.set(lr=0.125, db={"password": SECRET, "user": "me", "pin": 1234}, seed=7)
        experiment.log(f"token is {SECRET}", secret={"inside": [SECRET, 5]})
        for step in range(30):
            experiment.metrics("train").log(step=step, loss=step / 7, note=f"n{step} {SECRET}", host=SECRET)
    assert counted(root) > 30
    return experiment


def counted(root: Path, text: str = SECRET) -> int:
    """How often it stands there, what a cache repeats left out."""
    files = [path for path in root.rglob("*") if path.is_file() and path.name != "checkpoint.json"]
    return sum(path.read_bytes().count(text.encode()) for path in files)


def redact(root: Path, seq: int, field: str | None = None) -> int:
    return ml_dash.redact(PREFIX, seq, field, reason=WHY, dash_root=root)


def load(root: Path, at: int | None = None) -> ml_dash.Run:
    return ml_dash.load(PREFIX, dash_root=root, at=at)


def verified(root: Path) -> Report:
    return ml_dash.verify(PREFIX, dash_root=root)


def segment(root: Path, number: int = 1) -> Path:
    return root / PREFIX / f"_journal/{number:08d}.jsonl"


def redaction_of(root: Path, seq: int) -> dict[str, Any]:
    [found] = [each for each in ml_dash.events(PREFIX, dash_root=root) if each.seq == seq]
    assert found.type == EVENT_REDACTED
    return found.data


# -- what is gone and what stays ---------------------------------------------------------------------------------


def test_a_redacted_secret_stands_nowhere_and_everything_else_is_as_it_was(tmp_path: Path) -> None:
    recorded(tmp_path)
    before, bytes_before, count = load(tmp_path), segment(tmp_path).read_bytes(), counted(tmp_path)
    seq = redact(tmp_path, PARAMS, "db.password")
    assert (seq, counted(tmp_path)) == (before.seq + 1, count - 1)
    assert not (tmp_path / PREFIX / "_journal/checkpoint.json").exists(), "it may repeat the secret"
    for at in (PARAMS, before.seq, None):
        params = load(tmp_path, at).params
        assert dict(params) == {**before.params, "db.password": "[redacted]*****"}
    [event] = [each for each in ml_dash.events(PREFIX, dash_root=tmp_path) if each.seq == PARAMS]
    assert event.data["params"]["db.password"] == "[redacted]*****"
    bytes_after = segment(tmp_path).read_bytes()
    changed = [at for at, byte in enumerate(bytes_before) if bytes_after[at] != byte]
    assert bytes_before[changed[0] : changed[0] + 15].decode() == SECRET
    assert len(changed) <= len(SECRET)
    after = load(tmp_path)
    assert repr(after.sessions) == repr(before.sessions)
    assert repr(after.state.metrics) == repr(before.state.metrics)
    assert dict(after.state.unknown) == {}


def test_verify_is_ok_and_lists_what_was_redacted_by_whom_and_why(tmp_path: Path) -> None:
    recorded(tmp_path)
    seq = redact(tmp_path, PARAMS, "db.password")
    report = verified(tmp_path)
    assert (report.ok, report.damage, report.events) == (True, (), seq)
    [found] = report.redactions
    assert (found.seq, found.redacted, found.field, found.reason, found.is_done) == (
        seq,
        PARAMS,
        "db.password",
        WHY,
        True,
    )
    assert found.by is not None
    assert "@" in found.by
    assert load(tmp_path).state.redactions[seq].reason == WHY


def test_a_redacted_journal_is_written_to_and_read_on(tmp_path: Path) -> None:
    experiment = recorded(tmp_path)
    redact(tmp_path, LINE)
    redact(tmp_path, PARAMS)
    with experiment.run:
        experiment.params.set(lr=0.5)
        experiment.log("after")
        assert experiment.params.get("db.password") == "[redacted]*****"
    run = load(tmp_path)
    assert [line.message for line in run.logs] == ["[redacted]**************"[:24], "after"]
    assert run.logs[0].metadata == {"secret": {"inside": ["[redacted]*****", 5]}}
    assert (run.params["lr"], run.params["db.user"], run.params["seed"]) == (0.5, "**", 7)
    assert (run.status, run.damage, len(run.sessions)) == ("COMPLETED", (), 2)
    report = verified(tmp_path)
    assert (report.ok, len(report.redactions)) == (True, 2)


def test_texts_in_columns_are_redacted_one_by_one_or_all_where_they_are_the_same(tmp_path: Path) -> None:
    recorded(tmp_path)
    redact(tmp_path, FIRST_POINT + 3, "note")
    redact(tmp_path, FIRST_POINT, "host")
    columns = load(tmp_path).metrics["train"].columns()
    assert columns["note"] == ["[redacted]********" if step == 3 else f"n{step} {SECRET}" for step in range(30)]
    assert columns["host"] == ["[redacted]*****"] * 30
    assert columns["step"] == list(range(30))
    assert verified(tmp_path).ok


def test_a_number_that_is_named_is_redacted_too(tmp_path: Path) -> None:
    recorded(tmp_path)
    redact(tmp_path, PARAMS, "db.pin")
    redact(tmp_path, PARAMS, "lr")
    assert (load(tmp_path).params["db.pin"], load(tmp_path).params["lr"]) == ("**", "***")
    assert verified(tmp_path).ok


def test_members_inside_others_are_named_by_a_path(tmp_path: Path) -> None:
    recorded(tmp_path)
    redact(tmp_path, LINE, "metadata.secret.inside.0")
    redact(tmp_path, 1, "environment.argv")
    run = load(tmp_path)
    assert run.logs[0].metadata == {"secret": {"inside": ["[redacted]*****", 5]}}
    assert SECRET in run.logs[0].message
    environment = run.sessions[0].environment
    assert environment is not None
    assert all(set(argument) <= set("[redacted]*") for argument in environment["argv"])
    assert environment["python"] == sys.version.partition(" ")[0]


def test_a_corrected_secret_is_redacted_where_it_was_and_where_it_was_corrected(tmp_path: Path) -> None:
    recorded(tmp_path)
    other = "other-secret"
    seq = ml_dash.correct(PREFIX, PARAMS, {"db.password": other}, reason=WHY, dash_root=tmp_path)
    redact(tmp_path, PARAMS, "db.password")
    assert load(tmp_path).params["db.password"] == other
    redact(tmp_path, seq, "data.db.password")
    assert (load(tmp_path).params["db.password"], counted(tmp_path, other)) == ("[redacted]**", 0)


# -- who else held it --------------------------------------------------------------------------------------------


def test_neither_the_cache_nor_a_reader_that_was_there_keeps_the_secret(tmp_path: Path) -> None:
    experiment = recorded(tmp_path)
    with experiment.run:
        for _ in range(40):
            experiment.log("x" * (KEEP_BYTES_MIN // 20))
        experiment.params.set(key="only-here-only")
    seq = load(tmp_path).seq - 1
    replay = Replay(JournalFolder(tmp_path / PREFIX))
    assert replay.refresh().params["key"] == "only-here-only"
    cache = tmp_path / PREFIX / "_journal/checkpoint.json"
    assert b"only-here-only" in cache.read_bytes()
    redact(tmp_path, seq, "key")
    assert not cache.exists()
    assert replay.refresh().params["key"] == "[redacted]****"
    load(tmp_path)
    assert cache.exists()
    assert counted(tmp_path, "only-here-only") == 0


def test_a_writer_that_lives_must_end_first(tmp_path: Path) -> None:
    experiment = Experiment(PREFIX, dash_root=tmp_path)
    experiment.run.start()
    experiment.params.set(password=SECRET)
    experiment.flush()
    with pytest.raises(ExperimentError, match="still recording"):
        redact(tmp_path, PARAMS, "password")
    assert list(verified(tmp_path).redactions) == []
    experiment.run.complete()
    redact(tmp_path, PARAMS, "password")
    assert counted(tmp_path) == 0


def test_what_a_dead_writer_left_in_its_spool_is_redacted_too(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        experiment = Experiment(PREFIX, dash_root=tmp_path)
        experiment.run.start()
        experiment.params.set(password=SECRET)
        os._exit(0)
    os.waitpid(child, 0)
    redact(tmp_path, PARAMS, "password")
    assert counted(tmp_path) == 0
    assert verified(tmp_path).ok


def test_bytes_that_do_not_replay_are_freed_of_it(tmp_path: Path) -> None:
    experiment = recorded(tmp_path)
    torn = b'{"first":99,"count":1,"events":[{"data":"' + SECRET.encode()
    with segment(tmp_path).open("ab") as file:
        file.write(torn)
    with experiment.run:
        experiment.log("healed")
    count = counted(tmp_path)
    redact(tmp_path, PARAMS, "db.password")
    assert counted(tmp_path) == count - 2
    report = verified(tmp_path)
    assert (report.ok, [damage.bytes for damage in report.damage]) == (True, [len(torn)])


# -- killed in between -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ["none", "half"])
def test_a_redaction_that_was_cut_short_reads_as_redacted_and_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    recorded(tmp_path)
    at, line = next(
        (sum(map(len, lines[:index])), line)
        for lines in [segment(tmp_path).read_bytes().splitlines(keepends=True)]
        for index, line in enumerate(lines)
        if SECRET.encode() in line
    )
    length = 0 if room == "none" else line.index(SECRET.encode()) + 6
    overwrite = Disk.overwrite

    def cut_short(self: Disk, path: str, offset: int, data: bytes) -> None:
        overwrite(self, path, offset, data[:length])
        raise OSError(EIO, os.strerror(EIO))

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "overwrite", cut_short)
        with pytest.raises(StorageError, match="redact it again"):
            redact(tmp_path, PARAMS, "db.password")
    assert segment(tmp_path).read_bytes()[at : at + len(line)].count(b"hunter2") > 0
    assert load(tmp_path).params["db.password"] == "[redacted]*****"
    report = verified(tmp_path)
    assert (report.ok, [each.is_done for each in report.redactions]) == (True, [False])
    seq = redact(tmp_path, PARAMS, "db.password")
    assert [(each.seq, each.is_done) for each in verified(tmp_path).redactions] == [(seq, True)]
    assert load(tmp_path).params["db.password"] == "[redacted]*****"
    with pytest.raises(ConfigurationError, match="nothing of event 2 is left"):
        redact(tmp_path, PARAMS, "db.password")


def test_a_value_that_is_redacted_while_somebody_reads_costs_the_reader_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_dash.journal.reader.CHUNK_BYTES", 256)
    for _ in range(3):
        with Experiment(PREFIX, dash_root=tmp_path, console=False).run as experiment:
            experiment.params.set(password=SECRET)
    secret = [each.seq for each in ml_dash.events(PREFIX, dash_root=tmp_path) if each.type == "params.set"]
    redact(tmp_path, secret[0], "password")
    end = ml_dash.load(PREFIX, dash_root=tmp_path).seq
    reader = JournalReader(JournalFolder(tmp_path / PREFIX))
    read = []
    for line in reader.commits():
        read += range(line.first, line.last + 1)
        if secret[0] in read and secret[1] not in read and not counted(tmp_path, '"[redacted]*****"') > 1:
            for seq in secret[1:]:
                redact(tmp_path, seq, "password")
    assert (read[:end], reader.damage) == (list(range(1, end + 1)), [])


def test_nobody_who_records_waits_while_a_journal_is_read_to_redact_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded_once(tmp_path)
    folder = JournalFolder(tmp_path / PREFIX)
    was_locked = []

    class Watched(JournalReader):
        def commits(self) -> Iterator[CommitLine]:
            was_locked.append(is_locked(folder, folder.lock_path))
            return super().commits()

    for module in ("recording.redacting", "journal.redaction"):
        monkeypatch.setattr(f"ml_dash.{module}.JournalReader", Watched)
    redact(tmp_path, PARAMS, "password")
    assert was_locked
    assert not any(was_locked)


def recorded_once(root: Path) -> None:
    with Experiment(PREFIX, dash_root=root, console=False).run as experiment:
        experiment.params.set(password=SECRET)
        experiment.metrics("train").log(step=1)


def killed_at(root: Path, step: int, work: Callable[[], object]) -> bool:
    """Whether a process that does `work` dies before its change number `step` of what is on disk."""
    child = os.fork()
    if child == 0:
        left = step

        def counting(name: str) -> Callable[..., Any]:
            change = getattr(Disk, name)

            def counted_change(*arguments: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(9)
                return change(*arguments)

            return counted_change

        for name in ("create", "write", "overwrite", "rename", "publish", "remove", "sync_data", "sync_folder"):
            setattr(Disk, name, counting(name))
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def have_a_session(root: Path) -> None:
    with Experiment(PREFIX, dash_root=root, console=False).run:
        pass


FINISHERS: dict[str, Callable[[Path], object]] = {
    "a session": have_a_session,
    "a recovery": lambda root: ml_dash.recover(PREFIX, dash_root=root),
    "an archiving": lambda root: ml_dash.archive(PREFIX, dash_root=root),
}


@pytest.mark.parametrize("finisher", FINISHERS)
def test_a_redaction_that_is_killed_at_any_step_is_finished_by_whoever_comes_next(
    tmp_path: Path, finisher: str
) -> None:
    recorded_once(tmp_path / "whole")
    spools = Path(segment(tmp_path / "whole")).parent / "spool"
    spools.mkdir(exist_ok=True)
    (spools / "k1.jsonl.damaged").write_bytes(b"xx" + SECRET.encode() + b"yy")
    load(tmp_path / "whole")
    steps = [0, 0]
    for step in count():
        root = tmp_path / str(step)
        shutil.copytree(tmp_path / "whole", root)
        has_died = killed_at(root, step, partial(redact, root, PARAMS, "password"))
        is_declared = bool(verified(root).redactions)
        # Killed again, while it is finished.
        killed_at(root, step % 7, partial(FINISHERS[finisher], root))
        FINISHERS[finisher](root)
        steps[is_declared] += 1
        if is_declared:
            assert (counted(root), counted(root, SECRET[:7])) == (0, 0), step
            assert all(each.is_done for each in verified(root).redactions), step
        else:
            redact(root, PARAMS, "password")
            assert counted(root) == 0, step
        assert not os.path.exists(segment(root).parent / "redacting"), step
        shutil.rmtree(root)
        if not has_died:
            break
    assert min(steps) >= 3, steps


def test_doctor_names_a_redaction_that_was_begun(tmp_path: Path) -> None:
    recorded_once(tmp_path)
    for step in count():
        assert killed_at(tmp_path, step, lambda: redact(tmp_path, PARAMS, "password"))
        if verified(tmp_path).redactions:
            break
    found = ml_dash_command(tmp_path, "doctor")
    assert "a redaction was begun and not finished" in found.stdout + found.stderr
    ml_dash_command(tmp_path, "recover", PREFIX)
    assert counted(tmp_path) == 0
    assert "a redaction was begun" not in ml_dash_command(tmp_path, "doctor").stdout


# -- valid if and only if ----------------------------------------------------------------------------------------


def test_any_byte_of_a_redacted_line_that_changes_afterwards_is_noticed(tmp_path: Path) -> None:
    recorded(tmp_path)
    seq = redact(tmp_path, PARAMS, "db.password")
    declared = redaction_of(tmp_path, seq)
    start, stop = declared["offset"], declared["offset"] + declared["bytes"]
    [(key, new)] = declared["patches"].items()
    hidden = range(start + int(key), start + int(key) + len(new))
    whole = segment(tmp_path).read_bytes()
    for at in [*range(start, stop, 23), hidden.start - 1, hidden.stop, stop - 2]:
        segment(tmp_path).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        report = verified(tmp_path)
        if at in hidden:
            # Nobody reads these; but they are not what was put there.
            assert (report.ok, report.redactions[0].is_done) == (True, False)
            assert load(tmp_path).params["db.password"] == "[redacted]*****"
        else:
            assert not report.ok, at
    segment(tmp_path).write_bytes(whole)
    assert verified(tmp_path).ok


def test_a_redacted_line_without_its_declaration_is_corrupt(tmp_path: Path) -> None:
    recorded(tmp_path)
    redact(tmp_path, PARAMS, "db.password")
    lines = segment(tmp_path).read_bytes().splitlines(keepends=True)
    lines[-1] = lines[-1].replace(WHY.encode(), b"it liked")
    segment(tmp_path).write_bytes(b"".join(lines))
    report = verified(tmp_path)
    assert not report.ok
    assert any(damage.first_seq <= PARAMS <= damage.last_seq for damage in report.damage)


def test_a_declaration_that_does_not_fit_its_line_restores_nothing(tmp_path: Path) -> None:
    """Who can append to a journal can still not make other bytes valid than those that he names by their hash."""
    recorded(tmp_path)
    seq = redact(tmp_path, PARAMS, "db.password")
    declared = redaction_of(tmp_path, seq)
    whole = segment(tmp_path).read_bytes()
    at = whole.index(b'"db.user":"me"')
    segment(tmp_path).write_bytes(whole[:at] + b'"db.user":"us"' + whole[at + 14 :])
    assert declared["now"] not in whole[: declared["offset"] + declared["bytes"]].decode()
    assert not verified(tmp_path).ok


def test_no_declaration_makes_a_value_valid_that_is_no_marker(tmp_path: Path) -> None:
    """Rewritten as redaction does it, with all hashes right; only that what stands there now is another value."""
    recorded(tmp_path)
    redact(tmp_path, LINE, "metadata")
    whole = segment(tmp_path).read_bytes()
    lines = whole.splitlines(keepends=True)
    header, index = json.loads(lines[0]), next(at for at, line in enumerate(lines) if b'"lr":0.125' in line)
    for new, is_ok in ((b'"***"', True), (b"0.375", False)):
        segment(tmp_path).write_bytes(whole)
        at = lines[index].index(b'"lr":0.125') + 5
        changed = lines[index].replace(b'"lr":0.125', b'"lr":' + new)
        before = json.loads(lines[index - 1])["hash"]
        payload = {
            "seq": PARAMS,
            "segment": 1,
            "offset": whole.index(lines[index]),
            "bytes": len(changed),
            "hash": json.loads(lines[index])["hash"],
            "now": chain_hash(before, header["journal"], changed[: -HASH_TAIL_BYTES - 1]),
            "patches": {str(at): new.decode()},
        }
        record_remark(JournalFolder(tmp_path / PREFIX), EVENT_REDACTED, payload, "s1")
        segment(tmp_path).write_bytes(segment(tmp_path).read_bytes().replace(lines[index], changed))
        assert verified(tmp_path).ok is is_ok


def test_a_redacted_commit_behind_damage_is_still_read(tmp_path: Path) -> None:
    experiment = recorded(tmp_path)
    with experiment.run:
        experiment.params.set(password=SECRET)
    seq = next(
        each.seq
        for each in ml_dash.events(PREFIX, dash_root=tmp_path)
        if each.type == "params.set" and "password" in each.data["params"]
    )
    redact(tmp_path, seq, "password")
    whole = segment(tmp_path).read_bytes()
    at = whole.index(b'"db.user"')
    segment(tmp_path).write_bytes(whole[:at] + b"X" + whole[at + 1 :])
    run = load(tmp_path)
    assert run.damage
    assert run.params["password"] == "[redacted]*****"
    assert ml_dash.history.recover(PREFIX, dash_root=tmp_path)
    with experiment.run:
        experiment.params.set(after=1)
    assert load(tmp_path).params["after"] == 1
    assert load(tmp_path).params["password"] == "[redacted]*****"
    assert verified(tmp_path).ok


def test_several_values_of_one_commit_are_redacted_one_after_the_other(tmp_path: Path) -> None:
    recorded(tmp_path)
    for field in ("db.password", "db.user", "db.pin"):
        redact(tmp_path, PARAMS, field)
    redact(tmp_path, LINE, "message")
    params = load(tmp_path).params
    assert (params["db.password"], params["db.user"], params["db.pin"]) == ("[redacted]*****", "**", "**")
    report = verified(tmp_path)
    assert (report.ok, [each.is_done for each in report.redactions]) == (True, [True] * 4)


def test_a_value_in_a_sealed_segment_is_redacted_and_every_reader_passes_over_it(tmp_path: Path) -> None:
    experiment = tmp_path / PREFIX
    folder = append(experiment, *session("s1", [event("params.set", params={"password": SECRET})], end=None))
    points = [point("train", step=step) for step in range(60)]
    parts = [("s1", points[at : at + 5]) for at in range(0, 60, 5)]
    append(experiment, *parts, segment_bytes_max=1000)
    assert len(folder.segment_numbers()) > 3
    live = Replay(folder)
    live.refresh()
    seq = next(each.seq for each in ml_dash.events(PREFIX, dash_root=tmp_path) if each.type == "params.set")
    redact(tmp_path, seq, "password")
    assert counted(tmp_path) == 0
    append(experiment, ("s2", points[:5]), segment_bytes_max=1000)
    for state in (live.refresh(), load(tmp_path).state, Replay(folder, at=seq).refresh()):
        assert state.params["password"] == "[redacted]*****"
    assert load(tmp_path).state.metrics["train"].count == 65
    assert list(verified(tmp_path).damage) == []
    assert verified(tmp_path).ok


def test_others_go_on_recording_meanwhile(tmp_path: Path) -> None:
    recorded(tmp_path)
    other = Experiment(PREFIX, dash_root=tmp_path, console=False)
    with other.run:
        for step in range(20):
            other.metrics("live").log(step=step)
            if step % 5 == 0:
                other.flush()
                redact(tmp_path, FIRST_POINT + step, "note")
                assert other.params.get("lr") == 0.125
        redact(tmp_path, PARAMS, "db.password")
        assert other.params.get("db.password") == "[redacted]*****"
    run = load(tmp_path)
    assert run.metrics["live"].columns()["step"] == list(range(20))
    assert [note.startswith("[redacted]") for note in run.metrics["train"].columns()["note"]] == [
        step in (0, 5, 10, 15) for step in range(30)
    ]
    assert verified(tmp_path).ok


# -- what cannot be redacted -------------------------------------------------------------------------------------


def test_what_cannot_be_redacted_is_refused_by_name_and_nothing_is_changed(tmp_path: Path) -> None:
    experiment = recorded(tmp_path)
    with experiment.run:
        experiment.params.set(raw=SECRET.encode())
    whole = segment(tmp_path).read_bytes()
    end = load(tmp_path).seq
    wrong: list[tuple[int, str | None, str]] = [
        (0, None, "expected the number of an event"),
        (end + 1, None, "has no such event"),
        (1, None, "say which of its members"),
        (1, "session", "cannot be redacted"),
        (PARAMS, "db", "has 'lr', 'db.password'"),
        (PARAMS, "seed", "has no text in 'seed'"),
        (FIRST_POINT, "loss", "has no text in 'loss'"),
        (end - 1, "raw", "without room for a marker"),
    ]
    for seq, field, message in wrong:
        with pytest.raises(ConfigurationError, match=message):
            redact(tmp_path, seq, field)
    with pytest.raises(ConfigurationError, match="reason"):
        ml_dash.redact(PREFIX, PARAMS, reason=" ", dash_root=tmp_path)
    assert segment(tmp_path).read_bytes() == whole
    seq = redact(tmp_path, PARAMS, "db.password")
    with pytest.raises(ConfigurationError, match="what a redaction says of itself"):
        redact(tmp_path, seq, "reason")


# -- the command line --------------------------------------------------------------------------------------------


def ml_dash_command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ml_dash", *arguments, "--dash-root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_command_redacts_and_verify_shows_it(tmp_path: Path) -> None:
    recorded(tmp_path)
    done = ml_dash_command(tmp_path, "redact", PREFIX, "2", "--field", "db.password", "--reason", WHY)
    assert (done.returncode, done.stderr) == (0, "")
    assert "db.password of event 2 is redacted, event 35 says so" in done.stdout
    report = ml_dash_command(tmp_path, "verify", PREFIX)
    assert report.returncode == 0
    assert "redacted: event 2, db.password by" in report.stdout
    again = ml_dash_command(tmp_path, "redact", PREFIX, "2", "--field", "db.password", "--reason", WHY)
    assert (again.returncode, "is left to redact" in again.stderr) == (2, True)
    shown = json.loads(ml_dash_command(tmp_path, "show", PREFIX, "--json").stdout)
    assert [each["reason"] for each in shown["redactions"]] == [WHY]
    assert SECRET not in json.dumps(shown["params"])


def test_a_damaged_spool_is_listed_by_verify_and_freed_of_the_secret(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        experiment = Experiment(PREFIX, dash_root=tmp_path)
        experiment.run.start()
        experiment.params.set(password=SECRET)
        experiment.params.set(changed="x" * 50)
        experiment.params.set(last=1)
        os._exit(0)
    os.waitpid(child, 0)
    spools = (tmp_path / PREFIX / "_journal/spool").glob("*.jsonl")
    [spool] = [path for path in spools if SECRET.encode() in path.read_bytes()]
    data = spool.read_bytes()
    spool.write_bytes(data.replace(b"x" * 50, b"y" + b"x" * 49))
    load(tmp_path)
    report = verified(tmp_path)
    assert (report.ok, report.damaged_spools) == (True, (f"{spool.name}.damaged",))
    assert counted(tmp_path) > 1
    redact(tmp_path, PARAMS, "password")
    assert counted(tmp_path) == 0
    assert verified(tmp_path).damaged_spools == report.damaged_spools
    assert load(tmp_path).params["last"] == 1


class CountingDisk(Disk):
    """How many bytes were read."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def read_at(self, descriptor: int, offset: int, count: int) -> bytes:
        data = super().read_at(descriptor, offset, count)
        self.read_bytes += len(data)
        return data


def test_a_journal_with_much_redacted_is_read_a_few_times_and_no_more_while_others_append(tmp_path: Path) -> None:
    """Not once more for each segment in which something was redacted, which takes minutes where there are many."""
    segments = 16
    for number in range(segments):
        append(tmp_path / PREFIX, ("s1", [point("train", i=number, note=SECRET)]), segment_bytes_max=1)
    redacted = range(1, segments, 2)
    for seq in redacted:
        redact(tmp_path, seq, "note")
    disk = CountingDisk()
    folder = JournalFolder(tmp_path / PREFIX, disk)
    size = sum(segment(tmp_path, number).stat().st_size for number in folder.segment_numbers())
    found = []
    for line in JournalReader(folder).commits():
        found.append(SECRET.encode() in line.events)
        if len(found) < segments:
            append(tmp_path / PREFIX, ("s2", [point("more", i=len(found))]))
    assert found[:segments] == [seq not in redacted for seq in range(1, segments + 1)]
    assert disk.read_bytes < 8 * size, disk.read_bytes / size
