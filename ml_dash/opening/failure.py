"""How a failed session's exception stands in the journal: type, message and traceback, bounded, whatever it is."""

from __future__ import annotations

import traceback
from typing import Any

MESSAGE_CHARACTERS_MAX = 10_000
TRACEBACK_CHARACTERS_MAX = 50_000


def describe_failure(error: BaseException | str | None) -> dict[str, Any] | None:
    """The payload `{type, message, traceback}`; `type` and `traceback` are None for a message in words."""
    if error is None:
        return None
    if not isinstance(error, BaseException):
        return {"type": None, "message": _shorten(_text_of(error), MESSAGE_CHARACTERS_MAX), "traceback": None}
    return {
        "type": _name_of(type(error)),
        "message": _shorten(_text_of(error), MESSAGE_CHARACTERS_MAX),
        "traceback": _shorten(_traceback_of(error), TRACEBACK_CHARACTERS_MAX),
    }


def _name_of(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception as error:
        # A `__str__` of the user's; the failure that it belongs to must still be recorded.
        return f"<{type(value).__name__} whose text cannot be had: {type(error).__name__}>"


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception as problem:
        return f"<traceback cannot be had: {type(problem).__name__}>"


def _shorten(text: str, characters_max: int) -> str:
    """The beginning and the end, which say most."""
    if len(text) <= characters_max:
        return text
    half = characters_max // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
