"""Rounds of clients that are killed, through a proxy, to servers that are killed too; and what must hold after each.

`Chaos` has a store, two servers in front of it that somebody kills, and the proxy.  A `Lane` is one experiment in it.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from random import Random
from threading import Event

import ml_dash
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.reader import JournalReader
from ml_dash.remote.state_folder import folder_of_server

from ..server.conftest import Place
from ..server.object_stores import objects_of
from .hostile import valid_bytes
from .nursery import Nursery
from .proxy import Proxy

DEADLINE_S = 120.0
POINTS_MAX = 120
LIFE_S_MAX = 0.5
SERVER_LIFE_S_MAX = 1.0
SECRET = "hunter2-{}-{}-hunter2"
_HEADER = re.compile(rb'\{"format":"[^"]*","version":\d+,"journal":"\w+","segment":(\d+),')
_HASH_BYTES = len(b',"hash":""}') + 64
REDACTED = b"[redacted]"


def stored(objects: dict[str, bytes]) -> dict[str, dict[int, bytes]]:
    """What the objects of an experiment hold, in the order of their names: by journal and segment."""
    found: dict[str, dict[int, bytes]] = {}
    ends: dict[str, int] = {}
    for path, data in objects.items():
        folder, _, name = path.rpartition("/")
        if not name.endswith(".jsonl"):
            continue
        journal = folder.rpartition("/")[2]
        segments, segment = found.setdefault(journal, {}), ends.get(journal, 0)
        assert name == f"{segment:08d}-{len(segments.get(segment, b'')):012d}.jsonl", "nothing is doubled"
        assert data.endswith(b"\n"), "whole lines"
        begun = _HEADER.match(data)
        ends[journal] = segment = int(begun[1]) if begun else segment
        assert not (begun and segment in segments), "a segment begins once"
        segments[segment] = segments.get(segment, b"") + data
    return found


def is_prefix(data: bytes, local: bytes) -> bool:
    """Byte for byte, but for lines that have been redacted on one side and not yet on the other."""
    if local.startswith(data):
        return True
    if len(data) > len(local):
        return False
    pairs = zip(data.splitlines(keepends=True), local[: len(data)].splitlines(keepends=True), strict=True)
    return all(
        there == here
        or (len(there) == len(here) and there[-_HASH_BYTES:] == here[-_HASH_BYTES:] and REDACTED in there + here)
        for there, here in pairs
    )


class Chaos:
    """Everything below `folder`.  `kills` counts by what was killed."""

    def __init__(self, folder: Path, place: Place, seed: int, rate: float) -> None:
        self.folder = folder
        self._place = place
        self.random = Random(seed)
        self.kills: Counter[str] = Counter()
        environment = {"XDG_STATE_HOME": str(folder / "state"), **place.environment}
        self.nursery = Nursery(folder / "log", environment)
        self.proxy = Proxy(seed, rate)
        self.proxy.servers = [0, 0]
        self._servers = [self._serve(number) for number in (0, 1)]

    def _serve(self, number: int) -> int:
        said = self.folder / f"said-{number}"
        said.unlink(missing_ok=True)
        cache = str(self.folder / f"cache-{number}")
        pid = self.nursery.fork("serve", store=self._place.target, cache=cache, said=str(said))
        deadline = time.monotonic() + DEADLINE_S
        while not said.exists():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.01)
        self.proxy.servers[number] = int(said.read_text().rpartition(":")[2])
        return pid

    def objects(self, folder: str = "") -> dict[str, bytes]:
        return objects_of(self._place.target, self._place.environment, folder)

    def kill(self, pid: int) -> int:
        os.kill(pid, signal.SIGKILL)
        return self.nursery.wait(pid)

    def kill_servers(self, is_over: Event) -> None:
        """One after the other, until it is over; both are there then."""
        while not is_over.wait(self.random.random() * SERVER_LIFE_S_MAX):
            number = self.random.randrange(2)
            self.kill(self._servers[number])
            self.kills["server"] += 1
            self._servers[number] = self._serve(number)

    def command(self, *arguments: str) -> int:
        """The exit code of `ml-dash`."""
        return self.nursery.wait(self.nursery.fork("command", arguments=list(arguments)))

    def close(self) -> None:
        for pid in self._servers:
            self.kill(pid)
        self.nursery.close()
        self.proxy.close()


class Lane:
    """One experiment, recorded below a dash root or, where `has_root` is not so, in the user's state folder."""

    def __init__(self, chaos: Chaos, number: int, *, has_root: bool) -> None:
        self.chaos = chaos
        self.random = Random(chaos.random.random())
        self.prefix = f"alice/chaos/lane{number}"
        self.root = str(chaos.folder / f"dash-{number}") if has_root else None
        state = chaos.folder / "state" / "ml_dash" / "journals"
        root = Path(self.root) if self.root is not None else folder_of_server(state, chaos.proxy.url)
        self.folder = JournalFolder(root / self.prefix, prefix=self.prefix)
        self.where = ["--dash-root", self.root] if self.root is not None else []
        self._number = number
        self._said = chaos.folder / f"said-lane-{number}"
        self._redacted = chaos.folder / f"redacted-lane-{number}"
        self.secrets: list[str] = []
        self.rounds = 0

    def round(self) -> None:
        """A process that does something to the experiment and is killed amidst, mostly."""
        roles = ["record"] * 6 + ["ship"] * 2 + ["redact"] * 2 * (self.root is not None)
        role = self.random.choice(roles) if self.rounds else "record"
        pid = self._begin(role)
        self.rounds += 1
        if self.random.random() < 0.85:
            if role == "record" and self.random.random() < 0.8:
                self._until_something_returned()
            time.sleep(self.random.random() * LIFE_S_MAX)
            if self.chaos.kill(pid) == -signal.SIGKILL:
                self.chaos.kills[role] += 1
        else:
            self.chaos.nursery.wait(pid)
        self.check()

    def _until_something_returned(self) -> None:
        before, deadline = self._bytes_said(), time.monotonic() + 8 * LIFE_S_MAX
        while self._bytes_said() == before and time.monotonic() < deadline:
            time.sleep(0.01)

    def _bytes_said(self) -> int:
        return self._said.stat().st_size if self._said.exists() else 0

    def _begin(self, role: str) -> int:
        fork, url = self.chaos.nursery.fork, self.chaos.proxy.url
        if role == "ship":
            return fork("command", arguments=["ship", self.prefix, *self.where, "--dash-url", url])
        if role == "redact":
            secrets = self.random.sample(self.secrets, min(3, len(self.secrets)))
            return fork("redact", prefix=self.prefix, root=self.root, secrets=secrets, said=str(self._redacted))
        secret = SECRET.format(self._number, self.rounds)
        self.secrets.append(secret)
        return fork(
            "record",
            prefix=self.prefix,
            url=url,
            root=self.root,
            number=self.rounds * 1000,
            said=str(self._said),
            secret=secret,
            points=self.random.randrange(1, POINTS_MAX),
        )

    def _objects(self) -> dict[str, bytes]:
        return self.chaos.objects(f"journals/{self.prefix}/_journal")

    def check(self) -> None:
        """The copy first: the journal only grows meanwhile."""
        found = stored(self._objects())
        if not self.folder.segment_numbers():
            return
        local = valid_bytes(self.folder)
        header = JournalReader(self.folder).header(min(local)) if local else None
        journal = header[1].journal if header is not None else ""
        assert self.root is None or not found.keys() - {journal}, "one journal"
        copy = found.get(journal, {})
        assert copy.keys() <= local.keys()
        for segment, data in copy.items():
            assert is_prefix(data, local[segment]), f"{self.prefix}, segment {segment}: a prefix, always"
            is_whole = segment == max(copy) or len(data) == len(local[segment])
            assert is_whole, f"{self.prefix}: a segment goes on in the next only when all of it is there"

    # -- the end -------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Nobody is killed any more: what is left arrives, and everything is there once."""
        chaos, url = self.chaos, self.chaos.proxy.url
        assert chaos.nursery.wait(self._begin("record")) == 0
        if self.root is not None:
            arguments = {"prefix": self.prefix, "root": self.root, "secrets": self.secrets[::2]}
            assert chaos.nursery.wait(chaos.nursery.fork("redact", said=str(self._redacted), **arguments)) == 0
        assert chaos.command("ship", self.prefix, *self.where, "--dash-url", url) in ((0,) if self.root else (0, 2))
        run = ml_dash.load(self.prefix, dash_url=url)
        logged = run.metrics["train"].columns(attempts="all")["number"]
        returned = [int(line) for line in self._said.read_text().split()]
        assert max(Counter(logged).values(), default=1) == 1, "none twice"
        assert returned, "something had"
        assert set(returned) <= set(logged), "none lost that had returned"
        if self.root is None:
            assert not self.folder.experiment.exists(), "it only waited there"
        else:
            self.check()
            (copy,) = stored(self._objects()).values()
            local = valid_bytes(self.folder)
            assert {segment: len(data) for segment, data in copy.items()} == {n: len(data) for n, data in local.items()}
            for segment, data in copy.items():
                assert is_prefix(data, local[segment])
                # Here a redaction may have been killed when it was declared and not yet carried out.
                for there, here in zip(data.splitlines(), local[segment].splitlines(), strict=True):
                    assert there == here or REDACTED in there
            assert run.state == ml_dash.load(self.prefix, dash_root=self.root).state
            assert chaos.command("verify", self.prefix, *self.where) == 0
        assert chaos.command("verify", self.prefix, "--dash-url", url) == 0
        contents = chaos.objects("blobs/alice")
        for file in run.files:
            assert file.checksum is not None
            data = contents[f"blobs/alice/{file.checksum[:2]}/{file.checksum}"]
            assert sha256(data).hexdigest() == file.checksum

    def redacted(self) -> set[str]:
        """What had been redacted for certain."""
        return set(self._redacted.read_text().split()) if self._redacted.exists() else set()


@contextmanager
def chaos_below(folder: Path, place: Place, seed: int, rate: float) -> Iterator[Chaos]:
    chaos = Chaos(folder, place, seed, rate)
    try:
        yield chaos
    finally:
        chaos.close()


def run_rounds(chaos: Chaos, lanes: list[Lane], rounds: int, *, kills_servers: bool) -> None:
    """`rounds` in all, in all lanes at once."""
    is_over = Event()

    def run(lane: Lane) -> None:
        for _ in range(rounds // len(lanes)):
            lane.round()

    with ThreadPoolExecutor(len(lanes) + 1) as pool:
        killing = pool.submit(chaos.kill_servers, is_over) if kills_servers else None
        try:
            for running in [pool.submit(run, lane) for lane in lanes]:
                running.result()
        finally:
            is_over.set()
        if killing is not None:
            killing.result()
    chaos.proxy.settle()
    for lane in lanes:
        lane.finish()
    everything = b"".join(chaos.objects().values())
    for lane in lanes:
        for secret in lane.redacted():
            assert secret.encode() not in everything, f"{secret} had been redacted"
