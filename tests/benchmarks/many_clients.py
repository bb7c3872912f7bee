"""Many trainings at once, and one server: `python -m tests.benchmarks.many_clients [--clients 100] [--seconds 60]`.

Each client records 100 points/s and ships them while it records.  Measured is, for every point, the time from its
recording call to the moment at which the client has the server's answer that it is stored; and of the server, memory
and processor time.  In the end every journal is compared with its copy, byte for byte, and its points are counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import sleep, time_ns
from typing import Any

import httpx

from .baselines import loss_at
from .loopback import Served, serving

ROOT = Path(__file__).resolve().parent.parent.parent
RATE_HZ = 100
CLIENTS_PER_PROCESS = 10
ACKNOWLEDGED_S_MAX = 2.0
SAMPLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """`acknowledged_s` are p50, p99 and the longest; `server_bytes` at the start, at its highest and at the end."""

    points: int
    lost: int
    acknowledged_s: tuple[float, float, float]
    server_bytes: tuple[int, int, int]
    server_cores: float
    clients_cores: float
    batches: int
    seconds: float

    def __str__(self) -> str:
        start, highest, end = (each / 1e6 for each in self.server_bytes)
        p50, p99, longest = self.acknowledged_s
        return (
            f"{self.points:,} points, {self.lost} lost; acknowledged after p50 {p50:.2f} s, p99 {p99:.2f} s, "
            f"max {longest:.2f} s; {self.batches / self.seconds:,.0f} batches/s; server {start:.0f} MB at the start, "
            f"{highest:.0f} MB at most, {end:.0f} MB at the end, {100 * self.server_cores:.0f} % of a core; "
            f"clients {100 * self.clients_cores:.0f} % of a core together"
        )


def run(clients: int, seconds: int, folder: Path, clients_per_process: int = CLIENTS_PER_PROCESS) -> Outcome:
    """Starts the server and all clients, and looks at what has arrived."""
    with serving("ours", folder / "server") as served, ExitStack() as ending:
        processes = []
        for first in range(0, clients, clients_per_process):
            numbers = range(first, min(first + clients_per_process, clients))
            command = [sys.executable, "-m", "tests.benchmarks.many_clients", "--client", served.url]
            command += [str(folder / "clients"), str(numbers.start), str(numbers.stop), str(seconds)]
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            ending.callback(ending.enter_context(process).kill)
            processes.append(process)
        for process in processes:
            _line(process)
        before_s, start_bytes = served.processor_s(), served.resident_bytes()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        samples: list[int] = []
        watching = Thread(target=_watch, args=(served, samples, processes), daemon=True)
        watching.start()
        found = [json.loads(_line(process)) for process in processes]
        watching.join()
        used_s, end_bytes = served.processor_s() - before_s, served.resident_bytes()
        lost = sum(_lost(served, folder / "clients", number, seconds) for number in range(clients))
    taken = sorted(each for part in found for each in part["acknowledged_s"])
    wall_s = max(part["seconds"] for part in found)
    return Outcome(
        clients * seconds * RATE_HZ,
        lost,
        (taken[len(taken) // 2], taken[len(taken) * 99 // 100], taken[-1]),
        (start_bytes, max(samples), end_bytes),
        used_s / wall_s,
        sum(part["processor_s"] for part in found) / wall_s,
        sum(part["batches"] for part in found),
        wall_s,
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a client ended with {process.wait()}")
    return line


def _watch(served: Served, samples: list[int], processes: Sequence[subprocess.Popen[str]]) -> None:
    samples.append(served.resident_bytes())
    while any(process.poll() is None for process in processes):
        samples.append(served.resident_bytes())
        sleep(SAMPLE_S)


def _lost(served: Served, root: Path, number: int, seconds: int) -> int:
    """How many points of a client the server's copy lacks.  Raises where it is another journal, byte for byte."""
    prefix = _prefix(number)
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        heads = client.get("/v1/journals", params={"prefix": prefix}).json()["journals"]
        assert len(heads) == 1, f"{prefix}: {heads}"
        path = f"/v1/journals/{heads[0]['journal']}/segments/{{}}"
        for segment in range(1, heads[0]["segment"] + 1):
            local = (root / prefix / "_journal" / f"{segment:08d}.jsonl").read_bytes()
            stored = client.get(path.format(segment), params={"prefix": prefix}).content
            assert local == stored, f"{prefix}, segment {segment}: {len(stored)} bytes stored of {len(local)}"
        state = client.get("/v1/state", params={"prefix": prefix}).json()
    (metric,) = state["state"]["metrics"].values()
    return seconds * RATE_HZ - int(metric["count"])


def _prefix(number: int) -> str:
    return f"bench/many/run{number:03d}"


# --- the processes of the clients ---------------------------------------------------------------------------


def client(url: str, root: Path, first: int, stop: int, seconds: int) -> dict[str, Any]:
    """Several experiments, recorded in turn at an even pace, shipped each by its own thread."""
    from resource import RUSAGE_SELF, getrusage

    from ml_dash import Experiment
    from ml_dash.remote.server import Appended, Server

    answered: list[tuple[int, bytes]] = []

    append = Server.append

    def watched(*arguments: Any, **how: Any) -> Appended:
        found = append(*arguments, **how)
        answered.append((time_ns(), arguments[5]))
        return found

    Server.append = watched  # type: ignore[method-assign]
    experiments = [Experiment(_prefix(number), dash_root=root, dash_url=url) for number in range(first, stop)]
    for experiment in experiments:
        experiment.run.start()
    logs = [experiment.metrics("train").log for experiment in experiments]
    print("ready", flush=True)
    sys.stdin.readline()
    usage = getrusage(RUSAGE_SELF)
    before_s = usage.ru_utime + usage.ru_stime
    begin_ns, interval_ns = time_ns(), 1_000_000_000 // (RATE_HZ * len(logs))
    for step in range(seconds * RATE_HZ):
        for number, log in enumerate(logs):
            wait_ns = begin_ns + (step * len(logs) + number) * interval_ns - time_ns()
            if wait_ns > 0:
                sleep(wait_ns / 1e9)
            loss = loss_at(step)
            log(step=step, loss=loss, lr=loss * 0.1)
    usage = getrusage(RUSAGE_SELF)
    taken_s, used_s = (time_ns() - begin_ns) / 1e9, usage.ru_utime + usage.ru_stime - before_s
    batches = len(answered)
    for experiment in experiments:
        experiment.run.complete()
    acknowledged = [each for at_ns, data in answered for each in _waits_s(at_ns, data)]
    return {"acknowledged_s": acknowledged, "seconds": taken_s, "processor_s": used_s, "batches": batches}


def _waits_s(at_ns: int, data: bytes) -> list[float]:
    """Of every point in a batch, how long after its recording call it was acknowledged."""
    from ml_dash.facts.codec import decode_events, events_of
    from ml_dash.facts.events import METRIC_LOGGED

    waits = []
    for line in data.splitlines():
        commit = json.loads(line)
        if "events" not in commit:
            continue
        blocks = decode_events(json.dumps(commit["events"]).encode(), commit["count"])
        for event in events_of(blocks, commit["first"], commit["time"], "", ""):
            if event.type == METRIC_LOGGED:
                waits.append((at_ns / 1000 - event.time_us) / 1e6)
    return waits


def main() -> None:
    if sys.argv[1:2] == ["--client"]:
        url, root, first, stop, seconds = sys.argv[2:]
        print(json.dumps(client(url, Path(root), int(first), int(stop), int(seconds))))
        return
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.many_clients", description="Clients, one server.")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--clients-per-process", type=int, default=CLIENTS_PER_PROCESS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ml-dash-clients-") as scratch:
        outcome = run(chosen.clients, chosen.seconds, Path(scratch), chosen.clients_per_process)
    print(outcome)
    is_well = outcome.lost == 0 and outcome.acknowledged_s[1] <= ACKNOWLEDGED_S_MAX
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    main()
