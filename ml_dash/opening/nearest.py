"""Names that somebody may have meant."""

from __future__ import annotations


def nearest(name: str, known: frozenset[str]) -> str:
    """` Did you mean …?`, or nothing where nothing is near."""
    from difflib import get_close_matches

    found = get_close_matches(name, sorted(known), n=1)
    return f" Did you mean {found[0]!r}?" if found else ""
