"""The files of a dead writer's spool, read back and judged.

What this process did not write itself it does not believe: of the header and of every row the sum is looked at.

 1. Behind the last row a file holds zeros, or what is left of a row whose recording call never returned.  That is no
    damage.
 2. Bytes in front of a valid row that are none themselves are damage: rows that were accepted, and have changed since.
    The rows behind them are read all the same.  Each stretch counts as one event, and as none where it may be a
    definition: so a row is never given a higher counter than it had, and none is doubled.
 3. A file that is not all zeros and has no valid header is damage: nobody knows whose its rows are.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from ..errors import StorageError
from ..facts.rows import Row, Shape, define, parse_rows, unseal, valid_length
from .chain import Position
from .folder import JournalFolder
from .spool_files import SPOOL_NAME, SPOOL_VERSION

HEADER_BYTES = 4096
_DEFINITION_SIGNS = (b"[null", b'"define"')


@dataclass(frozen=True, slots=True)
class SpoolHeader:
    """The first line of a spool file, and how many bytes it takes."""

    writer: str
    session: str
    first: int
    position: Position | None
    number: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SpoolContent:
    """The events that a spool file holds, each with its writer's counter, and the shapes they refer to.

    `first` is the counter that the file begins with; `damage` the offset of the first byte that has changed, or None.
    """

    writer: str
    session: str
    first: int
    position: Position | None
    counted: list[tuple[int, Row]]
    shapes: dict[int, Shape]
    damage: int | None

    @property
    def rows(self) -> list[Row]:
        return [row for _, row in self.counted]


def read_spool(folder: JournalFolder, writer: str, number: int) -> SpoolContent | None:
    """One file; None for a file that is gone or holds nothing that can be read."""
    header = read_header(folder, writer, number)
    return None if header is None else read_rows(folder, header)


def read_headers(folder: JournalFolder, writer: str, numbers: list[int]) -> list[SpoolHeader]:
    """Those of the files that have one, in the order of their events."""
    headers = [header for number in numbers if (header := read_header(folder, writer, number)) is not None]
    return sorted(headers, key=lambda header: header.first)


def read_header(folder: JournalFolder, writer: str, number: int) -> SpoolHeader | None:
    """None where there is none, or none that is valid.  Raises StorageError for that of a newer release."""
    path = folder.spool_path(writer, number)
    head, newline, _ = (_read(folder, path, 0, HEADER_BYTES) or b"").partition(b"\n")
    text = unseal(head) if newline else None
    if text is None:
        return None
    header = orjson.loads(text)
    if header["format"] != SPOOL_NAME:
        return None
    if header["version"] > SPOOL_VERSION:
        raise StorageError(
            f"spool {path} is written in version {header['version']}; this release of ml_dash knows up to "
            f"{SPOOL_VERSION}. Nothing was changed: upgrade ml_dash"
        )
    position = Position(**header["position"]) if header["position"] is not None else None
    return SpoolHeader(header["writer"], header["session"], header["first"], position, number, len(head) + 1)


def read_rows(folder: JournalFolder, header: SpoolHeader) -> SpoolContent:
    """The rows behind a header."""
    data = _read(folder, folder.spool_path(header.writer, header.number), header.bytes) or b""
    shapes: dict[int, Shape] = {}
    counted: list[tuple[int, Row]] = []
    damage: int | None = None
    counter, offset = header.first, 0
    while True:
        end = offset + valid_length(data[offset:] if offset else data)
        for row in parse_rows(data[offset:end]) if end > offset else ():
            if row[0] is None:
                number, shape = define(row)
                shapes[number] = shape
                continue
            if _can_be_read(row, shapes):
                counted.append((counter, row))
            counter += 1
        offset = _next_row(data, end)
        if offset < 0:
            break
        damage = header.bytes + end if damage is None else damage
        counter += not any(sign in data[end:offset] for sign in _DEFINITION_SIGNS)
    return SpoolContent(header.writer, header.session, header.first, header.position, counted, shapes, damage)


def damaged_at(folder: JournalFolder, writer: str, number: int) -> int | None:
    """The offset of the first byte of a file that has changed since it was accepted; None where there is none."""
    content = read_spool(folder, writer, number)
    if content is not None:
        return content.damage
    rest = (_read(folder, folder.spool_path(writer, number), 0) or b"").strip(b"\0")
    # Rule 1: the header that a call was writing when it died has no end.
    return 0 if b"\n" in rest else None


def _can_be_read(row: Row, shapes: dict[int, Shape]) -> bool:
    number = row[1]
    return not isinstance(number, int) or (number if number >= 0 else -1 - number) in shapes


def _next_row(data: bytes, start: int) -> int:
    """Where the next valid row begins behind bytes that are none; -1 where there is no more."""
    if not data[start:].strip(b"\0"):
        return -1
    while (start := data.find(b"\n", start) + 1) > 0:
        end = data.find(b"\n", start)
        # Zeros may stand in front of a row: a page that never came to the disk.
        if end >= 0 and unseal(data[start:end]) is not None:
            return start
    return -1


def _read(folder: JournalFolder, path: str, start: int, count: int | None = None) -> bytes | None:
    try:
        descriptor = folder.disk.open_read(path)
    except FileNotFoundError:
        return None
    try:
        count = folder.disk.size_of(descriptor) - start if count is None else count
        return folder.disk.read_at(descriptor, start, count)
    finally:
        folder.disk.close(descriptor)
