"""Numbers as pictures of one line."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[Any], width: int) -> str:
    """At most `width` characters, each the mean of its share of the values; `·` where there is no finite number."""
    if not values:
        return ""
    cells = []
    width = min(width, len(values))
    for cell in range(width):
        share = values[cell * len(values) // width : (cell + 1) * len(values) // width]
        numbers = [float(value) for value in share if isinstance(value, (int, float)) and isfinite(value)]
        cells.append(sum(numbers) / len(numbers) if numbers else None)
    known = [cell for cell in cells if cell is not None]
    if not known:
        return "·" * width
    low, high = min(known), max(known)
    step = (high - low) / (len(_BARS) - 1)
    return "".join("·" if cell is None else _BARS[round((cell - low) / step) if step > 0 else 0] for cell in cells)
