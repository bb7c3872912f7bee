"""The checkpoint: with it, without it, or with any bytes in its place, everything is the same except the speed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import JournalCorruptError
from ml_dash.facts.events import PARAMS_SET
from ml_dash.journal import checkpoint
from ml_dash.journal.appender import Appender
from ml_dash.journal.checkpoint import Trust, load, save_positions, save_state
from ml_dash.journal.damage import Damage, DamageKind
from ml_dash.journal.disk import Disk
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import encode_header
from ml_dash.journal.reader import JournalReader
from ml_dash.journal.writer import Writer
from ml_dash.reading import replay as replay_module
from ml_dash.reading.replay import Replay
from ml_dash.state import FrozenDict, State

from .examples import examples
from .histories import event, point
from .journals import append, session

SEGMENT_BYTES = 1200


class WatchedDisk(Disk):
    """Counts what is read of each file behind its first bytes, and may refuse to change anything."""

    def __init__(self, *, is_read_only: bool = False) -> None:
        self._paths: dict[int, str] = {}
        self._is_read_only = is_read_only
        self.chunks: list[tuple[str, int]] = []

    def open_read(self, path: str) -> int:
        descriptor = super().open_read(path)
        self._paths[descriptor] = os.path.basename(path)
        return descriptor

    def read_at(self, descriptor: int, offset: int, count: int) -> bytes:
        data = super().read_at(descriptor, offset, count)
        if offset > 0:
            self.chunks.append((self._paths.get(descriptor, ""), len(data)))
        return data

    def segment_bytes_read(self) -> int:
        """Looking whether one line still stands, which takes 100 bytes, is no reading."""
        return sum(count for name, count in self.chunks if name[:8].isdigit() and count > 100)

    def create(self, path: str) -> int:
        self._guard(path)
        return super().create(path)

    def open_append(self, path: str) -> int:
        self._guard(path)
        return super().open_append(path)

    def make_folder(self, path: str) -> None:
        self._guard(path)
        super().make_folder(path)

    def rename(self, source: str, target: str) -> None:
        self._guard(target)
        super().rename(source, target)

    def remove(self, path: str) -> None:
        self._guard(path)
        super().remove(path)

    def _guard(self, path: str) -> None:
        if self._is_read_only:
            raise OSError(30, os.strerror(30), path)


def written(experiment: Path, points: int = 60) -> JournalFolder:
    """A journal of several segments that a writer has closed."""
    folder = JournalFolder(experiment)
    first = [point("train", step=step, loss=step / 7) for step in range(points // 2)]
    append(experiment, *session("s1", [event(PARAMS_SET, params={"lr": 0.1})], end=None))
    append(experiment, *(("s1", first[at : at + 5]) for at in range(0, len(first), 5)), segment_bytes_max=SEGMENT_BYTES)
    assert len(folder.segment_numbers()) > 2
    Writer(folder).close()
    return folder


def newest(folder: JournalFolder) -> Path:
    return Path(folder.segment_path(folder.segment_numbers()[-1]))


def opened(folder: JournalFolder) -> str:
    """What opening for appending says, and what reading shows: all that a checkpoint must not change."""
    try:
        Writer(JournalFolder(folder.experiment)).close()
        outcome = "open"
    except JournalCorruptError as error:
        outcome = f"corrupt in {error.segment} at {error.offset}"
    return outcome


def shown(folder: JournalFolder) -> str:
    reader = Replay(JournalFolder(folder.experiment))
    return repr((reader.refresh(), reader.damage))


def without_checkpoint(folder: JournalFolder, look: Callable[[JournalFolder], str]) -> str:
    path = Path(folder.checkpoint_path)
    away = path.with_suffix(".away")
    if path.exists():
        path.rename(away)
    try:
        return look(folder)
    finally:
        path.unlink(missing_ok=True)
        if away.exists():
            away.rename(path)


def fully_read(experiment: Path) -> State:
    return Replay(JournalFolder(experiment, WatchedDisk(is_read_only=True))).refresh()


def keep(folder: JournalFolder, at: int | None = None) -> State:
    """Keeps the state at the journal's end, or behind the commit that ends in event `at`, as a reader would."""
    trust = Trust(folder)
    reader = JournalReader(folder, trusted=trust)
    for line in reader.commits():
        if line.last == at:
            break
    assert reader.position is not None
    state = Replay(folder, at=reader.position.next_seq - 1).refresh()
    assert save_state(folder, trust, reader.position, reader.damage, state)
    return state


# -- opening for appending ---------------------------------------------------------------------------------------


def test_after_a_clean_close_opening_reads_no_history(tmp_path: Path) -> None:
    written(tmp_path / "a")
    disk = WatchedDisk()
    writer = Writer(JournalFolder(tmp_path / "a", disk))
    assert disk.segment_bytes_read() == 0
    assert writer.position is not None
    assert writer.position.next_seq == fully_read(tmp_path / "a").seq + 1
    writer.record(PARAMS_SET, {"params": {"lr": 0.2}})
    writer.close()
    assert fully_read(tmp_path / "a").params == {"lr": 0.2}


def test_segments_that_a_writer_filled_itself_need_not_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = Appender.__init__.__kwdefaults__ or {}
    monkeypatch.setattr(Appender.__init__, "__kwdefaults__", {**defaults, "segment_bytes_max": SEGMENT_BYTES})
    writer = Writer(JournalFolder(tmp_path / "a"))
    stream = writer.stream("metric.logged", "train")
    for step in range(100):
        writer.record_stream(stream, {"step": step})
        if step % 10 == 0:
            writer.commit()
    writer.close()
    assert len(JournalFolder(tmp_path / "a").segment_numbers()) > 1
    disk = WatchedDisk()
    Writer(JournalFolder(tmp_path / "a", disk)).close()
    assert disk.segment_bytes_read() == 0


def test_opening_reads_the_newest_segment_alone_where_its_last_writer_was_killed(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    append(tmp_path / "a", ("s2", [point("train", step=1)]))
    disk = WatchedDisk()
    Writer(JournalFolder(tmp_path / "a", disk)).close()
    assert {name for name, count in disk.chunks if name[:8].isdigit() and count > 100} == {newest(folder).name}


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(data)


def flip_a_byte_and_set_its_times_back(path: Path) -> None:
    before = path.stat()
    flip_a_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 200)


def cut_at_a_commit(path: Path) -> None:
    data = path.read_bytes()
    os.truncate(path, data.rindex(b"\n", 0, len(data) - 1) + 1)


def replace_by_a_damaged_copy(path: Path) -> None:
    copy = path.with_suffix(".copy")
    shutil.copy2(path, copy)
    flip_a_byte_and_set_its_times_back(copy)
    copy.replace(path)


HARM = [flip_a_byte, flip_a_byte_and_set_its_times_back, cut, cut_at_a_commit, replace_by_a_damaged_copy]


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("segment", [1, 2])
@pytest.mark.parametrize("clock", ["goes on", "was set back"])
def test_a_sealed_segment_that_changed_since_is_read_again_and_refuses_writing(
    tmp_path: Path, harm: Callable[[Path], None], segment: int, clock: str
) -> None:
    folder = written(tmp_path / "a")
    if clock == "was set back":
        later_s = time.time() + 3600
        os.utime(folder.checkpoint_path, (later_s, later_s))
    harm(Path(folder.segment_path(segment)))
    assert opened(folder).startswith(f"corrupt in {segment} ")
    assert opened(folder) == without_checkpoint(folder, opened)


@pytest.mark.parametrize("harm", [flip_a_byte, flip_a_byte_and_set_its_times_back, replace_by_a_damaged_copy])
def test_the_newest_segment_too(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    folder = written(tmp_path / "a")
    writer = Writer(folder)
    for step in range(8):
        writer.record(PARAMS_SET, {"params": {"step": step}})
        writer.flush()
    writer.close()
    harm(newest(folder))
    assert opened(folder).startswith("corrupt")
    assert opened(folder) == without_checkpoint(folder, opened)


def test_damage_is_found_by_every_opening_and_never_vouched_for(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    flip_a_byte(Path(folder.segment_path(1)))
    for _ in range(3):
        assert opened(folder).startswith("corrupt in 1 ")
        Replay(folder).refresh()


def test_after_the_damage_is_declared_the_journal_opens_and_goes_on(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    flip_a_byte(Path(folder.segment_path(1)))
    appender = Appender(folder, "r")
    appender.recover()
    appender.close()
    for step in range(2):
        writer = Writer(folder)
        writer.record(PARAMS_SET, {"params": {"step": step}})
        writer.close()
    state = Replay(folder)
    assert state.refresh().params["step"] == 1
    assert [(each.segment, each.declared) for each in state.damage] == [(1, True)]
    keep(folder)
    assert shown(folder) == without_checkpoint(folder, shown)


def test_a_segment_that_was_changed_in_the_tick_of_the_checkpoint_is_read(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    changed_ns = newest(folder).stat().st_ctime_ns
    os.utime(folder.checkpoint_path, ns=(changed_ns, changed_ns))
    disk = WatchedDisk()
    Writer(JournalFolder(tmp_path / "a", disk)).close()
    assert newest(folder).name in {name for name, count in disk.chunks if count > 100}


def test_what_was_not_trusted_is_not_trusted_after_somebody_wrote_the_checkpoint_again(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    changed_ns = newest(folder).stat().st_ctime_ns
    os.utime(folder.checkpoint_path, ns=(changed_ns, changed_ns))
    keep(folder)
    disk = WatchedDisk()
    Writer(JournalFolder(tmp_path / "a", disk)).close()
    assert newest(folder).name in {name for name, count in disk.chunks if count > 100}


def test_a_writer_waits_until_its_checkpoint_is_later_than_what_it_vouches_for(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    for step in range(5):
        writer = Writer(folder)
        writer.record(PARAMS_SET, {"params": {"step": step}})
        writer.close()
        kept = load(folder)
        assert kept is not None
        assert kept.written_ns > newest(folder).stat().st_ctime_ns


def test_what_others_appended_meanwhile_is_read_and_nothing_else(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    writer = Writer(folder)
    writer.record(PARAMS_SET, {"params": {"lr": 0.2}})
    writer.flush()
    append(tmp_path / "a", ("s2", [point("train", step=1)]))
    writer.close()
    disk = WatchedDisk()
    Writer(JournalFolder(tmp_path / "a", disk)).close()
    assert 0 < disk.segment_bytes_read() < 1000


def test_bytes_that_may_not_be_durable_are_not_vouched_for(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    append(tmp_path / "a", ("s2", [point("train", step=1)]))
    reader = JournalReader(folder)
    list(reader.commits())
    assert reader.position is not None
    assert reader.position.fence < reader.position.offset
    save_positions(folder, Trust(folder), reader.position, [])
    kept = load(folder)
    assert kept is not None
    assert kept.trusts(reader.position.segment, _status(newest(folder))) is None


def test_only_segments_without_damage_are_vouched_for(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    trust = Trust(folder)
    reader = JournalReader(folder, trusted=trust)
    list(reader.commits())
    end = reader.position
    assert end is not None
    first, second, *others = folder.segment_numbers()
    dead = Damage(DamageKind.DEAD, first, 9000, 10, 1, 0, True, "nothing", "bytes not accepted")
    corrupt = Damage(DamageKind.CORRUPT, second, 200, 10, 1, 2, False, "a commit", "nothing")
    assert sorted(trust.verified(end, [dead, corrupt])) == [first, *others[:-1]]
    Path(folder.checkpoint_path).unlink()
    torn = Damage(DamageKind.TORN, end.segment, end.offset, 10, 1, 0, False, "a commit", "nothing")
    for damage, vouched in (([torn], [first, second, *others[:-1]]), ([], folder.segment_numbers())):
        assert save_positions(folder, trust, end.with_fence(end.offset), damage)
        kept = load(folder)
        assert kept is not None
        assert sorted(kept.vouched) == vouched


def _status(path: Path) -> checkpoint.FileStatus:
    status = Disk().status(str(path))
    assert status is not None
    return status


# -- reading -----------------------------------------------------------------------------------------------------


def test_a_kept_state_saves_reading_and_changes_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    expected = without_checkpoint(folder, shown)
    keep(folder)
    disk = WatchedDisk(is_read_only=True)
    assert repr(Replay(JournalFolder(tmp_path / "a", disk)).refresh()) == repr(fully_read(tmp_path / "a"))
    assert disk.segment_bytes_read() == 0
    assert shown(folder) == expected


def test_what_came_after_a_kept_state_is_folded_onto_it(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    for seq in (8, 13, 18, 28):
        keep(folder, seq)
        assert shown(folder) == without_checkpoint(folder, shown)
    append(tmp_path / "a", ("s2", [point("train", step=100)]), segment_bytes_max=SEGMENT_BYTES)
    assert shown(folder) == without_checkpoint(folder, shown)


def test_a_reader_that_folded_much_keeps_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path / "a")
    Replay(folder).refresh()
    kept = load(folder)
    assert kept is not None
    assert kept.state() is None
    monkeypatch.setattr(replay_module, "KEEP_BYTES_MIN", 1000)
    state = Replay(folder).refresh()
    kept = load(folder)
    assert kept is not None
    found = kept.state()
    assert found is not None
    assert repr(found[1]) == repr(state)
    assert found[0].next_seq == state.seq + 1


def trained(root: Path, points: int) -> JournalFolder:
    with Experiment("a/b/c", dash_root=root, console=False).run as experiment:
        for step in range(points):
            experiment.metrics("train").log(step=step, loss=step / 7)
    return JournalFolder(root / "a/b/c")


def test_a_session_that_ends_keeps_the_state_of_a_small_journal(tmp_path: Path) -> None:
    for points in (30, 50):
        folder = trained(tmp_path, points)
        kept = load(folder)
        assert kept is not None
        found = kept.state()
        assert found is not None
        disk = WatchedDisk(is_read_only=True)
        state = Replay(JournalFolder(folder.experiment, disk)).refresh()
        assert disk.segment_bytes_read() == 0
        assert repr(found[1]) == repr(state) == repr(fully_read(folder.experiment))
    assert state.metrics["train"].count == 80


def test_a_session_that_ends_folds_no_large_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "KEEP_BYTES_MIN", 500)
    kept = load(trained(tmp_path, 30))
    assert kept is not None
    assert kept.state() is None


@pytest.mark.parametrize("is_large", [True, False])
def test_a_session_that_ends_folds_history_anew_for_a_correction_only_where_that_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_large: bool
) -> None:
    folder = trained(tmp_path, 500)
    before = load(folder)
    assert before is not None
    size = os.path.getsize(folder.segment_path(1))
    with Experiment("a/b/c", dash_root=tmp_path, console=False).run:
        logged = next(each for each in ml_dash.events("a/b/c", dash_root=tmp_path) if each.type == "metric.logged")
        ml_dash.correct("a/b/c", logged.seq, loss=0.5, reason="in bits", dash_root=tmp_path)
        monkeypatch.setattr(replay_module, "KEEP_BYTES_MIN", size if is_large else 100 * size)
    kept = load(folder)
    assert kept is not None
    was, found = before.state(), kept.state()
    assert was is not None
    assert found is not None
    state = Replay(folder).refresh()
    assert found[1].seq == (was[1].seq if is_large else state.seq)
    assert repr(state) == repr(fully_read(folder.experiment))


def test_a_state_that_cannot_be_kept_fails_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(replay_module, "save_state", refuse)
    folder = trained(tmp_path, 30)
    monkeypatch.undo()
    assert Replay(folder).refresh().status == "COMPLETED"


def test_a_state_that_cannot_be_said_is_not_kept(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    reader = JournalReader(folder)
    assert list(reader.commits())
    assert reader.position is not None
    state = replace(Replay(folder).refresh(), seq=1 << 80)
    before = Path(folder.checkpoint_path).read_bytes()
    assert not save_state(folder, Trust(folder), replace(reader.position, next_seq=1 << 80), [], state)
    assert Path(folder.checkpoint_path).read_bytes() == before


def test_closing_keeps_the_state_that_a_reader_kept(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    state = keep(folder)
    Writer(folder).close()
    kept = load(folder)
    assert kept is not None
    found = kept.state()
    assert found is not None
    assert repr(found[1]) == repr(state)


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("segment", [1, 2])
def test_a_kept_state_does_not_hide_what_was_damaged_since(
    tmp_path: Path, harm: Callable[[Path], None], segment: int
) -> None:
    folder = written(tmp_path / "a")
    keep(folder)
    harm(Path(folder.segment_path(segment)))
    assert shown(folder) == without_checkpoint(folder, shown)
    assert Replay(folder).refresh().seq > 0


def test_bytes_behind_what_was_vouched_for_are_read_also_where_a_kept_state_stands_behind_them(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    writer = Writer(folder)
    writer.record(PARAMS_SET, {"params": {"lr": 0.2}})
    writer.flush()
    append(tmp_path / "a", ("s2", [event(PARAMS_SET, params={"lr": 0.3})]))
    keep(folder)
    data = newest(folder).read_bytes()
    newest(folder).write_bytes(data.replace(b"0.3", b"0.4"))
    writer.close()
    assert shown(folder) == without_checkpoint(folder, shown)


def test_a_kept_state_is_gone_on_from_also_where_others_have_appended_since(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    trust = Trust(folder)
    reader = JournalReader(folder, trusted=trust)
    list(reader.commits())
    assert reader.position is not None
    state = Replay(folder).refresh()
    marked = replace(state, params=FrozenDict({"folded": "no"}))
    assert save_state(folder, trust, reader.position, reader.damage, marked)
    append(tmp_path / "a", ("s2", [event(PARAMS_SET, params={"more": 1})]))
    assert Replay(folder).refresh().params == {"folded": "no", "more": 1}


def test_a_kept_state_that_is_newer_than_what_is_asked_for_is_not_used(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    keep(folder)
    for seq in (0, 1, 9):
        assert Replay(folder, at=seq).refresh().seq == seq


def test_a_kept_state_of_another_continuation_is_not_used(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    append(tmp_path / "a", ("s2", [event(PARAMS_SET, params={"only": "in a"})]))
    append(tmp_path / "b", ("s2", [event(PARAMS_SET, params={"only": "in b"})]))
    keep(folder)
    shutil.copy2(folder.checkpoint_path, JournalFolder(tmp_path / "b").checkpoint_path)
    assert Replay(JournalFolder(tmp_path / "b")).refresh().params["only"] == "in b"


def test_a_kept_state_is_not_used_where_another_continuation_was_vouched_for_since(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "before")
    append(tmp_path / "a", ("s2", [event(PARAMS_SET, params={"only": "gone again"})]))
    keep(folder)
    kept = Path(folder.checkpoint_path).read_bytes()
    # The newest segment comes back from a copy, and a writer goes on there that vouches for it.
    shutil.copy2(newest(JournalFolder(tmp_path / "before")), newest(folder))
    Path(folder.checkpoint_path).write_bytes(kept)
    writer = Writer(folder)
    writer.record(PARAMS_SET, {"params": {"only": "what is there"}})
    writer.record(PARAMS_SET, {"params": {"more": "x" * 500}})
    writer.close()
    found = load(folder)
    assert found is not None
    assert found.state() is not None
    assert Replay(folder).refresh().params["only"] == "what is there"


def test_a_state_that_another_release_folded_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path / "a")
    keep(folder)
    monkeypatch.setattr(checkpoint, "EVENT_TYPES", (*checkpoint.EVENT_TYPES, "model.distilled"))
    kept = load(folder)
    assert kept is not None
    assert kept.state() is None


# -- whatever is wrong with the file -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def journal_with_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[JournalFolder, bytes]:
    folder = written(tmp_path_factory.mktemp("journal") / "a")
    keep(folder)
    return folder, Path(folder.checkpoint_path).read_bytes()


@examples(40)
@given(data=st.data())
def test_any_other_bytes_in_its_place_change_nothing(
    data: st.DataObject, journal_with_checkpoint: tuple[JournalFolder, bytes]
) -> None:
    folder, good = journal_with_checkpoint
    at = data.draw(st.integers(0, len(good) - 1))
    bad = data.draw(
        st.sampled_from(
            [
                good[:at],
                good[:at] + bytes((good[at] ^ 1 << data.draw(st.integers(0, 7)),)) + good[at + 1 :],
                good[at:],
                good.replace(b"0.1", b"0.2"),
                b"",
                b"{}\n{}\n",
            ]
        )
    )
    before = without_checkpoint(folder, shown)
    Path(folder.checkpoint_path).write_bytes(bad)
    assert shown(folder) == before


def test_a_value_that_was_edited_in_it_is_not_believed(journal_with_checkpoint: tuple[JournalFolder, bytes]) -> None:
    folder, good = journal_with_checkpoint
    assert b'"lr":0.1' in good
    Path(folder.checkpoint_path).write_bytes(good.replace(b'"lr":0.1', b'"lr":0.2'))
    assert Replay(folder).refresh().params == {"lr": 0.1}


def test_the_checkpoint_of_another_journal_changes_nothing(tmp_path: Path) -> None:
    one, other = written(tmp_path / "a"), written(tmp_path / "b", points=80)
    expected = shown(one)
    keep(other)
    shutil.copy2(other.checkpoint_path, one.checkpoint_path)
    assert shown(one) == expected
    assert opened(one) == "open"


def test_a_checkpoint_that_names_another_journal_is_not_trusted(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    rewrite(folder, journal="0" * 18)
    disk = WatchedDisk()
    Writer(JournalFolder(tmp_path / "a", disk)).close()
    assert disk.segment_bytes_read() > 0


def test_a_segment_is_not_trusted_where_the_next_header_accepts_something_else_of_it(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    number = folder.segment_numbers()[-1]
    header, start = JournalReader(folder).header(number) or (None, None)
    assert header is not None
    assert header.previous is not None
    assert start is not None
    previous = replace(header.previous, hash="0" * 64)
    line, _ = encode_header(header.journal, number, header.first, header.time_us, previous, header.declared)
    newest(folder).write_bytes(line)
    assert opened(folder) == f"corrupt in {number - 1} at {previous.bytes}"


def test_a_segment_is_not_trusted_behind_what_was_verified_of_it(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    reader = JournalReader(folder)
    first = next(iter(reader.commits()))
    assert first.segment == 1
    path = Path(folder.segment_path(1))
    data = path.read_bytes()
    path.write_bytes(data[:-90] + bytes((data[-90] ^ 1,)) + data[-89:])
    rewrite(folder, vouched=[{"status": _status(path), "position": reader.position}])
    later_s = time.time() + 3600
    os.utime(folder.checkpoint_path, (later_s, later_s))
    assert opened(folder).startswith("corrupt in 1 ")


def rewrite(folder: JournalFolder, **members: object) -> None:
    """As if another release, or another process, had written it."""
    path = Path(folder.checkpoint_path)
    line = orjson.loads(path.read_bytes().splitlines()[0])
    del line["hash"]
    path.write_bytes(checkpoint._sealed({**line, **members}))


def test_a_checkpoint_of_a_later_version_is_not_trusted(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    rewrite(folder, version=2)
    assert load(folder) is None
    assert opened(folder) == "open"


class NoCheckpointDisk(Disk):
    """There is no room for it."""

    def create(self, path: str) -> int:
        if ".checkpoint." in path:
            raise OSError(28, os.strerror(28), path)
        return super().create(path)


class FullDisk(NoCheckpointDisk):
    """There is room for its name, not for its bytes."""

    def __init__(self) -> None:
        self._checkpoint = -1

    def create(self, path: str) -> int:
        descriptor = Disk.create(self, path)
        if ".checkpoint." in path:
            self._checkpoint = descriptor
        return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        if descriptor == self._checkpoint:
            raise OSError(28, os.strerror(28))
        super().write(descriptor, data)

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        if descriptor == self._checkpoint:
            self._checkpoint = -1


@pytest.mark.parametrize("disk", [NoCheckpointDisk, FullDisk])
def test_a_checkpoint_that_cannot_be_written_fails_nobody(tmp_path: Path, disk: Callable[[], Disk]) -> None:
    folder = JournalFolder(tmp_path / "a", disk())
    writer = Writer(folder)
    writer.record(PARAMS_SET, {"params": {"lr": 1}})
    writer.close()
    assert not Path(folder.checkpoint_path).exists()
    assert Replay(folder).refresh().params == {"lr": 1}
    assert not list(Path(folder.path).glob(".checkpoint*"))


def test_what_a_killed_process_left_of_one_is_cleared_away(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    left = Path(folder.path) / ".checkpoint.0123abc.new"
    left.write_bytes(b"half a checkp")
    Writer(folder).close()
    assert not left.exists()


WRITERS = """
import sys
from pathlib import Path
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import encode_header
from ml_dash.journal.writer import Writer
for step in range(15):
    writer = Writer(JournalFolder(Path(sys.argv[1])))
    writer.record("params.set", {"params": {sys.argv[2]: step}})
    writer.close()
"""


def test_processes_that_write_it_at_once_leave_a_good_one(tmp_path: Path) -> None:
    folder = written(tmp_path / "a")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITERS, str(tmp_path / "a"), name], stderr=subprocess.PIPE)
        for name in ("one", "two")
    ]
    deadline = time.monotonic() + 60
    while any(writer.poll() is None for writer in writers):
        assert time.monotonic() < deadline
        load(folder)
        Replay(folder).refresh()
    assert [writer.communicate()[1] for writer in writers] == [b"", b""]
    Writer(folder).close()
    disk = WatchedDisk()
    Writer(JournalFolder(tmp_path / "a", disk)).close()
    assert disk.segment_bytes_read() == 0
    assert Replay(folder).refresh().params == {"lr": 0.1, "one": 14, "two": 14}
