"""The bytes of an archived segment: Zstandard frames and a table of them.  Normative text: `spec/journal.md`.

An archived segment is valid if and only if

 1. it is frames of Zstandard (RFC 8878) and behind them one seek table, and nothing else,
 2. every frame is a single segment, as that RFC calls it, has a checksum and no dictionary, and so states the length of
    its content; all but the last hold `FRAME_BYTES` bytes, and the last one at least 1 and at most as many,
 3. the seek table is a skippable frame as "Zstandard Seekable Format" 0.1.0 says (zstd, contrib/seekable_format): for
    each frame its length and that of its content, without checksums of its own, and
 4. the content of the frames, one after the other, is the segment.

Every frame can be read without the others, so damage stays in the frame that it is in; and because they hold equally
much, damage of the table loses nothing: frames are then found by their own headers.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

FRAME_BYTES = 1024 * 1024
"""What a reader has to decode to read one line.  Larger frames measured no better ratio on journals."""

FRAME_HEADER_BYTES_MAX = 13

_FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
_TABLE_MAGIC = 0x184D2A5E
_FOOTER_MAGIC = 0x8F92EAB1
_TABLE_HEADER, _ENTRY, _FOOTER = Struct("<II"), Struct("<II"), Struct("<IBI")
FOOTER_BYTES = _FOOTER.size
_CHECKSUM, _SINGLE_SEGMENT, _FLAGS = 0x04, 0x20, 0x3F
_RLE = 1


@dataclass(frozen=True, slots=True)
class Frame:
    """`bytes` from `offset` of the file; its content, `size` bytes, is what the segment has from `start` on."""

    offset: int
    bytes: int
    start: int
    size: int


def frames_in_order(lengths: Sequence[tuple[int, int]]) -> list[Frame]:
    """Frames of these lengths, in the file and of their content, one after the other."""
    frames, offset, start = [], 0, 0
    for length, size in lengths:
        frames.append(Frame(offset, length, start, size))
        offset += length
        start += size
    return frames


def seek_table(frames: Sequence[Frame]) -> bytes:
    """What stands behind the frames."""
    entries = b"".join(_ENTRY.pack(frame.bytes, frame.size) for frame in frames)
    header = _TABLE_HEADER.pack(_TABLE_MAGIC, len(entries) + FOOTER_BYTES)
    return header + entries + _FOOTER.pack(len(frames), 0, _FOOTER_MAGIC)


def table_length(footer: bytes) -> int | None:
    """How many bytes the seek table takes, by the last `FOOTER_BYTES` of the file; None where those are no footer."""
    if len(footer) != FOOTER_BYTES:
        return None
    count, descriptor, magic = _FOOTER.unpack(footer)
    if (descriptor, magic) != (0, _FOOTER_MAGIC):
        return None
    return _TABLE_HEADER.size + int(count) * _ENTRY.size + FOOTER_BYTES


def read_table(table: bytes, file_bytes: int) -> list[Frame] | None:
    """The frames by a seek table that ends a file of `file_bytes`; None where it breaks rule 2 or 3."""
    if table_length(table[-FOOTER_BYTES:]) != len(table):
        return None
    if _TABLE_HEADER.unpack_from(table) != (_TABLE_MAGIC, len(table) - _TABLE_HEADER.size):
        return None
    lengths = list(_ENTRY.iter_unpack(table[_TABLE_HEADER.size : -FOOTER_BYTES]))
    sizes = [size for _, size in lengths]
    if any(size != FRAME_BYTES for size in sizes[:-1]) or not all(1 <= size <= FRAME_BYTES for size in sizes[-1:]):
        return None
    if sum(length for length, _ in lengths) + len(table) != file_bytes:
        return None
    return frames_in_order(lengths)


def content_size(data: bytes, at: int = 0) -> tuple[int, int] | None:
    """The length of the header of the frame at `at`, and that of the content which it states; None where rule 2 is
    broken there."""
    if data[at : at + 4] != _FRAME_MAGIC or at + 5 > len(data):
        return None
    descriptor = data[at + 4]
    if descriptor & _FLAGS != _CHECKSUM | _SINGLE_SEGMENT:
        return None
    width = 1 << (descriptor >> 6)
    stated = data[at + 5 : at + 5 + width]
    if len(stated) != width:
        return None
    size = int.from_bytes(stated, "little") + (256 if width == 2 else 0)
    return (5 + width, size) if 1 <= size <= FRAME_BYTES else None


def find_frames(data: bytes) -> list[Frame]:
    """The frames of a whole file whose seek table is damaged.  A frame that is damaged itself counts too, up to where
    the next one begins."""
    lengths: list[tuple[int, int]] = []
    at = 0
    while True:
        end, known = _end_of_frame(data, at), content_size(data, at)
        is_next = end is not None and (data[end : end + 4] == _FRAME_MAGIC or _begins_table(data, end))
        if end is None or known is None or not is_next:
            following = data.find(_FRAME_MAGIC, at + 4)
            end = following if following >= 0 else end
        if end is None:
            # The last one, and where it ends is lost: what stands behind it is never read.
            end = len(data)
            if known is None:
                break
        lengths.append((end - at, known[1] if known is not None else FRAME_BYTES))
        at = end
        if data[at : at + 4] != _FRAME_MAGIC:
            break
    return frames_in_order(lengths)


def _begins_table(data: bytes, at: int) -> bool:
    return len(data) >= at + 4 and data[at : at + 4] == _TABLE_HEADER.pack(_TABLE_MAGIC, 0)[:4]


def _end_of_frame(data: bytes, at: int) -> int | None:
    """Where the frame at `at` ends by the lengths of its blocks; None where that is behind the end of the file."""
    header = content_size(data, at)
    if header is None:
        return None
    at += header[0]
    while at + 3 <= len(data):
        block = int.from_bytes(data[at : at + 3], "little")
        at += 3 + (1 if block >> 1 & 3 == _RLE else block >> 3)
        if block & 1:
            at += 4
            return at if at <= len(data) else None
    return None
