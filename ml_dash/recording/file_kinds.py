"""Python values as file content: text, JSON, pickles, PyTorch objects, arrays; and which of them `files.save` picks.

Every function writes to an open binary file and never holds the content twice.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ConfigurationError
from ..facts.values import from_plain, to_plain
from .extras import optional

# The tags of values whose plain form is the usual one in JSON, and of those that Python's `json` writes by itself.
_USUAL_IN_JSON = {"datetime", "date", "time"}
_NUMBERS = {"nan", "inf", "-inf", "int"}
_PICKLE_ENDINGS = (".pkl", ".pickle")
_TORCH_ENDINGS = (".pt", ".pth")


def kind_of(content: Any, target: str | None) -> str:
    """The `save_*` that a value is for: `path blob json image fig torch pkl array`.  Raises ConfigurationError."""
    if isinstance(content, PathLike) or (isinstance(content, str) and _is_path(content)):
        return "path"
    if isinstance(content, str):
        raise ConfigurationError(
            f"{content!r:.100} is not the path of a file. Expected a path that exists; save_text saves the text itself"
        )
    kind = _kind_of_value(content, (target or "").lower())
    if kind is None:
        raise ConfigurationError(
            f"Unsupported content type: {type(content).__name__}. Expected a path, bytes, a dict or list, an array or "
            "image, a figure or a PyTorch object; use save_pkl for any other object"
        )
    if target is None:
        raise ConfigurationError(
            f"'to' is required when saving {type(content).__name__}: it names the file, as 'a.json' does"
        )
    return kind


def _is_path(text: str) -> bool:
    try:
        return bool(text) and Path(text).exists()
    except (OSError, ValueError):
        # Too long for a name, or with a NUL in it.
        return False


def _kind_of_value(content: Any, target: str) -> str | None:
    types = {f"{base.__module__.partition('.')[0]}.{base.__qualname__}" for base in type(content).__mro__}
    if isinstance(content, bytes | bytearray | memoryview):
        return "blob"
    if "torch.Module" in types or target.endswith(_TORCH_ENDINGS):
        return "torch"
    if target.endswith(_PICKLE_ENDINGS):
        return "pkl"
    if "matplotlib.Figure" in types:
        return "fig"
    if target.endswith(".npy") and hasattr(type(content), "__array__"):
        return "array"
    if "PIL.Image" in types or hasattr(type(content), "__array__"):
        return "image"
    if isinstance(content, Mapping | list | tuple):
        return "json"
    return None


def text_bytes(text: str, encoding: str) -> bytes:
    """Raises ConfigurationError for what is no string, or cannot be said in that encoding."""
    if not isinstance(text, str):
        raise ConfigurationError(
            f"save_text was given {type(text).__name__}. Expected a string; use save_json or save_blob"
        )
    try:
        return text.encode(encoding)
    except (UnicodeError, LookupError) as error:
        raise ConfigurationError(f"this text cannot be saved as {encoding}: {error}") from error


def json_bytes(content: Any) -> bytes:
    """Indented JSON as Python's `json` writes it: NaN and infinities stand as `NaN` and `Infinity`.

    Arrays, dataclasses, sets, paths and dates become what `spec/values.md` says.  Raises ConfigurationError for values
    that have no such form: a file must not silently hold something else.
    """
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, default=_simpler)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"this {type(content).__name__} cannot be saved as JSON: {error}. Use save_pkl for any Python object"
        ) from error
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8, but JSON has an escape for it.
        return json.dumps(content, indent=2, default=_simpler).encode()


def _simpler(value: Any) -> Any:
    """What `json` asks for when it does not know a value."""
    plain, tags = to_plain(value)
    if {tag[1] for tag in tags} - _USUAL_IN_JSON - _NUMBERS:
        raise TypeError(f"{type(value).__name__} has no JSON form")
    return from_plain(plain, [tag for tag in tags if tag[1] in _NUMBERS])


def blob(data: Any) -> bytes | bytearray | memoryview:
    """Raises ConfigurationError for what holds no bytes."""
    if isinstance(data, bytes | bytearray | memoryview):
        return data
    try:
        return memoryview(data)
    except TypeError as error:
        raise ConfigurationError(
            f"save_blob was given {type(data).__name__}. Expected bytes; use save_text for a string"
        ) from error


def write_pickle(file: BinaryIO, content: Any) -> None:
    try:
        pickle.dump(content, file)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"this {type(content).__name__} cannot be pickled: {error}") from error


def write_torch(file: BinaryIO, content: Any) -> None:
    """`torch.save`: a module, a state dict, a tensor."""
    optional("torch", "torch", "saving PyTorch objects").save(content, file)


def write_array(file: BinaryIO, content: Any) -> None:
    """NumPy's `.npy` format."""
    numpy = optional("numpy", "ml_dash[analysis]", "saving arrays")
    try:
        numpy.save(file, numpy.asarray(content), allow_pickle=False)
    except ValueError as error:
        raise ConfigurationError(f"this array cannot be saved as .npy: {error}. Use save_pkl for it") from error
