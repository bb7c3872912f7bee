"""Starts, kills and reaps everything; says a few times a minute how it stands.

One process without threads, so that a writer costs a fork and not the start of an interpreter.  It adopts orphans, so
that nobody is left behind unnoticed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from .faults import Server, SmallDisk
from .keeper import keep
from .ledger import Ledger, ledgers
from .life import ENDINGS, FRESH_ENDINGS, Life
from .processes import Processes
from .reader import Spot, watch
from .recording import Specification
from .world import ALONE, SHARED, SMALL, Journal, World

PROGRESS_S = 15.0
PLACES = (
    (Journal("one", SHARED), 5),
    (Journal("one", ALONE), 4),
    (Journal("two", SHARED), 2),
    (Journal("small", SMALL), 2),
)


class Conductor:
    """One soak; `run` ends when its time is over, and then everything but the server has ended."""

    def __init__(self, home: Path, seed: str, writers: int, say: Callable[[str], None]) -> None:
        for name in ("ledgers", "watching", "lives", "redacted", "scratch", "one", "two", "state"):
            (home / name).mkdir(parents=True, exist_ok=True)
        self.server = Server(home)
        self.world = World(home, self.server.url)
        self.random = Random(seed)
        self._seed = seed
        self._writers = writers
        self._say = say
        self._disk = SmallDisk(self.world)
        self.processes = Processes(self.world, self.server)
        self._lives = 0
        self._watchers = 0
        self._next: dict[str, float] = {}
        self._paused: dict[int, float] = {}
        self._server_back: float | None = None
        self._disk_back: float | None = None

    def run(self, seconds: float) -> None:
        try:
            self.server.start()
            self.server.wait()
            self._conduct(seconds)
        finally:
            self._end()

    def _conduct(self, seconds: float) -> None:
        began = time.monotonic()
        self._start_life(ending="kill", is_elder=True)
        moments = {"start": min(8.0, seconds / 4), "middle": seconds / 2, "end": seconds}
        while (passed := time.monotonic() - began) < seconds:
            self.processes.reap()
            self.processes.kill_those_due()
            self._start_what_is_due()
            self._disk.grow()
            for name in [name for name, moment in moments.items() if passed >= moment]:
                del moments[name]
                self.processes.measure(name)
            if self._is_due("progress", lambda: PROGRESS_S):
                self._say(self._line(passed))
            time.sleep(0.02)
        self.processes.measure("end")
        self._say(self._line(seconds))

    # -- what is started ---------------------------------------------------------------------------------------

    def _is_due(self, what: str, pause: Callable[[], float]) -> bool:
        now = time.monotonic()
        if what not in self._next:
            self._next[what] = now + pause() / 2
        if now < self._next[what]:
            return False
        self._next[what] = now + pause()
        return True

    def _start_what_is_due(self) -> None:
        random = self.random
        if self.processes.alive("life") < self._writers and self._is_due("life", lambda: random.expovariate(2.0)):
            self._start_life(ending=random.choice(ENDINGS))
        if self.processes.alive("fresh") < 1 and self._is_due("fresh", lambda: random.uniform(6, 14)):
            self._start_life(ending=random.choice((*FRESH_ENDINGS, "kill")), is_fresh=True)
        journals = self.world.journals()
        if not journals:
            return
        if self.processes.alive("spot") < 1 and self._is_due("spot", lambda: random.uniform(0.5, 3)):
            spot, journal = f"{self._seed}.spot.{self.processes.count('spot')}", random.choice(journals)
            dies = random.uniform(0.05, 2) if random.random() < 0.15 else None
            self.processes.fork("spot", lambda: Spot(self.world, journal, spot).look(), dies_in_s=dies)
        if self.processes.alive("keeper") < 1 and self._is_due("keeper", lambda: random.uniform(2, 6)):
            kept, journal = f"{self._seed}.keeper.{self.processes.count('keeper')}", random.choice(journals)
            dies = random.uniform(0.05, 1) if random.random() < 0.3 else None
            self.processes.fork("keeper", lambda: keep(self.world, journal, kept), dies_in_s=dies)
        self._start_watchers(journals)
        self._pause_writers()
        self._disturb_server()
        self._disturb_disk()

    def _start_life(self, ending: str, *, is_fresh: bool = False, is_elder: bool = False) -> None:
        random = self.random
        self._lives += 1
        journal = random.choices([each for each, _ in PLACES], [weight for _, weight in PLACES])[0]
        if is_elder:
            journal = PLACES[0][0]
        fork = None
        if not is_elder and not is_fresh and random.random() < 0.12:
            journal, fork = self._fork_of(journal)
        wanted = Specification(
            self._lives * 100,
            self._seed,
            journal,
            ending,
            sessions=1 if ending == "kill" else random.choice((1, 1, 1, 2, 3)),
            actions=random.randrange(3, 40),
            ships=journal.prefix == SHARED or random.random() < 0.8,
            fork=fork,
        )
        (self.world.home / "lives" / str(wanted.life)).write_text(f"{journal.machine}\n{journal.prefix}")
        dies = None
        if (ending == "kill" and not is_elder) or random.random() < 0.1:
            dies = random.choice((0.3, 3, 8)) * random.random() + (1.0 if is_fresh else 0)
        self.processes.count(f"life ends by {ending}" if not is_elder else "elder")
        kind = "elder" if is_elder else "fresh" if is_fresh else "life"
        code = {"os_exit": 7, "sigterm": -signal.SIGTERM, "uncaught": 1, "exit": 3}.get(ending, 0)
        if is_fresh:
            command = [sys.executable, "-m", "tests.soak.life", str(self.world.home), self.world.url, wanted.to_json()]
            self.processes.fork(
                kind, lambda: os.execv(sys.executable, command), life=wanted.life, dies_in_s=dies, code=code
            )
        else:
            self.processes.fork(
                kind, lambda: Life(self.world, wanted).live(), life=wanted.life, dies_in_s=dies, code=code
            )

    def _fork_of(self, journal: Journal) -> tuple[Journal, str | None]:
        """An experiment that begins as another one was at an event that had been read; or an older one of these."""
        if journal.machine != "one" or not self.world.folder(journal).segment_numbers():
            return journal, None
        old = sorted((self.world.home / "forks").glob("*"))
        if old and self.random.random() < 0.5:
            chosen = self.random.choice(old)
            return Journal("one", f"soak/forks/{chosen.name}"), chosen.read_text(encoding="utf-8")
        if len(old) >= 12:
            return journal, None
        seqs = [each.returned for each in self._watching() if each.life // 100 == {SHARED: 1, ALONE: 2}[journal.prefix]]
        if not seqs or not max(seqs):
            return journal, None
        fork = f"{journal.prefix}@{self.random.randint(1, max(seqs))}"
        (self.world.home / "forks").mkdir(exist_ok=True)
        name = f"f{len(old):03d}"
        (self.world.home / "forks" / name).write_text(fork, encoding="utf-8")
        return Journal("one", f"soak/forks/{name}"), fork

    def _start_watchers(self, journals: list[Journal]) -> None:
        wanted = (
            (1, Journal("one", SHARED), False),
            (2, Journal("one", ALONE), False),
            (3, Journal("one", ALONE), True),
        )
        for number, journal, on_server in wanted:
            kind = f"watcher {number}"
            if journal in journals and not self.processes.alive(kind) and self._is_due(kind, lambda: 2.0):
                generation = number * 100 + self.processes.count(kind) % 100
                dies = self.random.uniform(20, 90) if number == 2 else None
                self.processes.fork(
                    kind,
                    lambda journal=journal, generation=generation, on_server=on_server: watch(  # type: ignore[misc]
                        self.world, journal, generation, on_server=on_server
                    ),
                    dies_in_s=dies,
                )

    def _watching(self) -> list[Ledger]:
        return list(ledgers(self.world.home / "watching").values())

    # -- what fails --------------------------------------------------------------------------------------------

    def _pause_writers(self) -> None:
        """A writer that stands still, perhaps with the journal's lock in its hand, and then goes on."""
        now = time.monotonic()
        for pid in [pid for pid, until in self._paused.items() if now >= until]:
            del self._paused[pid]
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        if self._is_due("pause", lambda: self.random.uniform(1, 6)):
            writers = [pid for pid, each in self.processes.running.items() if each.kind in ("life", "elder")]
            if writers:
                pid = self.random.choice(writers)
                os.kill(pid, signal.SIGSTOP)
                self._paused[pid] = now + self.random.choice((0.05, 0.5, 3)) * self.random.random()
                self.processes.count("paused: life")

    def _disturb_server(self) -> None:
        now = time.monotonic()
        if self._server_back is not None:
            if now >= self._server_back:
                self._server_back = None
                self.server.go_on()
                self.server.start()
            return
        if self._is_due("server", lambda: self.random.uniform(6, 20)):
            fault = self.random.choice(("killed", "killed", "away", "stopped", "stopped"))
            self.processes.count(f"server {fault}")
            if fault == "stopped":
                self.server.stop_answering()
            else:
                self.server.kill()
            self._server_back = now + {"killed": 0.0, "away": 12.0, "stopped": 3.0}[fault] * self.random.random()

    def _disturb_disk(self) -> None:
        now = time.monotonic()
        if self._disk_back is not None:
            if now >= self._disk_back:
                self._disk_back = None
                self._disk.free()
        elif self._disk.is_mounted and self._is_due("disk", lambda: self.random.uniform(10, 30)):
            self.processes.count("disk full")
            self._disk.fill()
            self._disk_back = now + self.random.uniform(0.5, 6)

    # -- processes ---------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """The last ones are killed; the disk is free, the server up."""
        self._disk.free()
        self.processes.end()
        self.server.go_on()
        self.server.start()
        self.server.wait()

    def close(self) -> None:
        self.server.kill()
        self._disk.unmount()

    # -- what is said ------------------------------------------------------------------------------------------

    @property
    def counts(self) -> dict[str, int]:
        return self.processes.counts + Counter(each["what"] for each in self.world.done())

    def _line(self, passed: float) -> str:
        returned = sum(each.returned for each in ledgers(self.world.ledgers).values())
        return (
            f"{passed:7.0f} s  {returned:>9,} events returned  {self._lives:>5,} lives  "
            f"{len(self.processes.running):>3} processes  violations: {len(self.world.violations())}"
        )
