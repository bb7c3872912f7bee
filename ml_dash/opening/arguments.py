"""Arguments of Experiment that are not as they should be: misspelt, under an old name, of no known value."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError
from ..run import FIELDS, nearest
from . import environment_variables
from .place import Default

NORMAL = Default("normal")
DURABILITIES = ("normal", "strict")
ARGUMENTS = frozenset(
    "prefix description readme tags bindrs metadata dash_url dash_root ship_timeout_s durability console capture_output"
    " system_metrics fork".split(),
)


def check_keywords(run_fields: Mapping[str, Any]) -> None:
    """Raises TypeError, naming the nearest one, for a keyword that neither Experiment nor RUN has."""
    for name in run_fields:
        if name not in FIELDS:
            known = FIELDS | ARGUMENTS
            raise TypeError(
                f"Experiment has no argument {name!r}.{nearest(name, known)} It has {', '.join(sorted(known))}"
            )


def take_deprecated(given: dict[str, Any], old: str, new: str) -> Any:
    """Takes out the value of an argument that goes by another name now."""
    warnings.warn(f"Experiment({old}=…) is deprecated: write {new}=…", DeprecationWarning, stacklevel=3)
    return given.pop(old)


def durability_of(durability: object) -> str:
    """`normal` or `strict`.  Raises ConfigurationError."""
    if durability is NORMAL:
        return environment_variables.durability()
    if durability not in DURABILITIES:
        raise ConfigurationError(f"durability={durability!r:.80} is unknown: expected 'normal' or 'strict'")
    return str(durability)
