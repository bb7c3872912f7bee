"""What JUnit reports of pytest say: which tests ran, how they ended, and how many cases each of them tried."""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

EXAMPLES = "examples of Hypothesis"
_EXAMPLES = re.compile(r"(\d+) passing(?: examples)?, (\d+) failing")
_STATISTICS = "hypothesis-statistics-"


@dataclass
class Outcome:
    """One test with its parameters, as it last ran.  `day` is a date as ISO 8601 has it."""

    day: str
    is_violation: bool
    tried: Counter[str] = field(default_factory=Counter)


def read_reports(paths: Iterable[Path]) -> dict[str, Outcome]:
    """By pytest's id of the test; skipped ones did not run.  Of several reports the last one counts."""
    found: dict[str, Outcome] = {}
    for path in paths:
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            day = suite.attrib["timestamp"][:10]
            for case in suite.iter("testcase"):
                if case.find("skipped") is None:
                    found[_id_of(case)] = _outcome(case, day)
            for each in suite.findall("properties/property"):
                name = each.attrib["name"].removeprefix(_STATISTICS)
                if name in found and name != each.attrib["name"]:
                    text = b64decode(each.attrib["value"]).decode()
                    found[name].tried[EXAMPLES] = sum(int(a) + int(b) for a, b in _EXAMPLES.findall(text))
    return found


def _id_of(case: ElementTree.Element) -> str:
    # Not by its `file`: that of a state machine is Hypothesis's own.
    parts = case.attrib["classname"].split(".")
    end = next((index for index, part in enumerate(parts) if part.startswith("test_")), len(parts) - 1) + 1
    return "::".join(["/".join(parts[:end]) + ".py", *parts[end:], case.attrib["name"]])


def _outcome(case: ElementTree.Element, day: str) -> Outcome:
    tried: Counter[str] = Counter()
    for each in case.findall("properties/property"):
        tried[each.attrib["name"]] += int(each.attrib["value"])
    return Outcome(day, case.find("failure") is not None or case.find("error") is not None, tried)
