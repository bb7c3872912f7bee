"""How an experiment stands, from how its sessions began and ended.

 1. RUNNING while any session is open.
 2. Else the sessions of the newest group decide: those that overlapped, directly or through others, with the one that
    began last.  Any of them failed: FAILED; else any cancelled: CANCELLED; else COMPLETED.
 3. Without sessions nothing runs and nothing failed: COMPLETED.

Sessions overlap by sequence numbers, never by clocks.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Protocol


class Status(str, Enum):
    """Where an experiment, or one session of it, stands.  Equal to its bare name, and printed as it."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    def __str__(self) -> str:
        return self.value

    def __format__(self, format_spec: str) -> str:
        return format(self.value, format_spec)


SEVERITY = {Status.RUNNING: 0, Status.COMPLETED: 1, Status.CANCELLED: 2, Status.FAILED: 3}


class Span(Protocol):
    """What of a session decides."""

    @property
    def started_seq(self) -> int: ...

    @property
    def ended_seq(self) -> int | None: ...

    @property
    def status(self) -> Status: ...


def status_of(sessions: Iterable[Span]) -> Status:
    """The status of an experiment with these sessions, which stand in the order in which they began."""
    newest: list[Span] = []
    group_end = 0
    for span in sessions:
        if span.ended_seq is None:
            return Status.RUNNING
        if span.started_seq > group_end:
            newest = []
        newest.append(span)
        group_end = max(group_end, span.ended_seq)
    return max((span.status for span in newest), key=SEVERITY.__getitem__, default=Status.COMPLETED)
