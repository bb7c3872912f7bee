"""Experiments that begin as another one was: what they have from it, and what becomes of that."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import ml_dash
from ml_dash import ConfigurationError, Experiment, ExperimentError, NotFoundError, StorageError
from ml_dash.journal.damage import DamageKind
from ml_dash.journal.disk import Disk
from ml_dash.journal.folder import JournalFolder
from ml_dash.opening.forking import ForkPoint, begin_as_fork
from ml_dash.prefix import parse_prefix
from ml_dash.reading.lineage import Lineage
from ml_dash.reading.replay import Replay
from ml_dash.state import EMPTY, Status
from ml_dash.state.forks import born, forked_payload
from ml_dash.state.nouns import Fork

from .histories import event, point, started
from .journals import append

PARENT, FORK = "alice/ml/parent", "alice/ml/forks/f"


def train(root: Path, prefix: str, steps: range, fork: str | None = None, **params: Any) -> None:
    with Experiment(prefix, dash_root=root, fork=fork, console=False).run as experiment:
        if params:
            experiment.params.set(**params)
        for step in steps:
            experiment.metrics("train").log(step=step, of=prefix)
        experiment.log(f"{prefix} from {steps.start}")
        experiment.tracks("arm").append(q=steps.start, _ts=float(steps.start))


def parent(root: Path, steps: range = range(10)) -> ml_dash.Run:
    train(root, PARENT, steps, lr=0.1)
    return ml_dash.load(PARENT, dash_root=root)


def load(root: Path, prefix: str = FORK, at: Any = None) -> ml_dash.Run:
    return ml_dash.load(prefix, dash_root=root, at=at)


def event_of_step(root: Path, step: int, prefix: str = PARENT) -> int:
    """The number of the event that logged a step."""
    return next(
        event.seq
        for event in ml_dash.events(prefix, dash_root=root)
        if event.type == "metric.logged" and event.data["fields"]["step"] == step
    )


# --- birth --------------------------------------------------------------------------------------------------


def test_a_fork_is_born_with_the_state_that_its_parent_had_at_that_event(tmp_path: Path) -> None:
    parent(tmp_path)
    at = event_of_step(tmp_path, 6)
    train(tmp_path, FORK, range(0), fork=f"{PARENT}@{at}")
    birth, then = load(tmp_path, at=1), load(tmp_path, PARENT, at=at)
    fork = birth.fork
    assert fork is not None
    assert (fork.prefix, fork.seq) == (PARENT, at)
    expected = born(fork, then.state)
    for member in ("params", "metrics", "tracks", "files", "sessions", "log_counts", "description", "tags"):
        assert repr(getattr(birth.state, member)) == repr(getattr(expected, member)), member
    assert birth.metrics["train"].columns()["step"] == list(range(7))
    assert dict(birth.params) == {"lr": 0.1}


def test_without_a_number_an_experiment_is_forked_at_its_end(tmp_path: Path) -> None:
    whole = parent(tmp_path)
    train(tmp_path, FORK, range(0), fork=PARENT)
    fork = load(tmp_path).fork
    assert fork is not None
    assert fork.seq == whole.seq
    assert [session.status for session in load(tmp_path).sessions] == [Status.COMPLETED, Status.COMPLETED]


def test_the_parent_is_not_changed_by_a_byte(tmp_path: Path) -> None:
    parent(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / PARENT).rglob("*.jsonl")}
    train(tmp_path, FORK, range(3), fork=PARENT, lr=0.5)
    assert {path: path.read_bytes() for path in (tmp_path / PARENT).rglob("*.jsonl")} == before
    assert load(tmp_path, PARENT).params["lr"] == 0.1


def test_own_events_count_from_1_and_those_of_the_parent_end_with_0(tmp_path: Path) -> None:
    whole = parent(tmp_path)
    train(tmp_path, FORK, range(2), fork=PARENT)
    own = list(ml_dash.events(FORK, dash_root=tmp_path))
    assert [event.seq for event in own] == list(range(1, load(tmp_path).seq + 1))
    assert [event.type for event in own[:2]] == ["experiment.forked", "run.started"]
    everything = list(ml_dash.events(FORK, dash_root=tmp_path, after=None))
    assert [event.seq for event in everything] == list(range(1 - whole.seq, load(tmp_path).seq + 1))
    inherited = everything[: whole.seq]
    assert [(event.type, event.data) for event in inherited] == [
        (event.type, event.data) for event in ml_dash.events(PARENT, dash_root=tmp_path)
    ]
    assert [event.seq for event in ml_dash.events(FORK, dash_root=tmp_path, after=-2)][:2] == [-1, 0]
    following = ml_dash.events(FORK, dash_root=tmp_path, after=-2, follow=True)
    assert [next(following).seq for _ in range(4)] == [-1, 0, 1, 2]


def test_a_session_that_was_open_in_the_parent_ends_where_it_was_forked(tmp_path: Path) -> None:
    running = Experiment(PARENT, dash_root=tmp_path, console=False)
    running.run.start()
    running.metrics("train").log(step=1)
    train(tmp_path, FORK, range(1, 3), fork=PARENT)
    assert ml_dash.load(FORK, dash_root=tmp_path, at=1).status == "RUNNING"
    running.metrics("train").log(step=2)
    assert running.status == "RUNNING"
    run = load(tmp_path)
    assert run.status == "COMPLETED"
    assert [(session.status, session.reason, session.is_inherited) for session in run.sessions] == [
        ("COMPLETED", "forked", True),
        ("COMPLETED", None, False),
    ]
    running.run.complete()
    assert load(tmp_path).metrics["train"].columns()["step"] == [1, 2]


# --- what was before, by reference --------------------------------------------------------------------------


def test_points_go_on_where_the_fork_began_and_what_it_does_again_supersedes(tmp_path: Path) -> None:
    parent(tmp_path)
    at = event_of_step(tmp_path, 7)
    train(tmp_path, FORK, range(5, 12), fork=f"{PARENT}@{at}")
    metric = load(tmp_path).metrics["train"]
    assert metric.columns()["step"] == list(range(12))
    assert metric.columns()["of"] == [PARENT] * 5 + [FORK] * 7
    assert metric.columns(attempts="all")["step"] == [*range(8), *range(5, 12)]
    assert (len(metric), metric.count) == (12, 15)
    assert metric.summary()["step"]["count"] == 12
    with Experiment(FORK, dash_root=tmp_path, console=False).run as experiment:
        recording = experiment.metrics("train")
        assert recording.columns()["step"] == list(range(12))
        assert recording.summary()["step"]["max"] == 11
        rows = recording.read(limit=None)["data"]
        assert [(row["index"], row["data"]["step"]) for row in rows] == list(enumerate([*range(8), *range(5, 12)]))
        assert recording.stats()["totalDataPoints"] == "15"
        assert recording.stats()["firstDataAt"] == rows[0]["createdAt"]
        assert experiment.params.history("lr")[0][2] == 0.1


def test_log_lines_and_tracks_of_the_parent_stand_before_those_of_the_fork(tmp_path: Path) -> None:
    parent(tmp_path)
    train(tmp_path, FORK, range(4, 5), fork=PARENT)
    run = load(tmp_path)
    assert [line.message for line in run.logs] == [f"{PARENT} from 0", f"{FORK} from 4"]
    assert len(run.logs) == 2
    assert run.logs[0].seq <= 0 < run.logs[1].seq
    assert run.tracks["arm"].rows() == [(0.0, {"q": 0}), (4.0, {"q": 4})]


def test_files_of_the_parent_are_read_where_they_are_and_saved_again_only_by_name(tmp_path: Path) -> None:
    with Experiment(PARENT, dash_root=tmp_path).run as experiment:
        experiment.files.save_text("old", to="models/a.txt")
        experiment.files.save_text("kept", to="models/b.txt")
    with Experiment(FORK, dash_root=tmp_path, fork=PARENT).run as experiment:
        files = experiment.files
        assert files.read_text("models/a.txt") == "old"
        files.save_text("new", to="models/a.txt")
        assert files.read_text("models/a.txt") == "new"
        assert [version["sizeBytes"] for version in files.versions("models/a.txt")] == [3, 3]
        files("models/b.txt").delete()
        assert not (tmp_path / FORK / "_files" / "models").exists()
        old = files.versions("models/a.txt")[0]
        files.duplicate(old, "copies/a.txt")
    assert [file.filename for file in load(tmp_path).files] == ["a.txt", "a.txt"]
    assert [file.filename for file in load(tmp_path, PARENT).files] == ["a.txt", "b.txt"]
    shutil.rmtree(tmp_path / PARENT)
    with Experiment(FORK, dash_root=tmp_path).run as experiment:
        assert experiment.files.read_text("copies/a.txt") == "old", "what the fork saved itself is its own"


def test_corrections_count_as_far_as_they_were_made_before_the_fork(tmp_path: Path) -> None:
    parent(tmp_path)
    ml_dash.correct(PARENT, event_of_step(tmp_path, 1), step=100, reason="before", dash_root=tmp_path)
    train(tmp_path, FORK, range(0), fork=PARENT)
    ml_dash.correct(PARENT, event_of_step(tmp_path, 2), step=200, reason="after", dash_root=tmp_path)
    assert load(tmp_path).metrics["train"].columns("all")["step"] == [0, 100, *range(2, 10)]
    assert load(tmp_path, PARENT).metrics["train"].columns("all")["step"] == [0, 100, 200, *range(3, 10)]


def test_what_is_redacted_in_the_parent_is_redacted_in_what_its_forks_show(tmp_path: Path) -> None:
    with Experiment(PARENT, dash_root=tmp_path, console=False).run as experiment:
        experiment.log("the password is hunter2")
    train(tmp_path, FORK, range(0), fork=PARENT)
    [seq] = [event.seq for event in ml_dash.events(PARENT, dash_root=tmp_path) if event.type == "log.written"]
    ml_dash.redact(PARENT, seq, "message", reason="leaked", dash_root=tmp_path)
    assert "hunter2" not in load(tmp_path).logs[0].message


def test_what_a_fork_was_born_with_is_redacted_in_its_first_event(tmp_path: Path) -> None:
    train(tmp_path, PARENT, range(3), password="hunter2-hunter2", lr=0.1)
    train(tmp_path, FORK, range(3, 5), fork=PARENT)
    ml_dash.redact(FORK, 1, "state.params.password", reason="leaked", dash_root=tmp_path)
    run = load(tmp_path)
    assert dict(run.params) == {"password": "[redacted]*****", "lr": 0.1}
    assert b"hunter2" not in (tmp_path / FORK / "_journal" / "00000001.jsonl").read_bytes()
    assert run.metrics["train"].columns()["step"] == list(range(5))
    for whole in ("state", "prefix", "journal"):
        with pytest.raises(ConfigurationError, match="no room for a marker"):
            ml_dash.redact(FORK, 1, whole, reason="all of it", dash_root=tmp_path)
    assert load(tmp_path).fork == run.fork


def test_a_fork_of_a_fork_has_what_both_had(tmp_path: Path) -> None:
    parent(tmp_path)
    train(tmp_path, FORK, range(8, 12), fork=f"{PARENT}@{event_of_step(tmp_path, 8)}", lr=0.2)
    train(tmp_path, "alice/ml/g", range(10, 12), fork=FORK)
    run = load(tmp_path, "alice/ml/g")
    assert run.metrics["train"].columns()["of"] == [PARENT] * 8 + [FORK] * 2 + ["alice/ml/g"] * 2
    assert run.metrics["train"].columns()["step"] == list(range(12))
    assert [line.message for line in run.logs] == [f"{FORK} from 8", "alice/ml/g from 10"]
    assert run.params["lr"] == 0.2
    assert run.damage == ()
    seqs = [event.seq for event in ml_dash.events("alice/ml/g", dash_root=tmp_path, after=None)]
    assert seqs == list(range(seqs[0], run.seq + 1))
    with Experiment("alice/ml/g", dash_root=tmp_path).run as experiment:
        assert [value for _, _, value in experiment.params.history("lr")] == [0.1, 0.2]


def test_a_fork_looks_back_in_time_over_its_own_events(tmp_path: Path) -> None:
    parent(tmp_path)
    train(tmp_path, FORK, range(10, 13), fork=PARENT, lr=0.2)
    assert load(tmp_path, at=2).params["lr"] == 0.1
    assert len(load(tmp_path, at=2).metrics["train"]) == 10
    born_at = load(tmp_path).created
    assert born_at is not None
    assert load(tmp_path, at=born_at).seq >= 1
    with pytest.raises(ConfigurationError, match="before its first event"):
        load(tmp_path, at=born_at - timedelta(seconds=1))


def test_the_list_counts_own_sessions_and_says_where_a_fork_comes_from(tmp_path: Path) -> None:
    whole = parent(tmp_path)
    train(tmp_path, FORK, range(0), fork=PARENT)
    found = {summary.prefix: summary for summary in ml_dash.experiments(dash_root=tmp_path)}
    assert found[FORK].forked_from == f"{PARENT}@{whole.seq}"
    assert (found[FORK].sessions, found[PARENT].sessions, found[PARENT].forked_from) == (1, 1, None)


# --- what becomes of the parent -----------------------------------------------------------------------------


def test_a_parent_that_goes_on_changes_nothing_for_its_fork(tmp_path: Path) -> None:
    parent(tmp_path)
    train(tmp_path, FORK, range(10, 12), fork=PARENT)
    before = load(tmp_path)
    columns = before.metrics["train"].columns("all")
    train(tmp_path, PARENT, range(3, 30), lr=0.9)
    after = load(tmp_path)
    assert repr(after.state) == repr(before.state)
    assert after.metrics["train"].columns("all") == columns
    assert after.damage == ()
    assert ml_dash.verify(FORK, dash_root=tmp_path).ok


def cut(root: Path) -> None:
    path = root / PARENT / "_journal" / "00000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))


def flip(root: Path) -> None:
    path = root / PARENT / "_journal" / "00000001.jsonl"
    data = bytearray(path.read_bytes())
    data[data.index(b'"lr"') + 1] ^= 1
    path.write_bytes(data)


def remove(root: Path) -> None:
    shutil.rmtree(root / PARENT)


def replace(root: Path) -> None:
    remove(root)
    parent(root, range(50))


@pytest.mark.parametrize("harm", [remove, replace, cut, flip])
def test_a_parent_that_is_harmed_is_damage_of_the_fork_which_shows_the_rest(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    parent(tmp_path)
    train(tmp_path, FORK, range(10, 12), fork=PARENT)
    before = load(tmp_path)
    harm(tmp_path)
    after = load(tmp_path)
    assert repr(after.state) == repr(before.state)
    assert dict(after.params) == {"lr": 0.1}
    assert after.metrics["train"].columns()["step"][-2:] == [10, 11]
    assert after.damage
    assert {damage.prefix for damage in after.damage} == {PARENT}
    assert all(damage.last_seq <= 0 for damage in after.damage)
    report = ml_dash.verify(FORK, dash_root=tmp_path)
    assert not report.ok
    assert report.damage == after.damage
    train(tmp_path, FORK, range(12, 14))
    assert load(tmp_path).metrics["train"].columns()["step"][-4:] == [10, 11, 12, 13]


def test_what_comes_after_the_fork_in_the_parent_is_none_of_its_damage(tmp_path: Path) -> None:
    parent(tmp_path)
    train(tmp_path, FORK, range(10, 12), fork=f"{PARENT}@3")
    path = tmp_path / PARENT / "_journal" / "00000001.jsonl"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    assert not ml_dash.verify(PARENT, dash_root=tmp_path).ok
    assert load(tmp_path).damage == ()
    assert ml_dash.verify(FORK, dash_root=tmp_path).ok


def test_a_grandparent_that_is_gone_is_damage_too(tmp_path: Path) -> None:
    parent(tmp_path)
    train(tmp_path, FORK, range(10, 12), fork=PARENT)
    train(tmp_path, "alice/ml/g", range(12, 14), fork=FORK)
    remove(tmp_path)
    run = load(tmp_path, "alice/ml/g")
    assert run.metrics["train"].columns()["step"] == [10, 11, 12, 13]
    [damage] = run.damage
    assert (damage.kind, damage.prefix) == (DamageKind.ABSENT, PARENT)
    assert damage.last_seq == -load(tmp_path).seq


def test_a_grandparent_is_still_read_when_the_parent_between_is_gone(tmp_path: Path) -> None:
    parent(tmp_path)
    train(tmp_path, FORK, range(10, 12), fork=PARENT)
    train(tmp_path, "alice/ml/g", range(12, 14), fork=FORK)
    begun = load(tmp_path).seq
    shutil.rmtree(tmp_path / FORK)
    run = load(tmp_path, "alice/ml/g")
    assert run.metrics["train"].columns()["step"] == [*range(10), 12, 13]
    [damage] = run.damage
    assert (damage.prefix, damage.first_seq, damage.last_seq) == (FORK, 1 - begun, 0)
    seqs = [event.seq for event in ml_dash.events("alice/ml/g", dash_root=tmp_path, after=None)]
    assert seqs == [*range(seqs[0], 1 - begun), *range(1, run.seq + 1)]


def test_a_journal_that_says_it_is_its_own_parent_is_read_to_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_dash.journal.appender.new_id", lambda: "k10wb0emzmpptsfvd1")
    itself = forked_payload(Fork(PARENT, 1, "k10wb0emzmpptsfvd1", "0" * 64), EMPTY)
    folder = append(tmp_path / PARENT, ("s1", [event("experiment.forked", **itself)]), ("s1", [point("train", step=1)]))
    assert load(tmp_path, PARENT).metrics["train"].columns()["step"] == [1]
    assert [damage.kind for damage in load(tmp_path, PARENT).damage] == [DamageKind.ABSENT]
    assert Lineage(folder).ancestors() == [folder]


def test_a_root_that_was_moved_as_a_whole_keeps_its_forks(tmp_path: Path) -> None:
    parent(tmp_path / "a")
    train(tmp_path / "a", FORK, range(10, 12), fork=PARENT)
    (tmp_path / "a").rename(tmp_path / "b")
    assert load(tmp_path / "b").metrics["train"].columns()["step"] == list(range(12))
    assert load(tmp_path / "b").damage == ()


def test_a_parent_that_was_brought_from_another_machine_is_found_by_its_journal(tmp_path: Path) -> None:
    parent(tmp_path)
    train(tmp_path, FORK, range(10, 12), fork=PARENT)
    fork = load(tmp_path).fork
    assert fork is not None
    brought = tmp_path / PARENT / "_journal" / "origins" / fork.journal
    (tmp_path / PARENT).rename(tmp_path / "moved")
    brought.parent.mkdir(parents=True)
    (tmp_path / "moved").rename(brought)
    assert load(tmp_path).metrics["train"].columns()["step"] == list(range(12))
    assert load(tmp_path).damage == ()


def test_a_parent_that_is_archived_reads_the_same(tmp_path: Path) -> None:
    points = [point("train", step=step) for step in range(200)]
    parts = [("s1", points[at : at + 10]) for at in range(0, 200, 10)]
    append(tmp_path / PARENT, ("s1", [started("s1")]), *parts, segment_bytes_max=1000)
    train(tmp_path, FORK, range(150, 210), fork=f"{PARENT}@180")
    before = load(tmp_path).metrics["train"].columns("all")
    assert before["step"] == [*range(179), *range(150, 210)]
    ml_dash.archive(PARENT, dash_root=tmp_path)
    assert list((tmp_path / PARENT / "_journal").glob("*.zst"))
    assert load(tmp_path).metrics["train"].columns("all") == before
    assert load(tmp_path).damage == ()
    train(tmp_path, "alice/ml/late", range(20, 30), fork=f"{PARENT}@21")
    assert load(tmp_path, "alice/ml/late").metrics["train"].columns()["step"] == list(range(30))


class Refusing(Disk):
    """Lets nobody read what is the parent's."""

    def open_read(self, path: str) -> int:
        if PARENT in path:
            raise PermissionError(13, "Permission denied", path)
        return super().open_read(path)


def test_a_parent_that_may_not_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    parent(tmp_path)
    train(tmp_path, FORK, range(10, 12), fork=PARENT)
    folder = JournalFolder(tmp_path / FORK, Refusing())
    [damage] = Lineage(folder).damage()
    assert (damage.kind, damage.prefix) == (DamageKind.ABSENT, PARENT)
    assert "not to be read: [Errno 13] Permission denied" in damage.found
    with pytest.raises(StorageError, match="Permission denied"):
        list(Lineage(folder).commits())
    assert Replay(folder).refresh().seq == load(tmp_path).seq


# --- opening ------------------------------------------------------------------------------------------------


def test_opening_the_same_fork_again_goes_on_with_it_also_when_the_parent_is_gone(tmp_path: Path) -> None:
    whole = parent(tmp_path)
    for fork in (PARENT, PARENT, f"{PARENT}@{whole.seq}"):
        train(tmp_path, FORK, range(1), fork=fork)
        train(tmp_path, PARENT, range(1))
    remove(tmp_path)
    train(tmp_path, FORK, range(1), fork=PARENT)
    events = [event.type for event in ml_dash.events(FORK, dash_root=tmp_path)]
    assert events.count("experiment.forked") == 1
    assert events.count("run.started") == 4


def test_an_experiment_that_is_something_else_is_not_forked_over(tmp_path: Path) -> None:
    parent(tmp_path)
    train(tmp_path, FORK, range(1), fork=f"{PARENT}@3")
    train(tmp_path, "alice/ml/plain", range(1))
    with pytest.raises(ExperimentError, match=rf"forked from {PARENT}@3, not from {PARENT}@4"):
        train(tmp_path, FORK, range(1), fork=f"{PARENT}@4")
    with pytest.raises(ExperimentError, match="exists and is no fork"):
        train(tmp_path, "alice/ml/plain", range(1), fork=PARENT)
    assert load(tmp_path, "alice/ml/plain").fork is None


@pytest.mark.parametrize(
    ("fork", "error", "said"),
    [
        (f"{PARENT}@99999", ConfigurationError, "has events 1 to"),
        (f"{PARENT}@0", ConfigurationError, "count from 1"),
        ("alice/ml/parents", NotFoundError, f"nearest.*{PARENT}.*dash_root of its parent"),
        (FORK, ConfigurationError, "forked from itself"),
        (5, ConfigurationError, "fork=5 is a int"),
        ("parent@3", ConfigurationError, "owner/project"),
    ],
)
def test_a_fork_of_what_is_not_there_is_refused_and_leaves_nothing(
    tmp_path: Path, fork: Any, error: type[Exception], said: str
) -> None:
    parent(tmp_path)
    with pytest.raises(error, match=said):
        train(tmp_path, FORK, range(1), fork=fork)
    assert not (tmp_path / FORK).exists()


def test_an_experiment_without_events_cannot_be_forked(tmp_path: Path) -> None:
    (tmp_path / PARENT / "_journal").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="has no events yet"):
        train(tmp_path, FORK, range(1), fork=PARENT)


def test_a_prefix_may_have_an_at_sign_of_its_own() -> None:
    assert ForkPoint.parse("a@b/ml/c@d") == ForkPoint(parse_prefix("a@b/ml/c@d"), None)
    assert ForkPoint.parse("a@b/ml/c@12") == ForkPoint(parse_prefix("a@b/ml/c"), 12)


def test_what_a_failed_sync_may_have_lost_is_not_forked(tmp_path: Path) -> None:
    parent(tmp_path)
    marker = Path(JournalFolder(tmp_path / PARENT).unsynced_path(1))
    marker.touch()
    with pytest.raises(StorageError, match="Fork it again once the parent was written to"):
        train(tmp_path, FORK, range(1), fork=PARENT)
    assert not (tmp_path / FORK).exists()
    train(tmp_path, PARENT, range(10, 11))
    train(tmp_path, FORK, range(11, 12), fork=PARENT)
    assert load(tmp_path).metrics["train"].columns()["step"] == list(range(12))


def test_what_a_killed_process_left_in_the_parent_is_forked_with_it(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        experiment = Experiment(PARENT, dash_root=tmp_path, console=False)
        experiment.run.start()
        for step in range(5):
            experiment.metrics("train").log(step=step)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    train(tmp_path, FORK, range(3, 8), fork=PARENT)
    assert load(tmp_path).metrics["train"].columns()["step"] == list(range(8))
    assert load(tmp_path).sessions[0].reason == "lost"


class Dying(Disk):
    """Kills its process at the `calls_left`th call that changes anything."""

    def __init__(self, calls_left: int) -> None:
        super().__init__()
        self.calls_left = calls_left

    def _change(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _dying(name: str) -> Callable[..., Any]:
    method = getattr(Disk, name)

    def changing(self: Dying, *arguments: Any) -> Any:
        self._change()
        return method(self, *arguments)

    return changing


for _name in ("make_folder", "create", "write", "publish", "remove", "rename", "sync_file", "sync_data", "sync_folder"):
    setattr(Dying, _name, _dying(_name))


def test_a_process_that_is_killed_while_it_forks_leaves_a_fork_or_no_events(tmp_path: Path) -> None:
    parent(tmp_path)
    lived = False
    for calls in range(40):
        prefix = parse_prefix(f"alice/ml/forks/{calls}")
        path = tmp_path.joinpath(*prefix.segments)
        child = os.fork()
        if child == 0:
            begin_as_fork(JournalFolder(path, Dying(calls)), prefix, tmp_path, ForkPoint.parse(PARENT))
            os._exit(0)
        lived = os.waitpid(child, 0)[1] == 0
        state = Replay(JournalFolder(path)).refresh()
        assert (state.seq, state.fork is None) in ((0, True), (1, False)), calls
        train(tmp_path, prefix.text, range(10, 12), fork=PARENT)
        run = load(tmp_path, prefix.text)
        assert run.metrics["train"].columns()["step"] == list(range(12)), calls
        assert run.damage == ()
        if lived:
            break
    assert lived
    assert calls > 5


def test_processes_that_fork_the_same_at_once_make_one(tmp_path: Path) -> None:
    parent(tmp_path)
    children = []
    reading, writing = os.pipe()
    for child in range(4):
        children.append(os.fork())
        if children[-1] == 0:
            os.close(writing)
            os.read(reading, 1)
            train(tmp_path, FORK, range(10 * child, 10 * child + 3), fork=PARENT)
            os._exit(0)
    os.close(writing)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    os.close(reading)
    types = [event.type for event in ml_dash.events(FORK, dash_root=tmp_path)]
    assert types[0] == "experiment.forked"
    assert types.count("experiment.forked") == 1
    assert types.count("run.started") == types.count("run.completed") == 4
    assert types.count("metric.logged") == 12
