"""spec/journal.md against the code: its examples byte by byte, its tables line by line."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import adler32

import pytest

from ml_dash.facts.codec import decode_events, events_of
from ml_dash.facts.columns import decode_column, encode_column
from ml_dash.facts.rows import define, parse_rows, seal, unseal, valid_length
from ml_dash.ids import new_id
from ml_dash.journal import format as journal_format
from ml_dash.journal.damage import DamageKind
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.format import GENESIS_HASH, SEGMENT_BYTES_MAX, Previous, encode_commit, encode_header
from ml_dash.journal.reader import JournalReader
from ml_dash.journal.recovery import RULES
from ml_dash.journal.seekable import FRAME_BYTES, frames_in_order, read_table, seek_table
from ml_dash.journal.segment_file import open_segment
from ml_dash.journal.survey import survey

from .sameness import same

TEXT = (Path(__file__).parent.parent / "spec/journal.md").read_text(encoding="utf-8")
HASH_MEMBER = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n$')


def block(name: str) -> bytes:
    """The bytes of a fenced example, its last newline included."""
    [found] = re.findall(rf"^```{re.escape(name)}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found).encode()


def table(first_cell: str) -> list[list[str]]:
    """The rows of the table whose head begins with this cell."""
    [found] = re.findall(rf"^\| {re.escape(first_cell)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in str(found).splitlines()]


def section(title: str) -> str:
    return re.split(r"^##+ ", TEXT.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def members_of_table(title: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", section(title), re.MULTILINE)


# The last line of the first segment is torn: it has no newline.
SEGMENTS = {1: block("jsonl 00000001.jsonl")[:-1], 2: block("jsonl 00000002.jsonl")}
LINES = {number: segment.splitlines(keepends=True) for number, segment in SEGMENTS.items()}
WHOLE = [(number, line) for number, lines in LINES.items() for line in lines if line.endswith(b"\n")]


@pytest.fixture
def journal(tmp_path: Path) -> JournalFolder:
    """The example, on disk."""
    folder = JournalFolder(tmp_path / "alice" / "ml" / "a")
    folder.disk.make_folder(folder.path)
    for number, content in SEGMENTS.items():
        Path(folder.segment_path(number)).write_bytes(content)
    return folder


# --- the example --------------------------------------------------------------------------------------------------


def test_every_hash_of_the_example_is_sha_256_over_what_the_page_says() -> None:
    """With nothing but hashlib and json, as somebody would who has only the page."""
    previous = GENESIS_HASH
    journal = json.loads(LINES[1][0])["journal"]
    for _, line in WHOLE:
        found = HASH_MEMBER.search(line)
        assert found is not None
        members = json.loads(line)
        if "format" in members and members["previous"] is not None:
            assert members["previous"]["hash"] == previous
            previous = members["previous"]["hash"]
        digest = sha256(previous.encode() + journal.encode() + line[: found.start()]).hexdigest()
        assert digest == members["hash"] == found[1].decode()
        previous = digest


def test_the_bytes_under_the_second_hash_are_those_that_are_shown() -> None:
    header_hash, journal, body = block("text").decode().splitlines()
    line = LINES[1][1]
    length = len(line) - len(b',"hash":""}\n') - 64
    assert json.loads(LINES[1][0])["hash"] == header_hash
    assert json.loads(LINES[1][0])["journal"] == journal
    assert line[:length].decode().startswith(body.rstrip("…"))
    assert f"following {64 + len(journal) + length} bytes" in TEXT
    assert f"{len(journal)} characters of the journal's id, and the line's {length} bytes" in TEXT
    assert sha256((header_hash + journal).encode() + line[:length]).hexdigest() == json.loads(line)["hash"]


def test_the_offsets_of_the_example_are_those_of_the_table() -> None:
    expected = []
    for number, lines in LINES.items():
        offset = 0
        for line in lines:
            expected.append([str(number), str(offset), str(len(line))])
            offset += len(line)
    assert [row[:3] for row in table("segment")] == expected
    accepted = json.loads(LINES[2][0])["previous"]["bytes"]
    assert f"accepts the first {accepted} bytes" in TEXT
    assert f"last {len(LINES[1][-1])} bytes are the torn commit" in TEXT


def test_the_example_replays_to_the_events_of_the_table(journal: JournalFolder) -> None:
    reader = JournalReader(journal)
    events = [
        event
        for line in reader.commits()
        for event in events_of(
            decode_events(line.events, line.count), line.first, line.time_us, line.writer, line.session
        )
    ]
    assert [event.seq for event in events] == list(range(1, 23))
    assert f"replays to {len(events)} events" in TEXT
    for seq, event_type, time_us, payload in table("seq"):
        event = events[int(seq) - 1]
        assert (f"`{event.type}`", str(event.time_us)) == (event_type, time_us)
        assert same(event.data, json.loads(payload.strip("`")))
    assert [(each.kind, each.segment, each.offset, each.bytes) for each in reader.damage] == [
        (DamageKind.DEAD, 1, 1380, 17)
    ]
    assert survey(journal).ok


def test_the_example_is_what_the_code_writes() -> None:
    previous = GENESIS_HASH
    journal = ""
    for _, line in WHOLE:
        members: dict[str, Any] = json.loads(line)
        if "format" in members:
            journal = members["journal"]
            accepted = Previous(**members["previous"]) if members["previous"] is not None else None
            again, previous = encode_header(journal, members["segment"], members["first"], members["time"], accepted)
        else:
            events = re.search(rb'"events":(\[.*\]),"hash"', line)
            assert events is not None
            again, previous = encode_commit(
                previous,
                journal,
                first=members["first"],
                count=members["count"],
                time_us=members["time"],
                writer=members["writer"],
                session=members["session"],
                counter=members["counter"],
                fence=members["fence"],
                events=events[1],
            )
        assert again == line


# --- tables -------------------------------------------------------------------------------------------------------


def test_members_stand_in_the_order_of_the_tables() -> None:
    for _, line in WHOLE:
        title = "Header" if b'"format"' in line else "Commit"
        assert list(json.loads(line)) == members_of_table(title)


def test_the_validity_list_is_the_one_in_the_source() -> None:
    def rules(text: str) -> list[str]:
        return [" ".join(rule.split()) for rule in re.findall(r"^ ?\d\. ((?:.+\n)(?:  +.+\n)*)", text, re.MULTILINE)]

    in_source = rules(journal_format.__doc__ or "")
    assert len(in_source) == 5
    assert rules(section("Valid")) == in_source


def test_the_recovery_table_is_the_one_in_the_source() -> None:
    def cell(value: Any) -> str:
        return "any" if value is None else str(value.name).lower()

    assert table("version") == [
        [cell(rule.version), cell(rule.earlier), cell(rule.tail), rule.action.value] for rule in RULES
    ]


def test_the_kinds_of_damage_are_those_in_the_source() -> None:
    kinds = (
        [row[0].strip("`") for row in table("kind") if row[0].startswith("`")] if TEXT.count("| kind |") == 1 else []
    )
    kinds = kinds or re.findall(r"^\| `(\w+)` \|", section("Torn or corrupt"), re.MULTILINE)
    assert sorted(kinds) == sorted(kind.value for kind in DamageKind)


@pytest.mark.parametrize("row", table("column"), ids=lambda row: str(row[0])[:30])
def test_a_column_of_the_page_is_what_the_code_writes_and_reads(row: list[str]) -> None:
    column, count, values = json.loads(row[0].strip("`")), int(row[1]), json.loads(row[2].strip("`"))
    assert same(encode_column(values), column)
    assert same(list(decode_column(column, count)), values)


def test_the_columns_of_the_page_show_every_form() -> None:
    forms = {row[0].lstrip("`")[:4] for row in table("column")}
    assert forms == {'[1,"', '{"sa', '{"ra', '{"pa', '{"de'}


def test_the_figures_of_the_page_are_those_in_the_source() -> None:
    assert f"when they have {SEGMENT_BYTES_MAX >> 20} MiB" in TEXT
    assert f"{len(new_id())} characters of `0-9a-z`" in TEXT


# --- the spool ----------------------------------------------------------------------------------------------------


def test_the_spool_of_the_page_is_valid_row_by_row() -> None:
    header, *rows = block("jsonl spool").splitlines(keepends=True)
    head = unseal(header.rstrip(b"\n"))
    assert head is not None
    assert list(json.loads(head)) == ["format", "version", "writer", "session", "first", "position"]
    for row in rows:
        digits, array = row.rstrip(b"\n").split(b",", 1)
        assert digits == b"%d" % adler32(array)
        assert seal(array) == row
        assert json.loads(array)
    joined = b"".join(rows)
    assert valid_length(joined) == len(joined)
    assert valid_length(joined[:-1]) == len(joined) - len(rows[-1])
    assert valid_length(joined + bytes(100)) == len(joined)


def test_the_spool_of_the_page_shows_every_kind_of_row() -> None:
    rows = parse_rows(b"".join(block("jsonl spool").splitlines(keepends=True)[1:]))
    assert rows[0][:2] == [None, "define"]
    assert define(rows[0])[1].keys == ("step", "loss")
    assert rows[1][1] == 0
    assert rows[2][1] == -1
    assert isinstance(rows[3][1], str)
    position = json.loads(block("jsonl spool").splitlines()[0].split(b",", 1)[1])["position"]
    assert position["offset"] == int(table("segment")[-1][1])
    assert position["hash"] == json.loads(LINES[2][1])["hash"]


# --- archived -----------------------------------------------------------------------------------------------


def test_the_archived_example_is_the_first_segment_and_ends_in_the_seek_table_that_is_shown(
    tmp_path: Path, journal: JournalFolder
) -> None:
    archived = b64decode(block("base64 00000001.jsonl.zst"))
    shown = bytes.fromhex(block("hex").decode())
    assert archived.endswith(shown)
    found = read_table(shown, len(archived))
    assert found is not None
    assert (len(found), found[0].size) == (1, len(SEGMENTS[1]))
    assert f"It is one frame of {found[0].bytes} bytes, and this seek table:" in section("Archived")
    assert seek_table(found) == shown
    before = list(JournalReader(journal).commits())
    Path(journal.segment_path(1)).unlink()
    Path(journal.archived_path(1)).write_bytes(archived)
    with open_segment(journal, 1) as file:
        assert file.read_at(0, 1 << 20) == SEGMENTS[1]
        assert file.troubles() == []
    assert list(JournalReader(journal).commits()) == before
    assert survey(journal).ok


def test_the_table_of_the_seek_table_is_what_is_written() -> None:
    parts = dict(table("part of the seek table"))
    begin, end = parts["magic number"], table("part of the seek table")[-1][1]
    made = seek_table(frames_in_order([(700, FRAME_BYTES), (90, 12)]))
    numbers = [int.from_bytes(made[at : at + 4], "little") for at in range(4, len(made) - 5, 4)]
    assert numbers == [len(made) - 8, 700, FRAME_BYTES, 90, 12, 2]
    first, last = table("part of the seek table")[0][1], end
    assert (made[:4].hex(" "), made[-5:-4].hex(), made[-4:].hex(" ")) == (first.strip("`"), "00", last.strip("`"))
    assert begin == last
    assert f"{FRAME_BYTES:,} bytes" in section("Archived")
