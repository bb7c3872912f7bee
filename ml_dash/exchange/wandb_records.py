"""The transaction log of a wandb run, `run-<id>.wandb`, taken apart into records.

Its bytes are a log as LevelDB has it (https://github.com/google/leveldb/blob/main/doc/log_format.md) behind a header of
7 bytes that begins with `:W&B`: blocks of 32 KiB, in each of them fragments of records, `crc32 (4) | length (2) |
type (1) | data`, little-endian; the checksum is CRC-32 of type and data.  wandb itself has no reader of it in Python
any more, so this is one; what a record holds is decoded by the package's own messages (extra `wandb`).

What does not check is counted and passed over, up to the next block, as LevelDB does it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

from ..recording.extras import optional
from .reports import Tally

MAGIC = b":W&B"
HEADER_BYTES = 7
BLOCK_BYTES = 32 * 1024
_FRAGMENT = struct.Struct("<IHB")
UNREADABLE, FULL, FIRST, MIDDLE, LAST = range(5)
JSON_VALUE = "value_json"


def library(name: str) -> Any:
    """A module of the package.  Raises MissingExtraError."""
    return optional(name, "ml_dash[wandb]", "importing wandb runs")


def is_log(path: Path) -> bool:
    """Whether a file begins as the log of a run does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def records_in(path: Path, tally: Tally) -> Iterator[Any]:
    """The `Record` messages of a log, in order."""
    messages = library("wandb.proto.wandb_internal_pb2")
    error_type = library("google.protobuf.message").DecodeError
    for data in _joined(path, tally):
        try:
            yield messages.Record.FromString(data)
        except error_type as error:
            tally.leave_out("record that is none", 1, f"{path.name}: {error}")


def _joined(path: Path, tally: Tally) -> Iterator[bytes]:
    """The data of each whole record."""
    parts: list[bytes] = []
    is_lost = False
    for kind, data in _fragments(path, tally):
        if kind == UNREADABLE:
            # Whatever record this was part of is counted with it.
            parts, is_lost = [], True
            continue
        if kind in (FULL, FIRST):
            if parts:
                tally.leave_out("torn record", 1, f"{path.name}: a record has no end")
            parts, is_lost = [data], False
        elif parts:
            parts.append(data)
        elif not is_lost:
            tally.leave_out("torn record", 1, f"{path.name}: a record has no beginning")
            is_lost = True
        if kind in (FULL, LAST) and parts:
            yield b"".join(parts)
            parts = []
    if parts:
        tally.leave_out("torn record", 1, f"{path.name}: the last record has no end")


def _fragments(path: Path, tally: Tally) -> Iterator[tuple[int, bytes]]:
    """Type and data of each fragment; UNREADABLE where some could not be read."""
    with path.open("rb") as file:
        start = 0
        while block := file.read(BLOCK_BYTES):
            at = HEADER_BYTES if start == 0 else 0
            while len(block) - at >= _FRAGMENT.size:
                checksum, length, kind = _FRAGMENT.unpack_from(block, at)
                begin = at + _FRAGMENT.size
                data = block[begin : begin + length]
                if (kind, length, checksum) == (0, 0, 0):
                    # The rest of a block that was reserved and never written.
                    at = len(block)
                elif kind not in (FULL, FIRST, MIDDLE, LAST) or len(data) < length or _crc(kind, data) != checksum:
                    yield _torn(path, tally, start + at, len(block) - at)
                    at = len(block)
                else:
                    yield kind, data
                    at = begin + length
            if at < len(block) < BLOCK_BYTES:
                # Too short for a fragment, and not the padding of a whole block.
                yield _torn(path, tally, start + at, len(block) - at)
            start += len(block)


def _torn(path: Path, tally: Tally, at: int, count: int) -> tuple[int, bytes]:
    note = f"{path.name}: {count:,} bytes from byte {at:,} on are torn or damaged and were not read"
    tally.leave_out("torn or damaged part of the log", 1, note)
    return UNREADABLE, b""


def _crc(kind: int, data: bytes) -> int:
    return crc32(data, crc32(bytes((kind,))))


def seconds_us(stamp: Any) -> int:
    """A `Timestamp` message → microseconds since 1970."""
    return int(stamp.seconds) * 1_000_000 + int(stamp.nanos) // 1000


def pairs(items: Iterable[Any]) -> Iterator[tuple[list[str], Any]]:
    """The path and the value of each item of a history, summary, configuration or statistics."""
    for item in items:
        nested = getattr(item, "nested_key", None)
        yield list(nested) if nested else [item.key], _value(item)


def _value(item: Any) -> Any:
    text = getattr(item, JSON_VALUE)
    if text:
        try:
            # NaN and infinities stand as Python's `json` writes them.
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    for field, value in item.ListFields():
        if field.name in ("boolean", "integer", "number", "text"):
            return value
        if field.name == "json":
            return json.loads(value)
    return None


def nested(pairs_found: Iterable[tuple[list[str], Any]]) -> dict[str, Any]:
    """Pairs of paths and values as one object."""
    found: dict[str, Any] = {}
    for path, value in pairs_found:
        holder = found
        for step in path[:-1]:
            inner = holder.get(step)
            if not isinstance(inner, dict):
                inner = holder[step] = {}
            holder = inner
        holder[path[-1]] = value
    return found


def as_dict(message: Any) -> dict[str, Any]:
    """A message as plain values under its own names."""
    found: dict[str, Any] = library("google.protobuf.json_format").MessageToDict(
        message, preserving_proto_field_name=True
    )
    return found
