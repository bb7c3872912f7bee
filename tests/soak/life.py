"""A writer's life: it opens an experiment, records everything there is, and ends in one of many ways.

As a child that the conductor forks, or in an interpreter of its own:
`python -m tests.soak.life WORLD URL SPECIFICATION`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from ml_dash import Experiment
from ml_dash.errors import ConfigurationError, ExperimentError, NotFoundError
from ml_dash.journal.appender import Appender

from .recording import DISK_ERRORS, Recording, Specification
from .world import SEGMENT_BYTES_MAX, World

FRESH_ENDINGS = ("forgotten", "uncaught", "exit")
"""Those that need an interpreter that ends; the others are a forked child's too."""
ENDINGS = ("complete", "cancel", "fail", "exception", "os_exit", "sigterm", "sigterm_handled", "kill", "kill", "kill")
STATED = {
    "complete": "COMPLETED",
    "cancel": "CANCELLED",
    "fail": "FAILED",
    "exception": "FAILED",
    "sigterm_handled": "FAILED",
    "forgotten": "COMPLETED",
    "uncaught": "FAILED",
    "exit": "COMPLETED",
}
"""How a session ends that ends like that; others are lost."""


class Life(Recording):
    """A writer from birth to death."""

    def live(self) -> None:
        wanted = self.specification
        try:
            for session in range(1, wanted.sessions + 1):
                ending = wanted.ending if session == wanted.sessions else self.random.choice(("complete", "fail"))
                self._session(ending)
        except DISK_ERRORS:
            # An experiment is not opened on a full disk; anywhere else it is.
            if wanted.journal.machine != "small":
                raise
            self.world.count("opening refused")
        except ExperimentError as error:
            if "begun by another process" not in str(error):
                raise

    def close_up(self) -> None:
        """A last session, which heals torn ends and clears away what dead ones have left."""
        self.experiment = self._opened()
        self.experiment.run.start()
        self._record()
        self._file(100)
        self._end_is_near("complete")
        self.experiment.run.complete()
        self.ledger.note(ended="complete")
        self.ledger.is_over = 1

    def _session(self, ending: str) -> None:
        self.experiment = self._opened()
        if ending == "exception":
            with suppress(ValueError), self.experiment.run:
                self._record()
                self._end_is_near(ending)
                raise ValueError("a training that fails")
        elif ending == "sigterm_handled":
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
            with suppress(SystemExit), self.experiment.run:
                self._record()
                self._end_is_near(ending)
                os.kill(os.getpid(), signal.SIGTERM)
        else:
            self.experiment.run.start()
            self._record()
            self._end_is_near(ending)
            self._end(ending)
        if ending in STATED and ending not in FRESH_ENDINGS:
            self.ledger.note(ended=ending)

    def _opened(self) -> Experiment:
        wanted = self.specification
        is_big = self.random.random() < 0.3
        defaults = Appender.__init__.__kwdefaults__
        assert defaults is not None
        defaults["segment_bytes_max"] = SEGMENT_BYTES_MAX * (4 if is_big else 1)
        return Experiment(
            wanted.journal.prefix,
            dash_root=self.world.root(wanted.journal.machine),
            dash_url=self.world.url if wanted.ships else None,
            console=False,
            ship_timeout_s=self.random.choice((0.0, 0.2, 2.0)),
            tags=self.random.choice((None, ["soak"], ["soak", str(self.life)])),
            fork=wanted.fork,
        )

    def _end_is_near(self, ending: str) -> None:
        self.ledger.note(ending=STATED.get(ending, "LOST"))

    def _end(self, ending: str) -> None:
        match ending:
            case "complete" | "cancel" | "fail":
                getattr(self.experiment.run, ending)()
            case "os_exit":
                os._exit(7)
            case "sigterm":
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            case "uncaught":
                raise ValueError("nobody catches this")
            case "exit":
                sys.exit(3)

    def _record(self) -> None:
        # Known to the ledger as the session's first event, so that sessions are told apart by what they hold.
        self.ledger.began_seq = self.ledger.began_seq or max(1, self.experiment.durable_seq)
        self.ledger.note(session=self.number + 1)
        self._line()
        left = self.specification.actions
        while left or self.specification.ending == "kill":
            self._act()
            left = max(0, left - 1)


def main(home: str, url: str, specification: str) -> None:
    world, wanted = World(Path(home), url), Specification.from_json(specification)
    Life(world, wanted).live()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ValueError as raised:
        if "nobody catches" not in str(raised):
            World(Path(sys.argv[1]), sys.argv[2]).violation("life", repr(raised))
        raise
    except (ConfigurationError, NotFoundError, ExperimentError, *DISK_ERRORS) as raised:
        World(Path(sys.argv[1]), sys.argv[2]).violation("life", repr(raised))
        raise
