"""Which lines continue the chain, which stand by themselves behind damage, and which segments count."""

from __future__ import annotations

import pytest

from ml_dash.ids import new_id
from ml_dash.journal.chain import Position, find_journal, is_corrupt, islands, read_header, start_of, walk
from ml_dash.journal.chart import chart
from ml_dash.journal.format import HASH_TAIL_BYTES, Header, Previous, encode_commit, encode_header

JOURNAL = new_id()
OTHER = new_id()


def segment(fences: list[int], journal: str = JOURNAL) -> tuple[list[bytes], list[Position]]:
    """Behind a header, commits of one event with these fences (-1: the end of the header), and the position in front of
    each."""
    header, _ = encode_header(journal, 1, 1, 5, None)
    found = read_header(header)
    assert found is not None
    start = at = found[1]
    lines = []
    positions = []
    for fence in fences:
        fence = start.offset if fence < 0 else fence
        line, line_hash = encode_commit(
            at.hash,
            at.journal,
            first=at.next_seq,
            count=1,
            time_us=5,
            writer="w",
            session="w",
            counter=1,
            fence=fence,
            events=b"[%d]" % at.next_seq,
        )
        positions.append(at)
        lines.append(line)
        at = Position(at.journal, 1, at.offset + len(line), at.next_seq + 1, line_hash, max(at.fence, fence))
    return lines, positions


def flipped(line: bytes) -> bytes:
    return line.replace(b'"time":5', b'"time":6')


# --- walk ---------------------------------------------------------------------------------------------------------


def test_a_walk_gives_whole_lines_and_where_they_end() -> None:
    lines, positions = segment([-1, -1, -1])
    start = positions[0]
    found = list(walk(b"".join(lines), start))
    assert [line.first for line in found] == [1, 2, 3]
    assert [line.end for line in found] == [start.offset + len(b"".join(lines[:n])) for n in (1, 2, 3)]
    assert [line.events for line in found] == [b"[1]", b"[2]", b"[3]"]


@pytest.mark.parametrize("tail", [b"", b"{", b"\n", bytes(4096), b"\0\n\0\n", b'{"first":4', b"\xff" * 10])
def test_a_walk_ends_at_what_is_no_line_without_alarm(tail: bytes) -> None:
    lines, positions = segment([-1, -1, -1])
    assert [line.first for line in walk(b"".join(lines) + tail, positions[0])] == [1, 2, 3]


def test_positions_carry_the_highest_fence() -> None:
    lines, positions = segment([-1, 300, -1])
    at = positions[0]
    for line in walk(b"".join(lines), at):
        at = at.after(line)
    assert at.fence == 300
    assert at.with_fence(200) == at
    assert at.with_fence(500).fence == 500


# --- islands ------------------------------------------------------------------------------------------------------


def test_behind_a_damaged_line_the_rest_stands_by_itself() -> None:
    lines, positions = segment([-1] * 5)
    lines[1] = flipped(lines[1])
    data = b"".join(lines[1:])
    assert [line.first for line in islands(data, positions[1], 2)] == [3, 4, 5]


def test_a_damaged_hash_takes_the_line_behind_it_along() -> None:
    lines, positions = segment([-1] * 5)
    lines[1] = lines[1][:-5] + b"zzz" + lines[1][-2:]
    assert [line.first for line in islands(b"".join(lines[1:]), positions[1], 2)] == [4, 5]


def test_an_island_that_repeats_history_is_not_accepted() -> None:
    lines, positions = segment([-1] * 5)
    data = b"".join(lines[0:4])
    at = Position(JOURNAL, 1, 5000, 4, positions[3].hash, 0)
    assert [line.first for line in islands(data, at, 4)] == [4]


def test_an_island_that_repeats_another_one_is_not_accepted() -> None:
    lines, positions = segment([-1] * 3)
    # After a line that is no commit and states the hash that the last one but one continues.
    again = b'{"again":true,"hash":"%b"}\n' % positions[1].hash.encode("ascii")
    data = flipped(lines[0]) + lines[1] + lines[2] + again + lines[1]
    assert [line.first for line in islands(data, positions[0], 1)] == [2, 3]


def test_an_island_of_another_journal_is_not_accepted() -> None:
    _, positions = segment([-1] * 5)
    foreign, _ = segment([-1] * 8, journal=OTHER)
    assert list(islands(b"".join(foreign), positions[1], 2)) == []


# --- torn or corrupt ----------------------------------------------------------------------------------------------


def test_bytes_below_a_fence_are_corrupt() -> None:
    lines, positions = segment([-1, -1, -1, -1])
    at = positions[1]
    lines, _ = segment([-1, -1, -1, at.offset + 1])
    assert is_corrupt(flipped(lines[1]) + lines[2] + lines[3], at)


def test_bytes_at_or_beyond_every_fence_are_torn() -> None:
    lines, positions = segment([-1, -1, -1, -1])
    at = positions[1]
    lines, _ = segment([-1, -1, -1, at.offset])
    assert not is_corrupt(flipped(lines[1]) + lines[2] + lines[3], at)


def test_a_fence_in_a_line_of_another_journal_condemns_nothing() -> None:
    _, positions = segment([-1, -1])
    foreign, _ = segment([-1, 9000, 9000], journal=OTHER)
    assert not is_corrupt(b"".join(foreign), positions[1])


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 300, b'{"format":"ml-dash-jour', b'{"format":"ml-dash-journal"}\n', b"\n\n"]
)
def test_a_header_that_is_not_whole_is_torn_where_no_commit_stands_behind_it(data: bytes) -> None:
    header, _ = encode_header(JOURNAL, 1, 1, 5, None)
    half_a_commit = segment([-1])[0][0][:-HASH_TAIL_BYTES]
    assert not is_corrupt(data, Position("", 1, 0, 1, "0" * 64, 0))
    assert not is_corrupt(data + b"\n" + header + half_a_commit, Position("", 1, 0, 1, "0" * 64, 0))


def test_a_header_that_is_not_whole_is_corrupt_where_a_commit_stands_behind_it() -> None:
    lines, _ = segment([-1])
    assert is_corrupt(b'{"format":"ml-dash-journal"}\n' + lines[0], Position("", 1, 0, 1, "0" * 64, 0))


# --- the journal's id behind a damaged header ---------------------------------------------------------------------


def test_the_id_is_found_whatever_byte_of_the_header_is_damaged() -> None:
    header, _ = encode_header(JOURNAL, 1, 1, 5, None)
    lines, _ = segment([-1, -1, -1])
    for place in range(len(header) - 1):
        damaged = bytearray(header)
        damaged[place] ^= 1
        assert find_journal(bytes(damaged) + b"".join(lines)) == JOURNAL, place


@pytest.mark.parametrize("junk", [b"\n", b"junk\n", b"\0" * 512])
def test_the_id_is_found_in_a_header_that_has_moved(junk: bytes) -> None:
    header, _ = encode_header(JOURNAL, 1, 1, 5, None)
    lines, _ = segment([-1, -1, -1])
    assert find_journal(junk + header + b"".join(lines)) == JOURNAL
    assert find_journal(header[7:] + b"".join(lines)) == JOURNAL


def test_no_id_is_made_up_where_no_commit_confirms_it() -> None:
    header, _ = encode_header(JOURNAL, 1, 1, 5, None)
    foreign, _ = segment([-1, -1], journal=OTHER)
    assert find_journal(header) is None
    assert find_journal(header + b"".join(foreign)) is None
    assert find_journal(bytes(5000)) is None


# --- the chart ----------------------------------------------------------------------------------------------------


def header(number: int, previous: int | None, journal: str = JOURNAL) -> tuple[Header, Position]:
    accepted = None if previous is None else Previous(previous, 100, 10, "ab" * 32)
    line, _ = encode_header(journal, number, 11 if previous is not None else 1, 5, accepted)
    found = read_header(line)
    assert found is not None
    return found


def headers(*found: tuple[Header, Position]) -> dict[int, tuple[Header, Position]]:
    return {each[0].segment: each for each in found}


def test_of_a_chain_of_segments_all_but_the_newest_are_sealed() -> None:
    extents = chart([1, 2, 3], headers(header(1, None), header(2, 1), header(3, 2)))
    assert [(each.segment, each.is_sealed, each.is_dead) for each in extents] == [
        (1, True, False),
        (2, True, False),
        (3, False, False),
    ]
    assert [each.accepted and each.accepted.segment for each in extents] == [1, 2, None]


def test_a_segment_that_is_passed_over_is_dead() -> None:
    extents = chart([1, 2, 3], headers(header(1, None), header(3, 1)))
    assert [(each.segment, each.is_dead, each.is_fork) for each in extents] == [
        (1, False, False),
        (2, True, False),
        (3, False, False),
    ]


def test_in_front_of_a_segment_without_a_header_the_nearest_one_counts() -> None:
    extents = chart([1, 2, 3, 4], headers(header(1, None), header(2, 1), header(4, 3)))
    assert [(each.segment, each.is_dead) for each in extents] == [(1, False), (2, False), (3, False), (4, False)]
    assert [each.accepted and each.accepted.segment for each in extents] == [1, None, 3, None]


def test_a_passed_over_segment_with_a_whole_header_is_a_second_history() -> None:
    extents = chart([1, 2, 3], headers(header(1, None), header(2, 1), header(3, 1)))
    assert [each.segment for each in extents if each.is_fork] == [2]


def test_segments_behind_the_newest_header_are_its_torn_end() -> None:
    extents = chart([1, 2, 3], headers(header(1, None)))
    assert [(each.segment, each.is_sealed, each.is_dead, each.header is None) for each in extents] == [
        (1, False, False, False),
        (2, False, False, True),
        (3, False, False, True),
    ]


def test_a_missing_segment_is_on_the_chart() -> None:
    extents = chart([2], headers(header(2, 1)))
    assert (extents[0].segment, extents[0].is_sealed, extents[0].header) == (1, True, None)


def test_a_header_of_another_journal_is_no_header() -> None:
    extents = chart([1, 2, 3], headers(header(1, None), header(2, 1), header(3, 2, OTHER)))
    assert [each.header is None for each in extents] == [False, False, True]
    extents = chart([1, 2, 3], headers(header(1, None, OTHER), header(2, 1), header(3, 2)))
    assert [each.header is None for each in extents] == [True, False, False]
    extents = chart([2, 3], headers(header(2, 1, OTHER), header(3, 2)), first=2, journal=JOURNAL)
    assert [each.header is None for each in extents] == [True, False]


def test_a_chart_from_a_segment_on_leaves_out_what_is_before_it() -> None:
    extents = chart([2, 3], headers(header(2, 1), header(3, 2)), first=2)
    assert [each.segment for each in extents] == [2, 3]


def test_of_nothing_there_is_no_chart() -> None:
    assert chart([], {}) == []


def test_a_position_behind_a_header_is_its_end() -> None:
    line, _ = encode_header(JOURNAL, 1, 1, 5, None)
    found = read_header(line + b"more")
    assert found is not None
    assert found[1] == start_of(found[0], len(line))
    assert found[1].fence == len(line), "a segment gets its name only after its header is synced"
