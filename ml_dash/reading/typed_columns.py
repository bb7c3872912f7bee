"""A field of many points in memory: as many values as one likes, in as few bytes as their types allow.

A `TypedColumn` grows by what the codec decodes (lists, ranges, arrays) and keeps it in *pieces* of one kind each:

    array `d`                       floats, bit for bit
    array of an integer typecode    integers of at most 64 bits, signed
    range                           integers that count evenly
    list                            anything else, and integers of more bits
    Gap                             points that do not have this field

Pieces of one kind that follow each other are joined, so that a column of an ordinary metric is one piece: 8 bytes a
value, or none at all for a step that counts.  Types are kept: 1 never becomes 1.0, True never 1.

Pure: no I/O.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

JOINED_COUNT_MAX = 1024
"""Integer pieces shorter than this are widened to 64 bits, so that many short ones become one."""
_INT64_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Gap:
    """`count` points without the field."""

    count: int

    def __len__(self) -> int:
        return self.count


Piece: TypeAlias = "array[Any] | range | list[Any] | Gap"


class TypedColumn:
    """`len()` values in `pieces`; iterating gives them one by one, None where the field is missing."""

    __slots__ = ("_count", "pieces")

    def __init__(self, pieces: Iterable[Piece] = ()) -> None:
        self.pieces: list[Piece] = list(pieces)
        self._count = sum(map(len, self.pieces))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        for piece in self.pieces:
            yield from _values(piece)

    @property
    def is_gap(self) -> bool:
        """Whether no point has this field."""
        return all(isinstance(piece, Gap) for piece in self.pieces)

    def values(self) -> Sequence[Any]:
        """All values: typed where they are of one kind, else a list with None for those that are missing."""
        if len(self.pieces) == 1 and not isinstance(self.pieces[0], Gap):
            return self.pieces[0]
        return self.to_list()

    def to_list(self) -> list[Any]:
        """All values, as Python has them."""
        if not self.pieces:
            return []
        values = _new_list(self.pieces[0])
        for piece in self.pieces[1:]:
            values += _values(piece)
        return values

    def extend(self, values: Sequence[Any]) -> None:
        """Takes decoded values over; an array or list may grow afterwards, so the caller must not keep it."""
        if values:
            self._count += len(values)
            self._append(_typed(values))

    def extend_gap(self, count: int) -> None:
        """`count` points that do not have this field."""
        if count:
            self._count += count
            self._append(Gap(count))

    def rows(self, runs: Iterable[range]) -> TypedColumn:
        """The values at these positions: ascending ranges that do not overlap."""
        cut = TypedColumn()
        pieces = iter(self.pieces)
        start, piece = 0, next(pieces, Gap(0))
        for run in runs:
            at = run.start
            while at < run.stop:
                while at >= start + len(piece):
                    start += len(piece)
                    piece = next(pieces)
                stop = min(run.stop, start + len(piece))
                part = slice(at - start, stop - start)
                if isinstance(piece, Gap):
                    cut.extend_gap(stop - at)
                else:
                    cut.extend(piece[part])
                at = stop
        return cut

    def _append(self, piece: Piece) -> None:
        last = self.pieces[-1] if self.pieces else None
        joined = None if last is None else _joined(last, piece)
        if joined is None:
            self.pieces.append(piece)
        else:
            self.pieces[-1] = joined


def _values(piece: Piece) -> Sequence[Any]:
    return piece if isinstance(piece, range | list) else _new_list(piece)


def _new_list(piece: Piece) -> list[Any]:
    if isinstance(piece, array):
        return piece.tolist()
    return [None] * piece.count if isinstance(piece, Gap) else list(piece)


def _typed(values: Sequence[Any]) -> Piece:
    """The same values as the narrowest kind of piece."""
    if isinstance(values, array):
        if values.typecode != "Q":
            return values
        return array("q", values) if max(values) <= _INT64_MAX else values.tolist()
    if isinstance(values, range):
        fits = max(abs(values[0]), abs(values[-1])) <= _INT64_MAX
        return values if fits else list(values)
    kinds = set(map(type, values))
    if kinds == {float}:
        return array("d", values)
    if kinds == {int}:
        try:
            return array("q", values)
        except OverflowError:
            return list(values)
    return values if isinstance(values, list) else list(values)


def _joined(last: Piece, piece: Piece) -> Piece | None:
    """Both as one piece, or None if they stay two."""
    if isinstance(last, Gap) and isinstance(piece, Gap):
        return Gap(last.count + piece.count)
    if isinstance(last, list) and isinstance(piece, list):
        last += piece
        return last
    if isinstance(last, range) and isinstance(piece, range):
        if last.step == piece.step and last.stop == piece.start:
            return range(last.start, piece.stop, last.step)
        return None
    if isinstance(last, range) and isinstance(piece, array):
        return _continued(last, piece)
    if isinstance(last, array) and isinstance(piece, array | range):
        return _joined_array(last, piece)
    return None


def _continued(last: range, piece: array[Any]) -> range | None:
    """Both as one range, if the few values of `piece` count on; so do those of commits of two or three points."""
    stop = last.stop + len(piece) * last.step
    if piece.typecode == "d" or len(piece) > JOINED_COUNT_MAX or abs(stop) > _INT64_MAX:
        return None
    counted = range(last.stop, stop, last.step)
    return range(last.start, stop, last.step) if piece.tolist() == list(counted) else None


def _joined_array(last: array[Any], piece: array[Any] | range) -> array[Any] | None:
    if isinstance(piece, array) and last.typecode == piece.typecode:
        last += piece
        return last
    is_integer = last.typecode != "d" and (isinstance(piece, range) or piece.typecode != "d")
    if not is_integer or len(piece) > JOINED_COUNT_MAX:
        return None
    if last.typecode != "q":
        if len(last) > JOINED_COUNT_MAX:
            return None
        last = array("q", last)
    last.extend(array("q", piece))
    return last
