"""What `ml-dash doctor` finds: one fact, whether it is well, and what to do where it is not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(str, Enum):
    """`WRONG` makes the command end with 1."""

    WELL = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """`section` is where it belongs, `name` what was looked at, `text` what was found, `advice` what to do."""

    section: str
    name: str
    verdict: Verdict
    text: str
    advice: str = ""


def well(section: str, name: str, text: str) -> Finding:
    return Finding(section, name, Verdict.WELL, text)


def note(section: str, name: str, text: str, advice: str = "") -> Finding:
    return Finding(section, name, Verdict.NOTE, text, advice)


def wrong(section: str, name: str, text: str, advice: str) -> Finding:
    return Finding(section, name, Verdict.WRONG, text, advice)
