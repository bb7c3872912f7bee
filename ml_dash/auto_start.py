"""`dxp`: an experiment that is ready to be started.

    from ml_dash import RUN
    from ml_dash.auto_start import dxp

    RUN.prefix = "alice/mnist/baseline"  # or ML_DASH_PREFIX, or the default prefix
    with dxp.run:
        dxp.params.set(lr=0.001)

It is one object for the whole process.  Importing it touches neither disk nor network; it is named when it starts, so
what RUN says until then counts.
"""

from .experiment import Experiment

__all__ = ["dxp"]

dxp = Experiment()
"""Records to `.dash`, or ML_DASH_ROOT."""
