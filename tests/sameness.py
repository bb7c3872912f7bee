"""Equality that tells `1` from `True` and `1.0`, and `0.0` from `-0.0`, and finds NaN equal to itself."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import datetime, time
from typing import Any


def same(left: Any, right: Any) -> bool:
    """Equal, of the same types, to the sign of zero; without recursion."""
    pairs = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, (list, tuple)):
            if len(one) != len(other):
                return False
            pairs += zip(one, other, strict=True)
        elif isinstance(one, dict):
            pairs += [(list(one), list(other)), (list(one.values()), list(other.values()))]
        elif is_dataclass(one):
            pairs += [(getattr(one, each.name), getattr(other, each.name)) for each in fields(one)]
        elif isinstance(one, (float, complex, datetime, time)):
            if repr(one) != repr(other):
                return False
        elif one != other:
            return False
    return True
