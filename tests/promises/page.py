"""spec/promises.md: which tests stand for which promise, and the table of what they tried."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from .reports import Outcome

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "spec/promises.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEADER = ["| | tests ran | tried | violations | when | command |", "|---|---|---|---|---|---|"]
_NAMED = re.compile(r"^- `([^`]+)`( \(\*campaign\*\))?", re.MULTILINE)
ROW = re.compile(
    r"^\| (P\d(?:, campaign)?) \| (?:([\d,]+) of ([\d,]+)|none) \| (.*) \| (\d+) \| (.*) \| `([^`]+)` \|$", re.MULTILINE
)


def sections() -> dict[str, str]:
    """The text of each promise, by its name: P1 to P8."""
    page = PAGE.read_text(encoding="utf-8")
    return {section[:2]: section for section in re.split(r"^## (?=P\d)", page, flags=re.MULTILINE)[1:]}


def named(promise: str) -> dict[str, bool]:
    """The tests of a promise, as paths below the project, and whether they are a campaign's."""
    return {f"tests/{name}": bool(mark) for name, mark in _NAMED.findall(sections()[promise])}


def chosen(promise: str, *, campaign: bool) -> list[str]:
    """What runs.  A campaign has also the searches of Hypothesis, which search longer then."""
    tests = named(promise)
    return [name for name, is_campaign in tests.items() if is_campaign == campaign or (campaign and is_search(name))]


def is_search(name: str) -> bool:
    return name.startswith("tests/property/")


def belongs(test: str, names: Iterable[str]) -> bool:
    """Whether a test with its parameters is one of the named."""
    return any(test == name or test.startswith((f"{name}[", f"{name}::")) for name in names)


def title(promise: str, *, campaign: bool) -> str:
    return f"{promise}, campaign" if campaign else promise


def row(promise: str, *, campaign: bool, collected: Iterable[str], outcomes: Mapping[str, Outcome]) -> str:
    """Of `collected`, the tests of this promise that there are, those in `outcomes` ran."""
    names = chosen(promise, campaign=campaign)
    of_promise = [test for test in collected if belongs(test, names)]
    ran = {test: outcomes[test] for test in of_promise if test in outcomes}
    tried: Counter[str] = Counter()
    for outcome in ran.values():
        tried.update(outcome.tried)
    days = sorted({outcome.day for outcome in ran.values()})
    cells = [
        title(promise, campaign=campaign),
        f"{len(ran):,} of {len(of_promise):,}" if ran else "none",
        ", ".join(f"{number:,} {kind}" for kind, number in sorted(tried.items())),
        str(sum(outcome.is_violation for outcome in ran.values())),
        " to ".join([days[0], days[-1]] if len(days) > 1 else days) or "not yet",
        f"`python -m tests.promises {promise}{' --campaign' if campaign else ''}`",
    ]
    return f"| {' | '.join(cells)} |"


def rows() -> dict[str, str]:
    """The rows of the table that stands there, by their titles."""
    table = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    return {match[1]: match[0] for match in ROW.finditer(table)}


def write(changed: Mapping[str, str]) -> None:
    """Puts rows in the place of those with their titles."""
    text = PAGE.read_text(encoding="utf-8")
    table = {**rows(), **changed}
    before, _, rest = text.partition(BEGIN)
    body = "\n".join([*HEADER, *(table[name] for name in sorted(table))])
    PAGE.write_text(f"{before}{BEGIN}\n{body}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
