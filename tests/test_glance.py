"""A list out of checkpoints alone: only where nothing has changed since, and with the same answer as without."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ml_dash import Experiment, experiments
from ml_dash.facts.events import PARAMS_SET
from ml_dash.journal.chain import Position
from ml_dash.journal.checkpoint import Trust, load, save_positions, save_state
from ml_dash.journal.folder import ORIGINS, JournalFolder
from ml_dash.journal.format import GENESIS_HASH, chain_hash, encode_commit, encode_header
from ml_dash.journal.writer import Writer
from ml_dash.reading.glance import kept_at_a_glance
from ml_dash.reading.replay import Replay
from ml_dash.state import State
from ml_dash.state.plain_state import glance_of

from .test_checkpoint import HARM, WatchedDisk, flip_a_byte, without_checkpoint

PREFIX = "alice/ml/a"


def recorded(root: Path) -> JournalFolder:
    """An experiment as a session that ended leaves it, with all that a list does not show."""
    described = {"tags": ["baseline"], "description": "first", "metadata": {"seed": 1}}
    with Experiment(PREFIX, dash_root=root, console=False, **described).run as experiment:
        experiment.params.set(lr=0.1, layers=[1, 2])
        experiment.log("done")
        experiment.tracks("pose").append(_ts=0.5, x=1)
        experiment.files.save_text("text", to="notes.txt")
        for step in range(20):
            experiment.metrics("train").log(step=step, loss=1 / (step + 1))
    return JournalFolder(root.joinpath(*PREFIX.split("/")))


def listed(folder: JournalFolder) -> str:
    return repr(experiments(dash_root=folder.experiment.parents[2]))


def segment(folder: JournalFolder) -> Path:
    return Path(folder.segment_path(1))


def test_a_list_of_what_was_closed_well_reads_checkpoints_alone_and_says_the_same(tmp_path: Path) -> None:
    folder = recorded(tmp_path)
    disk = WatchedDisk(is_read_only=True)
    state = kept_at_a_glance(JournalFolder(folder.experiment, disk))
    assert state == glance_of(Replay(folder).refresh())
    assert disk.segment_bytes_read() == 0
    assert listed(folder) == without_checkpoint(folder, listed)
    assert "baseline" in listed(folder)


def test_what_no_list_shows_is_left_out_and_nothing_else(tmp_path: Path) -> None:
    whole = Replay(recorded(tmp_path)).refresh()
    state = glance_of(whole)
    without = {"params", "metrics", "tracks", "files", "log_counts", "metadata", "sessions"}
    for name in State.__slots__:
        assert (getattr(state, name) == getattr(whole, name)) is (name not in without), name
    for session, own in whole.sessions.items():
        assert own.environment
        assert state.sessions[session] == replace(own, environment=None)


def test_the_kept_glance_is_a_small_part_of_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = load(recorded(tmp_path))
    assert checkpoint is not None
    assert 0 < len(checkpoint.glance_line) < len(checkpoint.state_line) / 3


@pytest.mark.parametrize("harm", HARM)
def test_what_was_changed_since_is_read_and_its_damage_is_listed(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    folder = recorded(tmp_path)
    harm(segment(folder))
    assert kept_at_a_glance(folder) is None
    assert listed(folder) == without_checkpoint(folder, listed)


def test_bytes_that_changed_in_a_way_that_no_status_shows_are_met_where_they_are_looked_at(tmp_path: Path) -> None:
    folder = recorded(tmp_path)
    checkpoint = load(folder)
    assert checkpoint is not None
    size = segment(folder).stat().st_size
    data = segment(folder).read_bytes()
    for at in (20, 60, data.index(b"\n") - 5, size - 1, size - 5, size - 70):
        changed = bytearray(data)
        changed[at] ^= 1
        segment(folder).write_bytes(changed)
        vouch_as_it_is(folder)
        assert kept_at_a_glance(folder) is None, at


def vouch_as_it_is(folder: JournalFolder) -> None:
    """As a disk that lies would have it: the status is that of when it was verified."""
    checkpoint = load(folder)
    assert checkpoint is not None
    kept = checkpoint.state()
    assert kept is not None
    Path(folder.checkpoint_path).unlink()
    assert save_positions(folder, Trust(folder), kept[0].with_fence(kept[0].offset), [])
    assert save_state(folder, Trust(folder), kept[0], [], kept[1])


def test_bytes_behind_the_vouched_end_are_looked_at_also_where_the_status_counts(tmp_path: Path) -> None:
    folder = recorded(tmp_path)
    with segment(folder).open("ab") as file:
        file.write(b"half a line")
    vouch_as_it_is(folder)
    checkpoint = load(folder)
    status = folder.disk.status(folder.segment_path(1))
    assert checkpoint is not None
    assert status is not None
    assert checkpoint.trusts(1, status) is not None
    assert kept_at_a_glance(folder) is None


@pytest.mark.parametrize("name", ["a segment", "an archived segment", "a spool", "a journal of another machine"])
def test_anything_beside_the_one_segment_is_looked_at(tmp_path: Path, name: str) -> None:
    folder = recorded(tmp_path)
    assert kept_at_a_glance(folder) is not None
    path = {
        "a segment": folder.segment_path(2),
        "an archived segment": folder.archived_path(1),
        "a spool": folder.spool_path("w", 1),
        "a journal of another machine": f"{folder.path}/{ORIGINS}/j",
    }[name]
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_bytes(b"")
    assert kept_at_a_glance(folder) is None


def test_what_a_killed_process_left_is_listed_as_lost(tmp_path: Path) -> None:
    folder = recorded(tmp_path)
    pid = os.fork()
    if pid == 0:
        experiment = Experiment(PREFIX, dash_root=tmp_path, console=False)
        experiment.run.start()
        experiment.params.set(lr=0.2)
        os._exit(1)
    os.waitpid(pid, 0)
    assert "FAILED" in listed(folder)


def test_what_others_record_meanwhile_is_listed(tmp_path: Path) -> None:
    folder = recorded(tmp_path)
    before = experiments(dash_root=tmp_path)[0].seq
    writer = Writer(folder)
    writer.record(PARAMS_SET, {"params": {"step": 1}})
    writer.flush()
    assert kept_at_a_glance(folder) is None
    assert experiments(dash_root=tmp_path)[0].seq > before
    writer.close()
    # It has kept no state behind its last event.
    assert kept_at_a_glance(folder) is None
    assert experiments(dash_root=tmp_path)[0].seq > before
    Replay(folder).keep()
    assert kept_at_a_glance(folder) is not None


def test_a_checkpoint_with_any_byte_changed_lists_the_same(tmp_path: Path) -> None:
    folder = recorded(tmp_path)
    expected = listed(folder)
    path = Path(folder.checkpoint_path)
    data = path.read_bytes()
    lines = data.split(b"\n")
    begin = len(lines[0]) + len(lines[1]) + 2
    for at in (*range(0, len(lines[0]) + 1, 7), *range(begin, len(data), 17), len(data) - 1):
        path.write_bytes(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])
        assert listed(folder) == expected, at
    for kept in (data[:begin], data[: begin - 1], data[: len(lines[0]) + 1], data + data[begin:], b""):
        path.write_bytes(kept)
        assert listed(folder) == expected


def test_the_checkpoint_of_another_experiment_is_not_believed(tmp_path: Path) -> None:
    folder, other = recorded(tmp_path / "one"), recorded(tmp_path / "two")
    Path(folder.checkpoint_path).write_bytes(Path(other.checkpoint_path).read_bytes())
    assert kept_at_a_glance(folder) is None


def test_a_state_that_was_kept_before_the_last_event_is_gone_on_from(tmp_path: Path) -> None:
    folder = recorded(tmp_path)
    kept = load(folder)
    assert kept is not None
    writer = Writer(folder)
    writer.record(PARAMS_SET, {"params": {"step": 1}})
    writer.close()
    assert kept_at_a_glance(folder) is None
    assert experiments(dash_root=tmp_path)[0].seq == Replay(folder).refresh().seq


def test_a_journal_that_a_newer_release_wrote_is_refused_by_name_whatever_its_checkpoint_says(tmp_path: Path) -> None:
    folder = recorded(tmp_path)
    state = Replay(folder).refresh()
    header, _ = encode_header("newer", 1, 1, 5, None)
    body = header[: header.index(b',"hash"')].replace(b'"version":1', b'"version":2')
    sealed = chain_hash(GENESIS_HASH, "newer", body)
    line, line_hash = encode_commit(
        sealed,
        "newer",
        first=1,
        count=1,
        time_us=5,
        writer="w",
        session="w",
        counter=1,
        fence=0,
        events=b"[1]",
    )
    data = b'%b,"hash":"%b"}\n%b' % (body, sealed.encode(), line)
    segment(folder).write_bytes(data)
    Path(folder.checkpoint_path).unlink()
    end = Position("newer", 1, len(data), 2, line_hash, len(data))
    assert save_positions(folder, Trust(folder), end, [])
    assert save_state(folder, Trust(folder), end, [], state)
    assert kept_at_a_glance(folder) is None
    assert "version 2" in (experiments(dash_root=tmp_path)[0].error or "")


def test_a_changed_experiment_hides_no_other(tmp_path: Path) -> None:
    folder = recorded(tmp_path)
    with Experiment("alice/ml/b", dash_root=tmp_path, console=False).run:
        pass
    flip_a_byte(segment(folder))
    assert {each.prefix for each in experiments(dash_root=tmp_path)} == {PREFIX, "alice/ml/b"}
