"""A notebook whose cells are run again: by IPython if it is installed, else by what is behind Python's own prompt.

python notebook.py .dash
"""

from __future__ import annotations

import code
import importlib.util
import sys
from collections.abc import Callable

STARTED = """
from ml_dash import Experiment
experiment = Experiment("alice/notebook/started", dash_root=ROOT)
experiment.run.start()
experiment.params.set(lr=LR)
for step in range(5):
    experiment.metrics("train").log(step=step, loss=LR / (step + 1))
"""
BLOCK = """
with Experiment("alice/notebook/block", dash_root=ROOT).run as block:
    for step in range(5):
        block.metrics("train").log(step=step, loss=LR / (step + 1))
        if step == 3 and LR > 1:
            raise ValueError("the loss diverged")
"""
NAMELESS = """
with Experiment(dash_root=ROOT).run as nameless:
    nameless.metrics("train").log(lr=LR)
print(nameless.prefix)
"""


def interpreter(names: dict[str, object]) -> Callable[[str], object]:
    if importlib.util.find_spec("IPython") is not None:
        from IPython.core.interactiveshell import InteractiveShell

        shell = InteractiveShell.instance(user_ns=names)
        return shell.run_cell
    # What `code.interact` sets, and every prompt has: an exception that was shown has ended nothing.
    sys.ps1 = ">>> "
    console = code.InteractiveInterpreter(names)
    return lambda cell: console.runsource(cell, "<cell>", "exec")


def main(dash_root: str) -> None:
    names: dict[str, object] = {"ROOT": dash_root}
    run = interpreter(names)
    for cell, rates in ((STARTED, (0.1, 0.2)), (BLOCK, (10.0, 0.5)), (NAMELESS, (1.0, 2.0))):
        for rate in rates:
            names["LR"] = rate
            run(cell)


if __name__ == "__main__":
    main(sys.argv[1])
