"""What a session begins with that joins an experiment which other machines have written: the state as of now.

Numbers go on as behind a fork (`forks.py`, rule 2): event n of theirs is event n − N here, where N is their last one,
so the journal's own events are 1, 2, …  All else stays as it is: it is the same experiment, and a session that is open
there is open.  The state is not written down anywhere here; each journal says only what it has seen itself.

Where the journal that joins has events already, these are among what the others have recorded, in the order of their
times, up to some event of its own: behind that, it goes on.

Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import replace

from .forks import shifted
from .nouns import FrozenDict, State


def joined(theirs: State) -> State:
    """The state before the first event of the journal that joins."""
    return replace(shifted(theirs, theirs.seq), seq=0, redactions=FrozenDict())


def joined_behind(everything: State, own_seq: int) -> State:
    """The state behind event `own_seq` of the journal that joins; `everything` holds that journal up to there."""
    return replace(joined(everything), seq=own_seq)
