"""The training that the demo kills: a four-fold cross-validation, one process a fold, all writing to one experiment.

    python -m ml_dash.demo.training PREFIX DASH_ROOT SCRATCH_FOLDER

It knows nothing of being killed.  Like any training it saves its weights now and then, and goes on from there when it
finds them; the experiment is resumed by opening the same prefix.  The scratch folder holds the weights, and one
counter a fold, in a memory map, of the recording calls that have returned: the demo compares it with the journal.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import traceback
from pathlib import Path
from typing import Any

from ml_dash import Experiment

from .digits import Image, load_digits, split_fold
from .model import SoftmaxRegression

FOLDS = 4
EPOCHS = 14
BATCH_SIZE = 16
LEARNING_RATE = 0.05
LEARNING_RATE_DECAY = 0.93
EPOCHS_A_CHECKPOINT = 2
_COUNTER = struct.Struct("<q")


class ReturnedCalls:
    """One counter a fold, shared between processes and outliving them, as the kernel's memory does."""

    def __init__(self, folder: Path) -> None:
        path = folder / "returned-calls"
        if not path.exists():
            path.write_bytes(bytes(_COUNTER.size * FOLDS))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def __getitem__(self, fold: int) -> int:
        count: int = _COUNTER.unpack_from(self._map, fold * _COUNTER.size)[0]
        return count

    def add_one(self, fold: int) -> None:
        _COUNTER.pack_into(self._map, fold * _COUNTER.size, self[fold] + 1)


def metric_names(fold: int) -> tuple[str, str]:
    """(training, validation) of a fold; folds count from 1 in what people see."""
    return f"fold-{fold + 1}/train", f"fold-{fold + 1}/validation"


def batches_an_epoch(image_count: int) -> int:
    """Points that one fold logs while it sees its training images once."""
    training_count = image_count - image_count // FOLDS
    return training_count // BATCH_SIZE


def points_to_go(image_count: int, scratch: Path) -> int:
    """Points that a training started now will log: all there are, less those before each fold's last saved weights."""
    epochs: int = sum(EPOCHS - _saved(scratch, fold)["epoch"] for fold in range(FOLDS))
    return epochs * (batches_an_epoch(image_count) + 1)


def train_fold(experiment: Experiment, fold: int, images: list[Image], scratch: Path) -> None:
    """Trains one fold to the end, from its last saved weights if there are any."""
    training, validation = split_fold(images, fold, FOLDS)
    returned = ReturnedCalls(scratch)
    begun = _saved(scratch, fold)
    model = SoftmaxRegression(begun["weights"])
    train, evaluation = map(experiment.metrics, metric_names(fold))

    for epoch in range(begun["epoch"], EPOCHS):
        learning_rate = LEARNING_RATE * LEARNING_RATE_DECAY**epoch
        for number in range(batches_an_epoch(len(images))):
            batch = training[number * BATCH_SIZE : (number + 1) * BATCH_SIZE]
            loss = model.learn(batch, learning_rate)
            train.log(step=epoch * batches_an_epoch(len(images)) + number, loss=loss, learning_rate=learning_rate)
            returned.add_one(fold)
        evaluation.log(epoch=epoch, accuracy=model.accuracy(validation))
        returned.add_one(fold)
        if (epoch + 1) % EPOCHS_A_CHECKPOINT == 0:
            _save(scratch, fold, epoch + 1, model)


def _saved(scratch: Path, fold: int) -> dict[str, Any]:
    path = scratch / f"fold-{fold + 1}.json"
    saved: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"epoch": 0, "weights": None}
    return saved


def _save(scratch: Path, fold: int, epoch: int, model: SoftmaxRegression) -> None:
    # Written aside and renamed, because the kill may come at any moment.
    unfinished = scratch / f"fold-{fold + 1}.new"
    unfinished.write_text(json.dumps({"epoch": epoch, "weights": model.weights}))
    unfinished.replace(scratch / f"fold-{fold + 1}.json")


def train(prefix: str, dash_root: str, scratch: Path) -> None:
    """The whole cross-validation: this process trains the first fold, forked children the others."""
    images = load_digits()
    with Experiment(
        prefix=prefix,
        dash_root=dash_root,
        description="Softmax regression on 8×8 handwritten digits, four-fold cross-validation",
        tags=["demo", "digits"],
        console=False,
    ).run as experiment:
        experiment.params.set(
            folds=FOLDS,
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
            learning_rate={"start": LEARNING_RATE, "decay": LEARNING_RATE_DECAY},
        )
        experiment.log(
            "Training goes on" if any(scratch.glob("fold-*.json")) else "Training started", images=len(images)
        )
        children = [_fork_fold(experiment, fold, images, scratch) for fold in range(1, FOLDS)]
        train_fold(experiment, 0, images, scratch)
        failed = [fold + 1 for fold, child in enumerate(children, start=1) if os.waitpid(child, 0)[1] != 0]
        if failed:
            raise RuntimeError(f"the processes of folds {failed} did not end well")
        experiment.log("Training finished")


def _fork_fold(experiment: Experiment, fold: int, images: list[Image], scratch: Path) -> int:
    child = os.fork()
    if child:
        return child
    try:
        train_fold(experiment, fold, images, scratch)
        experiment.flush()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        # Not sys.exit: the parent's cleanup must not run a second time in here.
        os._exit(1)


if __name__ == "__main__":
    train(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
