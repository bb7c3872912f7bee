"""The end of a journal, under its lock: catch up with what others appended, append, seal, sync.

The order that survives power loss at any moment:

 1. lock → read to the end → decide (`recovery.py`) → append → unlock.  Never append behind a torn tail.
 2. To open the next segment: sync the newest one and the folder, create the next one exclusively, write its header,
    sync it, sync the folder.  Only then does it accept events.
 3. A segment whose write or sync failed takes no further byte: the next segment is opened, it accepts what is known to
    be durable, and repeats the rest under the same sequence numbers.
 4. Nothing is reported durable before the sync that covers it has returned.

Used by one thread at a time.  Raises OSError as it comes from the disk: the committer decides what that means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from errno import EIO

from ..clock import now_us
from ..errors import JournalCorruptError
from ..ids import new_id
from .chain import Position, read_header
from .damage import Damage, DamageKind
from .folder import JournalFolder
from .format import SEGMENT_BYTES_MAX, CommitLine, Declaration, Previous, encode_commit, encode_header
from .lock import JournalLock
from .reader import Extent, JournalReader
from .recovery import Action, Earlier, Tail, Version, decide


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that become one commit: all of it is known before the lock is taken, except where it will stand."""

    count: int
    time_us: int
    writer: str
    session: str
    counter: int
    events: bytes

    @property
    def last_counter(self) -> int:
        return self.counter + self.count - 1


@dataclass(frozen=True, slots=True)
class _Own:
    """A commit of this writer that is not known to be durable yet."""

    segment: int
    end: int
    last_seq: int
    last_counter: int


class Appender:
    """Appends to the journal in `folder`; keeps account of which events of `writer` are committed and which durable."""

    def __init__(
        self,
        folder: JournalFolder,
        writer: str,
        *,
        start: Position | None = None,
        trusted: Callable[[Extent], Position | None] | None = None,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
    ) -> None:
        self._folder = folder
        self._disk = folder.disk
        self._writer = writer
        self._segment_bytes_max = segment_bytes_max
        self._reader = JournalReader(folder, start=start, trusted=trusted, on_rewind=self._rewind)
        self._lock = JournalLock(folder.lock_path)
        self._descriptor: int | None = None
        self._descriptor_segment = 0
        self._failed_segment = 0
        self._unsynced_segment = 0
        self._own: list[_Own] = []
        self._own_durable_counter = 0
        self.durable_seq = 0

    @property
    def position(self) -> Position | None:
        """The journal's end, as far as this process has read or written it."""
        return self._reader.position

    @property
    def damage(self) -> list[Damage]:
        return self._reader.damage

    @property
    def committed_counter(self) -> int:
        """The last of this writer's events that stands in the journal."""
        return self._own[-1].last_counter if self._own else self._own_durable_counter

    @property
    def durable_counter(self) -> int:
        """The last of this writer's events that is known to be synced."""
        return self._own_durable_counter

    @property
    def is_durable(self) -> bool:
        return not self._own

    @contextmanager
    def at_end(self) -> Iterator[None]:
        """Under the journal's lock, everything read, the tail fit to be appended to.

        Raises JournalCorruptError, JournalVersionError, LockError or OSError; nothing has been written then, except
        perhaps the header of a next segment.
        """
        with self._lock:
            self._catch_up()
            self._make_appendable()
            yield

    def append(self, batches: Sequence[Batch]) -> None:
        """Appends one commit per batch with one write.  Only inside `at_end()`."""
        at = self._reader.position
        assert at is not None
        lines = []
        own = []
        for batch in batches:
            line, line_hash = encode_commit(
                at.hash,
                at.journal,
                first=at.next_seq,
                count=batch.count,
                time_us=batch.time_us,
                writer=batch.writer,
                session=batch.session,
                counter=batch.counter,
                fence=at.fence,
                events=batch.events,
            )
            lines.append(line)
            at = Position(at.journal, at.segment, at.offset + len(line), at.next_seq + batch.count, line_hash, at.fence)
            if batch.writer == self._writer:
                own.append(_Own(at.segment, at.offset, at.next_seq - 1, batch.last_counter))
        self._write(b"".join(lines))
        self._reader.position = at
        self._own += own
        if at.offset >= self._segment_bytes_max:
            self._open_next()

    def sync(self) -> None:
        """Everything that stands in the journal now is durable when this returns.

        Takes the lock only if the sync fails: then what was not durable is repeated in a new segment, synced there.
        """
        at = self._reader.position
        assert at is not None
        descriptor = self._newest()
        try:
            self._disk.sync_data(descriptor)
        except OSError:
            # The next sync of this file may report success although the data is gone: it is never asked again.
            self._failed_segment = self._unsynced_segment = at.segment
            with self.at_end():
                return
        self._became_durable(at)

    def close(self) -> None:
        if self._descriptor is not None:
            self._disk.close(self._descriptor)
            self._descriptor = None

    def recover(self) -> list[Damage]:
        """Declares all damage there is, so that the journal may be written to again; gives what was declared.

        No byte is changed: a new segment's header names the bytes that do not replay.
        """
        with self._lock:
            self._catch_up()
            found = [damage for damage in self._reader.damage if damage.refuses_writing]
            if found or any(damage.kind is DamageKind.TORN for damage in self._reader.damage):
                self._open_next(tuple(damage.declaration for damage in found))
            return found

    # -- reading -------------------------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        for line in self._reader.commits():
            self._saw(line)
        at = self._reader.position
        # A sealed segment was synced before the next one was created, and a fence says what of this one is.
        while self._own and at is not None and (self._own[0].segment < at.segment or self._own[0].end <= at.fence):
            self._settle(self._own.pop(0))

    def _saw(self, line: CommitLine) -> None:
        if line.writer == self._writer:
            self._own.append(_Own(line.segment, line.end, line.last, line.counter + line.count - 1))

    def _rewind(self, first_seq: int) -> None:
        """From here on the journal goes on differently: what of ours is not repeated is not in it any more."""
        self._own = [own for own in self._own if own.last_seq < first_seq]

    def _settle(self, own: _Own) -> None:
        self._own_durable_counter = own.last_counter
        self.durable_seq = max(self.durable_seq, own.last_seq)

    # -- deciding ------------------------------------------------------------------------------------------------

    def _make_appendable(self) -> None:
        damage = self._reader.damage
        refusing = [each for each in damage if each.refuses_writing]
        earlier = Earlier.CORRUPT if refusing else Earlier.INTACT
        action = decide(Version.KNOWN, earlier, self._tail(damage))
        if action is Action.REFUSE_CORRUPT:
            worst = refusing[0]
            raise JournalCorruptError(
                self._folder.path,
                worst.segment,
                worst.offset,
                worst.expected,
                worst.found,
                f"Nothing was changed, and everything intact can still be read. Look at it with `ml-dash verify`, restore "
                f"the file from a copy if there is one, or accept the loss of {worst.bytes} bytes with `ml-dash recover`",
            )
        if action is Action.CREATE:
            self._create_segment(1, None, ())
        elif action is Action.OPEN_NEXT:
            self._open_next()

    def _tail(self, damage: list[Damage]) -> Tail:
        at = self._reader.position
        if any(each.kind is DamageKind.TORN for each in damage):
            return Tail.TORN
        if at is None:
            return Tail.ABSENT
        if at.offset >= self._segment_bytes_max or at.segment == self._failed_segment:
            return Tail.FULL
        return Tail.CLEAN

    # -- writing -------------------------------------------------------------------------------------------------

    def _newest(self) -> int:
        """A descriptor of the segment that `position` is in."""
        at = self._reader.position
        assert at is not None
        if self._descriptor is None or self._descriptor_segment != at.segment:
            self.close()
            self._descriptor = self._disk.open_append(self._folder.segment_path(at.segment))
            self._descriptor_segment = at.segment
        return self._descriptor

    def _write(self, data: bytes) -> None:
        descriptor = self._newest()
        try:
            self._disk.write(descriptor, data)
        except OSError:
            self._failed_segment = self._descriptor_segment
            raise

    def _open_next(self, declared: tuple[Declaration, ...] = ()) -> None:
        """Orders 2 and 3."""
        at = self._reader.position
        if at is None:
            self._create_segment(max(self._reader.segments, default=0) + 1, None, declared)
            return
        accepted = at
        unsynced: list[CommitLine] = []
        try:
            if at.segment == self._unsynced_segment:
                raise OSError(EIO, "an earlier sync of this segment failed")
            self._disk.sync_file(self._newest())
        except OSError:
            self._unsynced_segment = at.segment
            accepted = self._fence_position(at)
            # From the kernel's memory, as many as are still there; what is missing, each writer has in its spool.
            unsynced = list(JournalReader(self._folder, start=accepted).commits())
        self._create_segment(max(*self._reader.segments, at.segment) + 1, accepted, declared)
        self._became_durable(accepted)
        if accepted is not at:
            self._rewind(accepted.next_seq)
            self._repeat(unsynced)

    def _fence_position(self, at: Position) -> Position:
        """The position in the newest segment up to which it is known to be synced."""
        found = self._reader.header(at.segment)
        reached = found[1] if found is not None else at
        for line in JournalReader(self._folder, start=reached).commits():
            if line.segment != at.segment or line.end > at.fence:
                break
            reached = reached.after(line)
        if reached.offset != at.fence:
            raise OSError(EIO, "the segment cannot be read back up to what was synced", self._folder.path)
        return reached

    def _repeat(self, lines: list[CommitLine]) -> None:
        """The same events under the same numbers, in a segment whose sync is asked for at once."""
        at = self._reader.position
        assert at is not None
        copies = []
        for line in lines:
            copy, line_hash = encode_commit(
                at.hash,
                at.journal,
                first=line.first,
                count=line.count,
                time_us=line.time_us,
                writer=line.writer,
                session=line.session,
                counter=line.counter,
                fence=at.fence,
                events=line.events,
            )
            copies.append(copy)
            at = Position(at.journal, at.segment, at.offset + len(copy), line.last + 1, line_hash, at.fence)
            self._saw(replace(line, segment=at.segment, offset=at.offset - len(copy), end=at.offset))
        if not copies:
            return
        try:
            self._write(b"".join(copies))
            self._disk.sync_data(self._newest())
        except OSError:
            self._failed_segment = self._unsynced_segment = at.segment
            self._rewind(lines[0].first)
            raise
        self._reader.position = at
        self._became_durable(at)

    def _create_segment(self, number: int, accepted: Position | None, declared: tuple[Declaration, ...]) -> None:
        path = self._folder.segment_path(number)
        journal = accepted.journal if accepted is not None else new_id()
        first = accepted.next_seq if accepted is not None else self._reader.next_seq
        previous = None
        if accepted is not None:
            previous = Previous(accepted.segment, accepted.offset, accepted.next_seq - 1, accepted.hash)
        line, _ = encode_header(journal, number, first, now_us(), previous, declared)
        self._disk.sync_folder(self._folder.path)
        descriptor = self._disk.create(path)
        try:
            self._disk.write(descriptor, line)
            self._disk.sync_file(descriptor)
            self._disk.sync_folder(self._folder.path)
        except OSError:
            # The lock is ours, so nobody has used it.  Left behind, each retry on a full disk would add another one.
            self._disk.close(descriptor)
            self._disk.remove(path)
            raise
        self.close()
        self._descriptor, self._descriptor_segment = descriptor, number
        found = read_header(line)
        assert found is not None
        self._reader.restart(found[1])

    def _became_durable(self, at: Position) -> None:
        """A sync that covers everything before `at` has returned."""
        here = self._reader.position
        if here is not None and at.segment == here.segment:
            self._reader.position = here.with_fence(at.offset)
        self.durable_seq = max(self.durable_seq, at.next_seq - 1)
        while self._own and self._own[0].last_seq < at.next_seq:
            self._settle(self._own.pop(0))
