"""What a session begins with in an experiment that other machines have recorded, too.

Its own journal says what this machine has seen.  What the others have recorded is asked of the server, or read where
their journals were pulled to; so parameters, words, files, summaries and the last step of all of them are there, as of
now, and the latest of each counts whoever recorded it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import NetworkError, RefusedError
from ..journal.chain import Position
from ..journal.folder import JournalFolder
from ..reading.replay import Replay, Start
from ..state import EMPTY, State
from ..state.joining import joined, joined_behind
from ..state.plain_state import from_plain_state

if TYPE_CHECKING:
    from ..remote.server import Server


def start_on(server: Server, prefix: str, own: str | None, timeout_s: float) -> Start | None:
    """What the server knows; None where it knows of no journal but `own`.  Raises what `Server` raises."""
    heads = {head.journal: head for head in server.journals(prefix)}
    if not heads.keys() - {own}:
        return None
    found, ends = _state_on(server, prefix, None, timeout_s)
    if own not in heads:
        return Start(joined(found))
    theirs, _ = _state_on(server, prefix, own, timeout_s)
    return Start(joined(theirs), _reached(found, ends.get(own)))


def start_here(home: JournalFolder) -> Start | None:
    """What stands here of other machines; None where nothing does.  Raises StorageError, LockError, OSError."""
    from ..reading.origins import as_one, ends_of, others
    from ..remote.mirror import journal_in, journals_below

    journals = journals_below(home)
    if len(journals) == 1:
        return None
    own = journal_in(home) or ""
    theirs = others(home, journals, own, are_caches=False)
    folder = as_one(home, journals, are_caches=False)
    end = next((replace(each, fence=0) for each in ends_of(folder) or () if each.journal == own), None)
    base = EMPTY if theirs is None else joined(Replay(theirs).refresh())
    return Start(base, _reached(Replay(folder).refresh(), end))


def _state_on(server: Server, prefix: str, without: str | None, timeout_s: float) -> tuple[State, dict[str, Position]]:
    """The state of all journals of an experiment, or of all but one, and where each of them ended."""
    try:
        plain = server.state(prefix, without=without, timeout_s=timeout_s)
    except RefusedError as error:
        if error.status != 404:
            raise
        return EMPTY, {}
    try:
        ends = {each["journal"]: Position(**each, fence=0) for each in plain.get("journals") or ()}
    except (KeyError, TypeError) as error:
        raise NetworkError(f"{server.url} does not answer as agreed: expected where journals end") from error
    return from_plain_state(plain), ends


def _reached(everything: State, end: Position | None) -> tuple[Position, State] | None:
    return None if end is None else (end, joined_behind(everything, end.next_seq - 1))
