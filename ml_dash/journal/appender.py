"""The end of a journal, under its lock: catch up with what others appended, append, seal, sync.

The order that survives power loss at any moment:

 1. lock → read to the end → decide (`recovery.py`) → append → unlock.  Never append behind a torn tail.
 2. To open the next segment: sync the newest one and the folder; write the next one under a name that nobody reads,
    sync it, give it its name, sync the folder.  So nobody ever meets a segment without a whole and durable header.
 3. A segment whose write or sync failed takes no further byte.  After a failed sync, which a file tells to all other
    processes, the next one accepts what is known to be durable and repeats the rest under the same sequence numbers,
    before it gets its name: a crash in between loses nothing that another process was told is durable.
 4. Nothing is reported durable before the sync that covers it has returned, of the file and of its name, and nobody has
    gone on in another segment meanwhile.

Used by one thread at a time.  Raises OSError as it comes from the disk: the committer decides what that means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import EIO

from ..clock import now_us
from ..errors import JournalCorruptError, JournalVersionError
from ..ids import new_id
from .batch import Account, Batch, encode_batches
from .chain import Position, read_header
from .chart import Extent
from .damage import Damage, DamageKind
from .folder import JournalFolder
from .format import SEGMENT_BYTES_MAX, Declaration, Previous, encode_header
from .lock import JournalLock
from .reader import JournalReader
from .recovery import Action, Earlier, Tail, Version, decide
from .segment_file import is_archived


class Appender:
    """Appends to the journal in `folder`; keeps account of which events of `writer` are committed and which durable.

    `on_sealed` is told the end of each segment that was filled, synced and succeeded here.  Where there is no journal
    yet it begins with `founding`: its first segment gets its name with these commits in it, or not at all.
    """

    def __init__(
        self,
        folder: JournalFolder,
        writer: str,
        *,
        start: Position | None = None,
        trusted: Callable[[Extent], Position | None] | None = None,
        on_sealed: Callable[[Position], None] | None = None,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        founding: Sequence[Batch] = (),
    ) -> None:
        self._founding = founding
        self._folder = folder
        self._start = start
        self._trusted = trusted
        self._disk = folder.disk
        self._on_sealed = on_sealed
        self._segment_bytes_max = segment_bytes_max
        self._writer = writer
        self._reader, self._account = self._unread()
        self._was_read = False
        self._lock = JournalLock(folder.lock_path)
        self._descriptor: int | None = None
        self._failed_segment = 0
        self._unsynced_segment = 0
        self._named_segment = 0

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
        return self._account.committed_counter

    @property
    def durable_counter(self) -> int:
        """The last of this writer's events that is known to be synced."""
        return self._account.durable_counter

    @property
    def is_durable(self) -> bool:
        """Whether every event of this writer that stands in the journal is durable."""
        return self._account.is_durable

    @property
    def durable_seq(self) -> int:
        """Up to which event the journal is known to survive power loss."""
        return self._account.durable_seq

    @contextmanager
    def at_end(self) -> Iterator[None]:
        """Under the journal's lock, everything read, the tail fit to be appended to.

        Raises JournalCorruptError, JournalVersionError, LockError or OSError; nothing has been written then, except
        perhaps the header of a next segment.
        """
        if not self._was_read:
            self._read_before_locking()
        with self._lock:
            self._make_appendable(self._catch_up())
            yield

    def append(self, batches: Sequence[Batch]) -> None:
        """Appends one commit per batch with one write.  Only inside `at_end()`."""
        at = self._reader.position
        assert at is not None
        data, end, placed = encode_batches(at, batches)
        descriptor = self._newest(at)
        try:
            self._disk.write(descriptor, data)
        except OSError:
            self._failed_segment = at.segment
            raise
        self._reader.advance(end)
        self._account.wrote(placed)
        if end.offset >= self._segment_bytes_max:
            self._open_next(end)

    def sync(self) -> None:
        """Everything that stands in the journal now is durable when this returns.

        Takes the lock only if the sync fails or others went on in another segment.  What was not durable is then
        repeated there.
        """
        while not self._is_synced():
            with self.at_end():
                pass

    def _is_synced(self) -> bool:
        """Syncs the segment that `position` is in; False where that failed or where the journal goes on in another."""
        at = self._reader.position
        assert at is not None
        try:
            descriptor = self._newest(at)
        except FileNotFoundError:
            if is_archived(self._folder, at.segment):
                return False  # sealed by others, synced before that, and archived since
            raise
        if at.fence < at.offset:
            try:
                self._disk.sync_data(descriptor)
            except OSError:
                self._mark_unsynced(at.segment)
        if self._named_segment != at.segment:
            self._disk.sync_folder(self._folder.path)
            self._named_segment = at.segment
        if self._is_unsynced(at.segment) or self._folder.segment_numbers()[-1:] != [at.segment]:
            return False
        self._became_durable(at)
        return True

    def close(self) -> None:
        if self._descriptor is not None:
            self._disk.close(self._descriptor)
            self._descriptor = None

    def recover(self) -> list[Damage]:
        """Declares all damage there is, so that the journal may be written to again; gives what was declared.

        No byte is changed: a new segment's header names the bytes that do not replay.
        """
        with self._lock:
            newer = self._catch_up()
            if newer is not None:
                raise newer
            # Of a damaged archive that still gives every byte there is nothing to declare.
            found = [each for each in self._reader.damage if not each.declared and each.kind is not DamageKind.ARCHIVE]
            if found:
                declared = tuple(damage.declaration for damage in found)
                self._open_next(self._reader.position, declared)
                self._reader.declare(declared)
            return found

    # -- reading -------------------------------------------------------------------------------------------------

    def _unread(self) -> tuple[JournalReader, Account]:
        account = Account(self._writer)
        return JournalReader(self._folder, self._start, self._trusted, on_rewind=account.forget_from), account

    def _read_before_locking(self) -> None:
        """A journal whose end nobody knows may be long: other writers do not wait while it is read.

        What is found amiss without the lock may be somebody's write on its way.  It is not kept: whoever holds the lock
        reads again then, and decides.
        """
        self._was_read = True
        reader, account = self._unread()
        try:
            for line in reader.commits():
                account.saw(line)
        except (JournalVersionError, OSError):
            return
        if not reader.damage:
            self._reader, self._account = reader, account

    def _catch_up(self) -> JournalVersionError | None:
        try:
            for line in self._reader.commits():
                self._account.saw(line)
        except JournalVersionError as error:
            return error
        if self._reader.position is not None:
            self._account.read_up_to(self._reader.position)
        return None

    # -- deciding ------------------------------------------------------------------------------------------------

    def _make_appendable(self, newer: JournalVersionError | None) -> None:
        damage = self._reader.damage
        refusing = [each for each in damage if each.refuses_writing]
        version = Version.KNOWN if newer is None else Version.NEWER
        earlier = Earlier.CORRUPT if refusing else Earlier.INTACT
        action = decide(version, earlier, self._tail(damage))
        if action is Action.REFUSE_VERSION:
            assert newer is not None
            raise newer
        if action is Action.REFUSE_CORRUPT:
            raise self._refusal(refusing)
        if action is not Action.APPEND:
            self._open_next(self._reader.position)

    def _refusal(self, refusing: list[Damage]) -> JournalCorruptError:
        first, prefix = refusing[0], self._folder.prefix
        return JournalCorruptError(
            self._folder.path,
            first.segment,
            first.offset,
            first.expected,
            first.found,
            "Nothing was changed, and what is intact can still be read. "
            f"`ml-dash verify {prefix}` lists all damage ({len(refusing)} in all); then restore the file from a copy, "
            f"or accept the loss with `ml-dash recover {prefix}`",
        )

    def _tail(self, damage: list[Damage]) -> Tail:
        at = self._reader.position
        if any(each.kind is DamageKind.TORN for each in damage):
            return Tail.TORN
        if at is None:
            return Tail.ABSENT
        if at.offset >= self._segment_bytes_max or at.segment == self._failed_segment or self._is_unsynced(at.segment):
            return Tail.FULL
        # The segments that were behind an archived one are gone: it takes no further byte all the same.
        if is_archived(self._folder, at.segment):
            return Tail.FULL
        return Tail.CLEAN

    # -- writing -------------------------------------------------------------------------------------------------

    def _newest(self, at: Position) -> int:
        """A descriptor of the segment that `at` is in."""
        path = self._folder.segment_path(at.segment)
        # A file that lost its name takes every write and loses it.
        if self._descriptor is None or not self._disk.same_file(self._descriptor, path):
            self.close()
            self._descriptor = self._disk.open_append(path)
        return self._descriptor

    def _open_next(self, at: Position | None, declared: tuple[Declaration, ...] = ()) -> None:
        """Orders 2 and 3; `at` is where the journal ends.

        Raises OSError, after the next segment was opened, if events that stood in the journal could not be repeated:
        they are not in it any more, and each writer has its own in its spool.
        """
        if at is None or not at.journal:
            self._create_segment(None, declared, self._founding if self._reader.next_seq == 1 else ())
            return
        # What is archived was synced before.
        if not self._is_unsynced(at.segment) and not is_archived(self._folder, at.segment):
            try:
                self._disk.sync_file(self._newest(at))
            except OSError:
                self._mark_unsynced(at.segment)
        if not self._is_unsynced(at.segment):
            self._create_segment(at, declared)
            if self._on_sealed is not None:
                self._on_sealed(at)
            return
        accepted = self._fence_position(at)
        # From the kernel's memory, as many as are still there.
        repeated = [Batch.of(line) for line in JournalReader(self._folder, start=accepted).commits()]
        self._create_segment(accepted, declared, repeated)
        self._disk.remove(self._folder.unsynced_path(at.segment))
        if self._reader.next_seq < at.next_seq:
            lost = at.next_seq - self._reader.next_seq
            raise OSError(EIO, f"a sync failed and {lost} events could not be read back", self._folder.path)

    def _mark_unsynced(self, number: int) -> None:
        """The next sync of this segment may report success although the data is gone: it must not be believed, by this
        process or by any other."""
        self._unsynced_segment = number
        try:
            self._disk.close(self._disk.create(self._folder.unsynced_path(number)))
        except FileExistsError:
            return

    def _is_unsynced(self, number: int) -> bool:
        return number == self._unsynced_segment or self._disk.exists(self._folder.unsynced_path(number))

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

    def _create_segment(
        self, accepted: Position | None, declared: tuple[Declaration, ...], repeated: Sequence[Batch] = ()
    ) -> None:
        """Order 2: a segment that goes on from `accepted` and begins with `repeated`, all of it durable on return."""
        journal, first, previous = new_id(), self._reader.next_seq, None
        if accepted is not None:
            journal, first = accepted.journal, accepted.next_seq
            previous = Previous(accepted.segment, accepted.offset, first - 1, accepted.hash)
        number = max(self._folder.segment_numbers(), default=0) + 1
        line, _ = encode_header(journal, number, first, now_us(), previous, declared)
        found = read_header(line)
        assert found is not None
        data, end, placed = encode_batches(found[1], repeated)
        self._disk.sync_folder(self._folder.path)
        descriptor = self._write_and_publish(line + data, number)
        self.close()
        self._descriptor = descriptor
        self._disk.sync_folder(self._folder.path)
        self._named_segment = number
        self._reader.advance(end)
        self._account.forget_from(first)
        self._account.wrote(placed)
        self._became_durable(end)

    def _write_and_publish(self, data: bytes, number: int) -> int:
        for abandoned in self._folder.temporary_paths():
            self._disk.remove(abandoned)
        temporary = self._folder.temporary_path(number, new_id())
        descriptor = self._disk.create(temporary)
        try:
            self._disk.write(descriptor, data)
            self._disk.sync_file(descriptor)
            self._disk.publish(temporary, self._folder.segment_path(number))
        except OSError:
            self._disk.close(descriptor)
            self._disk.remove(temporary)
            raise
        return descriptor

    def _became_durable(self, at: Position) -> None:
        """A sync that covers everything before `at` has returned."""
        here = self._reader.position
        if here is not None and at.segment == here.segment:
            self._reader.position = here.with_fence(at.offset)
        self._account.synced_up_to(at)
