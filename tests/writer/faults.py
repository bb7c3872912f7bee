"""A disk that fails when it is told to."""

from __future__ import annotations

import os
from errno import ENOSPC

from ml_dash.journal.disk import Disk, Map


class FaultyDisk(Disk):
    """The real disk; the calls named in `failing` raise `error_number` instead, `write` after half of the data."""

    def __init__(self, *failing: str, error_number: int = ENOSPC) -> None:
        self.failing = set(failing)
        self.error_number = error_number
        self.failed = 0

    def _enter(self, call: str) -> None:
        if call in self.failing:
            self.failed += 1
            raise OSError(self.error_number, os.strerror(self.error_number), call)

    def create(self, path: str) -> int:
        self._enter("create")
        return super().create(path)

    def reserve_map(self, descriptor: int, size: int) -> Map:
        self._enter("reserve_map")
        return super().reserve_map(descriptor, size)

    def write(self, descriptor: int, data: bytes) -> None:
        if "write" in self.failing:
            super().write(descriptor, data[: len(data) // 2])
        self._enter("write")
        super().write(descriptor, data)

    def sync_data(self, descriptor: int) -> None:
        self._enter("sync_data")
        super().sync_data(descriptor)

    def remove(self, path: str) -> None:
        self._enter("remove")
        super().remove(path)

    def open_read(self, path: str) -> int:
        self._enter("open_read")
        return super().open_read(path)


FULL = ("create", "reserve_map", "write")
"""The calls that a full disk refuses."""
