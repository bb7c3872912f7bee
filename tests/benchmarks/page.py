"""The tables of spec/performance.md: each stands between two marks of its own and is replaced alone.

A table says above itself on what machine it was measured, when, in how many rounds, and how busy the machine was
before, so that tables of different days may stand on one page.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "spec/performance.md"


def replaced(page: str, name: str, text: str) -> str:
    """The page with `text` between the marks of `name`, and nothing else changed.

    Raises `ValueError` where the page does not have both marks, once each and in order.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, begun, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended or page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"expected {begin} and behind it {end}, once each: add them where the table shall stand")
    return f"{before}{begin}\n{text}\n{end}{after}"


def write(name: str, text: str) -> None:
    """Puts a table onto the page as it stands on disk at this moment."""
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), name, text), encoding="utf-8")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (heads, *rows)]
    return "\n".join([lines[0], f"{'|---' * len(heads)}|", *lines[1:]])


def circumstances(rounds: int, load: float) -> str:
    """On what it was measured, when, how often; `load` is `load_before()` of the start."""
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace"))
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M")
    return (
        f"{os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), Linux {platform.release()}, "
        f"Python {platform.python_version()}; measured {when} UTC, "
        f"{f'medians of {rounds} rounds' if rounds > 1 else 'one round'}, all in turn; {load_words(load)}."
    )


def load_before() -> float:
    """How many others wanted a processor in the last minute: to be asked before anything is started."""
    return os.getloadavg()[0]


def load_words(load: float) -> str:
    cores = os.cpu_count() or 1
    busy = "a quiet machine" if load < 0.25 * cores else "a busy machine" if load < cores else "an overloaded machine"
    return f"{busy}, load {load:.1f} before the start"
