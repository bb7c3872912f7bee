"""Starts writers and kills them at random moments: `python -m tests.writer.killing ROOT SEED WRITERS KILLS`.

Each writer is a forked child that opens the experiment, records, sometimes flushes, sometimes closes and opens it
again, for ever, until SIGKILL.  After each recording call that returned it counts one up in memory that it shares
with this process: that is the acknowledgement, and it does not go through anything of ours.  The last line printed is
the number of acknowledged events of each writer.

One process forks them all, so that a kill costs a few milliseconds, not the start of an interpreter.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
import sys
import time
from pathlib import Path
from random import Random

import filelock  # noqa: F401  loaded here once, and not by each child in the few milliseconds that it has

from ml_dash.facts.events import METRIC_LOGGED
from ml_dash.journal import spool_files
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.writer import Writer

LIFE_S_MAX = 0.05
DEADLINE_S = 100.0


def write(folder: JournalFolder, name: str, acknowledged: memoryview, random: Random) -> None:
    """A writer's life; it ends from outside."""
    i = 0
    while True:
        writer = Writer(folder, commit_interval_s=random.choice((0.001, 0.01, 0.1)))
        stream = writer.stream(METRIC_LOGGED, name)
        for _ in range(random.choice((3, 200, 3000))):
            writer.record_stream(stream, {"i": i, "text": "x" * random.choice((1, 1, 1, 700))})
            i += 1
            acknowledged[:] = struct.pack("<q", i)
            if random.random() < 0.003:
                writer.flush()
        if random.random() < 0.2:
            pid = os.fork()
            if pid == 0:
                # A worker that joins, logs one more and is gone without a word.
                writer.record_stream(writer.stream(METRIC_LOGGED, name), {"i": i})
                acknowledged[:] = struct.pack("<q", i + 1)
                os._exit(0)
            os.waitpid(pid, 0)
            i += 1
        writer.close()


class Living:
    """A writer that is to be killed: at a random moment of its opening, or of its recording."""

    def __init__(self, folder: JournalFolder, number: int, acknowledged: memoryview, random: Random) -> None:
        self._acknowledged = acknowledged
        self._random = random
        self.pid = os.fork()
        if self.pid == 0:
            self._live(folder, f"m{number}")
        self._dies = time.monotonic() + random.random() * LIFE_S_MAX if random.random() < 0.25 else None

    def _live(self, folder: JournalFolder, name: str) -> None:
        if self._random.random() < 0.5:
            # Half of them change files all the time.
            spool_files.FIRST_FILE_BYTES, spool_files.FILE_BYTES = 4096, 8192
        try:
            write(folder, name, self._acknowledged, self._random)
        finally:
            os.write(2, b"a writer ended by itself\n")

    def is_due(self) -> bool:
        if self._dies is None and any(self._acknowledged):
            self._dies = time.monotonic() + self._random.random() * LIFE_S_MAX
        return self._dies is not None and time.monotonic() >= self._dies

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        assert os.WIFSIGNALED(status), f"a writer ended by itself: {status}"


def main(root: str, seed: str, writers: str, kills: str) -> None:
    folder = JournalFolder(Path(root))
    acknowledged = mmap.mmap(-1, 8 * int(kills))
    deadline = time.monotonic() + DEADLINE_S
    living: list[Living] = []
    started = 0
    while started < int(kills) or living:
        assert time.monotonic() < deadline, "the writers cannot be killed in time"
        while len(living) < int(writers) and started < int(kills):
            own = memoryview(acknowledged)[8 * started : 8 * started + 8]
            living.append(Living(folder, started, own, Random(f"{seed}.{started}")))
            started += 1
        time.sleep(0.0005)
        for each in [each for each in living if each.is_due()]:
            each.kill()
            living.remove(each)
    # Workers that outlived their parents by a moment.
    time.sleep(0.05)
    print(json.dumps([struct.unpack_from("<q", acknowledged, 8 * number)[0] for number in range(int(kills))]))


if __name__ == "__main__":
    main(*sys.argv[1:])
