"""What was measured becomes rows: a figure for each size, one beyond them on paper, the exponent, how it grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..rows import Results
from .fit import extrapolated, last_exponent, line_through, words

Shown = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Row:
    """`name` is a figure of the measurements, `shown` how it is written."""

    what: str
    name: str
    shown: Shown


@dataclass(frozen=True, slots=True)
class Part:
    """`unit` is what sizes count, `scale` how many of them a slope is told for; `beyond` is a size on paper.

    Without `grows` it is throughput, not cost.
    """

    name: str
    makes: str | None
    measures: tuple[str, ...]
    sizes: tuple[int, ...]
    quick_sizes: tuple[int, ...]
    unit: str
    scale: int
    rows: tuple[Row, ...]
    beyond: int | None = None
    grows: bool = True


def duration(seconds: float) -> str:
    if seconds >= 100:
        return f"{seconds:,.0f} s"
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1e3:.1f} ms"


def amount(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def microseconds(value: float) -> str:
    return f"{value:.2f} µs" if value < 10 else f"{value:,.0f} µs"


def whole(value: float) -> str:
    return f"{value:,.0f}"


PARTS = (
    Part(
        "history",
        "history",
        ("going_on", "replay", "show", "middle", "verify"),
        (10_000, 100_000, 1_000_000, 10_000_000),
        (1_000, 10_000, 100_000),
        "point",
        1_000_000,
        (
            Row("open for appending", "open_s", duration),
            Row("memory of a process that has", "open_bytes", amount),
            Row("recording call after that, p50", "call_us", microseconds),
            Row("replay, no kept state", "replay_s", duration),
            Row("memory of it", "replay_bytes", amount),
            Row("`ml-dash show`, kept state, whole process", "show_s", duration),
            Row("memory of it", "show_bytes", amount),
            Row("`load(at=the middle)`", "middle_s", duration),
            Row("memory of it", "middle_bytes", amount),
            Row("verify", "verify_s", duration),
            Row("memory of it", "verify_bytes", amount),
            Row("journal on disk", "stored_bytes", amount),
        ),
        beyond=100_000_000,
    ),
    Part(
        "writers",
        None,
        ("writers",),
        (1, 2, 4, 8, 16),
        (1, 2),
        "writer",
        1,
        (
            Row("points/s together, until all have closed", "points_per_s", whole),
            Row("lost of 1,000,000", "lost", whole),
            Row("recording call, p50", "call_us", microseconds),
            Row("p99.9 of the writer that fares worst", "slow_us", microseconds),
            Row("longest call of any", "slowest_us", microseconds),
        ),
        grows=False,
    ),
    Part(
        "experiments",
        "experiments",
        ("list_all", "one_of_many"),
        (1, 10, 100, 1_000, 10_000),
        (1, 10),
        "experiment",
        1_000,
        (
            Row("`ml-dash list`, whole process", "list_s", duration),
            Row("memory of it", "list_bytes", amount),
            Row("find one by its prefix", "found_s", duration),
            Row("load one", "loaded_s", duration),
            Row("resume one: open, start, close", "resumed_s", duration),
            Row("`diff` of one with a moment of another", "compared_s", duration),
        ),
    ),
)


def heads(part: Part, sizes: Sequence[int]) -> list[str]:
    columns = ["what", *(f"{size:,} {part.unit}{'' if size == 1 else 's'}" for size in sizes)]
    if part.beyond is not None:
        columns.append(f"{part.beyond:,}, on paper")
    return [*columns, "exponent", "grows"] if part.grows else columns


def rows(part: Part, sizes: Sequence[int], results: Results) -> list[list[str]]:
    return [_row(part, row, sizes, results) for row in part.rows]


def _row(part: Part, row: Row, sizes: Sequence[int], results: Results) -> list[str]:
    samples = [(float(size), results.of(key(part, size), row.name)) for size in sizes]
    cells = [row.what, *(row.shown(value) for _, value in samples)]
    if part.beyond is not None:
        cells.append(row.shown(extrapolated(samples, part.beyond)))
    if not part.grows:
        return cells
    grows = words(samples)
    if grows != "no":
        slope = line_through(samples).slope
        grows = f"{grows}, {row.shown(slope * part.scale)} for {part.scale:,} {part.unit}s"
    return [*cells, f"{last_exponent(samples):.2f}", grows]


def key(part: Part, size: int) -> str:
    return f"{part.name} {size}"
