"""Runs the driver in a peer's own Python and puts together what it says: recorded, read back, killed, four at once.

Every measurement starts from a fresh copy of what `prepare` has made, and runs in a process of its own.  A peer that
fails one is measured on; what failed is named in the table.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Timer
from time import monotonic, sleep
from typing import Any

from .roster import Peer

DRIVER = Path(__file__).parent / "drivers/driver.py"
WRITERS = 4
FLAT_OUT_S = 3.0
MEASURE_S_MAX = 120.0
SETTLED_S, SETTLING_S_MAX = 1.0, 10.0
Figures = dict[str, float]


class Failed(Exception):
    """A peer did not do what was asked of it."""


class Bench:
    """One peer on its own Python, with a folder to work in."""

    def __init__(self, peer: Peer, python: Path, scratch: Path) -> None:
        self.peer, self.python, self.scratch = peer, python, scratch / peer.key
        self.scratch.mkdir(parents=True)
        home = self.scratch / "home"
        home.mkdir()
        # A peer finds no settings of whoever runs this, asks nobody for versions and tells nobody of its use.
        self.environment = {
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "TMPDIR": str(home),
            "WANDB_MODE": "offline",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ALLOW_FILE_STORE": "true",
            "ML_DASH_NO_VERSION_CHECK": "1",
            "HF_HUB_OFFLINE": "1",
        }
        self.version = ""
        with self._running("prepare", self.scratch / "prepared") as driver:
            _answer(driver)
        with self._fresh("empty") as folder:
            self._record(folder, [0])
            self._empty_bytes = _bytes_of(folder)

    def recorded(self) -> Figures:
        """One writer: the call, points/s until all is durable, bytes a point; and then all of it read back."""
        points = self.peer.points
        with self._fresh("recorded") as folder:
            (figures,) = self._record(folder, [points])
            seconds = (figures["end_ns"] - figures["start_ns"]) / 1e9
            grown = _bytes_of(folder) - self._empty_bytes
            found = self._read(folder, points)
        return {
            "p50_us": figures["p50_us"],
            "p999_us": figures["p999_us"],
            "points_per_s": points / seconds,
            "bytes_per_point": grown / points,
            "read_per_s": found["read"] / found["seconds"],
            "closed_lost": points - found["kept"],
        }

    def killed(self) -> Figures:
        """SIGKILL after seconds of recording flat out: how many calls had returned, and how many of those are gone."""
        with self._fresh("killed") as folder:
            counter = Path(f"{folder}.returned")
            counter.write_bytes(bytes(8))
            with self._running("flat_out", folder) as driver:
                _go([driver])
                sleep(FLAT_OUT_S)
                driver.kill()
                driver.wait()
                _settle(folder)
            (returned,) = struct.unpack("q", counter.read_bytes())
            return {"returned": returned, "killed_lost": returned - self._read(folder, returned)["kept"]}

    def four(self) -> Figures:
        """Four processes, one experiment, from the first call of any until the last has closed."""
        each = self.peer.points_of_four // WRITERS
        with self._fresh("four") as folder:
            figures = self._record(folder, [each] * WRITERS)
            seconds = (max(one["end_ns"] for one in figures) - min(one["start_ns"] for one in figures)) / 1e9
            kept = self._read(folder, each * WRITERS)["kept"]
        return {"four_per_s": kept / seconds, "four_lost": each * WRITERS - kept, "four_points": each * WRITERS}

    # --- processes --------------------------------------------------------------------------------------------

    def _record(self, folder: Path, sizes: Sequence[int]) -> list[Any]:
        """As many writers as sizes, all ready before any begins."""
        firsts = [sum(sizes[:number]) for number in range(len(sizes))]
        with ExitStack() as ending:
            drivers = [
                ending.enter_context(self._running("record", folder, size, first))
                for size, first in zip(sizes, firsts, strict=True)
            ]
            _go(drivers)
            found = [_answer(driver) for driver in drivers]
        self.version = found[0]["version"]
        return found

    def _read(self, folder: Path, size: int) -> Any:
        with self._running("read", folder, size) as driver:
            return _answer(driver)

    @contextmanager
    def _fresh(self, name: str) -> Iterator[Path]:
        folder = self.scratch / name
        shutil.copytree(self.scratch / "prepared", folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _running(self, action: str, folder: Path, size: int = 0, first: int = 0) -> Iterator[subprocess.Popen[str]]:
        """A driver; it and whatever it has started are gone behind the block."""
        command = [str(self.python), str(DRIVER), self.peer.driver, self.peer.mode, action, str(folder)]
        log = self.scratch / "said"
        with log.open("a", encoding="utf-8") as said:
            driver = subprocess.Popen(
                [*command, str(size), str(first)],
                cwd=self.scratch,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,
            )
        late = Timer(MEASURE_S_MAX, driver.kill)
        late.start()
        try:
            yield driver
        except EOFError:
            lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing said")
            raise Failed(last if late.is_alive() else f"not done after {MEASURE_S_MAX:.0f} s") from None
        finally:
            late.cancel()
            _end(driver)


def _go(drivers: Sequence[subprocess.Popen[str]]) -> None:
    for driver in drivers:
        assert driver.stdout is not None
        if driver.stdout.readline() != "ready\n":
            raise EOFError
    for driver in drivers:
        assert driver.stdin is not None
        driver.stdin.write("go\n")
        driver.stdin.flush()


def _answer(driver: subprocess.Popen[str]) -> Any:
    assert driver.stdout is not None
    line = driver.stdout.readline()
    if not line:
        raise EOFError
    found = json.loads(line)
    driver.wait()
    return found


def _end(driver: subprocess.Popen[str]) -> None:
    """Its session is its own, so that this reaches what it has started as well, and nobody else."""
    with suppress(ProcessLookupError):
        os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    for stream in (driver.stdin, driver.stdout):
        if stream is not None:
            stream.close()


def _settle(folder: Path) -> None:
    """Waits for whatever outlives a killed process: what a helper of it still writes counts as kept."""
    end_s = monotonic() + SETTLING_S_MAX
    before = -1
    while (now := _bytes_of(folder)) != before and monotonic() < end_s:
        before = now
        sleep(SETTLED_S)


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
