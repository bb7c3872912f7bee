"""What people say of an experiment in words: description, tags, bindrs, metadata.

Given replaces what was stored, not given (None) keeps it; so `tags=[]` clears the tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .errors import ConfigurationError

KEYS = ("description", "tags", "bindrs", "metadata")


def checked(key: str, value: object) -> Any:
    """`value` as it is recorded under `key`; None stays None.  Raises ConfigurationError."""
    if value is None:
        return None
    if key == "description":
        return _text(key, value)
    return _mapping(key, value) if key == "metadata" else _names(key, value)


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{key}={value!r:.200} is a {type(value).__name__}: expected a str")
    return value


def _names(key: str, value: object) -> list[str]:
    """A single str is one name, not the list of its letters."""
    names = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else None
    if names is None or isinstance(value, (Mapping, bytes)):
        raise ConfigurationError(f"{key}={value!r:.200} is a {type(value).__name__}: expected a list of str")
    for name in names:
        if not isinstance(name, str):
            raise ConfigurationError(f"{key} has {name!r:.200}, a {type(name).__name__}: expected a list of str")
    return names


def _mapping(key: str, value: object) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{key}={value!r:.200} is a {type(value).__name__}: expected a dict")
    return dict(value)


class BindrNames(list[str]):
    """The names that the experiment is bound to; called with one, that bindr: `experiment.bindrs("best").list()`."""

    def __init__(self, names: Iterable[str], look_up: Any) -> None:
        super().__init__(names)
        self._look_up = look_up

    def __call__(self, name: str) -> Any:
        return self._look_up(name)
