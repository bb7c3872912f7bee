"""The door to the operating system itself: what it promises on the disk that there is."""

from __future__ import annotations

import os
from errno import EINVAL, EIO, ENOTSUP, EPERM
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ml_dash.journal import disk as disk_module
from ml_dash.journal.disk import Disk


class Watched(Disk):
    """Remembers which folders were synced."""

    def __init__(self) -> None:
        self.synced: list[str] = []

    def sync_folder(self, path: str) -> None:
        super().sync_folder(path)
        self.synced.append(path)


def failing(error: int) -> Any:
    def fail(*_: Any) -> None:
        raise OSError(error, os.strerror(error))

    return fail


def test_folders_that_are_made_are_synced_into_their_parents(tmp_path: Path) -> None:
    disk = Watched()
    disk.make_folder(str(tmp_path / "a" / "b" / "c"))
    assert set(disk.synced) == {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")}
    disk.synced.clear()
    disk.make_folder(str(tmp_path / "a" / "b" / "c"))
    assert disk.synced == []


def test_a_folder_cannot_be_made_where_a_file_stands(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("file")
    with pytest.raises(OSError, match="a"):
        Disk().make_folder(str(tmp_path / "a" / "b"))


def publish(folder: Path) -> Path:
    temporary, final = folder / "temporary", folder / "final"
    temporary.write_bytes(b"whole")
    Disk().publish(str(temporary), str(final))
    assert not temporary.exists()
    return final


@pytest.mark.parametrize("error", [0, EPERM, ENOTSUP], ids=["links", "no right to link", "no links"])
def test_publishing_gives_a_file_its_name_and_never_replaces_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    if error:
        monkeypatch.setattr(os, "link", failing(error))
    assert publish(tmp_path).read_bytes() == b"whole"
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(FileExistsError):
        Disk().publish(str(tmp_path / "other"), str(tmp_path / "final"))
    assert (tmp_path / "final").read_bytes() == b"whole"
    assert (tmp_path / "other").read_bytes() == b"other"


def test_a_link_that_fails_for_another_reason_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", failing(EIO))
    with pytest.raises(OSError, match="Input/output"):
        publish(tmp_path)
    assert not (tmp_path / "final").exists()


@pytest.mark.parametrize("error", [EINVAL, ENOTSUP])
def test_a_file_system_that_knows_no_syncing_of_folders_is_lived_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(os, "fsync", failing(error))
    Disk().sync_folder(str(tmp_path))


def test_a_folder_whose_syncing_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(EIO))
    with pytest.raises(OSError, match="Input/output"):
        Disk().sync_folder(str(tmp_path))


def test_on_macos_a_sync_reaches_the_medium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(disk_module, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(
        disk_module, "fcntl", SimpleNamespace(F_FULLFSYNC=51, fcntl=lambda _, command: asked.append(command))
    )
    disk = Disk()
    descriptor = disk.create(str(tmp_path / "a"))
    disk.sync_file(descriptor)
    disk.sync_data(descriptor)
    disk.close(descriptor)
    assert asked == [51, 51]


def test_what_is_written_in_pieces_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    descriptor = disk.create(str(tmp_path / "a"))
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    disk.write(descriptor, b"0123456789")
    assert disk.read_at(descriptor, 0, 100) == b"0123456789"
    disk.close(descriptor)


def test_what_is_read_in_pieces_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    descriptor = disk.create(str(tmp_path / "a"))
    disk.write(descriptor, b"0123456789")
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, count, offset: pread(descriptor, min(3, count), offset))
    assert disk.read_at(descriptor, 0, 10) == b"0123456789"
    assert disk.read_at(descriptor, 2, 5) == b"23456"
    assert disk.read_at(descriptor, 8, 5) == b"89"
    assert disk.read_at(descriptor, 10, 5) == b""
    disk.close(descriptor)


def test_a_system_that_cannot_reserve_blocks_says_so_as_an_os_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    disk = Disk()
    descriptor = disk.create(str(tmp_path / "a"))
    with pytest.raises(OSError, match="reserve"):
        disk.reserve_map(descriptor, 4096)
    disk.close(descriptor)


def test_a_file_that_lost_its_name_is_told_from_the_one_that_has_it_now(tmp_path: Path) -> None:
    disk = Disk()
    path = str(tmp_path / "a")
    descriptor = disk.create(path)
    assert disk.same_file(descriptor, path)
    disk.remove(path)
    assert not disk.same_file(descriptor, path)
    disk.close(disk.create(path))
    assert not disk.same_file(descriptor, path)
    disk.close(descriptor)


def test_a_name_that_is_taken_is_not_created_again(tmp_path: Path) -> None:
    disk = Disk()
    disk.close(disk.create(str(tmp_path / "a")))
    with pytest.raises(FileExistsError):
        disk.create(str(tmp_path / "a"))
