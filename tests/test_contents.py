"""The content store: whole or not at all, once, durable before it has its name, checked whenever it is read."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ml_dash.errors import StorageError
from ml_dash.journal.contents import ContentStore
from ml_dash.journal.copying import CHUNK_BYTES, Content
from ml_dash.journal.disk import Disk
from ml_dash.journal.folder import JournalFolder

from .journal.simulated_disk import PowerLoss, SimulatedDisk
from .promises import RecordProperty

DATA = bytes(range(256)) * (3 * CHUNK_BYTES // 256) + b"the end"


def content_of(data: bytes) -> Content:
    return Content(sha256(data).hexdigest(), len(data))


def store_at(folder: Path, disk: Disk | None = None) -> ContentStore:
    folder.mkdir(exist_ok=True)
    return ContentStore(JournalFolder(folder, disk or Disk()))


def stored(store: ContentStore) -> dict[str, bytes]:
    """Everything below `_files`, by its path there."""
    root = Path(store.path)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def put_bytes(store: ContentStore, source: Path) -> Content:
    return store.write(source.read_bytes())


def put_copy(store: ContentStore, source: Path) -> Content:
    return store.copy_in(str(source))


def put_through_file(store: ContentStore, source: Path) -> Content:
    return store.fill(lambda draft: draft.file.write(source.read_bytes()))


def put_by_path(store: ContentStore, source: Path) -> Content:
    return store.fill(lambda draft: Path(draft.path).write_bytes(source.read_bytes()), ".bin")


WAYS = [put_bytes, put_copy, put_through_file, put_by_path]
Put = Callable[[ContentStore, Path], Content]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


# --- rule 1: whole, durable, then named ---------------------------------------------------------------------


@pytest.mark.parametrize("put", WAYS)
@pytest.mark.parametrize("data", [b"", b"x", DATA[:CHUNK_BYTES], DATA])
def test_content_stands_under_its_hash_whichever_way_it_came(tmp_path: Path, put: Put, data: bytes) -> None:
    store, source = store_at(tmp_path / "run"), tmp_path / "source"
    source.write_bytes(data)
    content = put(store, source)
    assert content == content_of(data)
    assert stored(store) == {f"{content.checksum[:2]}/{content.checksum}": data}
    assert store.read(content) == data


class Diary(Disk):
    """Writes down the calls that order durability."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def sync_file(self, descriptor: int) -> None:
        self.calls.append("sync_file")
        super().sync_file(descriptor)

    def rename(self, source: str, target: str) -> None:
        self.calls.append("rename")
        super().rename(source, target)

    def sync_folder(self, path: str) -> None:
        self.calls.append(f"sync_folder {os.path.basename(path)}")
        super().sync_folder(path)


@pytest.mark.parametrize("put", WAYS)
def test_content_is_synced_before_it_has_its_name(tmp_path: Path, source: Path, put: Put) -> None:
    diary = Diary()
    content = put(store_at(tmp_path / "run", diary), source)
    folders = [f"sync_folder {name}" for name in (content.checksum[:2], "_files", "run")]
    assert diary.calls[diary.calls.index("sync_file") :] == ["sync_file", "rename", *folders]


def test_stored_content_is_read_only(tmp_path: Path, source: Path) -> None:
    store = store_at(tmp_path / "run")
    path = store.path_of(put_copy(store, source).checksum)
    assert not stat.S_IMODE(os.stat(path).st_mode) & 0o222


@pytest.mark.parametrize("put", WAYS)
def test_a_failure_while_writing_leaves_nothing(tmp_path: Path, source: Path, put: Put) -> None:
    class Interrupted(Disk):
        def sync_file(self, descriptor: int) -> None:
            raise KeyboardInterrupt

    store = store_at(tmp_path / "run", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        put(store, source)
    assert stored(store) == {}


# --- rules 2 and 3: the copy is what is hashed --------------------------------------------------------------


class NoClone(Disk):
    def clone(self, source: int, target: int) -> bool:
        return False


class NoKernelCopy(NoClone):
    def copy_range(self, source: int, offset: int, target: int, count: int) -> int:
        raise OSError(errno.EXDEV, "not on this file system")


class KernelCopyStops(NoClone):
    """Copies a piece in the kernel, then no more; and never as much as it was asked for."""

    def copy_range(self, source: int, offset: int, target: int, count: int) -> int:
        if offset:
            raise OSError(errno.EIO, "no more")
        return super().copy_range(source, offset, target, count // 2)


class CloneByHand(Disk):
    """A file system that shares blocks."""

    def clone(self, source: int, target: int) -> bool:
        self.write(target, self.read_at(source, 0, self.size_of(source)))
        return True

    def copy_range(self, source: int, offset: int, target: int, count: int) -> int:
        raise AssertionError("cloned files need no copying")


@pytest.mark.parametrize("disk", [Disk, NoClone, NoKernelCopy, KernelCopyStops, CloneByHand])
def test_every_way_to_copy_gives_the_same_content(tmp_path: Path, source: Path, disk: type[Disk]) -> None:
    store = store_at(tmp_path / "run", disk())
    content = put_copy(store, source)
    assert content == content_of(DATA)
    assert store.read(content) == DATA
    store.copy_out(content, str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == DATA


def test_a_source_that_changes_meanwhile_cannot_make_name_and_content_disagree(tmp_path: Path, source: Path) -> None:
    class Changing(NoClone):
        def copy_range(self, source: int, offset: int, target: int, count: int) -> int:
            copied = super().copy_range(source, offset, target, count)
            (tmp_path / "source").write_bytes(b"\xff" * len(DATA))
            return copied

    store = store_at(tmp_path / "run", Changing())
    content = put_copy(store, source)
    (data,) = stored(store).values()
    assert content == content_of(data) != content_of(DATA)


def test_a_source_that_grows_meanwhile_is_saved_as_it_was(tmp_path: Path, source: Path) -> None:
    class Growing(NoClone):
        def size_of(self, descriptor: int) -> int:
            size = super().size_of(descriptor)
            with (tmp_path / "source").open("ab") as file:
                file.write(b"later")
            return size

    assert put_copy(store_at(tmp_path / "run", Growing()), source) == content_of(DATA)


def test_a_source_that_shrinks_meanwhile_is_saved_to_its_end(tmp_path: Path, source: Path) -> None:
    class Shrinking(NoClone):
        def size_of(self, descriptor: int) -> int:
            size = super().size_of(descriptor)
            os.truncate(tmp_path / "source", CHUNK_BYTES + 5)
            return size

    assert put_copy(store_at(tmp_path / "run", Shrinking()), source) == content_of(DATA[: CHUNK_BYTES + 5])


def test_a_file_that_says_it_is_empty_until_it_is_read_is_read(tmp_path: Path) -> None:
    own = Path("/proc/self/cmdline") if Path("/proc/self/cmdline").exists() else Path(__file__)
    store = store_at(tmp_path / "run")
    assert store.read(put_copy(store, own)) == own.read_bytes() != b""


def test_a_buffer_that_changes_after_the_call_changes_nothing(tmp_path: Path) -> None:
    store, data = store_at(tmp_path / "run"), bytearray(b"before")
    content = store.write(data)
    data[:] = b"behind"
    assert store.read(content) == b"before"


def test_buffers_of_any_shape_are_written_in_the_order_of_their_items(tmp_path: Path) -> None:
    store = store_at(tmp_path / "run")
    assert store.read(store.write(memoryview(b"abcdef").cast("B", (2, 3)))) == b"abcdef"
    assert store.read(store.write(memoryview(b"abcdef")[::2])) == b"ace"
    assert store.read(store.write(memoryview(b""))) == b""


# --- rule 4: once -------------------------------------------------------------------------------------------


def test_the_same_content_is_stored_once(tmp_path: Path, source: Path) -> None:
    diary = Diary()
    store = store_at(tmp_path / "run", diary)
    first = put_copy(store, source)
    inode = os.stat(store.path_of(first.checksum)).st_ino
    diary.calls.clear()
    assert put_bytes(store, source) == first
    assert os.stat(store.path_of(first.checksum)).st_ino == inode
    assert list(stored(store)) == [f"{first.checksum[:2]}/{first.checksum}"]
    assert diary.calls == [f"sync_folder {name}" for name in (first.checksum[:2], "_files", "run")]


def test_content_of_another_length_under_that_name_is_replaced(tmp_path: Path, source: Path) -> None:
    store = store_at(tmp_path / "run")
    path = Path(store.path_of(put_copy(store, source).checksum))
    path.chmod(0o644)
    path.write_bytes(DATA[:-1])
    assert store.read(put_copy(store, source)) == DATA


# --- rule 5: drafts -----------------------------------------------------------------------------------------

HOLD_A_DRAFT = """
import sys, time
from pathlib import Path
from ml_dash.journal.contents import ContentStore
from ml_dash.journal.folder import JournalFolder
with ContentStore(JournalFolder(Path(sys.argv[1]))).draft() as draft:
    draft.file.write(b"half")
    draft.file.flush()
    print(draft.path, flush=True)
    sys.stdin.readline()
    print(draft.keep().checksum, flush=True)
"""


def hold_a_draft(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process in the middle of saving, and its draft."""
    folder.mkdir(exist_ok=True)
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD_A_DRAFT, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, Path(child.stdout.readline().strip())


def test_the_draft_of_a_killed_process_is_removed_by_the_next_save(tmp_path: Path, source: Path) -> None:
    child, draft = hold_a_draft(tmp_path / "run")
    assert draft.read_bytes() == b"half"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert draft.exists()
    store = store_at(tmp_path / "run")
    content = put_copy(store, source)
    assert list(stored(store)) == [f"{content.checksum[:2]}/{content.checksum}"]


def test_the_draft_of_a_living_process_is_left_alone(tmp_path: Path, source: Path) -> None:
    child, draft = hold_a_draft(tmp_path / "run")
    store = store_at(tmp_path / "run")
    put_copy(store, source)
    assert draft.exists()
    said, _ = child.communicate("\n")
    assert said.strip() == content_of(b"half").checksum
    assert store.read(content_of(b"half")) == b"half"


def test_a_maker_whose_new_draft_was_removed_takes_another(tmp_path: Path, source: Path) -> None:
    class Hasty(Disk):
        """Another process takes the draft for a dead one's, before its maker has locked it."""

        removed: str | None = None

        def create_draft(self, path: str) -> int:
            descriptor = super().create_draft(path)
            if self.removed is None:
                self.removed = path
                self.remove(path)
            return descriptor

    disk = Hasty()
    store = store_at(tmp_path / "run", disk)
    assert store.read(put_copy(store, source)) == DATA
    assert disk.removed is not None


def test_a_draft_that_was_replaced_by_its_writer_is_refused(tmp_path: Path) -> None:
    store = store_at(tmp_path / "run")

    def replace(draft: Any) -> None:
        Path(f"{draft.path}.other").write_bytes(b"other")
        os.replace(f"{draft.path}.other", draft.path)

    with pytest.raises(StorageError, match="replaced or removed"):
        store.fill(replace)
    assert stored(store) == {}


# --- rule 6: reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"x" + data[1:]])
def test_damaged_content_is_never_handed_out(tmp_path: Path, source: Path, damage: Callable[[bytes], bytes]) -> None:
    store = store_at(tmp_path / "run")
    content = put_copy(store, source)
    path = Path(store.path_of(content.checksum))
    path.chmod(0o644)
    path.write_bytes(damage(DATA))
    target = tmp_path / "out"
    target.write_bytes(b"what was there")
    found = sha256(damage(DATA)).hexdigest()
    for fetch in (lambda: store.copy_out(content, str(target)), lambda: store.read(content)):
        with pytest.raises(StorageError) as caught:
            fetch()
        assert content.checksum in str(caught.value)
        assert found in str(caught.value) or len(damage(DATA)) > len(DATA)
    assert target.read_bytes() == b"what was there"
    assert sorted(os.listdir(tmp_path)) == ["out", "run", "source"]


def test_missing_content_is_named(tmp_path: Path, source: Path) -> None:
    store = store_at(tmp_path / "run")
    content = put_copy(store, source)
    os.unlink(store.path_of(content.checksum))
    with pytest.raises(StorageError, match=content.checksum):
        store.read(content)
    with pytest.raises(StorageError, match=content.checksum):
        store.copy_out(content, str(tmp_path / "out"))


def test_fetched_content_can_be_changed_without_changing_the_store(tmp_path: Path, source: Path) -> None:
    store = store_at(tmp_path / "run")
    content = put_copy(store, source)
    store.copy_out(content, str(tmp_path / "out"))
    with (tmp_path / "out").open("r+b") as file:
        file.write(b"changed")
    assert store.read(content) == DATA


# --- faults -------------------------------------------------------------------------------------------------

CALLS = (
    "make_folder list_names create_draft same_file write size_of clone copy_range read_at file_object make_read_only "
    "sync_file status rename sync_folder remove open_read"
).split()


class Failing(Disk):
    """The n-th call of one kind fails."""

    def __init__(self, call: str, number: int, code: int) -> None:
        self.left = number
        original = getattr(self, call)

        def fail(*arguments: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise OSError(code, os.strerror(code))
            return original(*arguments)

        setattr(self, call, fail)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What is written and read in four pieces."""
    size = 4096
    for module in ("contents", "copying"):
        monkeypatch.setattr(f"ml_dash.journal.{module}.CHUNK_BYTES", size)
    return DATA[: 3 * size] + b"the end"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("put", [put_bytes, put_copy, put_through_file])
def test_a_call_that_fails_ends_in_success_or_in_an_error_that_leaves_nothing_half(
    tmp_path: Path, small_chunks: bytes, put: Put, call: str, code: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(small_chunks)
    # A source that cannot be opened is the caller's to name.
    named: tuple[type[Exception], ...] = (StorageError, OSError) if call == "open_read" else (StorageError,)
    for number in (1, 2, 3):
        folder = tmp_path / f"run{number}"
        store = store_at(folder, Failing(call, number, code))
        try:
            content = put(store, source)
        except named:
            content = None
        if content is not None:
            assert store_at(folder).read(content) == small_chunks
        for path, data in stored(store).items():
            assert path.startswith(".draft-") or os.path.basename(path) == sha256(data).hexdigest()
        again = store_at(folder)
        assert again.read(put(again, source)) == small_chunks
        checksum = content_of(small_chunks).checksum
        assert list(stored(again)) == [f"{checksum[:2]}/{checksum}"]


def test_a_full_disk_is_named_and_leaves_no_draft(tmp_path: Path, source: Path) -> None:
    store = store_at(tmp_path / "run", Failing("write", 2, errno.ENOSPC))
    with pytest.raises(StorageError, match="No space left"):
        put_bytes(store, source)
    assert stored(store) == {}


class DiskThatLosesPower(SimulatedDisk):
    """What the store asks of a disk beyond what a journal does."""

    def create_draft(self, path: str) -> int:
        return self.create(path)

    def clone(self, source: int, target: int) -> bool:
        return False

    def copy_range(self, source: int, offset: int, target: int, count: int) -> int:
        raise OSError(errno.ENOSYS, "a simulated disk has no kernel")

    def make_read_only(self, descriptor: int) -> None:
        return


def save_until_power_fails(disk: DiskThatLosesPower) -> list[Content]:
    """Saves files, two of them of the same content; what had been answered when power failed."""
    disk.put("/source", DATA[:2000])
    store, answered = ContentStore(JournalFolder(Path("/run"), disk)), []
    puts = [
        lambda: store.write(b"first"),
        lambda: store.copy_in("/source"),
        lambda: store.write(b"first"),
        lambda: store.write(b"last"),
    ]
    with suppress(PowerLoss):
        for put in puts:
            answered.append(put())
    return answered


def test_what_was_saved_survives_power_loss_at_every_change(
    monkeypatch: pytest.MonkeyPatch, record_property: RecordProperty
) -> None:
    # Locks are the kernel's, and a simulated disk has none; nobody else is there.
    monkeypatch.setattr("ml_dash.journal.contents.hold_descriptor", lambda descriptor: True)
    whole = DiskThatLosesPower()
    assert len(save_until_power_fails(whole)) == 4
    for change in range(1, whole.changes + 1):
        disk = DiskThatLosesPower(change)
        disk.power_fails_at = change
        answered = save_until_power_fails(disk)
        for seed in range(12):
            after = disk.after_power_loss(seed)
            after.__class__ = DiskThatLosesPower
            store = ContentStore(JournalFolder(Path("/run"), after))
            for content in answered:
                assert content_of(store.read(content)) == content
            for path in after.shown_names:
                name = os.path.basename(path)
                assert (
                    name.startswith(".draft-") or path == "/source" or content_of(after.contents(path)).checksum == name
                )
            assert store.read(store.write(b"after")) == b"after"
            assert [path for path in after.shown_names if ".draft-" in path] == []
            record_property("power losses", 1)


SAVE_AND_MEASURE = """
import resource, sys
from pathlib import Path
from ml_dash.journal.contents import ContentStore
from ml_dash.journal.folder import JournalFolder
store = ContentStore(JournalFolder(Path(sys.argv[1])))
store.write(b"")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
content = store.copy_in(sys.argv[2])
store.copy_out(content, sys.argv[2] + ".out")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_saving_and_fetching_a_large_file_needs_little_memory(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, 192 * 1024 * 1024)
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", SAVE_AND_MEASURE, str(tmp_path / "run"), str(large)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown * (1 if sys.platform == "darwin" else 1024) < 64 * 1024 * 1024
