"""Values, times and sizes as people read them, and as JSON says them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from math import isfinite, isnan
from typing import Any

import orjson
from rich.cells import cell_len, chop_cells

DEPTH_MAX = 200
"""JSON is written this many containers deep: readers of it have limits, and so has orjson, 254."""
NON_FINITE_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def json_form(value: Any, depth_max: int = DEPTH_MAX) -> Any:
    """What `--json` says for a value: JSON where it can; NaN and infinities as "NaN", "Infinity" and "-Infinity".

    Those are the words of ECMAScript and of the JSON form of Protocol Buffers; `null` would be a silent change.  A
    container that lies too deep is a sentence that says so.
    """
    if isinstance(value, Enum):
        return json_form(value.value, depth_max)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, float):
        return value if isfinite(value) else ("NaN" if isnan(value) else NON_FINITE_WORDS[repr(value)])
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, (Mapping, list, tuple, set, frozenset)) and not depth_max:
        return f"<nested deeper than {DEPTH_MAX} levels>"
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else str(key): json_form(item, depth_max - 1) for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_form(item, depth_max - 1) for item in value]
    return repr(value)


def to_json(value: Any) -> str:
    """One line of JSON.  Text that UTF-8 cannot say (a lone surrogate) is shown with a backslash."""
    form = json_form(value)
    try:
        return orjson.dumps(form).decode()
    except (TypeError, ValueError):
        return orjson.dumps(_replace_surrogates(form)).decode()


def one_line(value: Any, length_max: int | None = None) -> str:
    """A value on one line for people: text as it is, anything else as JSON."""
    text = value if isinstance(value, str) else to_json(value)
    text = " ".join(text.split())
    if length_max is not None and len(text) > length_max:
        return text[: length_max - 1] + "…"
    return text


def cut_in_the_middle(text: str, width: int) -> str:
    """At most `width` cells of it: a third from its beginning, the rest from its end, where names differ."""
    if cell_len(text) <= width:
        return text
    head = chop_cells(text, max(1, (width - 1) // 3))[0]
    end = len(text)
    while end > 0 and cell_len(text[end - 1 :]) <= width - 1 - cell_len(head):
        end -= 1
    return f"{head}…{text[end:]}" if width > 2 else text[: max(0, width)]


def error_words(error: Mapping[str, Any]) -> str:
    """`ValueError: loss is nan`, or what there is of it."""
    return ": ".join(str(error[part]) for part in ("type", "message") if error.get(part))


def local_time(moment: datetime | None) -> str:
    """In the reader's time zone, to the second."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def how_long(seconds: float) -> str:
    """`12 min`, `3 h`, `5 d`."""
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s):,} {unit}"
    return f"{int(seconds)} s"


def number(value: Any) -> str:
    """Six significant digits for a float, thousands separators for an integer."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return one_line(value, 40)


def size(count: int) -> str:
    """A number of bytes in powers of 1,024."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _replace_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_replace_surrogates(key): _replace_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace_surrogates(item) for item in value]
    return value
