"""`rdxp`: as `dxp` (see `auto_start.py`), with `dash_url=True`: it also goes to the server that `RUN.api_url` names."""

from .experiment import Experiment

__all__ = ["rdxp"]

rdxp = Experiment(dash_url=True)
"""Records to the server that RUN.api_url (ML_DASH_API_URL) names."""
