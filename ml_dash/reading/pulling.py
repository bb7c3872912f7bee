"""An experiment of a server, brought down for good: what `ml-dash pull` does.

1. Its journals come as they are kept there, and are verified by their hash chain from the first byte to the last.
2. Content of saved files comes by its SHA-256 and is stored only if it has that.  What has not arrived at the server
   is named: the machine that saved it ships it still, or has lost it.
3. The journal that is brought into an empty place is then an ordinary one: it can be read, resumed and shipped.  Who
   resumes it on two machines has two continuations of one journal, and the server refuses the second.
4. A journal that is there already, and has lost its end, is given it back (`remote/mending.py`).  One that goes on
   differently is not touched.
5. Journals of other machines stand inside of the first one (`remote/mirror.py`), content of all of them together.  Who
   reads the experiment there reads all of them as one (`origins.py`); who resumes it goes on with the first.
6. What it was forked from comes too, where it is not there already.  What the server does not have of it stays missing,
   and the reading says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..clock import sleep_s
from ..errors import AuthenticationError, NetworkError, NotFoundError, RefusedError, StorageError
from ..facts.codec import CodecError, decode_events
from ..facts.events import FILE_SAVED
from ..journal.contents import ContentStore, Draft
from ..journal.copying import Content
from ..journal.folder import JournalFolder
from ..journal.reader import JournalReader
from ..journal.survey import survey
from ..prefix import Prefix, parse_prefix
from ..remote.mending import give_back_end
from ..remote.mirror import Mirror, ServerSource
from ..remote.server import Server
from ..remote.shipment import Shipment
from .lineage import Lineage, forked_from
from .origins import whole

ATTEMPTS_MAX = 5
RETRY_PAUSE_S = 0.5
_SAVED = b'"type":"%b"' % FILE_SAVED.encode("ascii")


@dataclass(frozen=True, slots=True)
class Pulled:
    """What is there now: journals, their events, files, and how many of those came this time.

    `missing` are the hashes of content that the server does not have; `given_back` bytes of a lost end were restored.
    """

    journals: int
    events: int
    files: int
    new_files: int
    given_back: int
    missing: tuple[str, ...]


def pull(
    prefix: Prefix,
    root: Path,
    server: Server,
    progress: Callable[[int, int], None] | None = None,
    children: frozenset[str] = frozenset(),
) -> Pulled:
    """Brings an experiment below the dash root `root`; `progress` is told how many of how many files are there.

    Raises NotFoundError where the server has no such experiment, StorageError where what has come does not verify or
    the disk refuses it, DivergedError where the two go on differently, and what `Server` raises.  Calling it again goes
    on from where it was.  `children` are prefixes that were forked from this one and are being brought.
    """
    folder = JournalFolder(root.joinpath(*prefix.segments), prefix=prefix.text)
    try:
        given_back = give_back_end(folder, prefix.text, server) if folder.segment_numbers() else 0
        Shipment(folder, prefix.text, server).check()
        mirror = Mirror(root, ServerSource(server))
        folders = mirror.refresh(prefix.text)
        if not folders:
            raise NotFoundError(f"no experiment {prefix.text!r} on {server.url}; `ml-dash list` shows what there is")
        events = sum(_verified(each) for each in folders)
        for each in folders:
            if each.experiment == folder.experiment:
                mirror.release(each)
        files, new, missing = _bring_files(folder, folders, prefix.owner, server, progress)
        whole(folder)
        children |= {prefix.text}
        for parent in _missing_parents(folders):
            if parent.text not in children:
                with suppress(NotFoundError, RefusedError, AuthenticationError):
                    pull(parent, root, server, progress, children)
    except OSError as error:
        raise StorageError(
            f"{folder.experiment} cannot be written to: {error}. Nothing was lost; pull again"
        ) from error
    return Pulled(len(folders), events, files, new, given_back, tuple(missing))


def _missing_parents(folders: list[JournalFolder]) -> Iterator[Prefix]:
    """Rule 6."""
    for folder in folders:
        fork = forked_from(folder)
        if fork is not None and Lineage(folder).damage():
            yield parse_prefix(fork.prefix)


def _verified(folder: JournalFolder) -> int:
    """How many events there are.  Raises StorageError where the chain does not hold."""
    found = survey(folder)
    if not found.ok:
        first = found.damage[0]
        raise StorageError(
            f"{folder.path} does not verify in segment {first.segment:08d} at byte {first.offset}: expected "
            f"{first.expected}, found {first.found}. Remove that folder and pull again"
        )
    return found.events


def _bring_files(
    folder: JournalFolder,
    journals: list[JournalFolder],
    owner: str,
    server: Server,
    progress: Callable[[int, int], None] | None,
) -> tuple[int, int, list[str]]:
    store = ContentStore(folder)
    contents = sorted(
        {each for journal in journals for each in _contents_in(journal)}, key=lambda each: each.size_bytes
    )
    new, missing = 0, list[str]()
    for number, content in enumerate(contents):
        if progress is not None:
            progress(number, len(contents))
        status = folder.disk.status(store.path_of(content.checksum))
        if status is not None and status.size == content.size_bytes:
            continue
        if bring(store, content, owner, server):
            new += 1
        else:
            missing.append(content.checksum)
    return len(contents) - len(missing), new, missing


def _contents_in(folder: JournalFolder) -> Iterator[Content]:
    """The content that a journal says was saved."""
    for line in JournalReader(folder).commits():
        if _SAVED not in line.events:
            continue
        with suppress(CodecError):
            for block in decode_events(line.events, line.count):
                for payload in block.payloads() if block.type == FILE_SAVED else ():
                    checksum, size = payload.get("checksum"), payload.get("sizeBytes")
                    if isinstance(checksum, str) and isinstance(size, int):
                        yield Content(checksum, size)


def bring(store: ContentStore, content: Content, owner: str, server: Server) -> bool:
    """Whether the server has it; it is stored then.  Raises StorageError where what comes is something else."""

    # Raises where it is no checksum: nothing is asked for by a path that a journal made up.
    store.path_of(content.checksum)

    def write(draft: Draft) -> None:
        arrived, failures = 0, 0
        while arrived < content.size_bytes:
            try:
                with server.blob(owner, content.checksum, arrived) as chunks:
                    for chunk in chunks:
                        draft.file.write(chunk)
                        arrived += len(chunk)
                        failures = 0
                        if arrived > content.size_bytes:
                            # More than there is of it: whatever it is, it may have no end.
                            break
                break
            except RefusedError:
                raise
            except NetworkError:
                failures += 1
                if failures >= ATTEMPTS_MAX:
                    raise
                sleep_s(RETRY_PAUSE_S)

    try:
        found = store.fill(write)
    except RefusedError as error:
        if error.status != 404:
            raise
        return False
    if found != content:
        raise StorageError(
            f"{server.url} gives {found.size_bytes} bytes with SHA-256 {found.checksum} for the content "
            f"{content.checksum} of {content.size_bytes} bytes. Nothing was stored under that name; ask who runs it"
        )
    return True
