"""Saved files of a loaded run: what is known of them, and their content.

`run.files` is a tuple of files; it is also asked by name as `experiment.files` is.  Content is checked against its
SHA-256 before it is handed out.  Of a run on a server it is brought to this user's cache the first time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from os import PathLike
from typing import Any

from ..files import FileBuilder
from ..journal.contents import ContentStore
from ..journal.copying import Content
from ..journal.folder import JournalFolder
from ..opening.recorder import Recorder
from ..recording.file_finding import FileDicts, Paths
from ..recording.file_records import as_dict
from ..state import FileState, State
from ..state.standing import standing_files
from .saved_content import content_store


class FileView(FileState):
    """A saved file.  Its values are also had by the keys of `files.list()`: `file["sizeBytes"]`, `dict(file)`."""

    __slots__ = ("_folder",)
    _folder: JournalFolder

    @classmethod
    def of(cls, folder: JournalFolder, file: FileState) -> FileView:
        return _view(folder, *(getattr(file, each.name) for each in fields(file)))

    def keys(self) -> Iterable[str]:
        return as_dict(self).keys()

    def __getitem__(self, key: str) -> Any:
        return as_dict(self)[key]

    def download(self, to: str | PathLike[str] | None = None) -> str | PathLike[str]:
        """Writes it to `to`, by default its own name in the working directory, and gives that path as it was given.

        Raises StorageError where the content is not there or damaged, or the place cannot be written; nothing is
        written then.  For a run on a server also NetworkError and AuthenticationError.
        """
        found = _LoadedFiles(self._folder, {self.id: self}, file_id=self.id).download(to=to)
        assert not isinstance(found, list)
        return found

    def read_bytes(self) -> bytes:
        """Its content, all in memory.  Raises as `download` does."""
        return content_store(self._folder).read(Content(self.checksum, self.size_bytes))

    def read_text(self, encoding: str = "utf-8") -> str:
        """Its content as a string.  Raises UnicodeDecodeError for another encoding, and as `download` does."""
        return self.read_bytes().decode(encoding)

    def __reduce__(self) -> tuple[Callable[..., FileView], tuple[Any, ...]]:
        return _view, (self._folder, *(getattr(self, each.name) for each in fields(self)))


def _view(folder: JournalFolder, *values: Any) -> FileView:
    found = FileView(*values)
    object.__setattr__(found, "_folder", folder)
    return found


class FileViews(tuple[FileView, ...]):
    """The newest version of each file that is not deleted, by path.

        run.files[0].read_bytes()
        run.files.read_text("notes/today.txt")
        run.files.download("checkpoints/*.pt", to="here")

    A path, a pattern and `to` mean what they mean for `experiment.files`, and raise the same.
    """

    _by_path: Callable[[str | None], FileBuilder]

    def __new__(cls, folder: JournalFolder, state: State) -> FileViews:
        found = super().__new__(cls, (FileView.of(folder, each) for each in standing_files(state)))
        found._by_path = partial(_LoadedFiles, folder, state.files)
        return found

    def list(
        self, pattern: str | None = None, *, tags: Iterable[str] | None = None, bindrs: Iterable[str] | None = None
    ) -> FileDicts:
        """Those of the pattern, with any of the tags and any of the bindrs, in the order in which they were saved."""
        return self._by_path(None).list(pattern, tags=tags, bindrs=bindrs)

    def exists(self, path: str) -> bool:
        """Whether the path or the pattern means a file."""
        return self._by_path(path).exists()

    def versions(self, path: str) -> FileDicts:
        """All versions of a file, the oldest first, deleted ones too."""
        return self._by_path(path).versions()

    def download(
        self, pattern: str, *, to: str | PathLike[str] | None = None, version: int | str | None = None
    ) -> str | PathLike[str] | Paths:
        """Writes a file, or all of a pattern into the folder `to`, and gives the path or the paths."""
        return self._by_path(None).download(pattern, to=to, version=version)

    def read_bytes(self, path: str) -> bytes:
        """The content of a file, all in memory."""
        return self._by_path(path).read_bytes()

    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """The content of a file as a string.  Raises UnicodeDecodeError for another encoding."""
        return self._by_path(path).read_text(encoding)

    def __reduce__(self) -> tuple[Callable[..., tuple[FileView, ...]], tuple[Any, ...]]:
        return tuple, (list(self),)


class _LoadedFiles(FileBuilder):
    """A path, a pattern or an id among the files of a run that is only read."""

    def __init__(
        self, folder: JournalFolder, files: Mapping[str, FileState], path: str | None = None, file_id: str | None = None
    ) -> None:
        super().__init__(Recorder(console=False), path, None, file_id)
        self._journal = folder
        self._files = files

    def _by_ids(self) -> Mapping[str, FileState]:
        return self._files

    @contextmanager
    def _store(self) -> Iterator[ContentStore]:
        yield content_store(self._journal)
