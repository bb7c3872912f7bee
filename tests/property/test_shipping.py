"""A journal that grows, tears and is shipped by clients that die, through a hostile network, to a server that dies too.

Promise P6: at every moment the server's copy is a prefix of the journal, byte for byte; at the end it is all of it.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ml_dash.errors import NetworkError
from ml_dash.journal.contents import ContentStore
from ml_dash.journal.folder import JournalFolder
from ml_dash.remote import cursor
from ml_dash.remote.cursor import Mark
from ml_dash.remote.protocol import Head
from ml_dash.remote.shipment import Shipment

from ..examples import examples
from ..histories import event, point
from ..journals import append
from ..remote.hostile import FAULTS, URL, InProcess, Wire, server_through, valid_bytes

PREFIX = "alice/ml/a"
SEGMENT_BYTES_MAX = 1500
STEPS_MAX = 1000


class Shipping(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._temporary = TemporaryDirectory()
        root = Path(self._temporary.name)
        self.server = InProcess(root)
        self.server.start()
        self.wire = Wire(self.server)
        self.folder = JournalFolder(root / PREFIX, prefix=PREFIX)
        self.shipment: Shipment | None = None
        self.batch_bytes_max = 1
        self.logged = 0
        self.contents: dict[str, bytes] = {}

    @initialize(batch_bytes_max=st.sampled_from([1, 700, 3000]))
    def begin(self, batch_bytes_max: int) -> None:
        self.batch_bytes_max = batch_bytes_max
        self.record(1, 1)

    @rule(commits=st.integers(1, 3), points=st.integers(1, 20))
    def record(self, commits: int, points: int) -> None:
        for _ in range(commits):
            logged = [point("train", step=self.logged + each) for each in range(points)]
            self.logged += points
            append(self.folder.experiment, ("s1", logged), segment_bytes_max=SEGMENT_BYTES_MAX)

    @rule(size=st.integers(0, 2000))
    def save(self, size: int) -> None:
        data = bytes([len(self.contents) % 256]) * size
        content = ContentStore(self.folder).write(data)
        self.contents[content.checksum] = data
        words = {"path": "/", "filename": "a.bin", "contentType": "application/octet-stream"}
        said = event("file.saved", id=f"f{len(self.contents)}", checksum=content.checksum, sizeBytes=size, **words)
        append(self.folder.experiment, ("s1", [said]))

    @rule(torn=st.sampled_from([b'{"first":', b"\0\0\0", b'{"first":9,"count":1}\n']))
    def tear(self, torn: bytes) -> None:
        """A writer died amidst a commit."""
        newest = self.folder.segment_numbers()[-1]
        with Path(self.folder.segment_path(newest)).open("ab") as file:
            file.write(torn)

    @rule(faults=st.lists(st.sampled_from(["", *FAULTS]), max_size=8), steps=st.integers(1, 8))
    def ship(self, faults: list[str], steps: int) -> None:
        self.wire.faults.extend(faults)
        for _ in range(steps):
            self.step()
        self.wire.faults.clear()

    def step(self) -> bool:
        if self.shipment is None:
            server = server_through(self.wire)
            self.shipment = Shipment(self.folder, PREFIX, server, batch_bytes_max=self.batch_bytes_max)
        try:
            return self.shipment.step().is_idle
        except NetworkError:
            return False

    @rule()
    def restart_client(self) -> None:
        """As after a kill: nothing of it remains but what is on disk."""
        self.shipment = None

    @rule()
    def restart_server(self) -> None:
        self.server.restart()

    @precondition(lambda self: self.wire.requests)
    @rule(number=st.integers(0, 1000))
    def repeat(self, number: int) -> None:
        self.wire.repeat(number)

    @rule()
    def release(self) -> None:
        self.wire.release()

    @rule(kind=st.sampled_from(["lost", "damaged", "ahead", "behind", "foreign"]))
    def spoil_the_hint(self, kind: str) -> None:
        path = Path(self.folder.shipped_path)
        if kind == "lost":
            path.unlink(missing_ok=True)
            return
        if kind == "damaged":
            path.write_bytes(b"{")
            return
        head = Head("foreign" if kind == "foreign" else "k1", 9 if kind == "ahead" else 1, 10, 10**6, "0" * 64, 0)
        cursor.save(self.folder, URL, Mark(head, frozenset()))

    @invariant()
    def the_copy_is_a_prefix(self) -> None:
        if not self.logged:
            return
        local, is_behind = valid_bytes(self.folder), False
        for number, data in local.items():
            stored = self.server.segment(PREFIX, self.journal, number)
            assert data.startswith(stored), number
            assert not (is_behind and stored), "a segment goes on in the next only when all of it is there"
            is_behind = is_behind or stored != data

    @property
    def journal(self) -> str:
        from ml_dash.journal.reader import JournalReader

        found = JournalReader(self.folder).header(1)
        assert found is not None
        return found[1].journal

    def teardown(self) -> None:
        try:
            if self.logged:
                self.finish()
        finally:
            self.server.stop()
            self._temporary.cleanup()

    def finish(self) -> None:
        self.wire.release()
        for _ in range(STEPS_MAX):
            if self.step():
                break
        else:
            raise AssertionError("it never ends")
        for number, data in valid_bytes(self.folder).items():
            assert self.server.segment(PREFIX, self.journal, number) == data, number
        for checksum, data in self.contents.items():
            assert self.server.blob("alice", checksum) == data


TestShipping = Shipping.TestCase
TestShipping.settings = examples(15, stateful_step_count=20)
