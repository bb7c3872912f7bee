"""What a writer does: everything that can be recorded, and what may go wrong meanwhile, each by its odds.

Each event carries the number of its life and its own; the ledger has both bounds of what may be there.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from random import Random
from zlib import crc32

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import ConflictError, LockError, StorageError

from .ledger import Ledger
from .world import COUNTER, Journal, World

DISK_ERRORS = (StorageError, LockError)
BIG_FILE_BYTES = 9 * 1024 * 1024


@dataclass(frozen=True)
class Specification:
    """All that a life depends on, but for moments."""

    life: int
    seed: str
    journal: Journal
    ending: str
    sessions: int
    actions: int
    ships: bool
    fork: str | None = None
    squeezes: bool = True

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Specification:
        members = json.loads(text)
        return cls(**{**members, "journal": Journal(**members["journal"])})


def check_of(life: int, number: int, step: int) -> int:
    """What a point says of itself, so that a value under another number is noticed."""
    return crc32(f"{life}:{number}:{step}".encode())


def content_of(life: int, number: int, size: int) -> bytes:
    return Random(f"{life}:{number}").randbytes(size)


class Recording:
    """One writer; a forked child of it is another, with a ledger of its own."""

    def __init__(self, world: World, specification: Specification, life: int | None = None) -> None:
        self.world = world
        self.specification = specification
        self.life = specification.life if life is None else life
        self.random = Random(f"{specification.seed}.{self.life}")
        self.ledger = Ledger(world.ledgers, self.life)
        self.ledger.pid = os.getpid()
        self.number = self.ledger.returned
        self.children = 0
        if specification.journal.machine == "small" and world.is_full:
            self.ledger.weak_from = 1
        self.step = self.random.choice((0, 0, self.random.randrange(400)))
        self.experiment: Experiment

    # -- what is recorded --------------------------------------------------------------------------------------

    def _act(self) -> None:
        chosen = self.random.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        getattr(self, f"_{chosen}")()
        if chosen not in ("points", "line", "entry", "settings"):
            self.world.count(chosen)
        time.sleep(self.random.expovariate(1 / 0.05))

    def _called(self, count: int = 1) -> None:
        """So many calls have returned."""
        self.number += count
        self.ledger.returned = self.number

    def _next(self, count: int = 1) -> int:
        """The number of the next event; a block of `count` counts as one call."""
        self.ledger.intended = self.number + count
        return self.number + 1

    def _points(self) -> None:
        metric = self.experiment.metrics(self.random.choice(("train", "train", "eval")))
        for _ in range(self.random.choice((1, 5, 40, 200))):
            i = self._next()
            metric.log(
                step=self.step, life=self.life, i=i, check=check_of(self.life, i, self.step), loss=1 / (1 + self.step)
            )
            self._called()
            self.step += 1

    def _line(self) -> None:
        i = self._next()
        self.experiment.log(f"{self.life}:{i}:{'x' * self.random.choice((0, 10, 3000))}")
        self._called()

    def _secret(self) -> None:
        secret = f"sk-{self.random.randbytes(16).hex()}"
        i = self._next()
        self.experiment.log(f"{self.life}:{i}:", metadata={"secret": secret})
        self._called()
        self.ledger.note(secret=secret, i=i)

    def _entry(self) -> None:
        i = self._next()
        self.experiment.tracks("pose").append(life=self.life, i=i, _ts=self.life * 1000 + i / 1000)
        self._called()

    def _settings(self) -> None:
        i = self._next()
        self.experiment.params.set(mark=f"{self.life}:{i}", **{f"key{self.random.randrange(9)}": self.random.random()})
        self._called()

    def _file(self, size: int | None = None) -> None:
        i = self._next()
        size = self.random.randrange(1, 20_000) if size is None else size
        content = content_of(self.life, i, size)
        try:
            name = f"files/{self.life % 7}.bin"
            self.experiment.files.save_blob(content, to=name, description=f"{self.life}:{i}:{size}")
        except DISK_ERRORS:
            self._must_be_small_disk()
        else:
            self._called()

    def _big_file(self) -> None:
        self._file(BIG_FILE_BYTES if self.specification.journal.machine != "small" else 50_000)

    def _rewind(self) -> None:
        self.step = self.random.randrange(self.step + 1)
        self.ledger.rewinding += 1
        self.experiment.rewind(step=self.step)
        self.ledger.rewound += 1

    def _flush(self) -> None:
        try:
            self.experiment.flush()
        except DISK_ERRORS:
            self._must_be_small_disk()
        else:
            self.ledger.flushed = self.number

    def _look(self) -> None:
        """What this process has recorded itself it must see."""
        i = self._next()
        self.experiment.params.set(mark=f"{self.life}:{i}", **{f"own{self.life % 50}": self.life})
        self._called()
        if self.specification.journal.machine != "small":
            seen = self.experiment.params.get(f"own{self.life % 50}")
            if seen is None:
                self.world.violation(f"life {self.life}", "what this process has set is not there")

    def _correction(self) -> None:
        journal, root = self.specification.journal, self.world.root(self.specification.journal.machine)
        try:
            seq = self.experiment.seq
            recent = ml_dash.events(journal.prefix, dash_root=root, after=max(0, seq - 300))
            points = [each.seq for each in recent if each.type == "metric.logged" and "loss" in each.data["fields"]]
            if points:
                k = self.ledger.correcting + 1
                self.ledger.correcting = k
                chosen = self.random.choice(points)
                ml_dash.correct(journal.prefix, chosen, dash_root=root, loss=-float(k), reason=f"{self.life}:{k}")
                self.ledger.corrected = k
        except DISK_ERRORS:
            self.ledger.correcting = self.ledger.corrected
            self._must_be_small_disk()

    def _expect(self) -> None:
        try:
            seq = self.experiment.seq
            count = self.experiment.params.get(COUNTER, 0)
            i = self._next(2)
            with self.experiment.expect(seq):
                self.experiment.params.set(**{COUNTER: count + 1, "mark": f"{self.life}:{i}"})
                self.experiment.log(f"{self.life}:{i + 1}:counted {count + 1}")
        except ConflictError:
            self.world.count("conflict")
        except DISK_ERRORS:
            self._must_be_small_disk()
        else:
            self._called(2)

    def _must_be_small_disk(self) -> None:
        if self.specification.journal.machine != "small":
            raise
        self.world.count("refused")

    def _squeeze(self) -> None:
        """A disk that takes not one byte more, for this process; then it does again."""
        if not self.specification.squeezes or self.specification.journal.machine == "small":
            return
        self.ledger.squeezed_from = self.number + 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, -1))
        try:
            for _ in range(self.random.choice((1, 2, 6))):
                self._points()
                time.sleep(self.random.random() * 0.1)
            with suppress(*DISK_ERRORS):
                self.experiment.flush()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        deadline = time.monotonic() + 60
        while True:
            try:
                self.experiment.flush()
                break
            except DISK_ERRORS:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.ledger.flushed = self.number
        self.ledger.squeezed_from = 0

    def _workers(self) -> None:
        """As a data loader does: children that record in the experiment that their parent has open."""
        born = {}
        for _ in range(self.random.choice((1, 2, 3))):
            self.children += 1
            life = self.life + self.children
            if self.children >= 100:
                break
            pid = os.fork()
            if pid == 0:
                self._work(life)
            born[pid] = life
            self.world.count("worker")
        if self.random.random() < 0.5:
            self._points()
        for pid, life in born.items():
            if self.random.random() < 0.3:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self.world.count("worker killed")
            _, death = os.waitpid(pid, 0)
            child = Ledger(self.world.ledgers, life)
            child.death, child.is_over = death, 1
            child.close()

    def _work(self, life: int) -> None:
        code = 1
        with self.world.guarding(f"worker {life}"):
            child = Recording(self.world, self.specification, life)
            child.experiment, child.step = self.experiment, self.step
            child.ledger.began_seq = self.ledger.began_seq
            for _ in range(child.random.randrange(1, 6)):
                getattr(child, f"_{child.random.choice(('points', 'line', 'entry', 'settings', 'file', 'flush'))}")()
            if child.random.random() < 0.3:
                self.experiment.run.complete()
            code = 0
        os._exit(code)


ACTIONS = {
    "points": 60,
    "line": 15,
    "entry": 10,
    "settings": 8,
    "look": 2,
    "file": 3,
    "big_file": 0.15,
    "secret": 2,
    "flush": 6,
    "rewind": 1,
    # Whoever has read the state reads everything anew after each of these.
    "correction": 0.15,
    "expect": 2,
    "squeeze": 1,
    "workers": 1.5,
}
"""What a writer does, and how often."""


def checksum(data: bytes) -> str:
    return sha256(data).hexdigest()
