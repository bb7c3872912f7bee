"""`Experiment(prefix, fork="alice/ml/a@1500")`: an experiment that begins as another one was behind one of its events.

 1. The journal's first event says so (`experiment.forked`), and nothing that the journal holds is before it.  It gets
    its name with that event in it or not at all, so a process that is killed leaves a fork or no experiment; whoever
    gives the same fork again completes it.
 2. Of several processes that begin the same fork at once one does, under the journal's lock; the others find it done.
 3. The parent is not written to, and not waited for.  What of it was forked is made durable first: a fork must not
    outlive a power loss that its parent's last events do not.

`ml_dash/state/forks.py` has what a fork begins with, `ml_dash/reading/lineage.py` how the rest is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, ExperimentError, NotFoundError, StorageError
from ..facts.events import EXPERIMENT_FORKED
from ..journal.appender import Appender
from ..journal.checkpoint import Trust
from ..journal.drain import drain
from ..journal.folder import JournalFolder
from ..journal.format import CommitLine
from ..journal.reader import JournalReader
from ..prefix import Prefix, parse_prefix
from ..reading.lineage import forked_from, reading
from ..reading.listing import own_folder_of
from ..reading.replay import Replay, committed
from ..recording.remarks import remark_batch
from ..state.forks import forked_payload
from ..state.nouns import Fork


@dataclass(frozen=True, slots=True)
class ForkPoint:
    """What was asked for: an experiment, and one of its events; None for the last one that it has."""

    prefix: Prefix
    seq: int | None

    @classmethod
    def parse(cls, text: object) -> ForkPoint:
        """Of `owner/project/name` or `owner/project/name@1500`.  Raises ConfigurationError, PrefixError."""
        if not isinstance(text, str):
            raise ConfigurationError(
                f"fork={text!r:.200} is a {type(text).__name__}: expected the prefix of an experiment and the number "
                "of an event, for example 'alice/mnist/baseline@1500'"
            )
        prefix, at, seq = text.rpartition("@")
        if not at or not seq.isdecimal():
            return cls(parse_prefix(text), None)
        if int(seq) < 1:
            raise ConfigurationError(f"fork={text!r:.200}: events count from 1, and an experiment is forked behind one")
        return cls(parse_prefix(prefix), int(seq))

    def is_met_by(self, fork: Fork) -> bool:
        return self.prefix.segments == parse_prefix(fork.prefix).segments and self.seq in (None, fork.seq)

    def __str__(self) -> str:
        return self.prefix.text if self.seq is None else f"{self.prefix.text}@{self.seq}"


def begin_as_fork(folder: JournalFolder, prefix: Prefix, root: Path, point: ForkPoint) -> None:
    """The experiment in `folder` is that fork when this returns, or was already.

    Raises NotFoundError where the parent does not exist, ConfigurationError where it has no such event, ExperimentError
    where the experiment exists and is not that fork, StorageError, LockError or JournalCorruptError.
    """
    if prefix.segments == point.prefix.segments:
        raise ConfigurationError(f"fork={str(point)!r}: no experiment can be forked from itself. Give another prefix")
    if _is_begun(folder, prefix, point):
        return
    try:
        parent = own_folder_of(point.prefix, root)
    except NotFoundError as error:
        _check_moment(point, root)
        raise NotFoundError(f"fork={str(point)!r}: {error}. A fork stands in the dash_root of its parent") from error
    with reading(parent):
        payload = _payload(parent, point)
    _found(folder, payload)
    if not _is_begun(folder, prefix, point):
        raise ExperimentError(f"{prefix.text!r} was begun by another process meanwhile, and not as a fork of {point}")


def _check_moment(point: ForkPoint, root: Path) -> None:
    """Raises ConfigurationError where what stands behind the `@` was to be the number of an event, and is none."""
    prefix, at, moment = point.prefix.text.rpartition("@")
    if point.seq is not None or not at or not JournalFolder(root / prefix).exists():
        return
    raise ConfigurationError(
        f"fork={point.prefix.text!r}: {moment!r} is no number of an event. Expected one behind the @, for example "
        f"'{prefix}@1500', or the prefix alone for the last event that it has"
    )


def _is_begun(folder: JournalFolder, prefix: Prefix, point: ForkPoint) -> bool:
    """Whether the journal has begun as that fork; False where it has no events.  Raises ExperimentError."""
    with reading(folder):
        fork = forked_from(folder)
        if fork is None and next(JournalReader(folder).commits(), None) is None:
            return False
    if fork is None:
        raise ExperimentError(
            f"{prefix.text!r} exists and is no fork, so it cannot become one of {point}. Give the fork a prefix of its "
            "own; without fork= this one is opened as it is"
        )
    if not point.is_met_by(fork):
        raise ExperimentError(
            f"{prefix.text!r} exists and was forked from {fork.prefix}@{fork.seq}, not from {point}. Give this fork "
            "another prefix; without fork= that one is opened as it is"
        )
    return True


def _payload(parent: JournalFolder, point: ForkPoint) -> dict[str, Any]:
    """What the fork's first event says; what it speaks of is durable in the parent."""
    replay = Replay(parent, point.seq)
    state = replay.refresh()
    end = 0 if replay.position is None else replay.position.next_seq - 1
    seq = end if point.seq is None else point.seq
    if not 0 < seq <= end:
        has = f"has events 1 to {end}" if end else "has no events yet"
        raise ConfigurationError(f"fork={str(point)!r}: {point.prefix.text!r} {has}")
    if state.seq != seq:
        # Events of a dead process that nobody could commit there: they have no place in its history yet.
        state = Replay(parent, seq).refresh()
    line = next((line for line, _ in committed(parent, seq - 1) if line.first <= seq), None)
    if line is None or replay.position is None:
        raise StorageError(
            f"fork={str(point)!r}: event {seq} of {point.prefix.text!r} is damaged. `ml-dash verify "
            f"{point.prefix.text}` says more; fork behind another event"
        )
    _make_durable(parent, line)
    return forked_payload(Fork(point.prefix.text, seq, replay.position.journal, line.hash), state)


def _make_durable(parent: JournalFolder, line: CommitLine) -> None:
    """Rule 3.  A segment that others follow was synced before they did."""
    if parent.segment_numbers()[-1:] != [line.segment]:
        return
    descriptor = parent.disk.open_read(parent.segment_path(line.segment))
    try:
        parent.disk.sync_data(descriptor)
    finally:
        parent.disk.close(descriptor)
    if parent.disk.exists(parent.unsynced_path(line.segment)):
        raise StorageError(
            f"the disk has failed to sync {parent.segment_path(line.segment)}, so what is to be forked may be lost. "
            "Fork it again once the parent was written to: that repeats those events in another segment"
        )


def _found(folder: JournalFolder, payload: dict[str, Any]) -> None:
    """Rules 1 and 2."""
    batch = remark_batch(EXPERIMENT_FORKED, payload, "")
    batch = replace(batch, session=batch.writer)
    appender = Appender(folder, batch.writer, trusted=Trust(folder), founding=[batch])
    try:
        folder.disk.make_folder(folder.path)
        with appender.at_end():
            # An ordinary run that died before its first commit had begun before.
            drain(folder, appender)
            position = appender.position
            if position is not None and position.next_seq == 1:
                appender.append([batch])
        appender.sync()
    except OSError as error:
        raise StorageError(
            f"{folder.path} cannot be written to, so nothing was forked: {error}. Expected a folder on a file system "
            "with free space that this user may write to; give another dash_root, or mend that"
        ) from error
    finally:
        appender.close()
