"""Warnings, for what goes wrong behind recording calls: training goes on, and somebody knows (promise P8)."""

from __future__ import annotations

import sys
from contextlib import suppress


def warn(text: str) -> None:
    """One line on standard error, for what must be seen and must not raise."""
    # A closed or broken standard error must not become an exception out of a log call.
    with suppress(OSError, ValueError):
        print(f"[ml-dash] WARNING: {text}", file=sys.stderr, flush=True)


class Alarm:
    """Sounds once for each subject."""

    def __init__(self) -> None:
        self._sounded: set[str] = set()

    def sound(self, subject: str, text: str) -> None:
        # Before printing: where standard error is itself recorded, printing comes back here.
        if subject in self._sounded:
            return
        self._sounded.add(subject)
        warn(text)

    def hush(self, subject: str) -> None:
        """Somebody has said it already."""
        self._sounded.add(subject)
