"""How a server is set up, apart from where it keeps things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..remote.protocol import BLOB_BYTES_MAX, BODY_BYTES_MAX, BODY_TIMEOUT_S

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """`host` is what it listens on, `public_url` what people call it by (None: as they called it).

    `cache` is where journals are brought to be read; None: a folder of this process, removed at its end.  The limits
    are there to be lowered, and to be reached in tests.
    """

    host: str = "127.0.0.1"
    public_url: str | None = None
    cache: Path | None = None
    body_bytes_max: int = BODY_BYTES_MAX
    blob_bytes_max: int = BLOB_BYTES_MAX
    body_timeout_s: float = BODY_TIMEOUT_S
    bodies_at_once: int = 16
    """Requests with a body that are worked on at the same time; others wait."""
    large_body_bytes: int = 8 * MIB
    """Of bodies that are larger only one is held in memory at a time."""
    followers_max: int = 1000
    poll_s: float = 0.5
    """How often a follower looks whether another server process has stored something."""
    readers: int = 4
    """Threads that read journals for `/v1/state` and the like."""
