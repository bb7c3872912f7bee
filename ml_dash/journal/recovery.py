"""What to do with a journal before the first append to it: a decision table.

Every combination of findings matches exactly one row; a test enumerates them all.  Nothing is ever truncated or
rewritten: where bytes do not replay, the next segment's header declares what is accepted.

Pure: no I/O.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Version(Enum):
    """The newest format version found in any header."""

    KNOWN = "known"
    NEWER = "newer"


class Earlier(Enum):
    """Damage in front of the newest segment, or below a fence of it, that no header declares."""

    INTACT = "intact"
    CORRUPT = "corrupt"


class Tail(Enum):
    """The newest segment from its first byte to its last."""

    ABSENT = "there is no segment"
    CLEAN = "every byte replays"
    FULL = "every byte replays, but it takes no more: it has reached its size, or a write or sync of it has failed"
    TORN = "bytes at its end do not replay and were never promised"


class Action(Enum):
    """What the table answers."""

    CREATE = "create the first segment"
    APPEND = "append to the newest segment"
    OPEN_NEXT = "sync the newest segment, then open the next one, which declares what it accepts"
    REFUSE_CORRUPT = "refuse to write: JournalCorruptError"
    REFUSE_VERSION = "refuse to write: JournalVersionError"


class Rule(NamedTuple):
    """A row: None matches everything."""

    version: Version | None
    earlier: Earlier | None
    tail: Tail | None
    action: Action


RULES = (
    Rule(Version.NEWER, None, None, Action.REFUSE_VERSION),
    Rule(Version.KNOWN, Earlier.CORRUPT, None, Action.REFUSE_CORRUPT),
    Rule(Version.KNOWN, Earlier.INTACT, Tail.ABSENT, Action.CREATE),
    Rule(Version.KNOWN, Earlier.INTACT, Tail.CLEAN, Action.APPEND),
    Rule(Version.KNOWN, Earlier.INTACT, Tail.FULL, Action.OPEN_NEXT),
    # Appending behind a torn tail would make the healthy commits behind it unreadable.
    Rule(Version.KNOWN, Earlier.INTACT, Tail.TORN, Action.OPEN_NEXT),
)


def matches(rule: Rule, version: Version, earlier: Earlier, tail: Tail) -> bool:
    return rule.version in (None, version) and rule.earlier in (None, earlier) and rule.tail in (None, tail)


def decide(version: Version, earlier: Earlier, tail: Tail) -> Action:
    """The action of the one row that matches."""
    return next(rule.action for rule in RULES if matches(rule, version, earlier, tail))
