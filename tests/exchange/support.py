"""What the tests of export and import share."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import ml_dash
from ml_dash.exchange.event_lines import to_line
from ml_dash.exchange.importing import import_from
from ml_dash.exchange.reports import ImportReport
from ml_dash.state.plain_state import to_plain_state

PREFIX = "alice/ml/a"


def import_one(source: Path, root: Path, prefix: str | None = PREFIX, **arguments: Any) -> ImportReport:
    """Imports a source that is one experiment."""
    (report,) = import_from(source, dash_root=root, prefix=prefix, **arguments)
    return report


def values(root: Path, prefix: str = PREFIX) -> dict[tuple[str | None, str], list[Any]]:
    """Every value of every metric, those that a point lacks left out."""
    found: dict[tuple[str | None, str], list[Any]] = {}
    for event in ml_dash.events(prefix, dash_root=root):
        if event.type == "metric.logged":
            for key, value in event.data["fields"].items():
                found.setdefault((event.data["name"], key), []).append(value)
    return found


def same(left: list[Any], right: list[Any]) -> bool:
    """Equal with their types; NaN is NaN."""
    return len(left) == len(right) and all(map(_same, left, right))


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return type(left) is type(right) and left == right


def counts(root: Path, prefix: str = PREFIX) -> Counter[tuple[str | None, str]]:
    return Counter({series: len(found) for series, found in values(root, prefix).items()})


def lines(root: Path, prefix: str = PREFIX) -> list[bytes]:
    """The history, byte for byte."""
    return [to_line(event) for event in ml_dash.events(prefix, dash_root=root)]


def state(root: Path, prefix: str = PREFIX) -> dict[str, Any]:
    return to_plain_state(ml_dash.load(prefix, dash_root=root).state)


def files_below(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of every file: what a source must be afterwards too."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
