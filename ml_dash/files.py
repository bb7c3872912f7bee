"""`experiment.files`: files as they were when they were saved, found again by name, by pattern or by bindr.

    experiment.files.upload("model.pt", to="checkpoints/model.pt")
    experiment.files("checkpoints", tags=["best"]).save_torch(model, to="best.pt")
    experiment.files("checkpoints").list("*.pt")
    experiment.files("checkpoints/best.pt").download(to="best.pt")

`recording/file_saving.py` has the ways to save, `recording/file_finding.py` those to list, fetch and delete;
`journal/contents.py` keeps the content and `recording/file_paths.py` says what a path or pattern means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .errors import ConfigurationError
from .facts.events import FILE_UPDATED
from .journal.copying import Content
from .opening.recorder import Recorder
from .recording.file_finding import FileDicts, FileFinder
from .recording.file_records import Details, as_dict, current
from .recording.file_saving import FileDict, Metadata, Tags
from .state import FileState


class FileBuilder(FileFinder):
    """One folder or one file, `experiment.files("models/best.pt")`, with the details for what is saved through it."""

    def exists(self) -> bool:
        """Whether the path, the pattern or the id means a file that stands."""
        self._recorder.look()
        try:
            self._find(None)
        except LookupError:
            return False
        return True

    def read_bytes(self) -> bytes:
        """The content of the file, all in memory, checked against its checksum."""
        self._recorder.look()
        file = self._find_one()
        with self._store() as store:
            return store.read(Content(file.checksum, file.size_bytes))

    def read_text(self, encoding: str = "utf-8") -> str:
        """The file as a string, checked against its checksum.  Raises UnicodeDecodeError for another encoding."""
        return self.read_bytes().decode(encoding)

    def versions(self) -> FileDicts:
        """All versions of the file, the oldest first, deleted ones too."""
        self._recorder.look()
        return [as_dict(file) for file in self._versions()]

    def update(
        self,
        *,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
    ) -> FileDict:
        """Changes what is said here or in `files(path, …)`, and nothing else; `[]` clears.  Gives the changed file."""
        file = self._find_one()
        given = Details.checked(description, tags, bindrs, metadata).over(self._details).given()
        if not given:
            return as_dict(file)
        time_us = self._recorder.writer().record(FILE_UPDATED, {"id": file.id, **given})
        changed: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in given.items()
        }
        return as_dict(replace(file, updated_us=time_us, **changed))


class Files(FileFinder):
    """`experiment.files`: all that a folder does, for the root; and `files(folder)`."""

    def __call__(
        self,
        dir: str | None = None,
        *,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
        file_id: str | None = None,
    ) -> FileBuilder:
        """A folder, the path of a file, or a pattern; with the details of what is saved there.

        `file_id` means the file that has this id.
        """
        return FileBuilder(self._recorder, dir, Details.checked(description, tags, bindrs, metadata), file_id)

    def exists(self, path: str) -> bool:
        """Whether the path or the pattern means a file that stands."""
        return self(path).exists()

    def read_bytes(self, path: str) -> bytes:
        """The content of a file, all in memory, checked against its checksum."""
        return self(path).read_bytes()

    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """A file as a string, checked against its checksum.  Raises UnicodeDecodeError for another encoding."""
        return self(path).read_text(encoding)

    def versions(self, path: str) -> FileDicts:
        """All versions of a file, the oldest first, deleted ones too."""
        return self(path).versions()

    def update(
        self,
        path: str,
        *,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
    ) -> FileDict:
        """Changes what is said here, and nothing else; `[]` clears.  Gives the file as it is then."""
        return self(path).update(description=description, tags=tags, bindrs=bindrs, metadata=metadata)


class Bindrs:
    """`experiment.bindrs(name).list()`: the files that carry a name."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __call__(self, name: str) -> Bindr:
        """Raises ConfigurationError for what is no string."""
        if not isinstance(name, str):
            raise ConfigurationError(f"a bindr is a string, not {name!r:.100}")
        return Bindr(self._recorder, name)


class Bindr:
    """One name that files are bound to."""

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder = recorder
        self.name = name

    def list(self) -> FileDicts:
        """The files that stand and carry this name, in the order in which they were first saved."""
        self._recorder.look()
        files: Iterable[FileState] = self._recorder.replay().refresh().files.values()
        return [as_dict(file) for file in current(files) if self.name in file.bindrs]


FilesAccessor = Files
BindrsBuilder = Bindr
"""What code written for the PyPI package `ml-dash` calls them."""
