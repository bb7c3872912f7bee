"""A process that has everything imported, and forks one for each client and each server that a test asks for.

Who kills thousands of processes cannot wait for each to import what it needs.  Segments, batches, parts of files and
pauses are small in all of them, so that a run of half a second has many requests, rotates segments and sends files in
parts.  What it is asked for comes as a line of JSON, `{"role": …, …}`; `{"poll": PID}` tells whether one has
ended, and how.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

SMALL = {
    "PART_BYTES": 1000,
    "BATCH_BYTES_START": 1500,
    "BATCH_BYTES_MIN": 500,
    "LOOK_INTERVAL_S": 0.01,
    "ELECTION_INTERVAL_S": 0.02,
    "SAVE_INTERVAL_S": 0.01,
    "PAUSE_S_MIN": 0.01,
    "PAUSE_S_MAX": 0.1,
    "FINISHING_PAUSE_S_MAX": 0.05,
}
SEGMENT_BYTES = 20_000
BATCH_BYTES = 3_000
FILE_BYTES = 2_500
ATTEMPTS_MAX = 200
POLL_S = 0.01


# --- what the children do -----------------------------------------------------------------------------------


def record(prefix: str, url: str, root: str | None, number: int, said: str, secret: str, points: int) -> None:
    """A run that says in the file `said` what has returned; every run has a secret among its parameters."""
    from random import Random
    from time import sleep

    from ml_dash import Experiment

    random = Random(number)
    file = os.open(said, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    experiment = Experiment(prefix, dash_url=url, dash_root=root, console=False, ship_timeout_s=random.random())
    with experiment.run:
        experiment.params.set(**{f"token{number}": secret})
        for count in range(points):
            number += 1
            experiment.metrics("train").log(number=number, text="x" * random.randrange(200))
            os.write(file, b"%d\n" % number)
            if count % 10 == 3:
                content = str(number) * random.randrange(FILE_BYTES // 4)
                experiment.files.save_text(content, to=f"{number}.txt")
            sleep(random.random() * 0.008)


def command(arguments: list[str]) -> None:
    """What `ml-dash` does, its exit code included."""
    from ml_dash.cli import main

    sys.argv = ["ml-dash", *arguments]
    main()


def redact(prefix: str, root: str, secrets: list[str], said: str) -> None:
    """Redacts these wherever they stand; says what has returned."""
    import ml_dash

    file = os.open(said, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for event in list(ml_dash.events(prefix, dash_root=root)):
        for name, value in event.data["params"].items() if event.type == "params.set" else ():
            if value in secrets:
                ml_dash.redact(prefix, event.seq, name, reason="leaked", dash_root=root)
                os.write(file, f"{value}\n".encode("ascii"))


def serve(store: str, cache: str, said: str) -> None:
    from ml_dash.server.running import open_store
    from ml_dash.server.running import serve as run
    from ml_dash.server.settings import Settings

    run(open_store(store), port=0, settings=Settings(cache=Path(cache)), said=lambda line: _tell(said, line))


def _tell(path: str, line: str) -> None:
    new = Path(f"{path}.new")
    new.write_text(line)
    new.replace(path)


ROLES: dict[str, Callable[..., None]] = {"record": record, "command": command, "redact": redact, "serve": serve}


# --- the process that forks ---------------------------------------------------------------------------------


def prepare() -> None:
    import ml_dash.cli.ship
    import ml_dash.journal.appender
    import ml_dash.opening.left_to_ship
    import ml_dash.opening.shipping
    import ml_dash.reading.replay
    import ml_dash.remote.shipper
    import ml_dash.server.app
    import ml_dash.server.connections
    import ml_dash.server.running

    for name, value in SMALL.items():
        having = [module for key, module in sys.modules.items() if key.startswith("ml_dash.") and hasattr(module, name)]
        assert having, name
        for module in having:
            setattr(module, name, value)
    for function, name, value in (
        (ml_dash.remote.shipment.Shipment.__init__, "batch_bytes_max", BATCH_BYTES),
        (ml_dash.journal.appender.Appender.__init__, "segment_bytes_max", SEGMENT_BYTES),
    ):
        assert name in function.__kwdefaults__
        function.__kwdefaults__[name] = value
    ml_dash.opening.left_to_ship.ATTEMPTS_MAX = ATTEMPTS_MAX  # type: ignore[misc]


def _child(role: str, log: str, arguments: dict[str, Any]) -> None:
    code = 1
    try:
        nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for descriptor, standard in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(descriptor, standard)
        ROLES[role](**arguments)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0) if isinstance(ended.code, int) or ended.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _forking() -> None:
    prepare()
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "poll" in asked:
            pid, status = os.waitpid(asked["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                _child(asked.pop("role"), asked.pop("log"), asked)
        print(json.dumps(answer), flush=True)


# --- what a test holds --------------------------------------------------------------------------------------


class Nursery:
    """Used by any thread."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        root = Path(__file__).resolve().parents[2]
        path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._log = str(log)
        self._lock = Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.remote.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=log.parent,
            env={**os.environ, **environment, "PYTHONPATH": path},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def _ask(self, **what: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def fork(self, role: str, **arguments: Any) -> int:
        return int(self._ask(role=role, log=self._log, **arguments))

    def wait(self, pid: int) -> int:
        """Its exit code; the number of a signal, negative, where that has ended it."""
        # Asked again and again: who waits must keep nobody else from starting what is waited for.
        while (found := self.poll(pid)) is None:
            time.sleep(POLL_S)
        return found

    def poll(self, pid: int) -> int | None:
        found: int | None = self._ask(poll=pid)
        return found

    def close(self) -> None:
        """Ends the process; what it has forked has been ended before."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


if __name__ == "__main__":
    _forking()
