"""What is damage, and what is on its way: a commit that somebody is writing looks like a torn tail for a moment."""

from __future__ import annotations

from ..journal.damage import Damage, DamageKind
from ..journal.leftovers import is_being_written
from ..state import State
from .replay import Replay


def settled(replay: Replay) -> tuple[State, list[Damage]]:
    """The state now, and what does not replay, without a torn tail that somebody can be writing.  Raises OSError."""
    state = replay.refresh()
    damage = replay.damage
    if not any(each.kind is DamageKind.TORN for each in damage):
        return state, damage
    if is_being_written(replay.folder):
        return state, [each for each in damage if each.kind is not DamageKind.TORN]
    # Looked at twice: whoever was writing may have finished before we asked whether anybody is.
    state = replay.refresh()
    return state, replay.damage
