"""How threads wake and wait for the committer.  A signal handler may do either amid doing the same."""

from __future__ import annotations

from threading import Lock

from ..errors import MlDashError


class Bell:
    """Wakes one thread.  A lock, not an Event: ringing is one call, so it can be interrupted by itself."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()

    def ring(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            return  # it rings already

    def wait(self, timeout_s: float = -1) -> bool:
        """Until it rings, then it is silent again; False after `timeout_s` seconds, -1 for as long as it takes."""
        return self._lock.acquire(timeout=timeout_s)


class Request:
    """What somebody waits for: a commit of everything so far, also synced, or also the end of the thread."""

    def __init__(self, *, sync: bool, is_last: bool) -> None:
        self.sync = sync
        self.is_last = is_last
        self.error: MlDashError | None = None
        self.done = Bell()
