"""An experiment with something of everything, to be exported."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ml_dash import Experiment

from .support import PREFIX


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dash root; the second session goes on from step 15 after 20 were logged."""
    root = tmp_path_factory.mktemp("recorded")
    with Experiment(PREFIX, dash_root=root, tags=["x"], description="A *first* try", console=False).run as run:
        run.params.set(lr=0.1, model={"depth": 3}, sizes=[1, 2], nothing=None, flag=True, optimizer="adam", big=2**70)
        for step in range(20):
            run.metrics("train").log(step=step, loss=1 / (step + 1), note='a,"b"' if step % 2 else None)
        run.metrics("odd/values").log(v=math.nan, mixed=1, wide=2**70, text="NaN", empty="", item=[1, 2], ok=True)
        run.metrics("odd/values").log(v=math.inf, mixed="x", wide=1, text=None, empty=None, ok=False)
        run.metrics("odd/values").log(v=-math.inf, mixed=math.nan, wide=2, text="é\n", empty="", ok=None)
        run.metrics.log(z=1, big=2**53 + 1)
        run.tracks("robot/pose").append(q=[0.1, 0.2], x=1, _ts=1.5)
        run.tracks("robot/pose").append(x=2, _ts=0.5)
        run.log("hello", level="warn", a=1)
        run.files("m").save_json({"a": 1}, to="c.json")
        run.files("img").save_image(np.zeros((8, 8, 3), dtype=np.uint8), to="x.png")
    with Experiment(PREFIX, dash_root=root, console=False).run as run:
        for step in range(15, 25):
            run.metrics("train").log(step=step, loss=-1.0)
    return root
