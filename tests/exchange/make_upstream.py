"""Records what `tests/exchange/upstream/` holds, with the real package `ml-dash`.

It has the import name that ours has, so it is run in an environment of its own, once for each release:

    python -m venv upstream && upstream/bin/pip install ml-dash==0.6.27
    upstream/bin/python tests/exchange/make_upstream.py tests/exchange/upstream/0.6.27

The lock files that it leaves are removed; everything else stands as that package wrote it.  What is there is evidence
and is never made again.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ml_dash import Experiment

PREFIX = "alice/proj/run-a"


def record(root: Path) -> None:
    experiment = Experiment(
        prefix=PREFIX, dash_root=str(root), readme="A description", tags=["x", "y"], metadata={"k": 1}
    )
    with experiment.run as run:
        run.params.set(lr=0.001, model={"depth": 50}, nothing=None, sizes=[1, 2])
        run.log("hello", level="info", metadata={"a": 1})
        run.logs.error("bad\nthing")
        for step in range(30):
            loss = float("nan") if step == 3 else 1 / (step + 1)
            run.metrics("train").log(step=step, loss=loss, note="s")
            run.metrics("eval").log(epoch=step, acc=float("inf") if step == 2 else step)
        run.metrics.log(epoch=1, a=2, train={"loss": 0.5, "step": 30})
        if hasattr(run, "tracks"):
            for time in range(5):
                run.tracks("robot/pose").append(_ts=100.0 + time, x=time, q=[1, 2], n={"a": 1})
        run.files("models").save_json({"a": 1}, to="cfg.json")
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "x.txt")
            source.write_text("hey")
            run.files("data", description="d", tags=["t"]).upload(str(source))
            if hasattr(run, "flush"):
                run.flush()
        gone = run.files("data").save_text("bye", to="gone.txt")
        if gone.get("id") not in (None, "pending"):
            run.files("data/gone.txt").delete()
    with experiment.run as run:
        run.params.set(lr=0.002)
        run.log("again")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    record(target)
    for lock in target.rglob("*.lock"):
        lock.unlink()
