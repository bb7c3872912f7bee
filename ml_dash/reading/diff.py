"""`ml_dash.diff`: what differs between two experiments, or between two moments of one."""

from __future__ import annotations

import os
from datetime import datetime

from ..errors import ConfigurationError
from ..history import load
from ..state.differences import Difference, difference
from .run_view import Run

Point = str | Run | tuple[str, int | datetime | None]
"""An experiment at a moment: a prefix, perhaps with `@` and a moment, a pair of both, or what `load` gave."""


def diff(a: Point, b: Point, *, dash_root: str | os.PathLike[str] | None = None, dash_url: object = None) -> Difference:
    """What is not the same in `b` as in `a`: params, metadata, status, summaries of metrics, tracks and files.

    Each is a prefix, `"prefix@1500"` (after that event), `"prefix@2026-03-01T14:30:00"` (at that time), `(prefix, at)`
    with `at` as in `load`, or a Run.  What stands behind the last `@` and is neither a number nor a time belongs to the
    prefix; a prefix that ends like a moment is given as `(prefix, None)`.

    Raises what `load` raises, and ConfigurationError for anything else.
    """
    old, new = (_run(point, dash_root, dash_url) for point in (a, b))
    return difference(old.state, new.state)


def parse_point(text: str) -> tuple[str, int | datetime | None]:
    """`prefix@SEQ`, `prefix@TIME` or `prefix` as a prefix and a moment; the time in ISO 8601."""
    prefix, separator, moment = text.rpartition("@")
    if separator:
        if moment.isdecimal() and moment.isascii():
            return prefix, int(moment)
        try:
            return prefix, datetime.fromisoformat(moment.replace("Z", "+00:00"))
        except ValueError:
            pass
    return text, None


def _run(point: object, dash_root: str | os.PathLike[str] | None, dash_url: object) -> Run:
    if isinstance(point, Run):
        return point
    if isinstance(point, str):
        point = parse_point(point)
    if not isinstance(point, tuple) or len(point) != 2:
        raise ConfigurationError(
            f"{point!r:.200} is no experiment: expected a prefix such as 'alice/ml/a', 'alice/ml/a@1500', a pair of a "
            "prefix and a moment, or what ml_dash.load gave"
        )
    prefix, at = point
    return load(prefix, dash_root=dash_root, dash_url=dash_url, at=at)
