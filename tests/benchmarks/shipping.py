"""Measurements of remote mode: a journal on its way to a server, and recording calls while there is one.

Every server is a process of its own on loopback (`loopback.py`), its store beside what is measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from shutil import copytree
from threading import Thread
from threading import enumerate as threads
from time import perf_counter, sleep
from typing import Any

from .baselines import Close, Record, loss_at
from .clockwork import resident_bytes, time_calls, time_paced_calls
from .journals import write
from .loopback import Served, nobody, serving
from .measures import PACE_HZ, PREFIX, Figures

CLIENTS = 8
PLAIN_BODY_BYTES = 4 * 1024 * 1024
BURST_S = 0.01


def shipped(recorder: str, folder: Path, size: int) -> Figures:
    """A journal that is ready, until all of it is acknowledged: of one client, and of eight at once."""
    _make(recorder, folder / "made", size)
    clients = CLIENTS if recorder == "eight" else 1
    roots = [folder / "made", *(folder / f"copy{number}" for number in range(1, clients))]
    for number, root in enumerate(roots[1:], start=1):
        # Another prefix makes it another experiment to the server; the bytes are the same.
        copytree(roots[0] / PREFIX, root / f"{PREFIX}{number}")
    with serving("ours", folder / "server") as served, ExitStack() as ending:
        started = [_client(served, root, number) for number, root in enumerate(roots)]
        for each in started:
            ending.callback(ending.enter_context(each).kill)
            assert each.stdout is not None
            each.stdout.readline()
        before_s = served.processor_s()
        start = perf_counter()
        for each in started:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        grown = [float(each.stdout.readline()) for each in started if each.stdout is not None]
        seconds = perf_counter() - start
        stored = sum(path.stat().st_size for path in (roots[0] / PREFIX / "_journal").glob("0*.jsonl"))
        return {
            "points_per_s": clients * size / seconds,
            "mb_per_s": clients * stored / 1e6 / seconds,
            "server_s": (served.processor_s() - before_s) / clients,
            "client_bytes": max(grown),
            "server_bytes": float(served.peak_bytes()),
        }


def _make(recorder: str, folder: Path, size: int) -> None:
    if recorder == "small":
        write(folder / PREFIX, 1, size, 256)
        return
    from .measures import sustained

    folder.mkdir()
    sustained("ours", folder, size)


def _client(served: Served, root: Path, number: int) -> subprocess.Popen[str]:
    prefix = f"{PREFIX}{number or ''}"
    command = [sys.executable, "-m", "tests.benchmarks.shipping", served.url, str(root), prefix]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ship(url: str, root: Path, prefix: str) -> None:
    """A client: says when it is ready, ships when it is told to, says by how much it has grown."""
    from ml_dash.journal.folder import JournalFolder
    from ml_dash.remote.server import Server
    from ml_dash.remote.shipment import Shipment

    server = Server(url, None)
    server.health()
    shipment = Shipment(JournalFolder(root / prefix), prefix, server)
    before = highest = resident_bytes()
    print("ready", flush=True)
    sys.stdin.readline()
    while not (step := shipment.step()).is_idle:
        highest = max(highest, resident_bytes())
    assert step.left_bytes == 0, step
    print(highest - before, flush=True)
    shipment.close()


def live(recorder: str, folder: Path, size: int) -> Figures:
    """Recorded as fast as it goes and shipped meanwhile: from the first call until all is acknowledged."""
    with serving("ours", folder / "server") as served:
        record, close = _recording(served.url, folder, timeout_s=120)
        start = perf_counter()
        for step in range(size):
            record(step)
        close()
        seconds = perf_counter() - start
        from ml_dash import load

        count = load(PREFIX, dash_url=served.url).metrics["train"].count
        assert count == size, f"{size} points, and {count} arrived"
    return {"points_per_s": size / seconds}


def uploaded(recorder: str, folder: Path, size: int) -> Figures:
    """`size` MiB as one saved file, or as bodies of the same size to a server that only appends and syncs them."""
    import httpx

    folder.mkdir(exist_ok=True)
    piece = os.urandom(1024 * 1024)
    if recorder == "plain":
        with serving("sink", folder) as served, httpx.Client(trust_env=False) as client:
            body = piece * (PLAIN_BODY_BYTES // len(piece))
            client.put(served.url, content=body)
            start = perf_counter()
            for _ in range(size * len(piece) // len(body)):
                client.put(served.url, content=body).raise_for_status()
            return {"mb_per_s": size * len(piece) / 1e6 / (perf_counter() - start)}
    from ml_dash import Experiment
    from ml_dash.journal.folder import JournalFolder
    from ml_dash.remote.blobs import FileShipment
    from ml_dash.remote.server import Server

    source = folder / "weights.bin"
    with source.open("wb") as file:
        for number in range(size):
            file.write(number.to_bytes(8, "big") + piece[8:])
    with Experiment(PREFIX, dash_root=folder / "root").run as experiment:
        experiment.files("models").save(str(source))
    with serving("ours", folder / "server") as served:
        server = Server(served.url, None)
        server.health()
        files = FileShipment(JournalFolder(folder / "root" / PREFIX), PREFIX.split("/")[0])
        files.look()
        before_s, start = served.processor_s(), perf_counter()
        while files.waiting:
            files.step(server)
        seconds = perf_counter() - start
        server.close()
        assert not files.problems, files.problems
        used_s, peak = served.processor_s() - before_s, served.peak_bytes()
    return {"mb_per_s": source.stat().st_size / 1e6 / seconds, "server_s": used_s, "server_bytes": float(peak)}


# --- recording calls while there is a server ----------------------------------------------------------------


def remote_call(recorder: str, folder: Path, size: int) -> Figures:
    """`call` with a server that is up, late or down."""
    return _timed(recorder, folder, lambda record: time_calls(record, size))


def remote_paced(recorder: str, folder: Path, size: int) -> Figures:
    return _timed(recorder, folder, lambda record: time_paced_calls(record, PACE_HZ, size))


def _timed(recorder: str, folder: Path, timed: Callable[[Record], Figures]) -> Figures:
    with ExitStack() as ending:
        url = nobody() if recorder == "down" else ending.enter_context(serving(recorder, folder / "server")).url
        record, close = _recording(url, folder, timeout_s=0)
        figures = timed(record)
        close()
    return figures


def share(recorder: str, folder: Path, size: int) -> Figures:
    """Percent of a core that the shipper's thread takes of a training that logs `recorder` points a second; `size`
    seconds."""
    rate_hz = int(recorder)
    burst = max(1, int(rate_hz * BURST_S))
    with serving("ours", folder / "server") as served:
        record, close = _recording(served.url, folder, timeout_s=60)
        shipper = next(each for each in threads() if "shipper" in each.name)
        before_s, server_before_s = _thread_s(shipper), served.processor_s()
        start = perf_counter()
        for first in range(0, size * rate_hz, burst):
            wait_s = start + first / rate_hz - perf_counter()
            if wait_s > 0:
                sleep(wait_s)
            for step in range(first, first + burst):
                record(step)
        seconds = perf_counter() - start
        used_s, server_s = _thread_s(shipper) - before_s, served.processor_s() - server_before_s
        close()
    return {"percent": 100 * used_s / seconds, "server_percent": 100 * server_s / seconds}


def _thread_s(thread: Thread) -> float:
    """Seconds of processor time of one thread of this process."""
    line = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text(encoding="ascii")
    return int(line.split()[0]) / 1e9


def _recording(url: str, folder: Path, timeout_s: float) -> tuple[Record, Close]:
    """As `measures.ours`, with a server."""
    from ml_dash import Experiment

    experiment = Experiment(PREFIX, dash_root=folder / "root", dash_url=url, console=False, ship_timeout_s=timeout_s)
    experiment.run.start()
    log = experiment.metrics("train").log

    def record(step: int) -> None:
        loss = loss_at(step)
        log(step=step, loss=loss, lr=loss * 0.1)

    return record, experiment.run.complete


SHIPPING: tuple[Callable[[str, Path, int], Any], ...] = (
    shipped,
    live,
    uploaded,
    remote_call,
    remote_paced,
    share,
)

if __name__ == "__main__":
    ship(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
