"""What is known of metrics in all: `stats()` and `list_all()`, in the words of the package we replace.

What only makes sense for its storage, the chunks, has the value that it has there in local mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..facts.codec import CodecError
from ..facts.copies import own_copy
from ..reading.lineage import blocks_of
from ..reading.points import commits_of, iso_time
from ..reading.replay import Replay
from ..state import MetricState


def stats(replay: Replay, name: str | None, described: Mapping[str, Any]) -> dict[str, Any]:
    """One metric; `described` is what is said of it as long as nothing has been recorded."""
    metric = replay.refresh().metrics.get(name) or MetricState(name)
    times = _times_of(replay, [metric])
    first, last = times.get(metric.first_seq), times.get(metric.last_seq)
    return {
        "metricId": _metric_id(name),
        "name": name,
        "description": metric.description if metric.description is not None else described.get("description"),
        "tags": list(metric.tags or described.get("tags") or ()),
        # The state's own must not change when the caller's does.
        "metadata": own_copy(metric.metadata if metric.metadata is not None else described.get("metadata")),
        "totalDataPoints": str(metric.count),
        "bufferedDataPoints": str(metric.count),
        "chunkedDataPoints": "0",
        "totalChunks": 0,
        "chunkSize": 10000,
        "firstDataAt": first,
        "lastDataAt": last,
        "createdAt": first,
        "updatedAt": last,
    }


def list_all(replay: Replay) -> list[dict[str, Any]]:
    """Every metric that has points, in the order of their first ones."""
    metrics = [metric for metric in replay.refresh().metrics.values() if metric.count]
    times = _times_of(replay, metrics)
    return [
        {
            "metricId": _metric_id(metric.name),
            "name": metric.name,
            "description": metric.description,
            "tags": list(metric.tags),
            "totalDataPoints": str(metric.count),
            "createdAt": times.get(metric.first_seq),
        }
        for metric in sorted(metrics, key=lambda metric: metric.first_seq or 0)
    ]


def summary_of_state(metric: MetricState) -> dict[str, dict[str, Any]]:
    """`Columns.summary` as far as the state knows it: of all points, without the steps of the best ones."""
    return {
        name: {
            "count": field.count,
            "last": own_copy(field.last),
            "min": field.min,
            "max": field.max,
            "mean": field.sum / field.count if field.count else None,
            "min_step": None,
            "max_step": None,
        }
        for name, field in metric.fields.items()
    }


def _metric_id(name: str | None) -> str:
    return "local-metric" if name is None else f"local-metric-{name}"


def _times_of(replay: Replay, metrics: Iterable[MetricState]) -> dict[int | None, str]:
    """When the first and the last point of each metric were recorded, by their sequence numbers."""
    wanted = sorted({seq for metric in metrics for seq in (metric.first_seq, metric.last_seq) if seq is not None})
    times: dict[int | None, str] = {}
    if not wanted:
        return times
    wanted.reverse()
    for line in commits_of(replay):
        if line.last < wanted[-1]:
            continue
        at = _event_times(line) if line.first <= wanted[-1] else {}
        while wanted and wanted[-1] <= line.last:
            seq = wanted.pop()
            times[seq] = iso_time(at.get(seq - line.first, line.time_us))
        if not wanted:
            break
    return times


def _event_times(line: Any) -> dict[int, int]:
    try:
        blocks = blocks_of(line)
    except CodecError:
        return {}
    return {
        position: at
        for block in blocks
        for position, at in zip(block.positions, block.times_us(line.time_us), strict=True)
    }
