"""The work of recording a metric point without ml_dash: what the file system, a lock and SQLite cost by themselves.

Each gives a function that records one 3-field point, and one that makes all of it durable and closes.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from time import time

import orjson
from filelock import FileLock

Record = Callable[[int], object]
Close = Callable[[], object]


def loss_at(step: int) -> float:
    """A double with all its digits, as a real loss has."""
    return 1.0 / (step + 1.1)


def plain_append(folder: Path) -> tuple[Record, Close]:
    """The floor: the same JSON, one `os.write` a point, no lock, no chain."""
    descriptor = os.open(folder / "plain.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    write, dumps = os.write, orjson.dumps

    def record(step: int) -> None:
        loss = loss_at(step)
        point = {"type": "metric.logged", "t": time(), "name": "train", "step": step, "loss": loss, "lr": loss * 0.1}
        write(descriptor, dumps(point) + b"\n")

    def close() -> None:
        os.fsync(descriptor)
        os.close(descriptor)

    return record, close


def locked_append(folder: Path) -> tuple[Record, Close]:
    """The same with a file lock around every point, as a safe log without batches has to do it."""
    record_plain, close = plain_append(folder)
    lock = FileLock(folder / "lock", thread_local=False, fallback_to_soft=False)

    def record(step: int) -> None:
        with lock:
            record_plain(step)

    return record, close


def sqlite_insert(folder: Path) -> tuple[Record, Close]:
    """SQLite in WAL mode, one committed insert a point."""
    database = sqlite3.connect(folder / "points.db", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=normal")
    database.execute("create table points (t real, name text, step integer, loss real, lr real)")

    def record(step: int) -> None:
        loss = loss_at(step)
        database.execute("insert into points values (?, ?, ?, ?, ?)", (time(), "train", step, loss, loss * 0.1))

    def close() -> None:
        database.execute("pragma wal_checkpoint(truncate)")
        database.close()

    return record, close
