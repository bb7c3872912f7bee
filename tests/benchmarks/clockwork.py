"""How things are timed: every call by itself, in nanoseconds; what is quoted is a median of runs."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from time import perf_counter_ns, sleep


def time_calls(call: Callable[[int], object], count: int, warm_up: int = 2_000) -> dict[str, float]:
    """Calls `call(0…count-1)` in a tight loop; microseconds a call, the loop's own cost included."""
    for step in range(warm_up):
        call(step)
    return percentiles(taken_ns(call, count))


def taken_ns(call: Callable[[int], object], count: int) -> array[int]:
    """The same, every call by itself, for whoever has to measure on before anything is sorted."""
    taken = array("q", bytes(8 * count))
    before = perf_counter_ns()
    for step in range(count):
        call(step)
        now = perf_counter_ns()
        taken[step] = now - before
        before = now
    return taken


def time_paced_calls(call: Callable[[int], object], rate_hz: int, seconds: float) -> dict[str, float]:
    """The same at an even pace, as a training logs: asleep in between, so that caches are cold."""
    count = int(rate_hz * seconds)
    taken = array("q", bytes(8 * count))
    interval_ns = 1_000_000_000 // rate_hz
    start = perf_counter_ns()
    for step in range(count):
        wait_ns = start + step * interval_ns - perf_counter_ns()
        if wait_ns > 0:
            sleep(wait_ns / 1e9)
        before = perf_counter_ns()
        call(step)
        taken[step] = perf_counter_ns() - before
    return percentiles(taken)


def percentiles(taken_ns: array[int]) -> dict[str, float]:
    ordered = sorted(taken_ns)
    last = len(ordered) - 1
    return {
        "p50_us": ordered[last // 2] / 1e3,
        "p999_us": ordered[int(last * 0.999)] / 1e3,
        "max_us": ordered[last] / 1e3,
    }


def resident_bytes() -> int:
    """Memory of this process that is its own: resident pages less those that only show a file."""
    with open("/proc/self/statm", encoding="ascii") as file:
        _, resident, shared, *_ = map(int, file.read().split())
    return (resident - shared) * os.sysconf("SC_PAGESIZE")
