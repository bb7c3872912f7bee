"""What events say after they were corrected: `value.corrected` reaches back to the event that it names.

 1. A correction replaces members of one event's payload (`CORRECTABLE` says which) and nothing else: the event keeps
    its number, its time and its place.  Later corrections of an event come on top of earlier ones.
 2. It counts as a whole: if the event has no member of one of these names, nothing is replaced.
 3. History before the correcting event is as it was: at event n, exactly the corrections up to event n count.

Events themselves never change: `ml_dash.events` gives them as they were recorded.

Pure: no I/O.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..facts.blocks import Block, CodecError
from ..facts.events import (
    LOG_WRITTEN,
    METRIC_LOGGED,
    OUTPUT_WRITTEN,
    PARAMS_SET,
    TRACK_APPENDED,
    VALUE_CORRECTED,
    Event,
)
from .draft import text_or_none
from .nouns import Correction

CORRECTABLE: Mapping[str, str | None] = {
    METRIC_LOGGED: "fields",
    TRACK_APPENDED: "fields",
    PARAMS_SET: "params",
    LOG_WRITTEN: None,
    OUTPUT_WRITTEN: None,
}
"""The types that may be corrected, and the member that holds what may be replaced; None: the payload itself."""


def correction_of(event: Event) -> Correction:
    """What a `value.corrected` event says.  Raises KeyError, TypeError or ValueError where its payload is malformed."""
    corrected, data = event.data["seq"], event.data["data"]
    if type(corrected) is not int or not isinstance(data, dict):
        raise TypeError("a correction names an event by its number, and members by their names")
    if not 0 < corrected < event.seq:
        raise ValueError(f"event {event.seq} cannot correct event {corrected}")
    reason, by = text_or_none(event.data.get("reason")), text_or_none(event.data.get("by"))
    return Correction(event.seq, corrected, data, reason, by, event.time_us)


def corrections_in(events: Iterable[Event]) -> list[Correction]:
    """The well-formed ones."""
    found = []
    for event in events:
        if event.type == VALUE_CORRECTED:
            try:
                found.append(correction_of(event))
            except (KeyError, TypeError, ValueError):
                continue
    return found


def correctable_members(event_type: str, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What of a payload may be replaced; None where nothing may."""
    if event_type not in CORRECTABLE:
        return None
    holder = CORRECTABLE[event_type]
    members = data if holder is None else data.get(holder)
    return members if isinstance(members, dict) else None


class Corrections:
    """Corrections by the events that they name.  `applied` are the numbers of those that have replaced something."""

    def __init__(self, corrections: Iterable[Correction] = ()) -> None:
        self._of: dict[int, list[Correction]] = {}
        for each in sorted(corrections, key=lambda each: each.seq):
            self._of.setdefault(each.corrected, []).append(each)
        self._corrected = sorted(self._of)
        self.seqs = frozenset(each.seq for group in self._of.values() for each in group)
        self.applied: set[int] = set()

    def payload(self, seq: int, event_type: str, data: dict[str, Any]) -> dict[str, Any]:
        """The payload of event `seq` after its corrections."""
        for correction in self._of.get(seq, ()):
            members = correctable_members(event_type, data)
            if members is None or not correction.data.keys() <= members.keys():
                continue
            holder = CORRECTABLE[event_type]
            replaced = {**members, **correction.data}
            data = replaced if holder is None else {**data, holder: replaced}
            self.applied.add(correction.seq)
        return data

    def blocks(self, blocks: list[Block], first: int, last: int) -> list[Block]:
        """The blocks of a commit of events `first` to `last` after their corrections."""
        if not self._corrected:
            return blocks
        start, stop = bisect_left(self._corrected, first), bisect_right(self._corrected, last)
        for seq in self._corrected[start:stop]:
            blocks = [self._block(block, seq, seq - first) for block in blocks]
        return blocks

    def _block(self, block: Block, seq: int, position: int) -> Block:
        index = bisect_left(block.positions, position)
        if index == block.count or block.positions[index] != position:
            return block
        if block.data is not None:
            return replace(block, data=self.payload(seq, block.type, block.data))
        for correction in self._of[seq]:
            if block.type not in CORRECTABLE or not correction.data.keys() <= set(block.keys):
                continue
            try:
                columns = {key: list(block.column(key)) for key in correction.data}
            except CodecError:
                continue
            for key, value in correction.data.items():
                columns[key][index] = value
            kept = [tag for tag in block._tags if tag[0][0] not in columns]
            block = replace(block, _columns={**block._columns, **columns}, _tags=kept)
            self.applied.add(correction.seq)
        return block


NONE = Corrections()
