"""What was measured becomes rows: each figure with its ratio to ours, one that failed with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..rows import Results
from .roster import OURS, Peer

HEADS = (
    "peer, version",
    "points",
    "a call: p50, p99.9 µs",
    "points/s until closed and durable",
    "bytes a point",
    "points/s read back",
    "lost when killed after 3 s flat out",
    "four writers, one experiment: points/s, lost",
)
SMALL_RATIO = 0.1
"""Below this a ratio is written as one part of ours: 1/38."""
Failures = Mapping[str, str]
"""By `PEER.key MEASUREMENT`, or `PEER.key` where it could not be installed or started: why."""


def rows(peers: Sequence[Peer], versions: Mapping[str, str], results: Results, failures: Failures) -> list[list[str]]:
    return [_row(peer, versions.get(peer.key, ""), results, failures) for peer in peers]


def _row(peer: Peer, version: str, results: Results, failures: Failures) -> list[str]:
    name = f"{peer.name} {version}".strip()
    if (failure := failures.get(peer.key)) is not None:
        return [name, "", f"not measured: {_plain(failure)}", *[""] * (len(HEADS) - 3)]
    points = f"{peer.points:,}" if peer.points == peer.points_of_four else f"{peer.points:,}; {peer.points_of_four:,}"
    cells = {
        "recorded": _recorded(peer, results),
        "killed": _killed(peer, results),
        "four": _four(peer, results),
    }
    for measurement, found in cells.items():
        if (failure := failures.get(f"{peer.key} {measurement}")) is not None:
            cells[measurement] = [f"failed: {_plain(failure)}", *[""] * (len(found) - 1)]
    return [name, points, *(cell for found in cells.values() for cell in found)]


def _recorded(peer: Peer, results: Results) -> list[str]:
    try:
        p50, p999 = results.of(peer.key, "p50_us"), results.of(peer.key, "p999_us")
        lost = results.worst(peer.key, "closed_lost")
        return [
            f"{figure(p50)}, {figure(p999)}{_ratio(peer, results, 'p50_us')}",
            _with_ratio(peer, results, "points_per_s"),
            _with_ratio(peer, results, "bytes_per_point"),
            _with_ratio(peer, results, "read_per_s") + (f", {lost:,.0f} missing" if lost else ""),
        ]
    except KeyError:
        return [""] * 4


def _killed(peer: Peer, results: Results) -> list[str]:
    try:
        found = [f"{results.of(peer.key, 'killed_lost'):,.0f} of {results.of(peer.key, 'returned'):,.0f}"]
    except KeyError:
        return [""]
    if results.worst(peer.key, "killed_lost") > results.of(peer.key, "killed_lost"):
        found.append(f"at most {results.worst(peer.key, 'killed_lost'):,.0f}")
    return ["; ".join(found)]


def _four(peer: Peer, results: Results) -> list[str]:
    try:
        points, lost = results.of(peer.key, "four_points"), results.worst(peer.key, "four_lost")
        return [f"{_with_ratio(peer, results, 'four_per_s')}, {lost:,.0f} of {points:,.0f}"]
    except KeyError:
        return [""]


def _with_ratio(peer: Peer, results: Results, name: str) -> str:
    return f"{figure(results.of(peer.key, name))}{_ratio(peer, results, name)}"


def _ratio(peer: Peer, results: Results, name: str) -> str:
    """How many times ours, or which part of it; nothing for ourselves, or where ours was not measured."""
    try:
        ours = results.of(OURS.key, name)
    except KeyError:
        return ""
    if peer.key == OURS.key or not ours:
        return ""
    ratio = results.of(peer.key, name) / ours
    return f" (1/{1 / ratio:,.0f})" if 0 < ratio < SMALL_RATIO else f" ({figure(ratio)} ×)"


def figure(value: float) -> str:
    """Three digits that matter: 0.0021, 1.72, 25.4, 364,720."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def notes(peers: Sequence[Peer]) -> str:
    return "\n".join(f"- **{peer.name}**: {peer.used}." for peer in peers)


def _plain(words: str) -> str:
    return words.replace("|", "/")[:160]
