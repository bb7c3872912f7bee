"""What the reading half of the server stands on: journals of experiments, wherever they are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from ..remote.protocol import Head
from ..state.nouns import Redaction
from .bell import Bell


class Library(Protocol):
    """Journals that can be read: those of a store (`journals.py`), or of a folder (`dash_root.py`)."""

    bell: Bell

    async def prefixes(self, below: str = "") -> dict[str, list[str]]:
        """The journals of every experiment below a folder of prefixes, by prefix."""

    async def heads(self, prefix: str) -> list[Head]:
        """Of every journal of an experiment; empty where there is none."""

    async def head(self, prefix: str, journal: str) -> Head | None:
        """Where a journal ends; None where there is none."""

    async def segments(self, prefix: str, journal: str) -> dict[int, int]:
        """How many bytes there are of each segment, oldest first."""

    def read(self, prefix: str, journal: str, segment: int, start: int, end: int) -> AsyncIterator[bytes]:
        """Bytes of a segment.  Raises Missing where they are not there."""

    async def redactions(self, prefix: str, journal: str) -> list[Redaction]:
        """What is declared as redacted in a journal: at least what has been carried out in its bytes."""

    async def place_of(self, prefix: str, journal: str, after: int) -> tuple[int, int]:
        """A segment and an offset, between two lines, in front of which no event behind number `after` stands."""
