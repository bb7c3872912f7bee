"""`python -m tests.benchmarks.peers`: measures the tools of today and ours in turn and prints one table.

--rounds N      how often everything is measured (2); figures are medians
--only NAME     only the peers whose name contains it, and ours; repeatable
--cache FOLDER  where their virtual environments are kept (the platform's cache folder)
--quick         a tenth of the points, one round: only to see that everything runs
--write         puts the table into spec/performance.md
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from platformdirs import user_cache_path

from .. import page
from ..rows import Results
from . import tables
from .environments import environment_of
from .measuring import Bench, Failed, Figures
from .roster import OURS, PEERS, Peer

QUICKER_BY = 10
MEASUREMENTS: tuple[tuple[str, Callable[[Bench], Figures]], ...] = (
    ("recorded", Bench.recorded),
    ("killed", Bench.killed),
    ("four", Bench.four),
)


def benches(peers: Sequence[Peer], cache: Path, scratch: Path, failures: dict[str, str]) -> list[Bench]:
    """Every peer ready to be measured; why one is not stands in `failures`."""
    made = []
    for peer in peers:
        print(f"{peer.name}: installing", flush=True)
        environment = environment_of(peer, cache)
        if environment.python is None:
            failures[peer.key] = f"does not install, {environment.problem}"
            continue
        try:
            made.append(Bench(peer, environment.python, scratch))
        except Failed as failed:
            failures[peer.key] = f"does not start, {failed}"
    return made


def measure_all(made: Sequence[Bench], rounds: int, failures: dict[str, str]) -> Results:
    results = Results()
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        for name, measure in MEASUREMENTS:
            # The other way round each time, so that no one always runs on a machine warmed up by the same neighbour.
            for bench in made[:: 1 if number % 2 == 0 else -1]:
                try:
                    figures = measure(bench)
                except Failed as failed:
                    failures[f"{bench.peer.key} {name}"] = str(failed)
                    print(f"  {name:8} {bench.peer.name:28} failed: {failed}", flush=True)
                    continue
                results.add(bench.peer.key, figures)
                shown = "  ".join(f"{key} {value:,.2f}" for key, value in figures.items())
                print(f"  {name:8} {bench.peer.name:28} {shown}", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description="The tools of today.")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", action="append")
    parser.add_argument("--cache", type=Path, default=user_cache_path("ml-dash-benchmarks"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    if (chosen.quick or chosen.only) and chosen.write:
        parser.error("--write with --quick or --only: the page shows all of them, with all their points")
    names = chosen.only or [""]
    peers = [each for each in PEERS if each == OURS or any(name in each.name for name in names)]
    peers = [each.smaller(QUICKER_BY) if chosen.quick else each for each in peers]
    rounds, load = 1 if chosen.quick else chosen.rounds, page.load_before()
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="ml-dash-peers-") as scratch:
        made = benches(peers, chosen.cache, Path(scratch), failures)
        results = measure_all(made, rounds, failures)
    versions = {bench.peer.key: bench.version for bench in made}
    table = page.table(tables.HEADS, tables.rows(peers, versions, results, failures))
    text = f"{page.circumstances(rounds, load)}\n\n{table}\n\n{tables.notes(peers)}"
    print(f"\n{text}\n\n{json.dumps(failures, indent=1)}")
    if chosen.write:
        page.write("peers", text)


if __name__ == "__main__":
    main()
