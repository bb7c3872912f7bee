"""The rows of the table about reading back."""

from __future__ import annotations

from collections.abc import Callable

from .rows import Results, Row, times

MEGA = 1e6


def _peak(key: str) -> Callable[[Results], str]:
    return lambda r: f"peak memory {r.of(key, 'peak_bytes') / MEGA:,.0f} MB"


def _rate(key: str) -> Callable[[Results], str]:
    return lambda r: f"{r.of(key, 'points_per_s') / MEGA:.1f} M points/s"


def _replay(key: str, what: str) -> Row:
    return Row(
        what,
        "≥ 4 M points/s",
        _rate(key),
        lambda r: f"{times(r.of(key, 'points_per_s'), r.of('sustained ours', 'points_per_s'))} recording",
        lambda r: r.of(key, "points_per_s") >= 4e6,
        _peak(key),
    )


def _at(key: str, what: str) -> Row:
    return Row(
        what,
        "≤ 3 s, anywhere",
        lambda r: f"≤ {r.of(key, 'number_s'):.2f} s by number, ≤ {r.of(key, 'time_s'):.2f} s by time",
        lambda r: "",
        lambda r: max(r.worst(key, "number_s"), r.worst(key, "time_s")) <= 3,
        _peak(key),
    )


def _columns(key: str, what: str, target: float) -> Row:
    return Row(
        what,
        f"≥ {target / MEGA:.0f} M points/s",
        lambda r: (
            f"{_rate(key)(r)}"
            + (f", {r.of(key, 'read_per_s') / MEGA:.1f} M/s of all that is read" if key == "columns ten" else "")
        ),
        lambda r: f"{times(r.of(key, 'read_per_s'), r.of('replay ours', 'points_per_s'))} replay",
        lambda r: r.of(key, "points_per_s") >= target,
        _peak(key),
    )


def _verify(key: str, what: str) -> Row:
    return Row(
        what,
        "≥ 300 MB/s",
        lambda r: f"{r.of(key, 'mb_per_s'):,.0f} MB/s",
        lambda r: f"{times(r.of(key, 'mb_per_s'), r.of('hashing plain', 'mb_per_s'))} hashing files",
        lambda r: r.of(key, "mb_per_s") >= 300,
        _peak(key),
    )


def _list(key: str, what: str, target_s: float) -> Row:
    return Row(
        what,
        f"≤ {target_s:.0f} s",
        lambda r: f"{r.of(key, 's'):.2f} s",
        lambda r: "",
        lambda r: r.of(key, "s") <= target_s,
        _peak(key),
    )


READING = (
    _replay("replay ours", "replay, 10 M points to full state"),
    _replay("replay small", "the same in commits of 256 points"),
    Row(
        "`ml-dash show`, 10 M points, kept state, whole process",
        "≤ 1 s",
        lambda r: f"{r.of('show ours', 's'):.2f} s",
        lambda r: "",
        lambda r: r.of("show ours", "s") <= 1,
        _peak("show ours"),
    ),
    _at("at ours", "`load(at=…)`, 10 M points"),
    _at("at small", "the same in commits of 256 points"),
    _columns("columns ours", "one metric of 10 M points as NumPy columns", 10e6),
    _columns("columns small", "the same in commits of 256 points", 4e6),
    _columns("columns ten", "one of ten metrics, 1 M of 10 M points", 4e6),
    _verify("verify ours", "verify (hash chain and every commit)"),
    _verify("verify small", "the same in commits of 256 points"),
)
LISTING = (
    _list("listing one", "`ml-dash list`, 1,000 experiments, whole process", 1),
    _list("listing all", "`ml-dash list`, 10,000 experiments, whole process", 5),
    _list("listing_cold one", "1,000 without any checkpoint", 1),
    _list("listing_cold all", "10,000 without any checkpoint", 5),
)
