"""Content of saved files, each stored once under its SHA-256: `_files/<aa>/<sha256>`.

Promises P1 and P2 hold for files as they do for events, and P4 for their bytes:

 1. Content is written under a draft's name, hashed, synced, and only then renamed; then the folders are synced.  So
    content under its final name is whole and durable, whoever is killed whenever.
 2. What is hashed is the copy.  Source and copy may share blocks or be copied inside the kernel, so a source that
    changes meanwhile cannot make content and name disagree.
 3. A source that grows meanwhile is saved with the length that it had when it was opened.
 4. Content that is there already is not stored again; its folders are synced all the same, because whoever stored it
    may not have come that far.  A file of another size under that name is damaged, and is replaced.
 5. A draft is locked while its maker lives, also before it holds a byte.  Whoever makes a draft removes those that
    are not locked; a maker that finds its own new draft removed, or locked by a remover, takes another name.
 6. Content is checked against its name whenever it is read, before the reader gets to see it.
 7. What a fork has from its parent is read where it was saved; what the fork saves again by name is copied first, so
    that its own events only speak of content that is its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from types import TracebackType
from typing import BinaryIO, TypeGuard

from ..errors import MlDashError, StorageError
from ..ids import new_id
from .copying import CHUNK_BYTES, Content, copy, hash_of
from .folder import FILES, JournalFolder
from .lock import hold_descriptor

_DRAFT = ".draft-"
_CHECKSUM = re.compile("[0-9a-f]{64}")


def is_checksum(text: object) -> TypeGuard[str]:
    """Whether it is a SHA-256 as a journal names content by: only then is it fit to be part of a path."""
    return isinstance(text, str) and _CHECKSUM.fullmatch(text) is not None


class ContentStore:
    """The saved content of one experiment.  `ancestors` are asked for what is not there: those it was forked from."""

    def __init__(
        self,
        folder: JournalFolder,
        ancestors: Callable[[], Iterable[JournalFolder]] = tuple,
        bring: Callable[[Content], bool] | None = None,
    ) -> None:
        self._ancestors = ancestors
        self._bring = bring
        self._disk = folder.disk
        self._experiment = str(folder.experiment)
        self.path = f"{self._experiment}/{FILES}"

    def path_of(self, checksum: str) -> str:
        """Raises StorageError where it is none: a journal that somebody else wrote may name any path there."""
        if not is_checksum(checksum):
            raise StorageError(f"{checksum!r:.200} is no SHA-256: expected 64 hex digits. The journal names no content")
        return f"{self.path}/{checksum[:2]}/{checksum}"

    # -- saving --------------------------------------------------------------------------------------------------

    def draft(self, suffix: str = "") -> Draft:
        """`with store.draft() as draft:` write to it, then `draft.keep()`; without that nothing stays.

        `suffix` ends the draft's name, for libraries that read a format from it.  Raises StorageError.
        """
        return Draft(self, suffix)

    def copy_in(self, source: str) -> Content:
        """Stores the content that the file at `source` has now.

        Raises StorageError, and the OSError of a `source` that cannot be opened.
        """
        descriptor = self._disk.open_read(source)
        try:
            with self.draft() as draft:
                draft.copy_from(descriptor, source)
                return draft.keep()
        finally:
            self._disk.close(descriptor)

    def write(self, data: bytes | bytearray | memoryview) -> Content:
        """Stores these bytes.  Raises StorageError."""
        with self.draft() as draft:
            draft.write(data)
            return draft.keep()

    def adopt(self, content: Content) -> None:
        """Rule 7: stores content that may stand in an ancestor only.  Raises StorageError."""
        if self._disk.exists(self.path_of(content.checksum)):
            return
        source = self._open(content)
        try:
            with self.draft() as draft:
                draft.copy_from(source, self.path_of(content.checksum))
                self._check(content, draft.keep())
        finally:
            self._disk.close(source)

    def fill(self, write: Callable[[Draft], object], suffix: str = "") -> Content:
        """Stores what `write` puts into the draft that it is given.  Raises StorageError where the disk refuses it."""
        with self.draft(suffix) as draft:
            try:
                write(draft)
            except MlDashError:
                raise
            except OSError as error:
                raise _not_saved(self, error) from error
            return draft.keep()

    def _new_draft(self, suffix: str) -> tuple[str, int]:
        """Rule 5: the name of a new draft, and the descriptor that holds its lock."""
        self._disk.make_folder(self.path)
        self._remove_dead_drafts()
        while True:
            path = f"{self.path}/{_DRAFT}{new_id()}{suffix}"
            descriptor = self._disk.create_draft(path)
            try:
                if hold_descriptor(descriptor) and self._disk.same_file(descriptor, path):
                    return path, descriptor
            except BaseException:
                self._disk.close(descriptor)
                self._disk.remove(path)
                raise
            self._disk.close(descriptor)

    def _remove_dead_drafts(self) -> None:
        for name in self._disk.list_names(self.path):
            if not name.startswith(_DRAFT):
                continue
            try:
                self._remove_if_dead(f"{self.path}/{name}")
            except OSError:
                # Gone already, or another user's: it takes room, but nobody's save may fail for it.
                continue

    def _remove_if_dead(self, draft: str) -> None:
        descriptor = self._disk.open_read(draft)
        try:
            if hold_descriptor(descriptor):
                self._disk.remove(draft)
        finally:
            self._disk.close(descriptor)

    def _adopt(self, draft: Draft, content: Content) -> None:
        """Rules 1 and 4: what the draft holds becomes the content of that name."""
        final = self.path_of(content.checksum)
        self._disk.make_folder(f"{self.path}/{content.checksum[:2]}")
        there = self._disk.status(final)
        if there is None or there.size != content.size_bytes:
            draft.finish()
            self._disk.rename(draft.path, final)
        for folder in (f"{self.path}/{content.checksum[:2]}", self.path, self._experiment):
            self._disk.sync_folder(folder)

    # -- reading -------------------------------------------------------------------------------------------------

    def copy_out(self, content: Content, target: str) -> None:
        """Makes or replaces the file at the absolute path `target`, in one step and only if the content is intact.

        Raises StorageError.
        """
        source = self._open(content)
        part = f"{os.path.dirname(target)}/.ml-dash-{new_id()}.part"
        try:
            descriptor = self._disk.create_draft(part)
            try:
                found = copy(self._disk, source, descriptor, self.path_of(content.checksum))
                self._check(content, found)
                self._disk.rename(part, target)
            except BaseException:
                self._disk.remove(part)
                raise
            finally:
                self._disk.close(descriptor)
        except OSError as error:
            raise StorageError(
                f"{target} cannot be written: {error}. Give another place, or free space there"
            ) from error
        finally:
            self._disk.close(source)

    def read(self, content: Content) -> bytes:
        """All of it, in memory.  Raises StorageError."""
        source = self._open(content)
        try:
            data = self._disk.read_at(source, 0, content.size_bytes + 1)
        except OSError as error:
            raise StorageError(f"saved content {self.path_of(content.checksum)} cannot be read: {error}") from error
        finally:
            self._disk.close(source)
        self._check(content, Content(sha256(data).hexdigest(), len(data)))
        return data

    def _open(self, content: Content) -> int:
        path = self.path_of(content.checksum)
        try:
            return self._disk.open_read(path)
        except FileNotFoundError as error:
            for folder in self._ancestors():
                with suppress(FileNotFoundError):
                    return self._disk.open_read(ContentStore(folder).path_of(content.checksum))
            if self._bring is not None and self._bring(content):
                with suppress(FileNotFoundError):
                    return self._disk.open_read(path)
            raise self._not_opened(path, error) from error
        except OSError as error:
            raise self._not_opened(path, error) from error

    def _not_opened(self, path: str, error: OSError) -> StorageError:
        return StorageError(
            f"saved content {path} cannot be opened: {error}. The journal says that it was saved; restore it from "
            "a copy of this folder, or save the file again"
        )

    def _check(self, content: Content, found: Content) -> None:
        """Rule 6."""
        if found != content:
            raise StorageError(
                f"saved content {self.path_of(content.checksum)} is damaged: expected {content.size_bytes} bytes with "
                f"SHA-256 {content.checksum}, found {found.size_bytes} bytes with SHA-256 {found.checksum}. Restore "
                "that file from a copy, or save the content again"
            )


class Draft:
    """Content on its way into a store.  `path` may be written to by others as long as this object is open."""

    def __init__(self, store: ContentStore, suffix: str) -> None:
        self._store = store
        self._disk = store._disk
        self._content: Content | None = None
        self._file: BinaryIO | None = None
        try:
            self.path, self._descriptor = store._new_draft(suffix)
        except OSError as error:
            raise _not_saved(store, error) from error

    @property
    def file(self) -> BinaryIO:
        """A file object to write to; whatever is written through it counts once `keep` is called."""
        if self._file is None:
            self._file = self._disk.file_object(self._descriptor)
        return self._file

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """All the content there is.  Raises StorageError."""
        view, digest = _flat(data), sha256()
        try:
            for start in range(0, len(view), CHUNK_BYTES):
                # The copy of each piece is what is hashed and written: a bytearray may change under our hands.
                piece = bytes(view[start : start + CHUNK_BYTES])
                digest.update(piece)
                self._disk.write(self._descriptor, piece)
        except OSError as error:
            raise _not_saved(self._store, error) from error
        self._content = Content(digest.hexdigest(), len(view))

    def copy_from(self, source: int, name: str) -> None:
        """All the content of an open file; `name` is for errors.  Raises StorageError."""
        try:
            self._content = copy(self._disk, source, self._descriptor, name)
        except OSError as error:
            raise _not_saved(self._store, error) from error

    def keep(self) -> Content:
        """The content is durable under its final name when this returns.  Raises StorageError."""
        try:
            if self._file is not None:
                self._file.flush()
            if not self._disk.same_file(self._descriptor, self.path):
                raise StorageError(
                    f"the draft {self.path} was replaced or removed while it was being written; save it again"
                )
            content = self._content or hash_of(self._disk, self._descriptor)
            self._store._adopt(self, content)
        except OSError as error:
            raise _not_saved(self._store, error) from error
        return content

    def finish(self) -> None:
        """Nothing is written any more, and what was written is durable.  Raises OSError."""
        self._disk.make_read_only(self._descriptor)
        self._disk.sync_file(self._descriptor)

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # None of this is about content that was kept, and rule 5 removes what stays: it must hide no other error.
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
        with suppress(OSError):
            self._disk.remove(self.path)
        self._disk.close(self._descriptor)


def _flat(data: bytes | bytearray | memoryview) -> memoryview:
    """The bytes of any buffer, in the order of its items."""
    view = memoryview(data)
    if view.nbytes == 0:
        return memoryview(b"")
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


def _not_saved(store: ContentStore, error: OSError) -> StorageError:
    return StorageError(
        f"the file could not be saved in {store.path}: {error}. Nothing of it was stored; free space there or mend "
        "that, and save it again"
    )
