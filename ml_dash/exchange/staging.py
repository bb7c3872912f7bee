"""An imported journal appears whole or not at all.

 1. One import at a time for a prefix: its lock is `_files/importing.lock`.
 2. The journal is written to `_files/importing-<id>/_journal`, where no reader looks, and is durable there.
 3. It is read back, and its values are counted again: what differs from the source's count is never published.
 4. One rename makes it the experiment's.  Killed before, there is no experiment; killed behind, there is all of it.
 5. What killed imports left is removed by the next import of that prefix.
 6. A journal that is replaced moves to `_files/replaced-<id>/_journal` first: no event is ever deleted.

Saved files go to the experiment's own store at once.  It names them by their content, so doing it again adds nothing.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from ..errors import ExperimentError, LockError, MlDashError, SourceFileError, StorageError
from ..facts.codec import CodecError, decode_events
from ..facts.events import METRIC_LOGGED, Event
from ..ids import new_id
from ..journal.folder import FILES, JOURNAL, JournalFolder
from ..journal.lock import JournalLock
from ..journal.reader import JournalReader
from .bulk import writing
from .reports import Series, Tally

LOCK_TIMEOUT_S = 2.0
_STAGED = "importing-"


@contextmanager
def alone(folder: JournalFolder) -> Iterator[None]:
    """Rules 1 and 5.  Raises LockError where the experiment is being imported by another process, StorageError."""
    files = folder.experiment / FILES
    try:
        files.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            try:
                held.enter_context(JournalLock(str(files / "importing.lock"), LOCK_TIMEOUT_S))
            except LockError as error:
                raise LockError(
                    f"{folder.prefix!r} is being imported by another process, or locks do not work there ({error}). "
                    "Nothing was imported; wait until that has ended"
                ) from error
            for left in files.glob(f"{_STAGED}*/"):
                shutil.rmtree(left)
            yield
    except MlDashError:
        # Some of them are an OSError as well.
        raise
    except OSError as error:
        raise StorageError(
            f"the import to {folder.experiment} failed: {error}. Nothing was imported; free space or mend that, and "
            "import again"
        ) from error


def publish(folder: JournalFolder, events: Iterable[Event], tally: Tally, *, replaces: bool) -> Counter[Series]:
    """Rules 2 to 4 and 6, inside `alone`; the values of each metric's fields that were read back."""
    files = folder.experiment / FILES
    place = files / f"{_STAGED}{new_id()}"
    place.mkdir()
    try:
        staged = JournalFolder(place, prefix=folder.prefix)
        with writing(staged) as writer:
            for event in events:
                writer.add(event)
        if not writer.count:
            raise SourceFileError(
                f"nothing was imported to {folder.prefix!r}: " + (" ".join(tally.notes) or "no event")
            )
        written = _counted(staged, writer.count)
        if written != tally.values:
            raise StorageError(_difference(folder.prefix, tally.values, written))
        if replaces:
            kept = files / f"replaced-{new_id()}"
            kept.mkdir()
            os.rename(folder.path, kept / JOURNAL)
        try:
            os.rename(staged.path, folder.path)
        except OSError as error:
            if not os.path.isdir(folder.path):
                raise
            raise ExperimentError(
                f"{folder.prefix!r} was begun by another process while it was imported. Nothing was imported; give "
                "another prefix"
            ) from error
        for changed in (place, files, folder.experiment):
            folder.disk.sync_folder(str(changed))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return written


def _counted(folder: JournalFolder, count: int) -> Counter[Series]:
    """Rule 3: what stands in the journal, decoded from its bytes."""
    values: Counter[Series] = Counter()
    reader = JournalReader(folder)
    try:
        for line in reader.commits():
            for block in decode_events(line.events, line.count):
                if block.type != METRIC_LOGGED:
                    continue
                if block.data is not None:
                    name, fields = block.data.get("name"), block.data.get("fields")
                    values.update((name, key) for key in fields or {} if isinstance(fields, dict))
                else:
                    values.update({(block.name, key): block.count for key in block.keys})
    except CodecError as error:
        raise StorageError(f"the imported journal cannot be read back: {error}. Nothing was imported") from error
    if reader.damage or reader.next_seq - 1 != count:
        raise StorageError(
            f"{count} events were written to {folder.path} and {reader.next_seq - 1} read back. Nothing was imported; "
            "look after that file system"
        )
    return values


def _difference(prefix: str, read: Counter[Series], written: Counter[Series]) -> str:
    wrong = next(series for series in {*read, *written} if read[series] != written[series])
    return (
        f"{prefix!r} was not imported: of field {wrong[1]!r} of metric {wrong[0]!r} {read[wrong]} values were read and "
        f"{written[wrong]} written. This is a bug of ml_dash; please report it with the source"
    )
