"""What is measured, and how the figures of several runs become the rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Measurement:
    """One process to be run in every round, or `rounds` times at most.

    `part` may be several, with spaces between.  `journal` is what it reads, made beforehand.
    """

    part: str
    measure: str
    recorder: str
    size: int
    quick_size: int
    journal: str | None = None
    rounds: int | None = None

    @property
    def key(self) -> str:
        return f"{self.measure} {self.recorder}"


JOURNALS = {
    "history": Measurement("recording reading", "memory", "ours", 10_000_000, 200_000),
    "small": Measurement("reading", "small", "made", 10_000_000, 200_000),
    "ten": Measurement("reading", "ten", "made", 10_000_000, 200_000),
    "listed": Measurement("list", "listed", "made", 10_000, 20),
}
"""What is made once, by the parts that need it."""
MEASUREMENTS = (
    Measurement("recording", "call", "ours", 200_000, 20_000),
    Measurement("recording shipping", "call", "plain", 200_000, 20_000),
    Measurement("recording", "call", "sqlite", 50_000, 5_000),
    Measurement("recording", "call", "locked", 10_000, 1_000),
    Measurement("recording", "paced", "ours", 10, 2),
    Measurement("recording shipping", "paced", "plain", 10, 2),
    Measurement("recording reading shipping", "sustained", "ours", 1_000_000, 100_000),
    Measurement("recording", "sustained", "plain", 1_000_000, 100_000),
    Measurement("recording", "sustained", "sqlite", 200_000, 20_000),
    Measurement("recording", "sustained", "locked", 20_000, 2_000),
    Measurement("recording", "many", "ours", 1_000_000, 100_000),
    Measurement("recording", "importing", "ours", 0, 0),
    Measurement("recording", "opening", "empty", 0, 0),
    Measurement("recording", "opening", "ours", 10_000_000, 200_000, "history"),
    Measurement("reading", "replay", "ours", 10_000_000, 200_000, "history"),
    Measurement("reading", "replay", "small", 10_000_000, 200_000, "small"),
    Measurement("reading", "show", "ours", 10_000_000, 200_000, "history"),
    Measurement("reading", "at", "ours", 10_000_000, 200_000, "history", 2),
    Measurement("reading", "at", "small", 10_000_000, 200_000, "small", 1),
    Measurement("reading", "columns", "ours", 10_000_000, 200_000, "history"),
    Measurement("reading", "columns", "small", 10_000_000, 200_000, "small"),
    Measurement("reading", "columns", "ten", 10_000_000, 200_000, "ten"),
    Measurement("reading", "verify", "ours", 10_000_000, 200_000, "history"),
    Measurement("reading", "verify", "small", 10_000_000, 200_000, "small"),
    Measurement("reading", "hashing", "plain", 10_000_000, 200_000, "history"),
    Measurement("list", "listing", "one", 1_000, 2, "listed"),
    Measurement("list", "listing", "all", 10_000, 20, "listed"),
    Measurement("list", "listing_cold", "one", 1_000, 2, "listed"),
    Measurement("list", "listing_cold", "all", 10_000, 20, "listed", 1),
    Measurement("shipping", "shipped", "ours", 2_000_000, 50_000),
    Measurement("shipping", "shipped", "small", 2_000_000, 50_000),
    Measurement("shipping", "shipped", "eight", 500_000, 10_000),
    Measurement("shipping", "live", "ours", 1_000_000, 50_000),
    Measurement("shipping", "uploaded", "ours", 256, 16),
    Measurement("shipping", "uploaded", "plain", 256, 16),
    Measurement("shipping", "remote_call", "ours", 200_000, 20_000),
    Measurement("shipping", "remote_call", "late", 200_000, 20_000, rounds=2),
    Measurement("shipping", "remote_call", "down", 200_000, 20_000, rounds=2),
    Measurement("shipping", "remote_paced", "ours", 5, 1),
    Measurement("shipping", "remote_paced", "late", 5, 1, rounds=1),
    Measurement("shipping", "remote_paced", "down", 5, 1, rounds=1),
    Measurement("shipping", "share", "100", 5, 1, rounds=1),
    Measurement("shipping", "share", "100000", 5, 1, rounds=1),
)


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
    memory: Callable[[Results], str] | None = None

    def cells(self, results: Results) -> list[str] | None:
        """What, target, figure, ratio, met; None where it was not measured this time."""
        try:
            met = "yes" if self.is_met(results) else "**no**"
            figure = self.figure(results)
        except KeyError:
            return None
        notes = []
        for note in (self.ratio, self.memory):
            # What it is held against may belong to a part that did not run.
            with suppress(KeyError):
                notes.append(note(results) if note is not None else "")
        return [self.what, self.target, figure, "; ".join(filter(None, notes)), met]


def times(found: float, baseline: float) -> str:
    return f"{found / baseline:.2f} ×"


def call_figures(key: str) -> Callable[[Results], str]:
    return lambda r: (
        f"p50 {r.of(key, 'p50_us'):.2f} µs, p99.9 {r.of(key, 'p999_us'):.1f} µs, max {r.of(key, 'max_us') / 1e3:.2f} ms"
    )


RECORDING = (
    Row(
        "recording call, 3 fields, tight loop",
        "p50 ≤ 1.5 × floor, p99.9 ≤ 50 µs, max ≤ 10 ms",
        call_figures("call ours"),
        lambda r: (
            f"p50 {times(r.of('call ours', 'p50_us'), r.of('call plain', 'p50_us'))} plain append, "
            f"{times(r.of('call ours', 'p50_us'), r.of('call sqlite', 'p50_us'))} sqlite, "
            f"{times(r.of('call ours', 'p50_us'), r.of('call locked', 'p50_us'))} a lock a point"
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
        call_figures("paced ours"),
        lambda r: (
            f"p50 {times(r.of('paced ours', 'p50_us'), r.of('paced plain', 'p50_us'))}, "
            f"p99.9 {times(r.of('paced ours', 'p999_us'), r.of('paced plain', 'p999_us'))} plain append, "
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
            f"{times(r.of('sustained ours', 'points_per_s'), r.of(f'sustained {other}', 'points_per_s'))} {name}"
            for other, name in (("plain", "plain append"), ("sqlite", "sqlite"), ("locked", "a lock a point"))
        ),
        lambda r: r.of("sustained ours", "points_per_s") >= 300_000,
    ),
    Row(
        "four processes, one experiment",
        "≥ 1.2 × one process, 0 lost",
        lambda r: f"{r.of('many ours', 'points_per_s'):,.0f} points/s, {r.worst('many ours', 'lost'):.0f} lost",
        lambda r: f"{times(r.of('many ours', 'points_per_s'), r.of('sustained ours', 'points_per_s'))} one process",
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
            f"{times(r.of('sustained ours', 'bytes_per_point'), r.of('sustained plain', 'bytes_per_point'))} plain, "
            f"{times(r.of('sustained ours', 'bytes_per_point'), r.of('sustained sqlite', 'bytes_per_point'))} sqlite"
        ),
        lambda r: r.of("sustained ours", "bytes_per_point") <= 32,
    ),
    Row(
        "open for appending, 10 M points of history",
        "≤ 30 ms, ≤ 40 MB more than an empty one",
        lambda r: (
            f"{r.of('opening ours', 'ms'):.1f} ms, "
            f"{(r.of('opening ours', 'bytes') - r.of('opening empty', 'bytes')) / MEBIBYTE:.1f} MiB more"
        ),
        lambda r: f"{times(r.of('opening ours', 'ms'), r.of('opening empty', 'ms'))} an empty one",
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
)
