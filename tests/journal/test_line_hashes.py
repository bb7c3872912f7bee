"""Long lines are hashed ahead, on two threads: the same lines are valid, and any damage is met where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash.facts.events import LOG_WRITTEN
from ml_dash.ids import new_id
from ml_dash.journal import line_hashes
from ml_dash.journal.chain import Position, walk
from ml_dash.journal.format import GENESIS_HASH, chain_hash, encode_commit
from ml_dash.journal.line_hashes import LONG_LINE_BYTES, hashes_ahead
from ml_dash.journal.reader import JournalReader

from ..histories import event
from ..journals import append

JOURNAL = new_id()
START = Position(JOURNAL, 1, 222, 1, GENESIS_HASH, 222)


def lines(sizes: list[int]) -> list[bytes]:
    """A chain of commits whose events take so many bytes."""
    found = []
    above = START.hash
    for number, size in enumerate(sizes, 1):
        events = b'["%b"]' % (b"x" * size)
        line, above = encode_commit(
            above,
            JOURNAL,
            first=number,
            count=1,
            time_us=5,
            writer="w",
            session="w",
            counter=number,
            fence=222,
            events=events,
        )
        found.append(line)
    return found


LONG = [LONG_LINE_BYTES + 100 * number for number in range(7)]


@pytest.mark.parametrize("sizes", [LONG, [10, *LONG, 10], [*LONG, 3 * LONG_LINE_BYTES], LONG[:3]])
@pytest.mark.parametrize("rest", [b"", b"the beginning of a line"])
def test_hashes_ahead_are_those_that_the_lines_state(sizes: list[int], rest: bytes) -> None:
    written = lines(sizes)
    data = b"".join(written) + rest
    hashes = hashes_ahead(data, START.hash, JOURNAL)
    assert list(hashes) == [line[-67:-3].decode() for line in written]
    assert repr(list(walk(data, START, hashes))) == repr(list(walk(data, START)))
    assert len(list(walk(data, START, hashes))) == len(sizes)


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n\n", b"x" * 100_000, b"".join(lines([5] * 50)), lines(LONG)[0]])
def test_short_lines_and_what_is_none_are_left_to_whoever_needs_them(data: bytes) -> None:
    assert list(hashes_ahead(data, START.hash, JOURNAL)) == []


@pytest.mark.parametrize("at", range(7))
@pytest.mark.parametrize("place", [0, 30, 1000, -2, -40, -70, -76])
def test_a_changed_byte_ends_the_walk_in_front_of_its_line(at: int, place: int) -> None:
    written = lines(LONG)
    changed = bytearray(written[at])
    changed[place] ^= 1
    data = b"".join((*written[:at], changed, *written[at + 1 :]))
    found = list(walk(data, START, hashes_ahead(data, START.hash, JOURNAL)))
    assert [line.first for line in found] == list(range(1, at + 1))


def test_a_line_of_another_chain_is_not_valid_though_its_own_hash_is_right() -> None:
    written = lines(LONG)
    data = b"".join((*written[:3], *written[4:]))
    assert len(list(walk(data, START, hashes_ahead(data, START.hash, JOURNAL)))) == 3
    assert not list(walk(data, START, hashes_ahead(data, "1" * 64, JOURNAL)))
    assert not list(walk(data, START, hashes_ahead(data, START.hash, "another")))


def test_lines_of_garbage_between_long_ones_harm_nothing() -> None:
    written = lines(LONG)
    for garbage in (b"\n", b"\n\n", b"x\n", b"x" * 60 + b"\n", b"\xff" * 70_000 + b"\n"):
        data = b"".join((*written[:5], garbage, *written[5:]))
        assert len(list(walk(data, START, hashes_ahead(data, START.hash, JOURNAL)))) == 5
        assert list(walk(garbage + data, START, hashes_ahead(garbage + data, START.hash, JOURNAL))) == []


def test_where_no_thread_can_be_started_lines_are_valid_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(line_hashes.Thread, "start", refuse)
    data = b"".join(lines(LONG))
    assert len(list(walk(data, START, hashes_ahead(data, START.hash, JOURNAL)))) == len(LONG)


def test_each_line_is_hashed_from_the_line_before_it_and_the_journal() -> None:
    written = lines(LONG)
    hashes = hashes_ahead(b"".join(written), START.hash, JOURNAL)
    for number in range(1, len(LONG)):
        assert hashes[number] == chain_hash(written[number - 1][-67:-3].decode(), JOURNAL, written[number][:-76])


@pytest.mark.parametrize("at", [0, 5, 11])
def test_a_reader_finds_damage_among_long_lines_and_reads_on_behind_it(tmp_path: Path, at: int) -> None:
    parts = [("s1", [event(LOG_WRITTEN, message=f"{number:05}" * 20_000, level="info")]) for number in range(12)]
    append(tmp_path / "a", *parts)
    # The first one is sealed by it: what has changed there is damage, and what stands behind is read.
    folder = append(tmp_path / "a", ("s1", [event(LOG_WRITTEN, message="", level="info")]), segment_bytes_max=1)
    path = Path(folder.segment_path(1))
    data = path.read_bytes()
    place = data.index(f"{at:05}".encode() * 3)
    path.write_bytes(data[:place] + b"9" + data[place + 1 :])
    reader = JournalReader(folder)
    assert [line.first for line in reader.commits()] == [number for number in range(1, 14) if number != at + 1]
    [damage] = reader.damage
    assert damage.offset <= place < damage.offset + damage.bytes
