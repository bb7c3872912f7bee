"""The events with which a session begins and ends, durable when the call returns (promise P2)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ..errors import MlDashError
from ..facts.events import EXPERIMENT_DESCRIBED, RUN_STARTED
from ..journal.committer import COMMIT_INTERVAL_S
from ..journal.folder import JournalFolder
from ..journal.writer import Writer
from .environment import capture, describe_process


def begin(
    folder: JournalFolder,
    prefix: str,
    described: dict[str, Any],
    *,
    entry: str,
    is_strict: bool,
    commit_interval_s: float | None,
) -> Writer:
    """A writer whose session has begun; `described` is what was given of description, tags, bindrs and metadata.

    Raises StorageError, LockError, JournalCorruptError or JournalVersionError; the session has not begun then.
    """
    environment = capture(entry)
    writer = Writer(
        folder,
        is_strict=is_strict,
        commit_interval_s=COMMIT_INTERVAL_S if commit_interval_s is None else commit_interval_s,
        describe=describe_process,
    )
    try:
        started = {"session": writer.session, "prefix": prefix, **describe_process(), "environment": environment}
        writer.record(RUN_STARTED, started)
        if described:
            writer.record(EXPERIMENT_DESCRIBED, described)
        writer.flush()
    except BaseException:
        # Nobody holds this writer, so nobody could end it.
        with suppress(MlDashError):
            writer.close()
        raise
    return writer


def end(writer: Writer, event_type: str, why: dict[str, Any]) -> int:
    """Ends the writer's session, and gives the last durable sequence number.

    What was recorded before is made durable first, so that the end stands in a commit of its own whose fence covers
    all the rest: from then on a changed byte of it is corruption, and not a torn tail that the next writer passes over.

    In a forked child it only ends what the child recorded with: the session is its parent's.  Raises StorageError or
    LockError where the disk refuses; the end then waits for whoever opens the experiment next.
    """
    try:
        if not writer.is_forked:
            # If the disk refuses, closing meets it again, and then the end is among what waits.
            with suppress(MlDashError):
                writer.flush()
            writer.record(event_type, {"session": writer.session, **why})
    finally:
        writer.close()
    if writer.position is not None and not writer.is_forked:
        _keep_state(writer.folder)
    return writer.durable_seq


def _keep_state(folder: JournalFolder) -> None:
    """So that a list of ten thousand small experiments need not fold each of them; 1.5 ms for 600 points."""
    from ..reading.replay import Replay

    # All is durable already, and whoever reads folds what is not kept.
    with suppress(OSError, MlDashError):
        Replay(folder).keep()
