"""Which fields the rows of a spool have, by number: what a row need not say because a definition has said it before.

A shape is known here before its definition is written, and its definition is written before its number is used.  So
every file defines a shape before it uses it: the one that was open then has the row, later ones begin with all rows.
"""

from __future__ import annotations

from itertools import count

from ..facts.rows import Shape, definition_row, seal

SHAPES_MAX = 1024
DEFINITION_BYTES_MAX = 2048
"""Rows of further or larger shapes carry their field names: names that a run makes up must not fill every file."""


class Stream:
    """Rows of one type and name; remembers the number of each set of fields it has seen."""

    __slots__ = ("name", "named", "numbers", "type")

    def __init__(self, event_type: str, name: str | None, *, named: bool) -> None:
        self.type = event_type
        self.name = name
        self.named = named
        self.numbers: dict[tuple[str, ...], int] = {}


class SpoolShapes:
    """Any thread may ask for a number; two that ask for the same shape may get two, which does no harm."""

    def __init__(self) -> None:
        self.by_number: dict[int, Shape] = {}
        self._numbers = count()

    def define(self, shape: Shape) -> tuple[int, bytes] | None:
        """A number and the row that defines it; None if the shape cannot have one."""
        # 1, 1.0 and True would be one shape.
        if len(self.by_number) >= SHAPES_MAX or not all(type(key) is str for key in shape.keys):
            return None
        number = next(self._numbers)
        try:
            row = seal(definition_row(number, shape))
        except (TypeError, ValueError):
            return None
        if len(row) > DEFINITION_BYTES_MAX:
            return None
        self.by_number[number] = shape
        return number, row

    def definitions(self) -> bytes:
        """The rows that a new file begins with."""
        # A copy, because other threads define shapes meanwhile; dict.copy is one call.
        return b"".join(seal(definition_row(number, shape)) for number, shape in self.by_number.copy().items())
