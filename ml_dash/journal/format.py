"""The bytes of a segment: a header line, then commit lines.  Normative text: `spec/journal.md`.

A line is valid if and only if

 1. it ends in `,"hash":"<64 lower-case hex digits>"}` and a newline,
 2. the hex digits are SHA-256 over the hash of the line before it (64 hex digits; of a header: the hash that it
    accepts of the previous segment, or 64 zeros), then the journal's id, then the line's bytes before `,"hash"`,
 3. its members stand in exactly the order and spelling below: numbers without sign, space or leading zeros, and
 4. for a commit: its first sequence number follows the last one before it, and it counts at least one event.

Bytes are compared, never parsed leniently: a line that means the same but reads otherwise is not valid.

Pure: no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

import orjson

FORMAT_NAME = "ml-dash-journal"
FORMAT_VERSION = 1
GENESIS_HASH = "0" * 64
SEGMENT_BYTES_MAX = 64 * 1024 * 1024
"""A segment that has reached this many bytes is sealed before the next commit."""

HASH_TAIL_BYTES = len(b',"hash":""}') + 64
_HASH_TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"\}')
_NUMBER = rb"(0|[1-9][0-9]{0,18})"
_NAME = rb'"([0-9a-z]{1,64})"'
_COMMIT = re.compile(
    rb'\{"first":%b,"count":%b,"time":%b,"writer":%b,"session":%b,"counter":%b,"fence":%b,"events":\['
    % (_NUMBER, _NUMBER, _NUMBER, _NAME, _NAME, _NUMBER, _NUMBER)
)
_HEADER_START = b'{"format":"%b","version":' % FORMAT_NAME.encode()


@dataclass(frozen=True, slots=True)
class Declaration:
    """Damage that a later header knows of: bytes of an earlier segment that do not replay and are not waited for."""

    segment: int
    offset: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Previous:
    """What a header accepts of the segment before it: `bytes` of it, up to event `last`, ending in `hash`."""

    segment: int
    bytes: int
    last: int
    hash: str


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a segment.  `previous` is None when nothing before it is accepted."""

    version: int
    journal: str
    segment: int
    first: int
    time_us: int
    previous: Previous | None
    declared: tuple[Declaration, ...]
    hash: str


@dataclass(frozen=True, slots=True)
class CommitLine:
    """A commit, its events still in bytes.  `end` is the offset in the segment just behind its newline."""

    first: int
    count: int
    time_us: int
    writer: str
    session: str
    counter: int
    fence: int
    hash: str
    segment: int
    offset: int
    end: int
    events: bytes

    @property
    def last(self) -> int:
        return self.first + self.count - 1


def chain_hash(previous_hash: str, journal: str, body: bytes) -> str:
    """Rule 2."""
    digest = sha256(f"{previous_hash}{journal}".encode("ascii"))
    digest.update(body)
    return digest.hexdigest()


def _line(previous_hash: str, journal: str, body: bytes) -> tuple[bytes, str]:
    line_hash = chain_hash(previous_hash, journal, body)
    return b'%b,"hash":"%b"}\n' % (body, line_hash.encode("ascii")), line_hash


def encode_header(
    journal: str,
    segment: int,
    first: int,
    time_us: int,
    previous: Previous | None,
    declared: tuple[Declaration, ...] = (),
) -> tuple[bytes, str]:
    """The header line and its hash."""
    members: dict[str, object] = {
        "format": FORMAT_NAME,
        "version": FORMAT_VERSION,
        "journal": journal,
        "segment": segment,
        "first": first,
        "time": time_us,
        "previous": previous,
        "declared": declared,
    }
    previous_hash = previous.hash if previous is not None else GENESIS_HASH
    return _line(previous_hash, journal, orjson.dumps(members)[:-1])


def encode_commit(
    previous_hash: str,
    journal: str,
    *,
    first: int,
    count: int,
    time_us: int,
    writer: str,
    session: str,
    counter: int,
    fence: int,
    events: bytes,
) -> tuple[bytes, str]:
    """A commit line and its hash; `events` is a JSON array."""
    body = b'{"first":%d,"count":%d,"time":%d,"writer":"%b","session":"%b","counter":%d,"fence":%d,"events":%b' % (
        first,
        count,
        time_us,
        writer.encode("ascii"),
        session.encode("ascii"),
        counter,
        fence,
        events,
    )
    return _line(previous_hash, journal, body)


def stated_hash(line: bytes) -> str | None:
    """The hash that a line (without its newline) states, valid or not; None where rule 1 is broken."""
    match = _HASH_TAIL.fullmatch(line, max(0, len(line) - HASH_TAIL_BYTES))
    return match[1].decode("ascii") if match else None


def decode_header(line: bytes) -> Header | None:
    """A header line without its newline, or None where it is not valid.

    A header whose `version` this release does not know is returned as it is, other rules unchecked, so that the
    caller can refuse it by name.
    """
    if not line.startswith(_HEADER_START):
        return None
    try:
        members = orjson.loads(line)
        version = members["version"]
        if type(version) is int and version > FORMAT_VERSION:
            return Header(version, "", 0, 0, 0, None, (), "")
        previous = Previous(**members["previous"]) if members["previous"] is not None else None
        declared = tuple(Declaration(**declaration) for declaration in members["declared"])
        journal, segment, first, time_us = (members[name] for name in ("journal", "segment", "first", "time"))
        # Writing it again and comparing is the strictest reading there is.
        again, line_hash = encode_header(journal, segment, first, time_us, previous, declared)
    except (ValueError, KeyError, TypeError):
        return None
    if again != line + b"\n" or type(segment) is not int or type(first) is not int:
        return None
    return Header(version, journal, segment, first, time_us, previous, declared, line_hash)


def decode_commit(line: bytes, previous_hash: str, journal: str, segment: int, offset: int) -> CommitLine | None:
    """A commit line without its newline, or None where rules 1 to 3 are broken."""
    line_hash = stated_hash(line)
    if line_hash is None:
        return None
    body = line[:-HASH_TAIL_BYTES]
    match = _COMMIT.match(body)
    if match is None or chain_hash(previous_hash, journal, body) != line_hash:
        return None
    first, count, time_us, writer, session, counter, fence = match.groups()
    return CommitLine(
        int(first),
        int(count),
        int(time_us),
        writer.decode("ascii"),
        session.decode("ascii"),
        int(counter),
        int(fence),
        line_hash,
        segment,
        offset,
        offset + len(line) + 1,
        body[match.end() - 1 :],
    )
