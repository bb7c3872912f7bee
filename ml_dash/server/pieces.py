"""The objects that a copy consists of, in order: 40 bytes each.

A training that ships every second makes thousands before they may be joined (`compaction.py`), a server keeps those of
many trainings in mind, and a Python object for each would be twenty times as much.  What an object is called follows
from where it goes on from, so no name is kept.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

_NAME = re.compile(r"([0-9]{8})-([0-9]{12})\.jsonl")


@dataclass(frozen=True, slots=True)
class Piece:
    """An object: bytes `start` to `end` of a segment."""

    path: str
    segment: int
    start: int
    end: int


class Pieces:
    """Of the copy in `folder`; reads like a list."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._before_segments, self._before_offsets = array("q"), array("q")
        self._segments, self._starts, self._ends = array("q"), array("q"), array("q")

    def append(self, before: tuple[int, int], segment: int, start: int, end: int) -> None:
        """An object with bytes `start` to `end` of `segment` that goes on from the place `before`."""
        self._before_segments.append(before[0])
        self._before_offsets.append(before[1])
        self._segments.append(segment)
        self._starts.append(start)
        self._ends.append(end)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> Piece:
        before = self._before_segments[number], self._before_offsets[number]
        path = path_of(self._folder, *before)
        return Piece(path, self._segments[number], self._starts[number], self._ends[number])

    def __iter__(self) -> Iterator[Piece]:
        return (self[number] for number in range(len(self)))

    @property
    def end(self) -> tuple[int, int]:
        """The place behind the last one; of none, (0, 0)."""
        return (self._segments[-1], self._ends[-1]) if self._ends else (0, 0)

    def sizes(self) -> dict[int, int]:
        """The bytes of each segment, oldest first."""
        return dict(zip(self._segments, self._ends, strict=True))

    def at(self, segment: int, offset: int) -> Piece | None:
        """The object that has this byte of a segment; None where there is none."""
        number = bisect_right(range(len(self)), (segment, offset), key=self._begin) - 1
        has_it = number >= 0 and self._segments[number] == segment and offset < self._ends[number]
        return self[number] if has_it else None

    def size_of(self, segment: int) -> int | None:
        """How many bytes there are of a segment; None where it is not there."""
        number = bisect_right(self._segments, segment) - 1
        return self._ends[number] if number >= 0 and self._segments[number] == segment else None

    def _begin(self, number: int) -> tuple[int, int]:
        return self._segments[number], self._starts[number]


def path_of(folder: str, segment: int, offset: int) -> str:
    """The name of the object that goes on from a place."""
    return f"{folder}/{segment:08d}-{offset:012d}.jsonl"


def place_of(path: str) -> tuple[int, int] | None:
    """What a batch goes on from, by its name; None for other objects."""
    match = _NAME.fullmatch(path.rpartition("/")[2])
    return (int(match[1]), int(match[2])) if match else None
