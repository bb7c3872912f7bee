"""MLflow: `log_metrics` as it is (`sqlite`, or `files`, its older store), or with `synchronous=False` (`async`).

One metric is one value in MLflow, so that a point is two metrics logged together, with their step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

DISTRIBUTION = "mlflow-skinny"


def prepare(folder: Path, mode: str) -> None:
    """Makes the store, which takes it seconds, and the run that all writers log to."""
    folder.mkdir()
    mlflow = _at(folder, mode)
    mlflow.set_experiment("bench")
    with mlflow.start_run() as run:
        (folder / "run").write_text(run.info.run_id, encoding="ascii")


def _at(folder: Path, mode: str) -> Any:
    mlflow = import_module("mlflow")
    mlflow.set_tracking_uri(f"file://{folder}/mlruns" if mode == "files" else f"sqlite:///{folder}/mlflow.db")
    return mlflow


def start(folder: Path, mode: str) -> tuple[Callable[[int], object], Callable[[], object]]:
    mlflow = _at(folder, mode)
    mlflow.set_experiment("bench")
    mlflow.start_run(run_id=(folder / "run").read_text(encoding="ascii"))
    log, is_synchronous = mlflow.log_metrics, mode != "async"

    def record(step: int) -> None:
        loss = 1.0 / (step + 1.1)
        log({"loss": loss, "lr": loss * 0.1}, step=step, synchronous=is_synchronous)

    def close() -> None:
        if not is_synchronous:
            mlflow.flush_async_logging()
        mlflow.end_run()

    return record, close


def reader(folder: Path, mode: str) -> Callable[[], Any]:
    client, run = _at(folder, mode).MlflowClient(), (folder / "run").read_text(encoding="ascii")
    return lambda: [client.get_metric_history(run, key) for key in ("loss", "lr")]


def columns(found: Any) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
    losses, rates = ({each.step: each.value for each in metric} for metric in found)
    steps = [step for step in losses if step in rates]
    return steps, [losses[step] for step in steps], [rates[step] for step in steps]
