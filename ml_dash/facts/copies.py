"""Copies of values as they come back from the journal, so that what a caller changes is the caller's own.

They are lists and dicts of what cannot change.  `copy.deepcopy` goes down with the depth of Python's stack, and values
may be nested a thousand deep (`spec/values.md`).

Pure: no I/O.
"""

from __future__ import annotations

from typing import Any, TypeVar

_Value = TypeVar("_Value")


def own_copy(value: _Value) -> _Value:
    """`value` in new lists and dicts, however deep it is."""
    result: list[Any] = [value]
    waiting: list[tuple[list[Any] | dict[Any, Any], Any]] = [(result, 0)]
    while waiting:
        holder, key = waiting.pop()
        found = holder[key]
        if isinstance(found, dict):
            copy: list[Any] | dict[Any, Any] = dict(found)
            waiting += [(copy, inner) for inner, item in found.items() if isinstance(item, (list, dict))]
        elif isinstance(found, list):
            copy = list(found)
            waiting += [(copy, index) for index, item in enumerate(found) if isinstance(item, (list, dict))]
        else:
            continue
        holder[key] = copy
    copied: _Value = result[0]
    return copied
