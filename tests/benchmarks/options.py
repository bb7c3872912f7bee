"""What the benchmarks that write tables are asked on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable


def chosen_options(program: str, description: str, parts: Iterable[str]) -> argparse.Namespace:
    """`part` (a list, or None for all), `rounds`, `quick` and `write`; ends the program where they clash."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--part", choices=list(parts), action="append")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    if chosen.quick and chosen.write:
        parser.error("--write with --quick: figures of small sizes are not for the page")
    return chosen
