"""Reads events and finds what no journal may hold; afterwards it knows what the journal has of each life.

1. Sequence numbers are dense.
2. Events of one life come in its order, each once, whoever else recorded between them.  What a life tried in vain
   (`ConflictError`, a full disk) has the number of what it recorded next, so it would be a repetition here.
3. A point and a file hold what their writer gave them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ml_dash.facts.events import Event

from .model import Model
from .recording import check_of, checksum, content_of
from .world import COUNTER

MAIN, CORRECTIONS, REDACTIONS = "main", "corrections", "redactions"
Label = tuple[str, int, int]
"""Which sequence of a life, the life, the number in it."""


class Account:
    """Of one journal, event by event; `is_wrong` is told what is found."""

    def __init__(self, is_wrong: Callable[[str], None], *, counts: bool = True, models: bool = False) -> None:
        self._is_wrong = is_wrong
        self._counts = counts
        self._count: int | None = None
        self.seq = 0
        self.last: dict[tuple[str, int], int] = {}
        self.rewinds: dict[str, int] = {}
        self.session_at: dict[tuple[int, int], str] = {}
        self.checksums: dict[str, tuple[int, int]] = {}
        self.model = Model() if models else None

    def add(self, event: Event) -> None:
        if event.seq != self.seq + 1:
            self._is_wrong(f"event {event.seq} follows event {self.seq}")
        self.seq = event.seq
        self.add_in_any_order(event)

    def add_in_any_order(self, event: Event) -> None:
        """Without rule 1."""
        try:
            label = label_of(event)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            self._is_wrong(f"event {event.seq} says not whose it is: {error!r}, {event!r}")
            return
        if label is not None:
            self._add_labelled(event, *label)
        if event.type == "run.rewound":
            session = event.data["session"]
            self.rewinds[session] = self.rewinds.get(session, 0) + 1
        if self._counts and event.type == "params.set" and COUNTER in event.data["params"]:
            self._add_count(event)
        if self.model is not None:
            self.model.add(event)

    def _add_labelled(self, event: Event, stream: str, life: int, number: int) -> None:
        before = self.last.get((stream, life), 0)
        if number != before + 1 and stream == MAIN:
            self._is_wrong(f"event {event.seq} is number {number} of life {life}, behind number {before}")
        self.last[stream, life] = max(number, before)
        if event.type == "log.written":
            self.session_at[life, number] = event.session
        elif event.type == "file.saved":
            size = int(event.data["description"].split(":")[2])
            if event.data["checksum"] not in self.checksums and event.data["checksum"] != checksum(
                content_of(life, number, size)
            ):
                self._is_wrong(f"event {event.seq}: the file has other content than life {life} saved as {number}")
            self.checksums[event.data["checksum"]] = (life, number)

    def _add_count(self, event: Event) -> None:
        count = event.data["params"][COUNTER]
        if self._count is not None and count != self._count + 1:
            self._is_wrong(f"event {event.seq}: counted {count} behind {self._count} under `expect`")
        self._count = count


def label_of(event: Event) -> Label | None:
    """None for what no writer numbers: beginnings, ends, rewinds.  Raises ValueError for what has changed."""
    data: Any = event.data
    match event.type:
        case "metric.logged":
            fields = data["fields"]
            if fields["check"] != check_of(fields["life"], fields["i"], fields["step"]):
                raise ValueError("its check is wrong")
            return MAIN, fields["life"], fields["i"]
        case "track.appended":
            return MAIN, data["fields"]["life"], data["fields"]["i"]
        case "log.written":
            text = data["message"]
        case "params.set":
            text = data["params"]["mark"]
        case "file.saved":
            text = data["description"]
        case "value.corrected":
            life, number = data["reason"].split(":")
            return CORRECTIONS, int(life), int(number)
        case "event.redacted":
            return REDACTIONS, 0, int(data["reason"].split(":")[1])
        case _:
            return None
    life, number = text.split(":")[:2]
    return MAIN, int(life), int(number)
