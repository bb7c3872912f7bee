"""F4 where only the server knows: a tail cut between two lines, at every place, is named, and given back (P4, P6).

No checksum sees such a cut, and what is recorded behind it would be another continuation of the journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import ml_dash
from ml_dash.errors import DivergedError
from ml_dash.journal.folder import JournalFolder
from ml_dash.remote.mending import give_back_end
from ml_dash.remote.shipment import Shipment

from ..histories import point
from ..journals import append, session
from .hostile import InProcess, Wire, server_through, valid_bytes
from .test_shipment import copy_of, ship_all

PREFIX = "alice/ml/a"
SEGMENT_BYTES_MAX = 1500


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    inside = InProcess(tmp_path / "server")
    inside.start()
    yield Wire(inside)
    inside.stop()


@pytest.fixture
def folder(tmp_path: Path) -> JournalFolder:
    return JournalFolder(tmp_path / "dash" / PREFIX, prefix=PREFIX)


def record(folder: JournalFolder, name: str, sessions: int, note: str = "nothing") -> None:
    for number in range(sessions):
        points = [point("train", step=step, note=note) for step in range(3)]
        append(folder.experiment, *session(f"{name}{number}", points), segment_bytes_max=SEGMENT_BYTES_MAX)


def boundaries(folder: JournalFolder) -> list[tuple[int, int]]:
    """Behind every line but the last."""
    found = []
    for segment, data in valid_bytes(folder).items():
        ends = [at + 1 for at, byte in enumerate(data) if byte == 10]
        found += [(segment, end) for end in ends]
    return found[:-1]


def cut(folder: JournalFolder, whole: dict[int, bytes], segment: int, offset: int) -> None:
    """As an older copy of the folder has it."""
    for number, data in whole.items():
        path = Path(folder.segment_path(number))
        if number > segment:
            path.unlink()
        else:
            path.write_bytes(data if number < segment else data[:offset])


def test_a_tail_cut_behind_any_line_is_named_and_given_back(folder: JournalFolder, wire: Wire) -> None:
    record(folder, "s", 6)
    server = server_through(wire)
    ship_all(Shipment(folder, PREFIX, server))
    whole = valid_bytes(folder)
    assert len(whole) > 2
    for segment, offset in boundaries(folder):
        cut(folder, whole, segment, offset)
        left = valid_bytes(folder)
        with pytest.raises(DivergedError, match="has lost its end"):
            Shipment(folder, PREFIX, server).step()
        assert valid_bytes(folder) == left, "nothing was changed"
        lost = sum(map(len, whole.values())) - sum(map(len, left.values()))
        assert give_back_end(folder, PREFIX, server) == lost
        assert valid_bytes(folder) == whole
    assert ml_dash.verify(PREFIX, dash_root=folder.experiment.parents[2]).ok
    record(folder, "t", 1)
    ship_all(Shipment(folder, PREFIX, server))
    assert copy_of(wire._server, folder) == valid_bytes(folder) != whole


def test_what_is_recorded_behind_a_cut_is_refused_and_the_copy_stays(folder: JournalFolder, wire: Wire) -> None:
    record(folder, "s", 3)
    server = server_through(wire)
    ship_all(Shipment(folder, PREFIX, server))
    whole = valid_bytes(folder)
    copy = copy_of(wire._server, folder)
    for segment, offset in boundaries(folder)[::3]:
        cut(folder, whole, segment, offset)
        record(folder, "t", 6)
        with pytest.raises(DivergedError, match="go on differently"):
            Shipment(folder, PREFIX, server).step()
        assert give_back_end(folder, PREFIX, server) == 0
        assert copy_of(wire._server, folder) == copy
        for number in folder.segment_numbers():
            Path(folder.segment_path(number)).unlink()
        cut(folder, whole, max(whole), len(whole[max(whole)]))


def test_a_tail_with_redacted_values_is_given_back(folder: JournalFolder, wire: Wire) -> None:
    root = folder.experiment.parents[2]
    record(folder, "s", 2)
    record(folder, "u", 1, note="a secret password")
    record(folder, "t", 1)
    server = server_through(wire)
    ship_all(Shipment(folder, PREFIX, server))
    seq = next(each.seq for each in ml_dash.events(PREFIX, dash_root=root) if "a secret" in str(each.data))
    ml_dash.redact(PREFIX, seq, "note", reason="leaked", dash_root=root)
    ship_all(Shipment(folder, PREFIX, server))
    whole = valid_bytes(folder)
    for segment, offset in boundaries(folder):
        cut(folder, whole, segment, offset)
        give_back_end(folder, PREFIX, server)
        assert valid_bytes(folder) == whole, (segment, offset)
        assert ml_dash.verify(PREFIX, dash_root=root).ok
