"""Arguments of Experiment that are not as they should be: misspelt, under an old name, of no known value."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from operator import index
from typing import Any

from ..errors import ConfigurationError
from ..run import FIELDS
from . import environment_variables
from .nearest import nearest
from .place import DEFAULT_ROOT, Default

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


def take_deprecated(run_fields: dict[str, Any], dash_root: Any, dash_url: Any) -> tuple[Any, Any]:
    """`dash_root` and `dash_url`, which `run_fields` may have by the names they had once; takes those out of it."""
    if "remote" in run_fields:
        remote = _take(run_fields, "remote", "dash_url")
        dash_url = remote if dash_url is None else dash_url
    if "local_path" in run_fields:
        local_path = _take(run_fields, "local_path", "dash_root")
        dash_root = local_path if dash_root is DEFAULT_ROOT and local_path is not None else dash_root
    return dash_root, dash_url


def _take(given: dict[str, Any], old: str, new: str) -> Any:
    # The line that is shown is the user's, who called `Experiment(…)`.
    warnings.warn(f"Experiment({old}=…) is deprecated: write {new}=…", DeprecationWarning, stacklevel=4)
    return given.pop(old)


def durability_of(durability: object) -> str:
    """`normal` or `strict`.  Raises ConfigurationError."""
    if durability is NORMAL:
        return environment_variables.durability()
    if durability not in DURABILITIES:
        raise ConfigurationError(f"durability={durability!r:.80} is unknown: expected 'normal' or 'strict'")
    return str(durability)


def whole_number(value: object) -> int | None:
    """An integer, also one of NumPy; None for anything else, `True` and `False` among it."""
    try:
        return None if isinstance(value, bool) else index(value)  # type: ignore[arg-type]
    except TypeError:
        return None
