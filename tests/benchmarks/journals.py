"""Journals for measurements that read: as many points as asked for, in commits as small as an ordinary training's.

They go through the codec and the appender, without the spool: recording is measured elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile

from ml_dash.facts.codec import encode_events
from ml_dash.facts.events import METRIC_LOGGED, RUN_COMPLETED, RUN_STARTED
from ml_dash.facts.rows import Row, Shape
from ml_dash.journal.appender import Appender
from ml_dash.journal.batch import Batch
from ml_dash.journal.checkpoint import Trust, save_positions
from ml_dash.journal.folder import JournalFolder
from ml_dash.journal.reader import JournalReader
from ml_dash.reading.replay import Replay

from .baselines import loss_at

EPOCH_US = 1_700_000_000_000_000
STEP_US = 1_000
SESSION = "benchmark"
WRITE_COMMITS = 512
KEYS = ("step", "loss", "lr")


def write(experiment: Path, metrics: int, points: int, commit_points: int) -> None:
    """`points` in all, of that many metrics in turn, each of three fields, a millisecond apart; one session."""
    folder = JournalFolder(experiment)
    folder.disk.make_folder(folder.path)
    shapes = {number: Shape(METRIC_LOGGED, True, _name(number), KEYS) for number in range(metrics)}
    appender = Appender(folder, SESSION)
    try:
        with appender.at_end():
            started = {"session": SESSION, "prefix": "bench/marks/run", "environment": {}}
            batches = [_batch([[EPOCH_US * 1000, RUN_STARTED, started]], {}, 1)]
            for start in range(0, points, commit_points):
                rows = _rows(start, min(start + commit_points, points), metrics)
                batches.append(_batch(rows, shapes, batches[-1].last_counter + 1))
                if len(batches) > WRITE_COMMITS:
                    appender.append(batches[:-1])
                    del batches[:-1]
            end_ns = (EPOCH_US + points * STEP_US) * 1000
            completed = [[end_ns, RUN_COMPLETED, {"session": SESSION}]]
            appender.append([*batches, _batch(completed, {}, batches[-1].last_counter + 1)])
        appender.sync()
    finally:
        appender.close()


def _name(number: int) -> str:
    return "train" if number == 0 else f"train_{number}"


def _rows(start: int, stop: int, metrics: int) -> list[Row]:
    rows: list[Row] = []
    for point in range(start, stop):
        step, number = divmod(point, metrics)
        loss = loss_at(step)
        # A clock never ticks evenly, and even times would be stored as next to nothing.
        time_us = EPOCH_US + point * STEP_US + point * 7919 % 127
        rows.append([time_us * 1000, number, step, loss, loss * 0.1])
    return rows


def _batch(rows: list[Row], shapes: dict[int, Shape], counter: int) -> Batch:
    time_us = rows[-1][0] // 1000
    return Batch(len(rows), time_us, SESSION, SESSION, counter, encode_events(rows, shapes, time_us))


def copy_many(folder: Path, count: int) -> None:
    """`count` experiments like the one that stands in `folder`, ten projects of them, each left as its writer does."""
    pattern = folder / "pattern" / "ml" / "run"
    experiments = [folder / "all" / "bench" / f"project{number % 10}" / f"run{number:05d}" for number in range(count)]
    for experiment in experiments:
        (experiment / "_journal/spool").mkdir(parents=True)
        for name in ("00000001.jsonl", "lock"):
            copyfile(pattern / "_journal" / name, experiment / "_journal" / name)
    for experiment in experiments:
        journal = JournalFolder(experiment)
        trust = Trust(journal)
        reader = JournalReader(journal, trusted=trust)
        for _ in reader.commits():
            pass
        end = reader.position
        assert end is not None
        save_positions(journal, trust, end.with_fence(end.offset), reader.damage)
        Replay(journal).keep()
