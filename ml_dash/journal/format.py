"""The bytes of a segment: a header line, then commit lines.  Normative text: `spec/journal.md`.

A line is valid if and only if

 1. it ends in `,"hash":"<64 lower-case hex digits>"}` and a newline,
 2. the hex digits are SHA-256 over the hash of the line before it (64 hex digits; of a header: the hash that it
    accepts of the previous segment, or 64 zeros), then the journal's id, then the line's bytes before `,"hash"`,
 3. its members stand in exactly the order and spelling below: numbers without space or leading zeros, and without
    sign, except times before 1970,
 4. for a commit: its first sequence number follows the last one before it, and it counts at least one event, and
 5. for a header: it stands in the segment whose number it names, what it accepts or declares is of an earlier segment,
    and its first sequence number follows the last one that it accepts.

In the place of rule 2, a commit may have been redacted, which a commit behind it declares that is valid itself
(`event.redacted`): the line is then valid if and only if it is as long and states the hash that are declared, the
patches are markers (`state/redactions.py`), and rule 2 gives the declared hash `now` for the line with the patches in
it.  The line behind it continues the hash that it states.  What really stands where the patches belong is never looked
at: so the line is valid before they are written, half-written and afterwards, and a reader sees the patches in each
case that is not valid by rule 2.

Bytes are compared, never parsed leniently: a line that means the same but reads otherwise is not valid.  Rules 1 and 2
hold for the header of every version, also of those to come: so a version that this release does not know is told from
a damaged byte.

Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from ..state.nouns import Redaction


FORMAT_NAME = "ml-dash-journal"
FORMAT_VERSION = 1
GENESIS_HASH = "0" * 64
SEGMENT_BYTES_MAX = 64 * 1024 * 1024
"""A segment that has reached this many bytes is sealed before the next commit."""

HASH_TAIL_BYTES = len(b',"hash":""}') + 64
_HASH_TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"\}')
_NUMBER = rb"(0|[1-9][0-9]{0,18})"
_TIME = rb"(0|-?[1-9][0-9]{0,18})"
_NAME = rb'"([0-9a-z]{1,64})"'
_HASH = rb'"([0-9a-f]{64})"'
_COMMIT = re.compile(
    rb'\{"first":%b,"count":%b,"time":%b,"writer":%b,"session":%b,"counter":%b,"fence":%b,"events":\['
    % (_NUMBER, _NUMBER, _TIME, _NAME, _NAME, _NUMBER, _NUMBER)
)
_HEADER_START = b'{"format":"%b","version":' % FORMAT_NAME.encode()
_PREVIOUS = rb'\{"segment":%b,"bytes":%b,"last":%b,"hash":%b\}' % (_NUMBER, _NUMBER, _NUMBER, _HASH)
_DECLARATION = re.compile(rb'\{"segment":%b,"offset":%b,"bytes":%b\}' % (_NUMBER, _NUMBER, _NUMBER))
_HEADER = re.compile(
    rb'%b%d,"journal":%b,"segment":%b,"first":%b,"time":%b,"previous":(?:null|%b),"declared":\[([^\]]*)\]'
    % (re.escape(_HEADER_START), FORMAT_VERSION, _NAME, _NUMBER, _NUMBER, _TIME, _PREVIOUS)
)
_VERSION = re.compile(rb"%b(0|[1-9][0-9]{0,8})," % re.escape(_HEADER_START))
JOURNAL_ID_OFFSET = len(_HEADER_START) + len(b'1,"journal":"')
"""Where the journal's id stands in a header of this version."""


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


@dataclass(slots=True)
class CommitLine:
    """A commit, its events still in bytes.  `end` is the offset in the segment just behind its newline.

    Nobody changes one.  It is not frozen because making a frozen one costs as much as hashing 3 kB.
    """

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


def chain_hash(previous_hash: str, journal: str, body: bytes | memoryview) -> str:
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
    line, line_hash = _line(previous_hash, journal, orjson.dumps(members)[:-1])
    assert decode_header(line[:-1]) is not None, line
    return line, line_hash


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
    assert _COMMIT.match(body) is not None, body[:400]
    assert count > 0, "a commit holds at least one event"
    return _line(previous_hash, journal, body)


def stated_hash(line: bytes) -> str | None:
    """The hash that a line (without its newline) states, valid or not; None where rule 1 is broken."""
    match = _HASH_TAIL.fullmatch(line, max(0, len(line) - HASH_TAIL_BYTES))
    return match[1].decode("ascii") if match else None


def decode_header(line: bytes) -> Header | None:
    """A header line without its newline, or None where it is not valid.

    A valid header of a version that this release does not know comes with nothing but that version, so that the caller
    can refuse it by name.
    """
    stated, body = stated_hash(line), line[:-HASH_TAIL_BYTES]
    version = _VERSION.match(body)
    if stated is None or version is None:
        return None
    if int(version[1]) > FORMAT_VERSION:
        return Header(int(version[1]), "", 0, 0, 0, None, (), "") if _keeps_rule_2(line, stated) else None
    match = _HEADER.fullmatch(body)
    if match is None:
        return None
    journal = match[1].decode("ascii")
    segment, first, time_us = int(match[2]), int(match[3]), int(match[4])
    previous = None
    if match[5] is not None:
        previous = Previous(int(match[5]), int(match[6]), int(match[7]), match[8].decode("ascii"))
    declared = _decode_declared(match[9])
    if chain_hash(previous.hash if previous is not None else GENESIS_HASH, journal, body) != stated:
        return None
    if declared is None or not all(0 < each.segment < segment for each in declared):
        return None
    if previous is not None and (previous.last + 1 != first or not 0 < previous.segment < segment):
        return None
    return Header(FORMAT_VERSION, journal, segment, first, time_us, previous, declared, stated)


def _decode_declared(text: bytes) -> tuple[Declaration, ...] | None:
    matches = list(_DECLARATION.finditer(text))
    if b",".join(match[0] for match in matches) != text:
        return None
    return tuple(Declaration(*map(int, match.groups())) for match in matches)


def _keeps_rule_2(line: bytes, stated: str) -> bool:
    """Of a header whose other members are not known."""
    try:
        members = orjson.loads(line)
        journal, previous = members["journal"], members["previous"]
        previous_hash = GENESIS_HASH if previous is None else previous["hash"]
        return chain_hash(previous_hash, journal, line[:-HASH_TAIL_BYTES]) == stated
    except (ValueError, KeyError, TypeError):
        return False


def looks_like_commit(line: bytes) -> bool:
    """Whether a line without its newline has the form of a commit, of whatever journal and place."""
    return stated_hash(line) is not None and _COMMIT.match(line) is not None


def decode_commit(line: bytes, previous_hash: str, journal: str, segment: int, offset: int) -> CommitLine | None:
    """A commit line without its newline, or None where rules 1 to 3 are broken."""
    return commit_within(line, 0, len(line), previous_hash, journal, segment, offset)


def commit_within(
    data: bytes,
    start: int,
    end: int,
    previous_hash: str,
    journal: str,
    segment: int,
    offset: int,
    line_hash: str | None = None,
) -> CommitLine | None:
    """`decode_commit` of the line `data[start:end]`.  No more of it is copied than its events.

    `line_hash` is what `chain_hash` gives for it, where the caller has computed that already.
    """
    body_end = end - HASH_TAIL_BYTES
    match = _COMMIT.match(data, start, body_end)
    if match is None:
        return None
    if line_hash is None:
        line_hash = chain_hash(previous_hash, journal, memoryview(data)[start:body_end])
    # Rules 1 and 2 in one look: a reader comes here for every commit.
    if data[body_end:end] != b',"hash":"%b"}' % line_hash.encode("ascii"):
        return None
    return _commit_of(match, start, body_end, line_hash, segment, offset)


def patched(line: bytes, patches: Mapping[str, str], start: int = 0) -> bytes:
    """`line`, which begins at byte `start` of the whole one, with the declared patches in it.

    Raises ValueError where one lies outside of it.
    """
    data = bytearray(line)
    for key, new in patches.items():
        at = int(key) - start
        if at < 0 or at + len(new) > len(data):
            raise ValueError(f"a patch at byte {key} lies outside of its line")
        data[at : at + len(new)] = new.encode("ascii")
    return bytes(data)


def decode_redacted(line: bytes, redaction: Redaction, previous_hash: str, journal: str) -> CommitLine | None:
    """A commit line whose redaction is declared, with the patches in it; None where it is not valid so either."""
    try:
        body = patched(line, redaction.patches)[:-HASH_TAIL_BYTES]
    except ValueError:
        return None
    match = _COMMIT.match(body)
    if match is None or (len(line) + 1, stated_hash(line)) != (redaction.bytes, redaction.hash):
        return None
    if chain_hash(previous_hash, journal, body) != redaction.now:
        return None
    line_found = _commit_of(match, 0, len(body), redaction.hash, redaction.segment, redaction.offset)
    return line_found if line_found.first <= redaction.redacted <= line_found.last else None


def _commit_of(
    match: re.Match[bytes], start: int, body_end: int, line_hash: str, segment: int, offset: int
) -> CommitLine:
    """Of a line that begins at byte `start` of what was matched, and is to be found at `offset` of its segment."""
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
        offset + body_end - start + HASH_TAIL_BYTES + 1,
        match.string[match.end() - 1 : body_end],
    )
