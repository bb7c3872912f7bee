"""One journal on its way to one server: what is left out, what is refused, what is gone on with, and by whom."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path

import httpx
import orjson
import pytest

import ml_dash
from ml_dash.alarm import Alarm
from ml_dash.errors import AuthenticationError, DivergedError, NetworkError, RefusedError
from ml_dash.journal.contents import ContentStore
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.lock import hold_alone, release
from ml_dash.remote import blobs, cursor
from ml_dash.remote import shipper as shipper_module
from ml_dash.remote.arrival import is_shipped
from ml_dash.remote.server import Server
from ml_dash.remote.shipment import Shipment, Step
from ml_dash.remote.shipper import Shipper

from ..histories import event, point
from ..journals import append, session
from .hostile import URL, InProcess, Wire, server_through, valid_bytes

PREFIX = "alice/ml/a"
STEPS_MAX = 200


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[InProcess]:
    made = InProcess(tmp_path / "server")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def wire(inside: InProcess) -> Wire:
    return Wire(inside)


@pytest.fixture
def folder(tmp_path: Path) -> JournalFolder:
    found = JournalFolder(tmp_path / "dash" / PREFIX, prefix=PREFIX)
    append(found.experiment, *session("s1", [point("train", step=step) for step in range(20)]))
    return found


def ship_all(shipment: Shipment) -> list[str]:
    """Until nothing is left; the problems then."""
    for _ in range(STEPS_MAX):
        step = shipment.step()
        if step.is_idle:
            return list(step.problems)
    raise AssertionError("it never ends")


def copy_of(inside: InProcess, folder: JournalFolder) -> dict[int, bytes]:
    mark = cursor.marks(folder)[URL]
    assert mark.head is not None
    numbers = range(1, mark.head.segment + 1)
    return {number: inside.segment(PREFIX, mark.head.journal, number) for number in numbers}


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_every_encoding_brings_the_same_bytes(
    folder: JournalFolder, inside: InProcess, wire: Wire, encoding: str
) -> None:
    assert ship_all(Shipment(folder, PREFIX, server_through(wire), encoding=encoding)) == []
    assert copy_of(inside, folder) == valid_bytes(folder)
    assert is_shipped(folder, PREFIX, cursor.marks(folder)[URL])


def test_the_hint_decides_nothing(folder: JournalFolder, inside: InProcess, wire: Wire) -> None:
    ship_all(Shipment(folder, PREFIX, server_through(wire)))
    asked = wire.requests
    Path(folder.shipped_path).unlink()
    ship_all(Shipment(folder, PREFIX, server_through(wire)))
    assert wire.requests == asked + 1, "where the copy ends, and that is all there is"


def test_a_folder_that_was_moved_to_another_owner_brings_its_files_along(
    folder: JournalFolder, inside: InProcess, wire: Wire
) -> None:
    checksum = save(folder, b"weights")
    ship_all(Shipment(folder, PREFIX, server_through(wire)))
    prefix = "bob/ml/a"
    moved = JournalFolder(folder.experiment.parents[2] / prefix, prefix=prefix)
    moved.experiment.parent.mkdir(parents=True)
    folder.experiment.rename(moved.experiment)
    assert not is_shipped(moved, prefix, cursor.marks(moved)[URL]), "under this prefix nothing has arrived"
    ship_all(Shipment(moved, prefix, server_through(wire)))
    assert inside.blob("bob", checksum) == b"weights"
    assert is_shipped(moved, prefix, cursor.marks(moved)[URL])


def test_a_server_that_has_lost_everything_gets_everything_again(
    folder: JournalFolder, inside: InProcess, wire: Wire, tmp_path: Path
) -> None:
    checksum = save(folder, b"weights")
    ship_all(Shipment(folder, PREFIX, server_through(wire)))
    shutil.rmtree(tmp_path / "server/store")
    inside.restart()
    ship_all(Shipment(folder, PREFIX, server_through(wire)))
    assert copy_of(inside, folder) == valid_bytes(folder)
    assert inside.blob("alice", checksum) == b"weights"


@pytest.mark.parametrize("is_shipped_before", [False, True])
def test_a_redacted_value_never_stays_on_the_server(
    folder: JournalFolder, inside: InProcess, wire: Wire, *, is_shipped_before: bool
) -> None:
    append(folder.experiment, *session("s2", [point("train", note="a secret password")]))
    shipment = Shipment(folder, PREFIX, server_through(wire))
    if is_shipped_before:
        ship_all(shipment)
    seq = 24
    ml_dash.redact(PREFIX, seq, "note", reason="leaked", dash_root=folder.experiment.parents[2])
    ship_all(shipment)
    copy = copy_of(inside, folder)
    assert copy == valid_bytes(folder)
    assert b"secret" not in b"".join(copy.values())


def test_damage_here_is_named_and_what_lies_before_it_arrives(
    folder: JournalFolder, inside: InProcess, wire: Wire
) -> None:
    path = Path(folder.segment_path(1))
    append(folder.experiment, ("s3", [point("train", step=99)]), segment_bytes_max=1)
    append(folder.experiment, ("s3", [point("train", step=100)]))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"run.completed", b"run.cancelled"))
    assert path.read_bytes() != data
    problems = ship_all(Shipment(folder, PREFIX, server_through(wire)))
    assert len(problems) == 1
    assert "segment 00000001 at byte" in problems[0]
    assert copy_of(inside, folder) == {1: data[: data.index(b"\n") + 1]}, "the header, and nothing behind the damage"


def test_another_lineage_is_refused_before_a_byte_is_sent(
    folder: JournalFolder, inside: InProcess, wire: Wire, tmp_path: Path
) -> None:
    other = JournalFolder(tmp_path / "other" / PREFIX, prefix=PREFIX)
    os.makedirs(other.experiment.parent)
    os.system(f"cp -r {folder.experiment} {other.experiment}")
    append(folder.experiment, ("s2", [point("train", step=1)]))
    append(other.experiment, ("s3", [point("train", step=2), point("train", step=3)]))
    ship_all(Shipment(folder, PREFIX, server_through(wire)))
    before = copy_of(inside, folder)
    with pytest.raises(DivergedError, match="go on differently") as caught:
        ship_all(Shipment(other, PREFIX, server_through(wire)))
    assert str(other.path) in str(caught.value)
    assert "ml-dash pull" in str(caught.value)
    assert copy_of(inside, folder) == before


class Limited(httpx.BaseTransport):
    """A server that takes bodies up to a size only."""

    def __init__(self, wire: Wire, bytes_max: int) -> None:
        self._wire = wire
        self.bytes_max = bytes_max

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if len(request.read()) > self.bytes_max:
            return httpx.Response(413, content=b"")
        return self._wire.handle_request(request)


def test_what_is_too_much_goes_in_smaller_batches(folder: JournalFolder, inside: InProcess, wire: Wire) -> None:
    for step in range(30):
        append(folder.experiment, ("s2", [point("train", step=step)]))
    server = Server(URL, None, wire=Limited(wire, 2_000))
    ship_all(Shipment(folder, PREFIX, server, encoding="identity"))
    assert copy_of(inside, folder) == valid_bytes(folder)


def test_a_line_that_is_too_long_is_named(folder: JournalFolder, inside: InProcess, wire: Wire) -> None:
    append(folder.experiment, ("s2", [point("train", text="x" * 10_000)]))
    shipment = Shipment(folder, PREFIX, Server(URL, None, wire=Limited(wire, 8_000)), encoding="identity")
    with pytest.raises(RefusedError, match="event 23 of alice/ml/a, is longer than"):
        ship_all(shipment)


# --- content ------------------------------------------------------------------------------------------------


def save(folder: JournalFolder, data: bytes) -> str:
    content = ContentStore(folder).write(data)
    words = {"path": "/", "filename": "a.bin", "contentType": "application/octet-stream"}
    said = event("file.saved", id=content.checksum[:8], checksum=content.checksum, sizeBytes=len(data), **words)
    append(folder.experiment, ("s1", [said]))
    return content.checksum


def test_a_large_file_goes_on_from_the_part_that_arrived(folder: JournalFolder, inside: InProcess, wire: Wire) -> None:
    data = os.urandom(2 * blobs.PART_BYTES + 100)
    checksum = save(folder, data)
    server = server_through(wire)
    shipment = Shipment(folder, PREFIX, server)
    while not server.parts("alice", checksum):
        shipment.step()
    sent = 0
    again = Shipment(folder, PREFIX, server)
    while not (step := again.step()).is_idle:
        sent += step.sent_bytes
    assert sent == len(data) - blobs.PART_BYTES
    assert inside.blob("alice", checksum) == data


def test_content_that_the_server_has_is_not_sent(folder: JournalFolder, inside: InProcess, wire: Wire) -> None:
    data = os.urandom(10_000)
    checksum = save(folder, data)
    server = server_through(wire)
    server.put_blob("alice", checksum, data)
    shipment = Shipment(folder, PREFIX, server)
    sent = 0
    while not (step := shipment.step()).is_idle:
        sent += step.sent_bytes
    assert sent == sum(map(len, valid_bytes(folder).values()))


def test_content_that_has_changed_here_is_named_and_holds_up_nothing(
    folder: JournalFolder, inside: InProcess, wire: Wire
) -> None:
    bad, good = save(folder, b"bad" * 10), save(folder, b"good" * 10)
    path = Path(ContentStore(folder).path_of(bad))
    path.chmod(0o644)
    path.write_bytes(b"bat" * 10)
    problems = ship_all(Shipment(folder, PREFIX, server_through(wire)))
    assert [str(path) in problem for problem in problems] == [True]
    assert inside.blob("alice", bad) is None
    assert inside.blob("alice", good) == b"good" * 10


def test_files_travel_while_somebody_records_without_end(folder: JournalFolder, inside: InProcess, wire: Wire) -> None:
    checksum = save(folder, b"weights")
    shipment = Shipment(folder, PREFIX, server_through(wire))
    for step in range(20, 26):
        append(folder.experiment, ("s1", [point("train", step=step)]))
        shipment.step()
    assert inside.blob("alice", checksum) == b"weights"
    ship_all(shipment)
    assert copy_of(inside, folder) == valid_bytes(folder)


@pytest.mark.parametrize("fault", ["request lost", "answer lost"])
def test_the_last_batch_arrives_whose_answer_was_lost(
    folder: JournalFolder, inside: InProcess, wire: Wire, fault: str
) -> None:
    shipment = Shipment(folder, PREFIX, server_through(wire))
    ship_all(shipment)
    append(folder.experiment, *session("s2", [point("train", step=20)]))
    wire.faults.append(fault)
    with pytest.raises(NetworkError):
        shipment.step()
    ship_all(shipment)
    assert copy_of(inside, folder) == valid_bytes(folder)


@pytest.mark.parametrize("fault", ["request lost", "answer lost"])
def test_a_file_arrives_whose_answer_was_lost(folder: JournalFolder, inside: InProcess, wire: Wire, fault: str) -> None:
    shipment = Shipment(folder, PREFIX, server_through(wire))
    ship_all(shipment)
    checksum = save(folder, b"weights")
    shipment.step()
    # Whether the server has it is asked first.
    wire.faults.extend(["", fault])
    with pytest.raises(NetworkError):
        shipment.step()
    ship_all(shipment)
    assert inside.blob("alice", checksum) == b"weights"


def test_a_file_travels_whose_commit_was_stored_while_the_answer_was_lost(
    folder: JournalFolder, inside: InProcess, wire: Wire
) -> None:
    shipment = Shipment(folder, PREFIX, server_through(wire))
    ship_all(shipment)
    checksum = save(folder, b"weights")
    wire.faults.append("answer lost")
    with pytest.raises(NetworkError):
        shipment.step()
    ship_all(shipment)
    assert inside.blob("alice", checksum) == b"weights"


# --- the thread ---------------------------------------------------------------------------------------------


def shipper_of(folder: JournalFolder, connect: Callable[[], Server]) -> Shipper:
    made = Shipper(folder, PREFIX, URL, connect, Alarm())
    made.start()
    return made


def test_waiting_ends_when_everything_has_arrived(folder: JournalFolder, inside: InProcess, wire: Wire) -> None:
    shipper = shipper_of(folder, lambda: server_through(wire))
    finished = shipper.finish(60)
    assert (finished.is_complete, finished.why) == (True, None)
    assert copy_of(inside, folder) == valid_bytes(folder)
    assert shipper.join(60)


def test_a_token_that_is_renewed_lets_it_go_on(
    folder: JournalFolder, inside: InProcess, wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [AuthenticationError("not accepted: run `ml-dash login`"), None]

    def connect() -> Server:
        error = answers.pop(0) if answers else None
        if error is not None:
            raise error
        return server_through(wire)

    shipper = shipper_of(folder, connect)
    while answers and not capsys.readouterr().err.count("not accepted"):
        pass
    assert shipper.finish(60).is_complete


def test_a_token_that_is_not_accepted_is_not_waited_for(
    folder: JournalFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    def connect() -> Server:
        raise AuthenticationError("not accepted")

    shipper = shipper_of(folder, connect)
    finished = shipper.finish(3600)
    assert (finished.is_complete, finished.why) == (False, "not accepted")
    assert capsys.readouterr().err.count("not accepted") == 1
    assert shipper.join(60)


def test_whoever_does_not_hold_the_lock_waits_for_who_does(
    folder: JournalFolder, inside: InProcess, wire: Wire
) -> None:
    descriptor = folder.disk.create(folder.ship_lock_path)
    assert hold_alone(descriptor, folder.ship_lock_path)
    other = Shipment(folder, PREFIX, server_through(wire))
    shipper = shipper_of(folder, lambda: server_through(wire))
    asked = wire.requests
    waiting = threading.Thread(target=lambda: found.append(shipper.finish(60)))
    found: list[object] = []
    waiting.start()
    assert wire.requests == asked
    ship_all(other)
    waiting.join(60)
    assert getattr(found[0], "is_complete", None) is True
    release(descriptor, folder.disk)
    assert shipper.join(60)


def test_whoever_waits_for_another_does_not_wait_for_what_is_recorded_meanwhile(
    folder: JournalFolder, wire: Wire
) -> None:
    descriptor = folder.disk.create(folder.ship_lock_path)
    assert hold_alone(descriptor, folder.ship_lock_path)
    save(folder, b"weights")
    shipper = shipper_of(folder, lambda: server_through(wire))
    other, recorded = Shipment(folder, PREFIX, server_through(wire)), 0

    def meanwhile(_: Step) -> None:
        nonlocal recorded
        if recorded == 2:
            # All that was there when the waiting began arrives, and more is recorded at once.
            ship_all(other)
        recorded += 1
        append(folder.experiment, ("s1", [point("train", step=20 + recorded)]))

    finished = shipper.finish(60, meanwhile)
    assert finished.is_complete
    assert recorded > 2
    release(descriptor, folder.disk)
    assert shipper.join(60)


def test_a_command_does_not_wait_for_ever_for_another_process_that_comes_no_further(
    folder: JournalFolder, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper_module, "ELSEWHERE_STALLED_S_MAX", 0.3)
    descriptor = folder.disk.create(folder.ship_lock_path)
    assert hold_alone(descriptor, folder.ship_lock_path)
    shipper = shipper_of(folder, lambda: server_through(wire))
    finished = shipper.finish(inf, attempts_max=4)
    assert not finished.is_complete
    assert "another process" in str(finished.why)
    release(descriptor, folder.disk)
    assert shipper.join(60)


def test_a_hint_that_was_half_written_by_a_killed_process_is_cleared_away(folder: JournalFolder) -> None:
    left = Path(folder.path) / ".shipped.k10wb0emz0000000j1.new"
    left.write_bytes(b'{"format":')
    cursor.save(folder, URL, cursor.Mark())
    assert not left.exists()
    assert cursor.marks(folder) == {URL: cursor.Mark()}


@pytest.mark.parametrize("files", [[1], ["a", None], "ab", {"a": 1}])
def test_a_hint_whose_files_are_no_list_of_names_is_none(folder: JournalFolder, files: object) -> None:
    cursor.save(folder, URL, cursor.Mark(None, frozenset(["a"])))
    path = Path(folder.shipped_path)
    document = orjson.loads(path.read_bytes())
    assert document["servers"][URL]["files"] == ["a"]
    document["servers"][URL]["files"] = files
    path.write_bytes(orjson.dumps(document))
    assert cursor.marks(folder) == {}


def test_ctrl_c_ends_the_waiting_at_once(folder: JournalFolder) -> None:
    def connect() -> Server:
        raise NetworkError("nobody there")

    shipper = shipper_of(folder, connect)
    # What a shell runs in the background ignores Ctrl-C, and so would this test there.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            shipper.finish(3600)
    finally:
        signal.signal(signal.SIGINT, before)
    assert valid_bytes(folder)


def test_a_thread_that_ends_lets_go_of_the_lock(folder: JournalFolder, inside: InProcess, wire: Wire) -> None:
    shipper_of(folder, lambda: server_through(wire)).finish(60)
    second = shipper_of(folder, lambda: server_through(wire))
    append(folder.experiment, ("s2", [point("train", step=1)]))
    assert second.finish(60).is_complete
    assert copy_of(inside, folder) == valid_bytes(folder)
