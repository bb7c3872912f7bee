"""A training as people write it for PyTorch: a data set, a loader with worker processes, epochs, checkpoints.

    python training.py --start-method fork --dash-root .dash

Workers that are forked have the open experiment of their parent.  Workers that are spawned get it with the data set, by
pickle, and open it: that is a session of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
from collections.abc import Iterator
from typing import Any

from ml_dash import Experiment

Sample = tuple[int, float, float]


class Line:
    """Points of y = 2x + 1, which the workers make; what they notice while they do so is recorded from there."""

    def __init__(self, experiment: Experiment, size: int) -> None:
        self.experiment = experiment
        self.size = size

    def __getitem__(self, index: int) -> Sample:
        x = index / self.size
        self.experiment.metrics("data").log(index=index, x=x)
        if index % 8 == 0:
            self.experiment.log("a slow sample", level="warn", index=index)
        return index, x, 2 * x + 1


class Loader:
    """Batches of a data set, made by worker processes that live for one epoch."""

    def __init__(self, data: Line, batch_size: int, workers: int, start_method: str) -> None:
        self.data, self.batch_size, self.workers = data, batch_size, workers
        self.context: Any = multiprocessing.get_context(start_method)

    def __iter__(self) -> Iterator[list[Sample]]:
        made = self.context.Queue()
        indices = list(range(self.data.size))
        is_spawned = self.context.get_start_method() == "spawn"
        crew = [
            self.context.Process(
                target=work, args=(self.data, indices[worker :: self.workers], self.batch_size, made, is_spawned)
            )
            for worker in range(self.workers)
        ]
        for each in crew:
            each.start()
        ended = 0
        while ended < self.workers:
            batch = made.get(timeout=60)
            if batch is None:
                ended += 1
            else:
                yield batch
        for each in crew:
            each.join(timeout=60)
            if each.exitcode != 0:
                raise SystemExit(f"a worker ended with {each.exitcode}")


def work(data: Line, indices: list[int], batch_size: int, made: Any, is_spawned: bool) -> None:
    """One worker's share of an epoch."""
    with data.experiment.run if is_spawned else contextlib.nullcontext():
        for start in range(0, len(indices), batch_size):
            made.put([data[index] for index in indices[start : start + batch_size]])
    made.put(None)


def train(arguments: argparse.Namespace) -> None:
    experiment = Experiment(
        "alice/scenarios/training", dash_root=arguments.dash_root, tags=["line", arguments.start_method]
    )
    slope, offset, step = 0.0, 0.0, 0
    with experiment.run:
        experiment.params.set(arguments)
        loader = Loader(
            Line(experiment, arguments.size), arguments.batch_size, arguments.workers, arguments.start_method
        )
        for epoch in range(arguments.epochs):
            for batch in loader:
                errors = [slope * x + offset - y for _, x, y in batch]
                loss = sum(error * error for error in errors) / len(batch)
                slope -= arguments.lr * sum(error * x for error, (_, x, _) in zip(errors, batch, strict=True))
                offset -= arguments.lr * sum(errors)
                experiment.metrics("train").log(step=step, epoch=epoch, loss=loss)
                experiment.metrics("epoch").buffer(loss=loss)
                step += 1
            experiment.metrics.buffer.log_summary("mean", "max", "count", epoch=epoch)
            experiment.files("checkpoints").save_pkl(
                {"slope": slope, "offset": offset, "epoch": epoch}, to=f"epoch-{epoch}.pkl"
            )
            experiment.log("epoch ended", epoch=epoch, loss=loss)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--start-method", choices=["fork", "spawn"], default="fork")
    parser.add_argument("--dash-root", default=".dash")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.05)
    train(parser.parse_args())
