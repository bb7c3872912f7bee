"""`ml_dash.archive`: the sealed segments of a journal, compressed; it replays the same, and no event goes.

`journal/archive.py` has the order that loses nothing.  What is not archived: the newest segment, which is appended to;
one that is damaged and of which nobody has declared that, because a plain file is restored from a copy more easily; and
one that holds a value whose redaction was declared and not carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import StorageError
from ..history import Root
from ..journal.archive import pack, rewriting, unpack
from ..journal.chain import Position, end_of
from ..journal.chart import Extent, chart
from ..journal.checkpoint import save_rewritten
from ..journal.damage import DamageKind
from ..journal.folder import JournalFolder
from ..journal.reader import JournalReader
from ..journal.redaction import finish_begun
from ..journal.segment_file import file_status, is_archived, open_segment, zstandard
from ..journal.survey import Survey, survey
from ..prefix import parse_prefix
from ..reading.lineage import reading
from ..reading.listing import own_folder_of, root_of
from ..reading.sources import check_local

OnProgress = Callable[[int, int], object]
"""Told how many bytes are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Left:
    """A sealed segment that was left as it is, and why."""

    segment: int
    reason: str


@dataclass(frozen=True, slots=True)
class Archived:
    """What `archive` has done.

    `segments` are those that it has rewritten, `bytes_before` and `bytes_after` their sizes; `left` are those that it
    would not touch.  All are empty where there was nothing to do.
    """

    segments: tuple[int, ...]
    bytes_before: int
    bytes_after: int
    left: tuple[Left, ...]


def archive(
    prefix: str,
    *,
    undo: bool = False,
    dash_root: Root = None,
    dash_url: object = None,
    progress: OnProgress = lambda done, total: None,
) -> Archived:
    """Compresses the sealed segments of an experiment; with `undo=True` makes archived ones plain again.

        ml_dash.archive("alice/ml/a")

    The whole journal is verified before, and every compressed segment is read back and compared byte for byte before
    the plain one is removed.  Everything reads, verifies and goes on recording as before; also while this works, and
    while somebody records.  Saved files stay as they are.  May be called again, also after it was killed.

    Raises what `load` raises, MissingExtraError where zstandard is not installed, StorageError where the folder cannot
    be written to or a segment cannot be read twice alike, LockError where another process archives or redacts here.
    """
    check_local(dash_url, "archiving")
    folder = own_folder_of(parse_prefix(prefix), root_of(dash_root))
    zstandard("Archiving")
    finish_begun(folder)
    with reading(folder):
        found = survey(folder)
    try:
        with rewriting(folder):
            return _rewrite(folder, found, undo, progress)
    except OSError as error:
        raise StorageError(
            f"{folder.path} cannot be written to: {error}. Nothing is lost, and what was finished stays; mend that, "
            "and call it again"
        ) from error


def _rewrite(folder: JournalFolder, found: Survey, undo: bool, progress: OnProgress) -> Archived:
    extents = _sealed(folder, undo)
    left = [Left(each.segment, why) for each in extents if (why := _why_not(folder, found, each)) is not None]
    kept = {each.segment for each in left}
    work = [each for each in extents if each.segment not in kept]
    rewrite = unpack if undo else pack
    total = 2 * sum(_size(folder, each) for each in work)
    done = before = after = 0

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        progress(min(done, total), total)

    ends: dict[int, Position] = {}
    try:
        for extent in work:
            sizes = rewrite(folder, extent.segment, on_bytes)
            before, after = before + sizes[0], after + sizes[1]
            if extent.accepted is not None and extent.journal is not None and not extent.is_dead:
                ends[extent.segment] = end_of(extent.accepted, extent.journal, extent.accepted.bytes)
    finally:
        # The next one who opens it need not read it all again.
        save_rewritten(folder, ends)
    return Archived(tuple(each.segment for each in work), before, after, tuple(left))


def _sealed(folder: JournalFolder, undo: bool) -> list[Extent]:
    """The segments that there is something to do with."""
    reader, numbers = JournalReader(folder), folder.segment_numbers()
    headers = {number: found for number in numbers if (found := reader.header(number)) is not None}
    if undo:
        return [each for each in chart(numbers, headers) if folder.disk.exists(folder.archived_path(each.segment))]
    return [
        each
        for each in chart(numbers, headers)
        if each.is_sealed and file_status(folder, each.segment) is not None and not is_archived(folder, each.segment)
    ]


def _size(folder: JournalFolder, extent: Extent) -> int:
    """How many bytes will be gone through, twice, as far as that is known."""
    if extent.accepted is not None:
        return extent.accepted.bytes
    status = file_status(folder, extent.segment)
    return status.size if status is not None else 0


def _why_not(folder: JournalFolder, found: Survey, extent: Extent) -> str | None:
    """Why a segment is left as it is; None where it may be rewritten."""
    segment = extent.segment
    for damage in found.damage:
        if damage.segment == segment and damage.refuses_writing and damage.kind is DamageKind.CORRUPT:
            return f"it is damaged at byte {damage.offset}: restore it from a copy, or see `ml-dash recover`"
    for redaction in found.redactions:
        if redaction.segment == segment and not redaction.is_done:
            return f"the redaction of event {redaction.redacted} was not carried out: redact it again first"
    # What counts was verified by its hashes; what does not has none.
    verified = extent.accepted.bytes if extent.accepted is not None and not extent.is_dead else 0
    with open_segment(folder, segment) as file:
        if file.has_lost_behind(verified):
            return "bytes of it that do not replay are damaged: it stays archived, as it is"
    return None
