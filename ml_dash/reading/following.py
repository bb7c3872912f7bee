"""One way to wait until a journal goes on: who follows experiments reads, waits here, and reads again.

1. What counts is the look of a journal's folder: which segments there are, and the file and size of the newest one.
   It is taken before the caller reads, so what is appended while he reads ends his next wait at once.
2. Where `watchfiles` is installed, the kernel says that something has happened in the folder, and only then it is
   looked at.  A kernel knows nothing of what other machines write to a network share: the folder is looked at all the
   same, only more rarely; where that finds again and again what the kernel did not tell, nothing but looking counts.
3. Looking opens nothing of the journal and takes no lock: no writer ever notices.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any

from ..clock import monotonic_s, sleep_s
from ..journal.folder import JournalFolder

LOOK_INTERVAL_S = 0.05
"""Between two looks where nothing tells of changes."""
UNTOLD_INTERVAL_S = 0.5
"""The same where the kernel does."""
UNTOLD_MAX = 3
"""So many changes in a row that the kernel did not tell of, and it is asked no more."""
TELL_INTERVAL_MS = 20
"""How often `watchfiles` hands on what the kernel has told."""

Look = tuple[tuple[int, ...], int, int] | None
"""The numbers of the segments, and inode and size of the newest one; None where there is no journal."""


class Follow:
    """Waits for any of these journals to go on, to be removed, or to be there at last.

        with Follow([folder]) as follow:
            while True:
                …read…
                follow.wait(1.0)

    Used by one thread at a time.  `close()` ends it; so does leaving the block.
    """

    def __init__(self, folders: Iterable[JournalFolder]) -> None:
        self._folders = list(folders)
        self._looks = [_look(folder) for folder in self._folders]
        self._kernel: Any = None
        self._untold = 0

    def wait(self, timeout_s: float) -> list[JournalFolder]:
        """Those that have changed since the last `wait`, or since this was made; none where `timeout_s` seconds have
        passed without a change.  Whole commits may be what has come, or a part of one."""
        deadline_s = monotonic_s() + timeout_s
        is_told = True
        while not (changed := self._changed()):
            left_s = deadline_s - monotonic_s()
            if left_s <= 0:
                return []
            is_told = self._pause(left_s)
        self._untold = 0 if is_told else self._untold + 1
        return changed

    def close(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def __enter__(self) -> Follow:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _changed(self) -> list[JournalFolder]:
        before, self._looks = self._looks, [_look(folder) for folder in self._folders]
        pairs = zip(self._folders, before, self._looks, strict=True)
        changed = [(folder, old, new) for folder, old, new in pairs if old != new]
        if any(old is None or new is None for _, old, new in changed):
            # To the kernel, a folder that was made anew is another one.
            self.close()
        return [folder for folder, _, _ in changed]

    def _pause(self, left_s: float) -> bool:
        """Returns when it is time to look again; False where that is so although the kernel has told nothing."""
        if self._untold >= UNTOLD_MAX or None in self._looks:
            self.close()
            sleep_s(min(LOOK_INTERVAL_S, left_s))
            return self._untold < UNTOLD_MAX  # once deaf, deaf for good
        if self._kernel is None:
            self._kernel = _watch([folder.path for folder in self._folders])
            self._untold = 0 if self._kernel is not None else UNTOLD_MAX
            return True  # what has happened before is not told
        timeout_ms = max(1, int(1000 * min(UNTOLD_INTERVAL_S, left_s)))
        told = self._kernel.watch(TELL_INTERVAL_MS, TELL_INTERVAL_MS, timeout_ms, None)
        if told == "signal":
            # A signal's handler has raised, and watchfiles keeps to itself what.
            raise KeyboardInterrupt
        return bool(told != "timeout")


def _look(folder: JournalFolder) -> Look:
    numbers = folder.segment_numbers()
    if not numbers:
        return ((), 0, 0) if folder.exists() else None
    status = folder.disk.status(folder.segment_path(numbers[-1]))
    return (tuple(numbers), status.inode, status.size) if status is not None else ((), 0, 0)


def _watch(paths: list[str]) -> Any:
    """None where `watchfiles` is not installed, or the kernel has no watch left to give."""
    try:
        from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError
    except ImportError:
        return None
    with suppress(OSError, WatchfilesRustInternalError):
        return RustNotify(paths, False, False, 0, False, True)
    return None
