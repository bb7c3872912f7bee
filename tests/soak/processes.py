"""The processes of a soak: forked, killed when they are due, reaped, measured; orphans among them are adopted."""

from __future__ import annotations

import atexit
import faulthandler
import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .faults import Server
from .ledger import Ledger, ledgers
from .world import World, adopt_orphans, die_with_parent

LIFE_S_MAX = 240.0
"""Who has not ended by then hangs."""
END_S_MAX = 60.0


@dataclass
class Process:
    """One that was started; `dies` is when it will be killed, if it has not ended by then."""

    kind: str
    life: int | None = None
    began: float = field(default_factory=time.monotonic)
    dies: float | None = None
    code: int = 0


@dataclass(frozen=True)
class Measured:
    """What a process that lives long takes."""

    at: str
    who: str
    pid: int
    rss_mib: float
    descriptors: int


class Processes:
    """All but the server's, which ends by itself never; `counts` says how often what was done to them."""

    def __init__(self, world: World, server: Server) -> None:
        self._world = world
        self._server = server
        self.running: dict[int, Process] = {}
        self.counts: Counter[str] = Counter()
        self.measured: list[Measured] = []
        adopt_orphans()

    def alive(self, *kinds: str) -> int:
        return sum(each.kind in kinds for each in self.running.values())

    def count(self, what: str) -> int:
        self.counts[what] += 1
        return self.counts[what]

    def fork(
        self,
        kind: str,
        action: Callable[[], object],
        life: int | None = None,
        dies_in_s: float | None = None,
        code: int = 0,
    ) -> None:
        pid = os.fork()
        if pid == 0:
            self._be(kind if life is None else f"life {life}", action)
        dies = None if dies_in_s is None else time.monotonic() + dies_in_s
        self.running[pid] = Process(kind, life, dies=dies, code=code)

    def _be(self, who: str, action: Callable[[], object]) -> None:
        """What a child does; it never returns."""
        code = 70
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            die_with_parent()
            log = os.open(self._world.home / "stderr.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            faulthandler.register(signal.SIGUSR2, file=2, all_threads=True)
            action()
            atexit._run_exitfuncs()
            code = 0
        except BaseException:
            self._world.violation(who, traceback.format_exc())
        finally:
            os._exit(code)

    def kill_those_due(self) -> None:
        now = time.monotonic()
        for pid, each in self.running.items():
            if each.dies is not None and now >= each.dies:
                each.dies = None
                os.kill(pid, signal.SIGKILL)
                self.count(f"killed: {each.kind.split()[0]}")
            elif each.kind in ("life", "fresh", "spot", "keeper") and now - each.began > LIFE_S_MAX:
                each.began = now
                self._world.violation(f"{each.kind} {each.life}", f"process {pid} hangs; stderr.log has its stack")
                os.kill(pid, signal.SIGUSR2)
                each.dies = now + 2

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        if self._server.process is not None and pid == self._server.process.pid:
            self._world.violation("server", f"it ended by itself: {status}, {self._world.home / 'server.log'}")
            self._server.process.returncode = os.waitstatus_to_exitcode(status)
            return
        found = self.running.pop(pid, None)
        life = found.life if found is not None else None
        if found is None:
            orphans = [each for each in ledgers(self._world.ledgers).values() if each.pid == pid and not each.is_over]
            life = orphans[0].life if orphans else None
            self.count("orphan")
        code = os.waitstatus_to_exitcode(status)
        # 70 has said what was wrong; 0 is also that of who was refused by a full disk.
        if found is not None and found.life is not None and code not in (found.code, -signal.SIGKILL, 70, 0):
            self._world.violation(f"life {life}", f"ended with {code}, expected {found.code}")
        if life is not None:
            ledger = Ledger(self._world.ledgers, life)
            ledger.death, ledger.is_over = status, 1
            ledger.close()

    def end(self) -> None:
        """The last ones are killed; whoever is left then is a violation."""
        for pid in self.running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + END_S_MAX
        while time.monotonic() < deadline:
            self.reap()
            if not self.running and not self._others():
                break
            time.sleep(0.02)
        else:
            self._world.violation("conductor", f"processes are left behind: {self.running} {self._others()}")
        for each in ledgers(self._world.ledgers).values():
            each.is_over = 1
            each.close()

    def _others(self) -> list[int]:
        """Children that are none of those that were started: orphans that were adopted."""
        own = Path(f"/proc/self/task/{os.getpid()}/children")
        if not own.exists():
            return []
        found = {int(pid) for pid in own.read_text().split()}
        return sorted(found - {self._server.pid} - self.running.keys())

    def measure(self, at: str) -> None:
        wanted = {os.getpid(): "conductor", self._server.pid: "server"}
        wanted |= {pid: each.kind for pid, each in self.running.items() if each.kind.startswith(("elder", "watch"))}
        for pid, who in wanted.items():
            with suppress(OSError, StopIteration):
                status = Path(f"/proc/{pid}/status").read_text()
                rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
                self.measured.append(Measured(at, who, pid, rss / 1024, len(os.listdir(f"/proc/{pid}/fd"))))
