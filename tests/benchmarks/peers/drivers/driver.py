"""One measurement of one peer: a script for that peer's own Python, standing on the standard library alone.

`driver.py MODULE MODE ACTION FOLDER SIZE FIRST`.  MODULE is a file beside this one, one for each peer, with

    DISTRIBUTION                  the name of the package, whose version is told
    prepare(folder, mode)         what has to be there before writers come, if anything
    start(folder, mode)           opens the experiment in that folder; gives record(step) and close()
    reader(folder, mode)          gives what reads all points of it by the peer's own reader: what is timed
    columns(found)                steps, losses and rates of what that found: what is compared

ACTION is one of `ACTIONS`.  A writer says "ready" and waits for a line, so that several can begin together; answers
are lines of JSON.  Whatever the peer prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from math import isclose
from mmap import mmap
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Protocol, TextIO

Record = Callable[[int], object]
Close = Callable[[], object]
Columns = tuple[Sequence[int], Sequence[float], Sequence[float]]
RELATIVE_TOLERANCE = 1e-6
"""TensorBoard keeps values in 32 bits."""


class Peer(Protocol):
    DISTRIBUTION: str

    def prepare(self, folder: Path, mode: str) -> None: ...
    def start(self, folder: Path, mode: str) -> tuple[Record, Close]: ...
    def reader(self, folder: Path, mode: str) -> Callable[[], Any]: ...
    def columns(self, found: Any) -> Columns: ...


def loss_at(step: int) -> float:
    """A double with all its digits, as a real loss has."""
    return 1.0 / (step + 1.1)


def record(peer: Peer, mode: str, folder: Path, size: int, first: int, answers: TextIO) -> None:
    """`size` points in a tight loop, each call timed, until all is closed and every file of the folder is synced."""
    call, close = peer.start(folder, mode)
    taken_ns = array("q", bytes(8 * size))
    _wait(answers)
    start_ns = before_ns = perf_counter_ns()
    for number in range(size):
        call(first + number)
        now_ns = perf_counter_ns()
        taken_ns[number] = now_ns - before_ns
        before_ns = now_ns
    close()
    _sync(folder)
    end_ns = perf_counter_ns()
    figures = {"version": version(peer.DISTRIBUTION), "start_ns": start_ns, "end_ns": end_ns}
    ordered = sorted(taken_ns) or [0]
    last = len(ordered) - 1
    _say(answers, {**figures, "p50_us": ordered[last // 2] / 1e3, "p999_us": ordered[int(last * 0.999)] / 1e3})


def flat_out(peer: Peer, mode: str, folder: Path, size: int, first: int, answers: TextIO) -> None:
    """Records until it is killed.  How many calls have returned stands in a mapped file, which outlives the process."""
    call, _ = peer.start(folder, mode)
    with open(f"{folder}.returned", "r+b") as file:
        returned = mmap(file.fileno(), 8)
    pack = struct.Struct("q").pack_into
    _wait(answers)
    step = first
    while True:
        call(step)
        step += 1
        pack(returned, 0, step)


def read(peer: Peer, mode: str, folder: Path, size: int, first: int, answers: TextIO) -> None:
    """All points by the peer's own reader; those are kept whose step is below `size` and whose values are right."""
    find = peer.reader(folder, mode)
    start_ns = perf_counter_ns()
    found = find()
    seconds = (perf_counter_ns() - start_ns) / 1e9
    steps, losses, rates = peer.columns(found)
    right = {
        step
        for step, loss, rate in zip(steps, losses, rates, strict=True)
        if isclose(loss, loss_at(step), rel_tol=RELATIVE_TOLERANCE)
        and isclose(rate, loss_at(step) * 0.1, rel_tol=RELATIVE_TOLERANCE)
    }
    kept = sum(1 for step in right if step < size)
    _say(answers, {"read": len(steps), "kept": kept, "seconds": seconds})


def prepare(peer: Peer, mode: str, folder: Path, size: int, first: int, answers: TextIO) -> None:
    peer.prepare(folder, mode)
    _say(answers, {})


ACTIONS: dict[str, Callable[[Peer, str, Path, int, int, TextIO], None]] = {
    "prepare": prepare,
    "record": record,
    "flat_out": flat_out,
    "read": read,
}


def _say(answers: TextIO, figures: dict[str, Any]) -> None:
    answers.write(json.dumps(figures) + "\n")
    answers.flush()


def _wait(answers: TextIO) -> None:
    answers.write("ready\n")
    answers.flush()
    sys.stdin.readline()


def _sync(folder: Path) -> None:
    """So that all are equally durable: it costs those nothing that have synced already."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def main() -> None:
    module, mode, action, folder, size, first = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer: Any = import_module(module)
    ACTIONS[action](peer, mode, Path(folder), int(size), int(first), answers)


if __name__ == "__main__":
    main()
