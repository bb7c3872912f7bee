"""Finding, fetching and taking away saved files.

Which files a path or a pattern means is in `file_paths.py`, which of them stand in `file_records.py`.

 1. Nothing is ever removed: deleting and saving again are events, and content stays where it is.
 2. What is fetched is checked against its SHA-256 before it gets its name; what was there is replaced in one step.
 3. Fetching never writes outside the folder that it was given, whatever names the journal holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConfigurationError, StorageError
from ..facts.events import FILE_DELETED
from ..journal.copying import Content
from ..opening.old_names import also_called
from ..opening.recorder import Recorder
from ..state import FileState
from .file_paths import below, clean_pattern, is_pattern, local_names, matching, meant, name_of, split_target
from .file_records import (
    Details,
    as_dict,
    content_type_of,
    current,
    details_of,
    moment,
    newest,
    unknown,
    unknown_id,
    versions_of,
)
from .file_saving import FileDict, FileSaver, Metadata, Tags

FileDicts = list[FileDict]
States = list[FileState]
Paths = list[str]
Deleted = dict[str, Any]
"""`{"id": …, "deletedAt": …}`."""
DeletedList = list[Deleted]
_Given = TypeVar("_Given", bound="str | PathLike[str]")


class FileFinder(FileSaver):
    """A folder, a file or a pattern.  A file may also be given by the id of its newest version, as `file_id`.

    All raise ExperimentError before the first start, and UnknownFileError (a FileNotFoundError and a ValueError) for a
    path, pattern or id that means no file.
    """

    def __init__(
        self,
        recorder: Recorder,
        folder: str | None = None,
        details: Details | None = None,
        file_id: str | None = None,
    ) -> None:
        super().__init__(recorder, folder, details)
        self._file_id = file_id

    def list(self, pattern: str | None = None, *, tags: Tags = None, bindrs: Tags = None) -> FileDicts:
        """The files below the folder, or those of the pattern, in the order in which they were first saved.

        `tags` and `bindrs` keep those that carry any of them.
        """
        self._recorder.look()
        files = current(self._state())
        found = (
            matching(below(files, self._folder), clean_pattern(pattern), self._folder) if pattern else self._own(files)
        )
        wanted = Details.checked(None, tags, bindrs).over(self._details)
        for names, carried in ((wanted.tags, "tags"), (wanted.bindrs, "bindrs")):
            if names:
                found = [file for file in found if not set(names).isdisjoint(getattr(file, carried))]
        return [as_dict(file) for file in found]

    @also_called(path="pattern")
    def download(
        self,
        pattern: str | None = None,
        *,
        to: str | PathLike[str] | None = None,
        version: int | str | None = None,
    ) -> str | PathLike[str] | Paths:
        """Writes a file to `to`, by default its own name in the working directory, and gives that path as it was given:
        a `Path` for a `Path`.

        With a pattern `to` is a folder, which is made, and the paths are a list: side by side there, or in their own
        folders where two files share a name.  `version` is the id of a version, or its index in `versions()`.  Raises
        StorageError, which names both checksums, where the saved content is damaged; nothing is written then.
        """
        self._recorder.look()
        found = self._find(pattern)
        if isinstance(found, FileState):
            return self._fetch(self._version(found, version), to)
        if version is not None:
            raise ConfigurationError(
                f"version={version!r} was given with a pattern that may mean many files. Name one file"
            )
        base = Path(to) if to is not None else Path()
        targets = [base / _safe(name) for name in local_names(found, self._folder)]
        return [self._write(file, target, str(target)) for file, target in zip(found, targets, strict=True)]

    @also_called(path="pattern")
    def delete(self, pattern: str | None = None) -> Deleted | DeletedList:
        """Takes a file, or all of a pattern, off the list: `{"id", "deletedAt"}`.  Its history and content stay."""
        found = self._find(pattern)
        return self._delete(found) if isinstance(found, FileState) else [self._delete(file) for file in found]

    def duplicate(
        self,
        source: str | FileDict,
        to: str,
        *,
        description: str | None = None,
        tags: Tags = None,
        bindrs: Tags = None,
        metadata: Metadata = None,
    ) -> FileDict:
        """Saves the content of another file, given by id, dict or path, also under the whole path `to`.

        Nothing is stored twice.  What is not said here or on the folder is taken over from the source.  Any version
        will do, an older or deleted one too: this is how it is brought back.
        """
        file = self._source(source)
        path, filename = split_target("", to, may_be_absolute=True)
        said = Details.checked(description, tags, bindrs, metadata).over(self._details).over(details_of(file))
        content_type = file.content_type if filename == file.filename else content_type_of(filename)
        content = Content(file.checksum, file.size_bytes)
        if not self._recorder.disabled:
            with self._store() as store:
                store.adopt(content)
        return self._record(path, filename, said, content, content_type)

    # -- which files ---------------------------------------------------------------------------------------------

    def _by_ids(self) -> Mapping[str, FileState]:
        """All versions of all files, deleted ones too."""
        return self._recorder.replay().refresh().files

    def _state(self) -> Iterable[FileState]:
        return self._by_ids().values()

    def _own(self, files: States) -> States:
        """What the path of this object means: everything below it, the file itself, or the files of the pattern."""
        found = [file for file in files if name_of(file) == self._folder] or below(files, self._folder)
        return found or (matching(files, self._folder) if is_pattern(self._folder) else [])

    def _find(self, pattern: str | None) -> FileState | States:
        """One file for an id or a path, a list for a pattern.  Raises UnknownFileError."""
        if pattern is None and self._file_id is not None:
            return self._by_id(self._file_id)
        asked, folder = (self._folder, "") if pattern is None else (clean_pattern(pattern), self._folder)
        if not asked:
            raise ConfigurationError(
                "No file path specified. Use files('path/to/file'), or give a pattern such as '*.pt'"
            )
        files = current(self._state())
        one = meant(files, asked, folder)
        if one is not None:
            return one
        many = matching(below(files, folder), asked, folder) if is_pattern(asked) else []
        if not many:
            raise unknown(asked, files)
        return many

    def _find_one(self) -> FileState:
        found = self._find(None)
        if isinstance(found, list):
            raise ConfigurationError(f"{self._folder!r} means {len(found)} files. Name one of them")
        return found

    def _by_id(self, file_id: str) -> FileState:
        files = self._by_ids()
        for file in current(files.values()):
            if file.id == file_id:
                return file
        raise unknown_id(file_id, files)

    def _source(self, source: str | FileDict) -> FileState:
        file_id = source.get("id") if isinstance(source, Mapping) else source
        if not isinstance(file_id, str) or not file_id:
            raise ConfigurationError(
                f"source must be a file ID (str) or metadata dict with 'id' key, or a path, not {source!r:.100}"
            )
        files = self._by_ids()
        file = files.get(file_id)
        if file is None and isinstance(source, str):
            file = meant(current(files.values()), clean_pattern(source))
        if file is None:
            raise unknown(file_id, current(files.values()))
        return file

    def _versions(self) -> States:
        files = list(self._state())
        file = self._by_id(self._file_id) if self._file_id else meant(newest(files), self._folder)
        if file is None:
            raise unknown(self._folder, newest(files))
        return versions_of(files, file)

    def _version(self, file: FileState, version: int | str | None) -> FileState:
        if version is None:
            return file
        versions = versions_of(self._state(), file)
        found = {each.id: each for each in versions}.get(version) if isinstance(version, str) else None
        if isinstance(version, int) and -len(versions) <= version < len(versions):
            found = versions[version]
        if found is None:
            raise unknown(f"version {version!r} of {name_of(file)}", [])
        return found

    # -- what is done with them ----------------------------------------------------------------------------------

    def _delete(self, file: FileState) -> Deleted:
        time_us = self._recorder.writer().record(FILE_DELETED, {"id": file.id})
        return {"id": file.id, "deletedAt": moment(time_us)}

    def _fetch(self, file: FileState, to: str | PathLike[str] | None) -> str | PathLike[str]:
        if to is None:
            return self._write(file, Path(_safe(file.filename)), file.filename)
        if str(to).endswith("/") or os.path.isdir(to):
            target = Path(to) / _safe(file.filename)
            return self._write(file, target, str(target) if isinstance(to, str) else target)
        return self._write(file, Path(to), to)

    def _write(self, file: FileState, target: Path, given: _Given) -> _Given:
        try:
            # What a link points at is replaced, not the link.
            final = target.resolve()
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists() and not final.is_file():
                raise StorageError(
                    f"{str(given)!r} is there and is no regular file. Give the path of a file, or remove it"
                )
        except (OSError, ValueError, RuntimeError) as error:
            raise StorageError(f"{str(given)!r} cannot be written: {error}. Give another place") from error
        with self._store() as store:
            store.copy_out(Content(file.checksum, file.size_bytes), str(final))
        return given


def _safe(name: str) -> str:
    """Rule 3.  Raises ConfigurationError for a name that would leave its folder."""
    path, filename = split_target("", name)
    return f"{path}/{filename}".lstrip("/")
