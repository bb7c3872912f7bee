"""What follows the declaration of a redaction: the value leaves the bytes.  Killed anywhere, the next one finishes it.

 1. `_journal/redacting` is there before the declaration is appended, durable, until all of this is done.
 2. Elsewhere first: where the value stands whole in bytes that do not replay, damaged spools included, it is
    overwritten.  What it is can be read in the line as long as that is not replaced.
 3. Then the line is replaced, by as many bytes, and synced.
 4. Then the cached state and abandoned files go, and then the file of 1.

Whoever redacts, archives or recovers next, or opens the journal to record, finishes what was begun.  Nothing but this
file tells of it, so nobody has to read a journal to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from ..errors import MlDashError
from ..state.nouns import Redaction
from .archive import make_plain, rewriting
from .damage import Damage
from .declarations import Place, declared_in
from .drain import is_locked
from .folder import CHECKPOINT, JournalFolder
from .reader import JournalReader
from .redacted_lines import declared_line
from .segment_file import open_segment

LITERAL_BYTES_MIN = 6
"""A shorter value is not searched for in bytes that do not replay: it would be found everywhere."""


@contextmanager
def finishing(folder: JournalFolder) -> Iterator[set[Place]]:
    """`archive.rewriting`, with what was begun finished; the lines that were replaced by that."""
    with rewriting(folder):
        yield finish(folder) if folder.disk.exists(folder.redacting_path) else set()


def finish_begun(folder: JournalFolder) -> None:
    """For whoever comes to do something else: what cannot be done now stays begun, and `ml-dash doctor` names it."""
    if folder.disk.exists(folder.redacting_path) and not is_locked(folder, folder.rewriting_path):
        with suppress(OSError, MlDashError), finishing(folder):
            pass


def begin(folder: JournalFolder) -> None:
    """Order 1.  Only inside of `rewriting`."""
    disk = folder.disk
    if not disk.exists(folder.redacting_path):
        disk.close(disk.create(folder.redacting_path))
        disk.sync_folder(folder.path)


def finish(folder: JournalFolder) -> set[Place]:
    """Orders 2 to 4, of all that the journal declares.  Only inside of `rewriting`.  Raises OSError, StorageError."""
    reader, declared = JournalReader(folder), dict[Place, Redaction]()
    for line in reader.commits():
        declared.update({(each.segment, each.offset): each for each in declared_in(line)})
    position = reader.position
    journal = "" if position is None else position.journal
    replaced = {place for place, each in declared.items() if _replace(folder, each, journal, reader.damage)}
    disk = folder.disk
    for name in disk.list_names(folder.path):
        if name.endswith(".new") or name == CHECKPOINT:
            disk.remove(f"{folder.path}/{name}")
    disk.remove(folder.redacting_path)
    disk.sync_folder(folder.path)
    return replaced


def _replace(folder: JournalFolder, redaction: Redaction, journal: str, damage: Iterable[Damage]) -> bool:
    """Orders 2 and 3; False where that is done.  A declaration that is about no line changes nothing."""
    found = declared_line(folder, redaction, journal)
    if found is None or found[0] == found[1]:
        return False
    line, changed = found
    _free_elsewhere(folder, damage, _literals(line, redaction))
    make_plain(folder, redaction.segment)
    folder.disk.overwrite(folder.segment_path(redaction.segment), redaction.offset, changed)
    return True


def _literals(line: bytes, redaction: Redaction) -> set[bytes]:
    """What stands where the patches belong: texts without their quotes, numbers as they are."""
    found = set()
    for at, new in redaction.patches.items():
        old = line[int(at) : int(at) + len(new)]
        if old != new.encode("ascii") and len(old) - 2 >= LITERAL_BYTES_MIN:
            found.add(old[1:-1] if old.startswith(b'"') else old)
    return found


def _free_elsewhere(folder: JournalFolder, damage: Iterable[Damage], literals: set[bytes]) -> None:
    disk = folder.disk
    for name in folder.damaged_spools():
        path = f"{folder.spool_folder}/{name}"
        descriptor = disk.open_read(path)
        try:
            _overwrite_all(folder, path, disk.read_at(descriptor, 0, disk.size_of(descriptor)), 0, literals)
        finally:
            disk.close(descriptor)
    for each in damage:
        path = folder.segment_path(each.segment)
        data = bytes_of(folder, each.segment, each.offset, each.bytes)
        if any(literal in data for literal in literals):
            make_plain(folder, each.segment)
        _overwrite_all(folder, path, data, each.offset, literals)


def _overwrite_all(folder: JournalFolder, path: str, data: bytes, offset: int, literals: set[bytes]) -> None:
    """`data` stands in the file from `offset` on."""
    for literal in literals:
        at = data.find(literal)
        while at >= 0:
            folder.disk.overwrite(path, offset + at, b"*" * len(literal))
            at = data.find(literal, at + 1)


def bytes_of(folder: JournalFolder, segment: int, offset: int, count: int) -> bytes:
    with open_segment(folder, segment) as file:
        return file.read_at(offset, count)
