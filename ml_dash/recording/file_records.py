"""What is known of saved files: which of them stand, what they are called, and the dict that users get of one.

 1. Files of one path and filename are versions of one file: the newest is the file, unless it is deleted.  An id means
    one version.
 2. Files stand in the order in which their names were first saved.
 3. What a user gave is kept as the value policy has it (`spec/values.md`), so a dict that is returned at once equals
    the one that is read back later.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from mimetypes import MimeTypes
from typing import Any

from ..clock import to_datetime
from ..errors import ConfigurationError, UnknownFileError
from ..facts.values import from_plain, to_plain
from ..state import FileState
from .file_paths import name_of

# Only what Python itself knows, and this: a type must not depend on the machine that recorded the file.
_TYPES = MimeTypes(filenames=())
for _ending, _type in {
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".toml": "application/toml",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}.items():
    _TYPES.add_type(_type, _ending)


@dataclass(frozen=True, slots=True)
class Details:
    """What a user says about a file; None where nothing was said."""

    description: str | None = None
    tags: list[str] | None = None
    bindrs: list[str] | None = None
    metadata: dict[str, Any] | None = None

    @classmethod
    def checked(
        cls,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        bindrs: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Details:
        """Raises ConfigurationError for what is of a wrong type."""
        if description is not None and not isinstance(description, str):
            raise ConfigurationError(f"description={description!r:.100} is not a string")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise ConfigurationError(
                f"metadata={metadata!r:.100} is not a mapping. Expected something like {{'epoch': 3}}"
            )
        kept = from_plain(*to_plain(dict(metadata))) if metadata is not None else None
        return cls(description, _names("tags", tags), _names("bindrs", bindrs), kept)

    def over(self, base: Details) -> Details:
        """What is said here; what is not, from `base`."""
        return Details(
            base.description if self.description is None else self.description,
            base.tags if self.tags is None else self.tags,
            base.bindrs if self.bindrs is None else self.bindrs,
            base.metadata if self.metadata is None else self.metadata,
        )

    def given(self) -> dict[str, Any]:
        """What is said here, by name."""
        said = {
            "description": self.description,
            "tags": self.tags,
            "bindrs": self.bindrs,
            "metadata": self.metadata,
        }
        return {name: value for name, value in said.items() if value is not None}


def _names(what: str, names: Iterable[str] | None) -> list[str] | None:
    if names is None:
        return None
    listed = [names] if isinstance(names, str) else list(names) if isinstance(names, Iterable) else [None]
    if not all(isinstance(name, str) for name in listed):
        raise ConfigurationError(f"{what}={names!r:.100} is not a list of strings. Expected something like ['best']")
    return listed


def details_of(file: FileState) -> Details:
    return Details(file.description, list(file.tags), list(file.bindrs), file.metadata)


def content_type_of(filename: str) -> str:
    """The media type that the ending of the name says."""
    return _TYPES.guess_type(f"./{filename}")[0] or "application/octet-stream"


def moment(time_us: int) -> str:
    """ISO 8601 in UTC with microseconds and `Z`."""
    return to_datetime(time_us).isoformat(timespec="microseconds").replace("+00:00", "Z")


def as_dict(file: FileState) -> dict[str, Any]:
    """What users get of a file: a copy, theirs to change."""
    return {
        "id": file.id,
        "path": file.path,
        "filename": file.filename,
        "description": file.description,
        "tags": list(file.tags),
        "bindrs": list(file.bindrs),
        "metadata": from_plain(*to_plain(file.metadata)),
        "contentType": file.content_type,
        "sizeBytes": file.size_bytes,
        "checksum": file.checksum,
        "uploadedAt": moment(file.uploaded_us),
        "updatedAt": moment(file.updated_us),
        "deletedAt": moment(file.deleted_us) if file.deleted_us is not None else None,
    }


def newest(files: Iterable[FileState]) -> list[FileState]:
    """The newest version of every file, deleted ones too, as rule 2 orders them."""
    by_name: dict[tuple[str, str], FileState] = {}
    for file in sorted(files, key=lambda file: file.seq):
        by_name[file.path, file.filename] = file
    return list(by_name.values())


def current(files: Iterable[FileState]) -> list[FileState]:
    """The files that stand."""
    return [file for file in newest(files) if file.deleted_us is None]


def versions_of(files: Iterable[FileState], file: FileState) -> list[FileState]:
    """All versions of a file, the oldest first."""
    same = (other for other in files if (other.path, other.filename) == (file.path, file.filename))
    return sorted(same, key=lambda file: file.seq)


def unknown(asked: str, files: Iterable[FileState]) -> UnknownFileError:
    """The error for a path or pattern that means no file."""
    names = [name_of(file) for file in files]
    if any(name.startswith(f"{asked}/") for name in names):
        return UnknownFileError(f"{asked!r} is a folder of saved files, not a file. Give a pattern: '{asked}/*'")
    near = get_close_matches(asked, names, n=3, cutoff=0.5) or names[:3]
    hint = f"There is {', '.join(map(repr, near))}" if near else "No file is saved here"
    return UnknownFileError(f"no saved file is meant by {asked!r}. {hint}; `files().list()` gives all")


def unknown_id(file_id: object, files: Mapping[str, FileState]) -> UnknownFileError:
    """The error for an id that no standing file has."""
    found = files.get(file_id) if isinstance(file_id, str) else None
    if found is None:
        return UnknownFileError(f"no saved file has the id {file_id!r}. `files().list()` gives every file with its id")
    name = name_of(found)
    if found.deleted_us is not None:
        return UnknownFileError(f"the file {file_id!r}, {name!r}, was deleted at {moment(found.deleted_us)}")
    return UnknownFileError(
        f"{file_id!r} is an older version of {name!r}, which was saved again. `files({name!r}).versions()` lists them, "
        f"`files({name!r}).download(version=…)` gets one of them"
    )
