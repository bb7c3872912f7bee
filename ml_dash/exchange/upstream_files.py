"""The files of an `ml-dash` experiment, read as that package (0.6 to 0.11) lays them out; what is torn is counted.

experiment.json                     name project description tags bindrs prefix metadata created_at updated_at
parameters.json                     {"version", "data": {dotted key: value}, "updatedAt"}
logs/logs.jsonl                     {"sequenceNumber", "timestamp", "level", "message", "metadata"?}
metrics/<name>/data.jsonl           {"index", "data": {field: value}, "createdAt"}; metadata.json beside it has the name
tracks/<topic, "/" as "_">/data.jsonl      {"timestamp", column: value, …}; metadata.json beside it has the topic
files/.files_metadata.json          {"files": [{"id", "path", "filename", …}]}
files/<path>/<id>/<filename>        the content
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..clock import from_datetime
from .reports import Tally

HOUR_US = 3_600_000_000


def read_json(path: Path, tally: Tally, what: str) -> dict[str, Any]:
    """The object in a file; {} where there is none.  NaN and infinities are as Python's `json` writes them."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        tally.leave_out(f"unreadable {what}", 1, f"{path.name} cannot be read: {error}")
        return {}
    if not isinstance(found, dict):
        tally.leave_out(f"unreadable {what}", 1, f"{path.name} is no object")
        return {}
    return found


def read_lines(path: Path, tally: Tally, what: str) -> Iterator[dict[str, Any]]:
    """The objects in a file of JSON lines; lines that are none are counted."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        tally.leave_out(f"unreadable {what} file", 1, f"{path} cannot be read: {error}")
        return
    with file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                found = None
            if isinstance(found, dict):
                yield found
            else:
                tally.leave_out(
                    f"torn {what} line", 1, f"{path.parent.name}/{path.name} line {number} is torn or damaged"
                )


def time_us_of(text: object) -> int | None:
    """ISO 8601 → microseconds since 1970; without a zone it is UTC.  None where it is no time."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))


def point_time_us(fields: dict[str, Any], created_us: int) -> int:
    """When a point was recorded: its `_ts` if that lies in the hour before it was written, else when it was written.

    Points are written in batches, so `createdAt` is when the buffer was emptied; but `_ts` may also be a robot's clock.
    """
    stamp = fields.get("_ts")
    if isinstance(stamp, int | float) and not isinstance(stamp, bool) and abs(stamp) < 1e11:
        stamp_us = round(stamp * 1_000_000)
        if created_us - HOUR_US <= stamp_us <= created_us:
            return stamp_us
    return created_us
