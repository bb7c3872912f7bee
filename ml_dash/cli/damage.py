"""What a command says when a journal that it has shown is damaged.

What is intact was shown; what is not is said on stderr, so that the answer itself stays whole for programs, and the
exit code is 1.  A torn tail is no reason for that: it was promised to nobody, and the next writer heals it.  Neither is
what was declared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from click.exceptions import Exit

from ..journal.damage import Damage, DamageKind
from ..visible import visible
from .commands import EXIT_FAILED


def end_damaged(prefix: str, damage: Iterable[Damage]) -> None:
    """Returns where nothing is damaged; else says what is, and ends the command."""
    found = [
        each
        for each in damage
        if each.kind in (DamageKind.CORRUPT, DamageKind.UNREADABLE, DamageKind.ABSENT) and not each.declared
    ]
    if not found:
        return
    sys.stdout.flush()
    for each in found:
        print(visible(f"ml-dash: {prefix} is damaged: {what_is_damaged(each)}"), file=sys.stderr)
    print(f"ml-dash: shown is what is intact; `ml-dash verify {prefix}` says what to do", file=sys.stderr)
    raise Exit(EXIT_FAILED)


def what_is_damaged(damage: Damage) -> str:
    """What does not replay, where, and why; for people."""
    lost = f"events {damage.first_seq:,} to {damage.last_seq:,}" if damage.last_seq >= damage.first_seq else ""
    if damage.kind is DamageKind.ABSENT:
        return f"{lost} cannot be had from what it was forked from: expected {damage.expected}, found {damage.found}"
    if damage.kind is DamageKind.ARCHIVE:
        return f"the archive of segment {damage.segment:08d} has changed, and still gives every byte: {damage.found}"
    of = f" of {damage.prefix}" if damage.prefix is not None else ""
    place = f"{damage.bytes:,} bytes of segment {damage.segment:08d}{of} from byte {damage.offset:,}"
    return f"{place}{', ' if lost else ''}{lost} do not replay: {damage.found}"
