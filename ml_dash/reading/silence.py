"""Since when nobody has recorded in an experiment that is RUNNING.

A session is open until its journal says that it ended.  What a killed process left tells its end; where that was
destroyed too, or the machine has vanished, nothing ever does.  So it stays RUNNING, which is all that is known, and
whoever looks is told how long it has been silent.

1. Silence is no end: a training may compute for hours without a word.  It is told from `SILENT_AFTER_S` on.
2. Where the writer is known to live, because it holds its spool on this machine, nothing is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from ..clock import now_us, to_datetime
from ..journal.folder import JournalFolder
from ..journal.leftovers import is_being_written
from ..state import Status

SILENT_AFTER_S = 600.0


def silent_since(
    status: Status | None, updated: datetime | None, journals: Iterable[JournalFolder] = ()
) -> datetime | None:
    """When the last event was recorded, of an experiment that is RUNNING and silent; None of any other.

    `journals` are those of it that stand on this machine.
    """
    if status is not Status.RUNNING or updated is None:
        return None
    if (to_datetime(now_us()) - updated.astimezone(timezone.utc)).total_seconds() < SILENT_AFTER_S:
        return None
    try:
        lives = any(is_being_written(each) for each in journals)
    except OSError:
        lives = False
    return None if lives else updated
