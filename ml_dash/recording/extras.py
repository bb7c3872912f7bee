"""Optional libraries: loaded when they are first needed, and named when they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import MissingExtraError


def optional(module: str, install: str, purpose: str) -> Any:
    """The module.  `install` is what pip needs to be told, `purpose` what needs it.  Raises MissingExtraError."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs {module.partition('.')[0]}, which is not installed ({error}). Install it with "
            f"`pip install '{install}'`"
        ) from error
