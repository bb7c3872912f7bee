"""An experiment at a glance out of its checkpoint alone: what makes a list of ten thousand of them quick.

Every reader goes on from a kept state by the rules of `journal/checkpoint.py` and `replay.py`.  Here is where all of
them can be seen to hold at a few looks; where not, None is the answer, and the caller reads as everyone does.

 1. The journal is one plain segment, and no other machine has recorded: nothing can be dead or passed over.
 2. No spool is there: nobody is recording, and nobody died.
 3. The checkpoint trusts the segment, by the status that its file has, and the state was kept behind its last byte.
 4. The segment begins with the header of that journal, of a version that this release knows, and ends in the line that
    states the hash at which the state was kept.
"""

from __future__ import annotations

from ..journal.chain import Position, read_header
from ..journal.checkpoint import load
from ..journal.folder import CHECKPOINT, ORIGINS, JournalFolder
from ..journal.format import HASH_TAIL_BYTES, stated_hash
from ..state import State

SEGMENT = 1
HEADER_BYTES = 1024


def kept_at_a_glance(folder: JournalFolder) -> State | None:
    """The state without what no list shows; None where it has to be looked for.  Raises OSError."""
    names = folder.disk.list_names(folder.path)
    if CHECKPOINT not in names:
        return None
    segments = [name for name in names if name.endswith((".jsonl", ".zst"))]
    if [f"{folder.path}/{name}" for name in segments] != [folder.segment_path(SEGMENT)]:
        return None
    if ORIGINS in names or ("spool" in names and folder.disk.list_names(folder.spool_folder)):
        return None
    checkpoint = load(folder)
    status = folder.disk.status(folder.segment_path(SEGMENT))
    vouched = checkpoint.trusts(SEGMENT, status) if checkpoint is not None and status is not None else None
    if checkpoint is None or vouched is None or vouched.position.offset != vouched.status.size:
        return None
    kept = checkpoint.state(at_a_glance=True)
    if kept is None or (kept[0].segment, kept[0].offset, kept[0].hash) != (
        SEGMENT,
        vouched.position.offset,
        vouched.position.hash,
    ):
        return None
    return kept[1] if _stands(folder, kept[0]) else None


def _stands(folder: JournalFolder, end: Position) -> bool:
    """Rule 4."""
    descriptor = folder.disk.open_read(folder.segment_path(SEGMENT))
    try:
        found = read_header(folder.disk.read_at(descriptor, 0, HEADER_BYTES))
        start = max(0, end.offset - HASH_TAIL_BYTES - 1)
        tail = folder.disk.read_at(descriptor, start, end.offset - start)
    finally:
        folder.disk.close(descriptor)
    # Of a version that only a newer release knows, nothing but that is known: it names no journal.
    if found is None or found[0].journal != end.journal:
        return False
    return found[0].segment == SEGMENT and tail.endswith(b"\n") and stated_hash(tail[:-1]) == end.hash
