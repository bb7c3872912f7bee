"""What need not be read again: `checkpoint.json`, a cache beside the segments.  Never the truth.

Opening for appending must not read the whole history, and a reader need not fold it twice.  The file holds JSON
objects, one a line, each ending in the SHA-256 of the bytes before it, `,"hash":"…"}`:

    {"format":"ml-dash-checkpoint","version":1,"journal":…,"vouched":[{"status":{…},"position":{…}},…],"hash":…}
    {"fold":[…],"position":{…},"state":{…},"tags":[…],"hash":…}                               where a state was kept
    {"fold":[…],"position":{…},"state":{…},"tags":[…],"hash":…}                               the same at a glance

 1. The first line vouches for segments: each was verified up to `position` while its file had this `status` (size,
    inode, times of modification and of change).  It is trusted only while the file still has that status, so that a
    segment which was changed through the file system since is read and verified again; and only where the journal's
    id, and what the next header accepts, agree.
 2. File systems count time in ticks of milliseconds: a change within the tick of the last one shows in no status.  So
    a segment that was changed in the tick in which the checkpoint was written, or later, is not trusted.
 3. The newest segment is vouched for by a writer that has synced it, never by a reader: after a power failure its file
    may have the same status and other bytes.
 4. The second line is the state after the events before `position`.  It counts where the chain passes through
    `position` and nothing before it is damaged (`reading/replay.py` looks), and where this release folds as the one
    that wrote it.
 5. Whatever is wrong with the file, unreadable, foreign, damaged, of another version, not writable: nothing happens but
    that history is read.  It is replaced as a whole; of two processes that write it at once one wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from ..clock import sleep_s
from ..facts.events import EVENT_TYPES
from ..ids import new_id
from .chain import Position, end_of
from .chart import Extent
from .damage import Damage, DamageKind
from .disk import FileStatus
from .folder import JournalFolder
from .format import HASH_TAIL_BYTES, stated_hash
from .segment_file import file_status

if TYPE_CHECKING:
    from ..state import State

CHECKPOINT_NAME = "ml-dash-checkpoint"
CHECKPOINT_VERSION = 1
_TEMPORARY_NAME = re.compile(r"\.checkpoint\.[0-9a-z]+\.new")
TICK_S = 0.002
TICKS_MAX = 10
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True, slots=True)
class Vouched:
    """A segment that was verified up to `position` while its file had this status."""

    status: FileStatus
    position: Position


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the file says.  `written_ns` is when, by the clock of the file system."""

    journal: str
    vouched: Mapping[int, Vouched]
    written_ns: int
    state_line: bytes = b""
    glance_line: bytes = b""

    def trusts(self, segment: int, status: FileStatus) -> Vouched | None:
        """Rules 1 and 2, as far as the file itself goes."""
        vouched = self.vouched.get(segment)
        if vouched is None or vouched.status != status or status.changed_ns >= self.written_ns:
            return None
        return vouched

    def state(self, *, at_a_glance: bool = False) -> tuple[Position, State] | None:
        """The kept state and where in the journal it stands; None where there is none that this release can use.

        `at_a_glance` it may lack what no list shows.
        """
        return (self._state_in(self.glance_line) if at_a_glance else None) or self._state_in(self.state_line)

    def _state_in(self, line: bytes) -> tuple[Position, State] | None:
        body = _unsealed(line)
        if body is None:
            return None
        # A writer never comes here, and need not wait for the fold to be loaded.
        from ..state import from_plain_state

        try:
            members = orjson.loads(body + b"}")
            if members["fold"] != _fold():
                return None
            position = Position(**members["position"])
            return (position, from_plain_state(members)) if position.journal == self.journal else None
        except _MALFORMED:
            return None


def load(folder: JournalFolder) -> Checkpoint | None:
    """The checkpoint of a journal; None where there is none that can be used."""
    disk, path = folder.disk, folder.checkpoint_path
    try:
        status = disk.status(path)
        if status is None:
            return None
        descriptor = disk.open_read(path)
        try:
            # Where it has been replaced since, its status is that of an older one, or it has no valid end.
            data = disk.read_at(descriptor, 0, status.size)
        finally:
            disk.close(descriptor)
    except OSError:
        return None
    line, *kept = data.split(b"\n")
    body = _unsealed(line)
    try:
        members = orjson.loads(body + b"}") if body is not None else {}
        if (members.get("format"), members.get("version")) != (CHECKPOINT_NAME, CHECKPOINT_VERSION):
            return None
        each = [Vouched(FileStatus(**one["status"]), Position(**one["position"])) for one in members["vouched"]]
        vouched = {one.position.segment: one for one in each}
        return Checkpoint(members["journal"], vouched, status.modified_ns, *kept[:-1][:2])
    except _MALFORMED:
        return None


class Trust:
    """Tells a `JournalReader` what it need not read, and learns from it what the next one need not.

    Give it to the reader as `trusted`, and to the appender also `sealed`.
    """

    def __init__(self, folder: JournalFolder) -> None:
        self._folder = folder
        self.checkpoint = load(folder)
        self._met: dict[int, Vouched] = {}

    def __call__(self, extent: Extent) -> Position | None:
        """Where reading of a segment may begin; None: at its beginning."""
        status = file_status(self._folder, extent.segment)
        if status is None or extent.start is None:
            return None
        journal = extent.start.journal
        end = end_of(extent.accepted, journal, extent.accepted.bytes) if extent.accepted is not None else None
        if end is not None:
            # The status from before it is read: a change while it is read makes it another one.
            self._met[extent.segment] = Vouched(status, end)
        known = self.checkpoint
        vouched = known.trusts(extent.segment, status) if known is not None and known.journal == journal else None
        if vouched is None or extent.is_sealed != (end is not None):
            return None
        if end is not None and (vouched.position.offset, vouched.position.hash) != (end.offset, end.hash):
            return None
        return end or vouched.position

    def sealed(self, end: Position) -> None:
        """The appender has synced a segment that it filled, up to `end`, and opened the next one."""
        status = self._folder.disk.status(self._folder.segment_path(end.segment))
        if status is not None and status.size == end.offset:
            self._met[end.segment] = Vouched(status, end)

    def verified(self, end: Position, damage: Iterable[Damage]) -> dict[int, Vouched]:
        """The sealed segments that a reader which has come to `end` has found whole."""
        damaged = {each.segment for each in damage if each.kind is DamageKind.CORRUPT}
        return {
            segment: vouched
            for segment, vouched in self._met.items()
            if segment < end.segment and segment not in damaged
        }


def save_positions(folder: JournalFolder, trust: Trust, end: Position, damage: Iterable[Damage]) -> bool:
    """Vouches for what a writer leaves behind that has synced everything up to `end`; whether that could be written."""
    vouched = trust.verified(end, damage)
    try:
        status = folder.disk.status(folder.segment_path(end.segment))
        is_whole = end.fence >= end.offset and all(one.segment != end.segment for one in damage)
        if is_whole and status is not None:
            vouched[end.segment] = Vouched(status, end)
        return _save(folder, end.journal, vouched, None)
    except OSError:
        return False


def save_rewritten(folder: JournalFolder, ends: Mapping[int, Position]) -> bool:
    """Vouches for sealed segments that were verified up to there and stand in other files now; whether that could be
    written."""
    vouched = {
        segment: Vouched(status, end)
        for segment, end in ends.items()
        if (status := file_status(folder, segment)) is not None
    }
    journal = next((end.journal for end in ends.values()), None)
    try:
        return journal is not None and _save(folder, journal, vouched, None)
    except OSError:
        return False


def save_state(folder: JournalFolder, trust: Trust, end: Position, damage: Iterable[Damage], state: State) -> bool:
    """Keeps the state after the events before `end`, as a reader found them; whether that could be written."""
    from ..state import glance_of, to_plain_state

    try:
        lines = [
            _sealed({"fold": _fold(), "position": end, **to_plain_state(each)}) for each in (state, glance_of(state))
        ]
    except (TypeError, ValueError, RecursionError):
        # A session that ends keeps its state: what a user recorded must not make that fail.
        return False
    try:
        return _save(folder, end.journal, trust.verified(end, damage), b"".join(lines))
    except OSError:
        return False


def _save(folder: JournalFolder, journal: str, vouched: dict[int, Vouched], state_lines: bytes | None) -> bool:
    old = load(folder)
    if old is not None and old.journal == journal:
        # What rule 2 does not trust today must not become trusted by being written again.
        kept = {segment: one for segment, one in old.vouched.items() if old.trusts(segment, one.status)}
        vouched = {**kept, **vouched}
        if state_lines is None:
            state_lines = b"".join(b"%b\n" % each for each in (old.state_line, old.glance_line) if each)
    ordered = [vouched[segment] for segment in sorted(vouched)]
    line = _sealed(
        {"format": CHECKPOINT_NAME, "version": CHECKPOINT_VERSION, "journal": journal, "vouched": ordered},
    )
    changed_ns = max((one.status.changed_ns for one in ordered), default=0)
    _replace(folder, line + (state_lines or b""), changed_ns)
    return True


def _replace(folder: JournalFolder, data: bytes, after_ns: int) -> None:
    """Rules 2 and 5.  Raises OSError."""
    disk = folder.disk
    for name in disk.list_names(folder.path):
        if _TEMPORARY_NAME.fullmatch(name):
            disk.remove(f"{folder.path}/{name}")
    path = f"{folder.path}/.checkpoint.{new_id()}.new"
    descriptor = disk.create(path)
    try:
        disk.write(descriptor, data)
        for _ in range(TICKS_MAX):
            status = disk.status(path)
            if status is None or status.modified_ns > after_ns:
                break
            sleep_s(TICK_S)
            disk.empty(descriptor)
            disk.write(descriptor, data)
        disk.rename(path, folder.checkpoint_path)
    finally:
        disk.close(descriptor)
        disk.remove(path)


def _fold() -> list[Any]:
    """Rule 4: a release that knows other events folds them to another state."""
    from ..state import FOLD_VERSION

    return [FOLD_VERSION, *EVENT_TYPES]


def _sealed(members: Mapping[str, Any]) -> bytes:
    body = orjson.dumps(members)[:-1]
    return b'%b,"hash":"%b"}\n' % (body, sha256(body).hexdigest().encode("ascii"))


def _unsealed(line: bytes) -> bytes | None:
    body = line[:-HASH_TAIL_BYTES]
    return body if stated_hash(line) == sha256(body).hexdigest() else None
