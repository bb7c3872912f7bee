"""What a journal begins with that joins an experiment which other machines have written: their state as of now.

Numbers go on as behind a fork (`forks.py`, rule 2): event n of theirs is event n − N here, where N is their last one,
so the journal's own events are 1, 2, …  All else stays as it is: it is the same experiment, and a session that is open
there is open.  The state is not written down anywhere here; each journal says only what it has seen itself.

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import replace

from .forks import shifted
from .nouns import FrozenDict, State


def joined(theirs: State) -> State:
    """The state before the first event of the journal that joins."""
    return replace(shifted(theirs, theirs.seq), seq=0, redactions=FrozenDict())
