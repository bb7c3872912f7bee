"""The rows of the table about remote mode."""

from __future__ import annotations

from collections.abc import Callable

from .rows import Results, Row, call_figures, times

MEGA = 1e6


def _shipped(key: str, what: str, target: float) -> Row:
    return Row(
        what,
        f"≥ {target:,.0f} points/s",
        lambda r: f"{r.of(key, 'points_per_s'):,.0f} points/s, {r.of(key, 'mb_per_s'):.0f} MB/s",
        lambda r: f"{times(r.of(key, 'mb_per_s'), r.of('uploaded plain', 'mb_per_s'))} plain upload",
        lambda r: r.of(key, "points_per_s") >= target,
        lambda r: (
            f"client {r.of(key, 'client_bytes') / MEGA:.0f} MB more, "
            f"server at most {r.of(key, 'server_bytes') / MEGA:.0f} MB"
        ),
    )


def _against_floor(key: str, floor: str) -> Callable[[Results], str]:
    return lambda r: (
        f"p50 {times(r.of(key, 'p50_us'), r.of(floor, 'p50_us'))}, "
        f"p99.9 {times(r.of(key, 'p999_us'), r.of(floor, 'p999_us'))} plain append"
    )


def _call(kind: str, what: str) -> Row:
    key = f"remote_call {kind}"
    return Row(
        f"recording call, tight loop, {what}",
        "p50 ≤ 1.5 × floor, p99.9 ≤ 50 µs, max ≤ 10 ms",
        call_figures(key),
        _against_floor(key, "call plain"),
        lambda r: (
            r.of(key, "p50_us") <= 1.5 * r.of("call plain", "p50_us")
            and r.of(key, "p999_us") <= 50
            and r.of(key, "max_us") <= 10_000
        ),
    )


def _paced(kind: str, what: str) -> Row:
    key = f"remote_paced {kind}"
    return Row(
        f"1,000 calls/s, {what}",
        "p50, p99.9 ≤ 1.5 × floor, max ≤ 0.5 ms",
        call_figures(key),
        _against_floor(key, "paced plain"),
        lambda r: (
            r.of(key, "p50_us") <= 1.5 * r.of("paced plain", "p50_us")
            and r.of(key, "p999_us") <= 1.5 * r.of("paced plain", "p999_us")
            and r.of(key, "max_us") <= 500
        ),
    )


def _share(key: str, what: str) -> Row:
    return Row(
        what,
        "≤ 5 % of a core",
        lambda r: f"{r.of(key, 'percent'):.1f} %",
        lambda r: f"server {r.of(key, 'server_percent'):.1f} %",
        lambda r: r.of(key, "percent") <= 5,
    )


SHIPPING = (
    _shipped("shipped ours", "ship a ready journal over loopback, until acknowledged", 200_000),
    _shipped("shipped small", "the same in commits of 256 points", 200_000),
    Row(
        "recorded as fast as it goes and shipped meanwhile, until acknowledged",
        "≥ 200,000 points/s",
        lambda r: f"{r.of('live ours', 'points_per_s'):,.0f} points/s",
        lambda r: f"{times(r.of('live ours', 'points_per_s'), r.of('sustained ours', 'points_per_s'))} recording alone",
        lambda r: r.of("live ours", "points_per_s") >= 200_000,
    ),
    _shipped("shipped eight", "eight clients at once", 400_000),
    Row(
        "a saved file to the server",
        "≥ 50 MB/s",
        lambda r: f"{r.of('uploaded ours', 'mb_per_s'):.0f} MB/s",
        lambda r: f"{times(r.of('uploaded ours', 'mb_per_s'), r.of('uploaded plain', 'mb_per_s'))} plain upload",
        lambda r: r.of("uploaded ours", "mb_per_s") >= 50,
        lambda r: f"server at most {r.of('uploaded ours', 'server_bytes') / MEGA:.0f} MB",
    ),
    _call("ours", "shipping meanwhile"),
    _call("late", "each answer after 5 s"),
    _call("down", "no server there"),
    _paced("ours", "shipping meanwhile"),
    _paced("late", "each answer after 5 s"),
    _paced("down", "no server there"),
    _share("share 100", "shipper's thread, training of 100 points/s"),
    _share("share 100000", "shipper's thread, training of 100,000 points/s"),
)
