"""What is measured, and how the figures of several runs become the rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Measurement:
    """One process to be run in every round.  `history` says that it reads the journal made beforehand."""

    measure: str
    recorder: str
    size: int
    quick_size: int
    history: bool = False

    @property
    def key(self) -> str:
        return f"{self.measure} {self.recorder}"


MEASUREMENTS = (
    Measurement("call", "ours", 200_000, 20_000),
    Measurement("call", "plain", 200_000, 20_000),
    Measurement("call", "sqlite", 50_000, 5_000),
    Measurement("call", "locked", 10_000, 1_000),
    Measurement("paced", "ours", 10, 2),
    Measurement("paced", "plain", 10, 2),
    Measurement("sustained", "ours", 1_000_000, 100_000),
    Measurement("sustained", "plain", 1_000_000, 100_000),
    Measurement("sustained", "sqlite", 200_000, 20_000),
    Measurement("sustained", "locked", 20_000, 2_000),
    Measurement("many", "ours", 1_000_000, 100_000),
    Measurement("importing", "ours", 0, 0),
    Measurement("opening", "empty", 0, 0),
    Measurement("opening", "ours", 10_000_000, 200_000, history=True),
    Measurement("replay", "ours", 10_000_000, 200_000, history=True),
    Measurement("columns", "ours", 10_000_000, 200_000, history=True),
    Measurement("verify", "ours", 10_000_000, 200_000, history=True),
    Measurement("hashing", "plain", 10_000_000, 200_000, history=True),
)
HISTORY = Measurement("memory", "ours", 10_000_000, 200_000)
"""Also what the measurements with `history` read."""


class Results:
    """Figures of all rounds; `of` gives medians."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[float]] = {}

    def add(self, key: str, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._found.setdefault((key, name), []).append(value)

    def of(self, key: str, name: str) -> float:
        return median(self._found[key, name])

    def worst(self, key: str, name: str) -> float:
        return max(self._found[key, name])


@dataclass(frozen=True, slots=True)
class Row:
    """`figure` says what was measured, `ratio` against which baseline; `is_met` what it says of the target."""

    what: str
    target: str
    figure: Callable[[Results], str]
    ratio: Callable[[Results], str]
    is_met: Callable[[Results], bool]


def _times(found: float, baseline: float) -> str:
    return f"{found / baseline:.2f} ×"


def _call_figures(key: str) -> Callable[[Results], str]:
    return lambda r: (
        f"p50 {r.of(key, 'p50_us'):.2f} µs, p99.9 {r.of(key, 'p999_us'):.1f} µs, max {r.of(key, 'max_us') / 1e3:.2f} ms"
    )


ROWS = (
    Row(
        "recording call, 3 fields, tight loop",
        "p50 ≤ 1.5 × floor, p99.9 ≤ 50 µs, max ≤ 10 ms",
        _call_figures("call ours"),
        lambda r: (
            f"p50 {_times(r.of('call ours', 'p50_us'), r.of('call plain', 'p50_us'))} plain append, "
            f"{_times(r.of('call ours', 'p50_us'), r.of('call sqlite', 'p50_us'))} sqlite, "
            f"{_times(r.of('call ours', 'p50_us'), r.of('call locked', 'p50_us'))} a lock a point"
        ),
        lambda r: (
            r.of("call ours", "p50_us") <= 1.5 * r.of("call plain", "p50_us")
            and r.of("call ours", "p999_us") <= 50
            and r.of("call ours", "max_us") <= 10_000
        ),
    ),
    Row(
        "the same at 1,000 calls/s",
        "p50, p99.9 ≤ 1.5 × floor, max ≤ 0.5 ms",
        _call_figures("paced ours"),
        lambda r: (
            f"p50 {_times(r.of('paced ours', 'p50_us'), r.of('paced plain', 'p50_us'))}, "
            f"p99.9 {_times(r.of('paced ours', 'p999_us'), r.of('paced plain', 'p999_us'))} plain append, "
            f"whose max is {r.of('paced plain', 'max_us') / 1e3:.2f} ms"
        ),
        lambda r: (
            r.of("paced ours", "p50_us") <= 1.5 * r.of("paced plain", "p50_us")
            and r.of("paced ours", "p999_us") <= 1.5 * r.of("paced plain", "p999_us")
            and r.of("paced ours", "max_us") <= 500
        ),
    ),
    Row(
        "sustained, one process, until closed and durable",
        "≥ 300,000 points/s",
        lambda r: f"{r.of('sustained ours', 'points_per_s'):,.0f} points/s",
        lambda r: ", ".join(
            f"{_times(r.of('sustained ours', 'points_per_s'), r.of(f'sustained {other}', 'points_per_s'))} {name}"
            for other, name in (("plain", "plain append"), ("sqlite", "sqlite"), ("locked", "a lock a point"))
        ),
        lambda r: r.of("sustained ours", "points_per_s") >= 300_000,
    ),
    Row(
        "four processes, one experiment",
        "≥ 1.2 × one process, 0 lost",
        lambda r: f"{r.of('many ours', 'points_per_s'):,.0f} points/s, {r.worst('many ours', 'lost'):.0f} lost",
        lambda r: f"{_times(r.of('many ours', 'points_per_s'), r.of('sustained ours', 'points_per_s'))} one process",
        lambda r: (
            r.of("many ours", "points_per_s") >= 1.2 * r.of("sustained ours", "points_per_s")
            and r.worst("many ours", "lost") == 0
        ),
    ),
    Row(
        "bytes on disk per 3-field point, tight loop",
        "≤ 32",
        lambda r: f"{r.of('sustained ours', 'bytes_per_point'):.1f}",
        lambda r: (
            f"{_times(r.of('sustained ours', 'bytes_per_point'), r.of('sustained plain', 'bytes_per_point'))} plain, "
            f"{_times(r.of('sustained ours', 'bytes_per_point'), r.of('sustained sqlite', 'bytes_per_point'))} sqlite"
        ),
        lambda r: r.of("sustained ours", "bytes_per_point") <= 32,
    ),
    Row(
        "replay, 10 M points to full state",
        "≥ 4 M points/s",
        lambda r: f"{r.of('replay ours', 'points_per_s') / 1e6:.1f} M points/s",
        lambda r: f"{_times(r.of('replay ours', 'points_per_s'), r.of('sustained ours', 'points_per_s'))} recording",
        lambda r: r.of("replay ours", "points_per_s") >= 4e6,
    ),
    Row(
        "one metric of 10 M points as NumPy columns",
        "≥ 10 M points/s",
        lambda r: f"{r.of('columns ours', 'points_per_s') / 1e6:.1f} M points/s",
        lambda r: f"{_times(r.of('columns ours', 'points_per_s'), r.of('replay ours', 'points_per_s'))} replay",
        lambda r: r.of("columns ours", "points_per_s") >= 10e6,
    ),
    Row(
        "open for appending, 10 M points of history",
        "≤ 30 ms, ≤ 40 MB more than an empty one",
        lambda r: (
            f"{r.of('opening ours', 'ms'):.1f} ms, "
            f"{(r.of('opening ours', 'bytes') - r.of('opening empty', 'bytes')) / MEBIBYTE:.1f} MiB more"
        ),
        lambda r: f"{_times(r.of('opening ours', 'ms'), r.of('opening empty', 'ms'))} an empty one",
        lambda r: (
            r.of("opening ours", "ms") <= 30
            and r.of("opening ours", "bytes") - r.of("opening empty", "bytes") <= 40 * MEBIBYTE
        ),
    ),
    Row(
        "memory of a process that has logged 10 M points, above its start",
        "≤ 60 MB",
        lambda r: f"{r.of('memory ours', 'bytes') / 1e6:.1f} MB",
        lambda r: "",
        lambda r: r.of("memory ours", "bytes") <= 60e6,
    ),
    Row(
        "`import ml_dash` over bare Python",
        "≤ 40 ms",
        lambda r: f"{r.of('importing ours', 'ms'):.1f} ms",
        lambda r: "",
        lambda r: r.of("importing ours", "ms") <= 40,
    ),
    Row(
        "verify (hash chain and every commit)",
        "≥ 300 MB/s",
        lambda r: f"{r.of('verify ours', 'mb_per_s'):,.0f} MB/s",
        lambda r: (
            f"{_times(r.of('verify ours', 'mb_per_s'), r.of('hashing plain', 'mb_per_s'))} hashing the same files"
        ),
        lambda r: r.of("verify ours", "mb_per_s") >= 300,
    ),
)
