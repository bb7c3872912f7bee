"""What a soak did and found, in Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from itertools import groupby

from .processes import Measured

RSS_GROWTH_MIB_MAX = 150.0
DESCRIPTORS_MAX = 200


def report(
    command: str,
    seconds: float,
    counts: Mapping[str, int],
    compared: Mapping[str, int],
    measured: Sequence[Measured],
    violations: Sequence[Mapping[str, object]],
    kept: str,
) -> str:
    lines = [
        f"`{command}`: {seconds / 60:.1f} minutes, Python {platform.python_version()}, {os.cpu_count()} processors.",
        "",
        f"**Violations: {len(violations)}**" + (f"; everything is kept in `{kept}`" if violations else ""),
        "",
        *(f"- {each['who']}: {str(each['what']).strip().splitlines()[-1]}" for each in violations[:20]),
        *([""] if violations else []),
        *_table("compared at the end", compared),
        "",
        *_table("done", counts),
        "",
        "| long-lived process | MiB (start, middle, end) | descriptors |",
        "|---|---|---|",
    ]
    for who, group in groupby(sorted(measured, key=lambda each: each.who), key=lambda each: each.who):
        rows = list(group)
        sizes = ", ".join(f"{each.rss_mib:.0f}" for each in rows)
        lines.append(f"| {who} | {sizes} | {', '.join(str(each.descriptors) for each in rows)} |")
    return "\n".join(lines) + "\n"


def _table(title: str, numbers: Mapping[str, int]) -> list[str]:
    return [f"| {title} | times |", "|---|---|", *(f"| {name} | {numbers[name]:,} |" for name in sorted(numbers))]


def unbounded(measured: Sequence[Measured]) -> list[str]:
    """Processes that grew from the middle to the end, or hold too many descriptors."""
    found = []
    for pid in {each.pid for each in measured}:
        rows = {each.at: each for each in measured if each.pid == pid}
        if "middle" in rows and "end" in rows:
            growth = rows["end"].rss_mib - rows["middle"].rss_mib
            if growth > RSS_GROWTH_MIB_MAX:
                found.append(f"{rows['end'].who} grew by {growth:.0f} MiB in the second half")
        found += [
            f"{each.who} holds {each.descriptors} descriptors at the {each.at}"
            for each in rows.values()
            if each.descriptors > DESCRIPTORS_MAX
        ]
    return found
