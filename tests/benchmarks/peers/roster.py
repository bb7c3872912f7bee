"""Who is measured, how it is used, and how many points it is given: slow ones fewer, so that a round stays minutes."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Peer:
    """`points` for one writer, `points_of_four` for four together; `requirements` None is this checkout.

    Peers that have the same `environment` share it.
    """

    name: str
    environment: str
    requirements: tuple[str, ...] | None
    driver: str
    mode: str
    points: int
    points_of_four: int
    used: str

    @property
    def key(self) -> str:
        return f"{self.environment}-{self.mode}"

    def smaller(self, by: int) -> Peer:
        return replace(self, points=self.points // by, points_of_four=self.points_of_four // by)


MLFLOW = ("mlflow-skinny", "sqlalchemy", "alembic", "sqlparse")
"""MLflow without its pages and what those need: the store and the client are the same."""
OURS = Peer(
    "ours",
    "ours",
    None,
    "with_ours",
    "default",
    1_000_000,
    1_000_000,
    "core install of this checkout, `metrics(…).log(step=…, loss=…, lr=…)`, read by `load(…).metrics[…].columns()`",
)
PEERS = (
    OURS,
    Peer(
        "ml-dash",
        "ml-dash",
        ("ml-dash<1",),
        "with_ml_dash",
        "buffered",
        200_000,
        200_000,
        "the same calls, local, its buffer on as by default; read by `metrics(…).read`, 10,000 a call",
    ),
    Peer(
        "wandb",
        "wandb",
        ("wandb",),
        "with_wandb",
        "offline",
        20_000,
        20_000,
        "offline mode, `run.log`; read by `wandb leet inspect --json`, since its API reads from servers only; "
        "four writers are four runs of one group, as it documents",
    ),
    Peer(
        "trackio",
        "trackio",
        ("trackio",),
        "with_trackio",
        "local",
        50_000,
        20_000,
        "local, `trackio.log`; read by what its dashboard reads from; four writers resume one name",
    ),
    Peer(
        "MLflow, SQLite",
        "mlflow",
        MLFLOW,
        "with_mlflow",
        "sqlite",
        500,
        200,
        "`log_metrics` of two values and a step, as by default; read by `get_metric_history`; `mlflow-skinny` with "
        "SQLAlchemy and Alembic, which is MLflow without its pages; four writers take up one run",
    ),
    Peer(
        "MLflow, SQLite, asynchronous",
        "mlflow",
        MLFLOW,
        "with_mlflow",
        "async",
        2_000,
        200,
        "the same with `synchronous=False`, flushed at the end",
    ),
    Peer(
        "MLflow, files",
        "mlflow",
        MLFLOW,
        "with_mlflow",
        "files",
        4_000,
        2_000,
        "the same with its older store of files, which it has put into maintenance",
    ),
    Peer(
        "tensorboardX",
        "tensorboardx",
        ("tensorboardX", "tensorboard"),
        "with_tensorboardx",
        "events",
        50_000,
        20_000,
        "two `add_scalar` a point, 32-bit values; read by TensorBoard's `EventAccumulator`; it is made for one writer "
        "a folder: of several that begin in the same second, each writes over the others' file",
    ),
)
