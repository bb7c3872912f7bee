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
from .commands import EXIT_FAILED


def end_damaged(prefix: str, damage: Iterable[Damage]) -> None:
    """Returns where nothing is damaged; else says what is, and ends the command."""
    found = [each for each in damage if each.kind in (DamageKind.CORRUPT, DamageKind.UNREADABLE) and not each.declared]
    if not found:
        return
    sys.stdout.flush()
    for each in found:
        lost = f", events {each.first_seq:,} to {each.last_seq:,}" if each.last_seq >= each.first_seq else ""
        place = f"{each.bytes:,} bytes of segment {each.segment:08d} from byte {each.offset:,}"
        print(f"ml-dash: {prefix} is damaged: {place}{lost} do not replay: {each.found}", file=sys.stderr)
    print(f"ml-dash: shown is what is intact; `ml-dash verify {prefix}` says what to do", file=sys.stderr)
    raise Exit(EXIT_FAILED)
