"""The validity list of `format.py`, one test a number, and that what is written is what is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256

import orjson
import pytest

from ml_dash.ids import new_id
from ml_dash.journal import format as journal_format
from ml_dash.journal.chain import JOURNAL_ID_LENGTH, start_of, walk
from ml_dash.journal.format import (
    GENESIS_HASH,
    CommitLine,
    Declaration,
    Header,
    Previous,
    decode_commit,
    decode_header,
    encode_commit,
    encode_header,
)

JOURNAL = "journal1"
PREVIOUS = Previous(1, 5000, 41, "ab" * 32)
DECLARED = (Declaration(1, 700, 30), Declaration(1, 2000, 1))


def seal(body: bytes, previous_hash: str = GENESIS_HASH, journal: str = JOURNAL) -> bytes:
    """A line, without its newline, that keeps rules 1 and 2 whatever its body is."""
    digest = sha256(previous_hash.encode() + journal.encode() + body).hexdigest()
    return body + b',"hash":"' + digest.encode() + b'"}'


def commit_line(**changes: object) -> bytes:
    values: dict[str, object] = {
        "first": 1,
        "count": 1,
        "time_us": 5,
        "writer": "w1",
        "session": "s1",
        "counter": 1,
        "fence": 0,
        "events": b'[{"type":"x","t":0,"data":{}}]',
    }
    line, _ = encode_commit(GENESIS_HASH, JOURNAL, **{**values, **changes})  # type: ignore[arg-type]
    return line[:-1]


def decode(line: bytes) -> CommitLine | None:
    return decode_commit(line, GENESIS_HASH, JOURNAL, 1, 0)


HEADER = encode_header(JOURNAL, 2, 42, 1_700_000_000_000_000, PREVIOUS, DECLARED)[0][:-1]
HEADER_BODY = HEADER[: -journal_format.HASH_TAIL_BYTES]
COMMIT = commit_line()
COMMIT_BODY = COMMIT[: -journal_format.HASH_TAIL_BYTES]


def test_a_commit_comes_back_as_it_was_written() -> None:
    line = commit_line(
        first=7, count=3, time_us=-12, writer="abc", session="def", counter=9, fence=500, events=b"[1,2,3]"
    )
    again = decode_commit(line, GENESIS_HASH, JOURNAL, 4, 600)
    assert again is not None
    assert again == CommitLine(
        7, 3, -12, "abc", "def", 9, 500, again.hash, segment=4, offset=600, end=601 + len(line), events=b"[1,2,3]"
    )
    assert again.last == 9


@pytest.mark.parametrize(("previous", "first"), [(None, 1), (None, 8), (PREVIOUS, 42)])
@pytest.mark.parametrize("declared", [(), DECLARED[:1], DECLARED])
def test_a_header_comes_back_as_it_was_written(
    previous: Previous | None, first: int, declared: tuple[Declaration, ...]
) -> None:
    line, line_hash = encode_header(JOURNAL, 2, first, -3, previous, declared)
    assert decode_header(line[:-1]) == Header(1, JOURNAL, 2, first, -3, previous, declared, line_hash)


def test_both_are_json_that_anybody_can_read() -> None:
    assert orjson.loads(COMMIT)["events"] == [{"type": "x", "t": 0, "data": {}}]
    assert orjson.loads(HEADER)["previous"] == {"segment": 1, "bytes": 5000, "last": 41, "hash": "ab" * 32}


# --- rule 1: it ends in its hash and a newline ------------------------------------------------------------------


@pytest.mark.parametrize(
    "break_it",
    [
        lambda line: line[:-1],
        lambda line: line + b" ",
        lambda line: line.replace(b',"hash":"', b',"hash": "'),
        lambda line: line.replace(b',"hash":"', b',"HASH":"'),
        lambda line: line[:-67] + line[-66:],
        lambda line: line[:-66] + line[-66:].upper(),
        lambda line: line[:-3] + b'g"}',
        lambda line: line + b"\r",
        lambda line: b"",
    ],
)
@pytest.mark.parametrize("line", [COMMIT, HEADER], ids=["commit", "header"])
def test_rule_1_a_line_ends_in_its_hash_in_exactly_that_spelling(
    line: bytes, break_it: Callable[[bytes], bytes]
) -> None:
    broken = break_it(line)
    assert broken != line
    assert decode(broken) is None
    assert decode_header(broken) is None


def test_rule_1_a_line_without_its_newline_is_not_there() -> None:
    header = decode_header(encode_header(JOURNAL, 1, 1, 5, None)[0][:-1])
    assert header is not None
    start = start_of(header, 200)
    line, _ = encode_commit(
        start.hash, JOURNAL, first=1, count=1, time_us=5, writer="w", session="s", counter=1, fence=0, events=b"[1]"
    )
    assert [each.first for each in walk(line, start)] == [1]
    assert list(walk(line[:-1], start)) == []


# --- rule 2: the hash continues the chain -----------------------------------------------------------------------


def test_rule_2_every_byte_before_the_hash_is_under_it() -> None:
    for place in range(len(COMMIT_BODY)):
        changed = bytearray(COMMIT)
        changed[place] ^= 1
        assert decode(bytes(changed)) is None
    for place in range(len(HEADER_BODY)):
        changed = bytearray(HEADER)
        changed[place] ^= 1
        assert decode_header(bytes(changed)) is None


def test_rule_2_the_hash_of_the_line_before_is_under_it() -> None:
    assert decode_commit(COMMIT, GENESIS_HASH, JOURNAL, 1, 0) is not None
    assert decode_commit(COMMIT, "1" + GENESIS_HASH[1:], JOURNAL, 1, 0) is None


def test_rule_2_the_id_of_the_journal_is_under_it() -> None:
    assert decode_commit(COMMIT, GENESIS_HASH, "journal2", 1, 0) is None


def test_rule_2_the_hash_that_a_header_accepts_is_under_it() -> None:
    assert decode_header(seal(HEADER_BODY, PREVIOUS.hash)) is not None
    assert decode_header(seal(HEADER_BODY, GENESIS_HASH)) is None


# --- rule 3: members in exactly this order and spelling ---------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "otherwise"),
    [
        (b'"first":1', b'"first": 1'),
        (b'"first":1', b'"first":01'),
        (b'"first":1', b'"first":+1'),
        (b'"first":1', b'"first":-1'),
        (b'"first":1', b'"first":1.0'),
        (b'"first":1', b'"first":1e0'),
        (b'"first":1', b'"first":"1"'),
        (b'"first":1', b'"first":12345678901234567890'),
        (b'"first":1,"count":1', b'"count":1,"first":1'),
        (b'"first":1', b'"first":1,"first":1'),
        (b'"time":5', b'"time":-0'),
        (b'"time":5', b'"time":--5'),
        (b'"writer":"w1"', b'"writer":"W1"'),
        (b'"writer":"w1"', b'"writer":""'),
        (b'"writer":"w1"', b'"writer":"\\u0077"'),
        (b'"writer":"w1"', b'"writer":"' + b"w" * 65 + b'"'),
        (b'"events":[', b'"events":{['),
        (b'{"first"', b' {"first"'),
    ],
)
def test_rule_3_a_commit_that_means_the_same_but_reads_otherwise_is_not_valid(written: bytes, otherwise: bytes) -> None:
    assert written in COMMIT_BODY
    assert decode(seal(COMMIT_BODY)) is not None
    assert decode(seal(COMMIT_BODY.replace(written, otherwise))) is None


@pytest.mark.parametrize(
    ("written", "otherwise"),
    [
        (b'"version":1', b'"version": 1'),
        (b'"version":1', b'"version":1.0'),
        (b'"version":1', b'"version":true'),
        (b'"version":1', b'"version":0'),
        (b'"format":"ml-dash-journal"', b'"format":"ml-dash-spool"'),
        (b'"segment":2,', b'"segment":02,'),
        (b'"first":42', b'"first":42.0'),
        (b'"first":42,"time"', b'"time":42,"first"'),
        (b'"bytes":5000,', b'"bytes":5_000,'),
        (b'"last":41,', b'"last":+41,'),
        (b'"declared":[', b'"declared":[ '),
        (b'"bytes":30}', b'"bytes":30,"why":"x"}'),
        (b'"bytes":30},{', b'"bytes":30},,{'),
        (b'"bytes":1}]', b'"bytes":1},]'),
        (b'"bytes":1}]', b'"bytes":1}'),
        (b'"bytes":1}]', b'"bytes":1}],"more":[]'),
    ],
)
def test_rule_3_a_header_that_means_the_same_but_reads_otherwise_is_not_valid(written: bytes, otherwise: bytes) -> None:
    assert HEADER_BODY.count(written) == 1
    assert decode_header(seal(HEADER_BODY.replace(written, otherwise), PREVIOUS.hash)) is None


def test_rule_3_a_hash_in_capital_letters_is_not_accepted_of_a_previous_segment() -> None:
    capital = HEADER_BODY.replace(b"ab" * 32, b"AB" * 32)
    assert decode_header(seal(capital, "AB" * 32)) is None


def test_rule_3_times_before_1970_are_written_and_read() -> None:
    line = decode(commit_line(time_us=-1))
    assert line is not None
    assert line.time_us == -1


# --- rule 4: a commit follows the one before it -----------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 2, 3])
def test_rule_4_a_commit_that_leaves_out_or_repeats_a_number_ends_the_chain(first: int) -> None:
    header = decode_header(encode_header(JOURNAL, 1, 1, 5, None)[0][:-1])
    assert header is not None
    start = start_of(header, 200)
    body = COMMIT_BODY.replace(b'"first":1', b'"first":%d' % first)
    assert list(walk(seal(body, start.hash) + b"\n", start)) == []
    assert len(list(walk(seal(COMMIT_BODY, start.hash) + b"\n", start))) == 1


def test_rule_4_a_commit_of_no_events_ends_the_chain() -> None:
    header = decode_header(encode_header(JOURNAL, 1, 1, 5, None)[0][:-1])
    assert header is not None
    start = start_of(header, 200)
    body = COMMIT_BODY.replace(b'"count":1', b'"count":0')
    assert list(walk(seal(body, start.hash) + b"\n", start)) == []


# --- rule 5: a header follows what it accepts -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "otherwise"),
    [
        (b'"first":42', b'"first":41'),
        (b'"first":42', b'"first":43'),
        (b'"previous":{"segment":1', b'"previous":{"segment":2'),
        (b'"previous":{"segment":1', b'"previous":{"segment":3'),
        (b'"previous":{"segment":1', b'"previous":{"segment":0'),
        (b'"declared":[{"segment":1', b'"declared":[{"segment":2'),
    ],
)
def test_rule_5_a_header_accepts_and_declares_of_earlier_segments_only(written: bytes, otherwise: bytes) -> None:
    assert HEADER_BODY.count(written) == 1
    assert decode_header(seal(HEADER_BODY.replace(written, otherwise), PREVIOUS.hash)) is None


# --- versions ---------------------------------------------------------------------------------------------------


def test_a_header_of_a_newer_version_is_recognised_whatever_else_it_holds() -> None:
    body = HEADER_BODY.replace(b'"version":1', b'"version":2').replace(b'"declared":', b'"invented":{},"declared":')
    assert decode_header(seal(body, PREVIOUS.hash)) == Header(2, "", 0, 0, 0, None, (), "")


def test_a_damaged_version_is_no_newer_version() -> None:
    for digit in b"023456789":
        assert decode_header(HEADER.replace(b'"version":1', b'"version":%c' % digit)) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"format":"ml-dash-journal","version":9,',
        b'{"format":"ml-dash-journal","version":9,"journal":"journal1"',
        b'{"format":"ml-dash-journal","version":9,"journal":7,"previous":null',
        b'{"format":"ml-dash-journal","version":9,"journal":"journal1","previous":[]',
        b'{"format":"ml-dash-journal","version":9,"journal":"\xff","previous":null',
    ],
)
def test_what_keeps_no_rule_is_no_newer_version(body: bytes) -> None:
    assert decode_header(body + b',"hash":"' + b"0" * 64 + b'"}') is None


# --- our own mistakes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mistake", [{"writer": "W"}, {"session": ""}, {"first": -1}, {"count": 0}, {"events": b"{}"}])
def test_a_commit_that_could_not_be_read_again_is_never_written(mistake: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        commit_line(**mistake)


def test_a_header_that_could_not_be_read_again_is_never_written() -> None:
    with pytest.raises(AssertionError):
        encode_header("Journal", 1, 1, 5, None)
    with pytest.raises(AssertionError):
        encode_header(JOURNAL, 1, 1, 5, None, (Declaration(1, 0, 5),))


def test_the_ids_that_are_made_fit_the_format() -> None:
    journal = new_id()
    assert len(journal) == JOURNAL_ID_LENGTH
    line, _ = encode_header(journal, 1, 1, 5, None)
    at = journal_format.JOURNAL_ID_OFFSET
    assert line[at : at + JOURNAL_ID_LENGTH].decode() == journal


def test_the_list_in_the_source_has_a_test_for_every_number() -> None:
    rules = re.findall(r"^ (\d)\. ", journal_format.__doc__ or "", re.MULTILINE)
    tested = {name[10] for name in globals() if name.startswith("test_rule_")}
    assert rules == sorted(tested)
