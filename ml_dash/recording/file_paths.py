"""Names of saved files: where a file goes, and which files a path or a pattern means.

A saved file has a `path`, the folder it stands in, which begins with `/`, and a `filename`.  Its *name* here is both
without the first slash: path `/models`, filename `best.pt` → name `models/best.pt`.

 1. A name has one spelling: empty parts and `.` are dropped.  `..`, NUL and backslashes are refused, and so is a target
    that begins with `/`: a target never leaves the folder that it is given in.
 2. A pattern is one of `fnmatch` (`*` also crosses `/`, `?`, `[seq]`, `[!seq]`).  It is tried on the filename, on the
    name, and on the name below the folder in which it is asked.  `**/` also stands for no folder at all.
 3. A folder means what stands in it and below: `models` does not mean `models2/a.pt`.
 4. A path means the file of exactly this name; if there is none, the first one stored with this filename.

Pure: no I/O.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Protocol, TypeVar

from ..errors import ConfigurationError


class Named(Protocol):
    """What a path can mean."""

    @property
    def path(self) -> str: ...
    @property
    def filename(self) -> str: ...


_File = TypeVar("_File", bound=Named)


def clean_folder(folder: str | None) -> str:
    """The name of a folder, without slashes around it; empty for the root.  Raises ConfigurationError."""
    return "/".join(_parts(folder, "folder")) if folder is not None else ""


def clean_pattern(pattern: str) -> str:
    """A path or a pattern as rule 1 spells it.  Raises ConfigurationError."""
    return "/".join(_parts(pattern, "path or pattern"))


def split_target(folder: str, target: str, *, may_be_absolute: bool = False) -> tuple[str, str]:
    """`path` and `filename` of a file that is saved as `target` in `folder`.  Raises ConfigurationError."""
    parts = _parts(target, "target")
    if target.startswith("/") and not may_be_absolute:
        raise ConfigurationError(
            f"the target {target!r} begins with '/'. Expected a path inside the folder it is saved in; give "
            f"{'/'.join(parts)!r}"
        )
    if not parts or target.endswith("/"):
        raise ConfigurationError(f"the target {target!r} names no file. Expected one such as 'checkpoints/model.pt'")
    *folders, filename = [*folder.split("/"), *parts] if folder else parts
    return "/" + "/".join(folders), filename


def name_of(file: Named) -> str:
    return f"{file.path.strip('/')}/{file.filename}".lstrip("/")


def is_pattern(text: str) -> bool:
    return any(mark in text for mark in "*?[")


def below(files: Iterable[_File], folder: str) -> list[_File]:
    """Rule 3, in the order given."""
    if not folder:
        return list(files)
    return [file for file in files if name_of(file).startswith(f"{folder}/")]


def matching(files: Iterable[_File], pattern: str, folder: str = "") -> list[_File]:
    """Rule 2, in the order given."""
    matches = _compiled(pattern).match
    inside = len(folder) + 1 if folder else 0
    return [
        file
        for file in files
        if matches(file.filename) or matches(name := name_of(file)) or (inside and matches(name[inside:]))
    ]


def meant(files: Sequence[_File], path: str, folder: str = "") -> _File | None:
    """Rule 4: the file that a path means in a folder; `files` are in the order in which they were stored."""
    inside = below(files, folder)
    for name in [f"{folder}/{path}", path] if folder else [path]:
        found = next((file for file in inside if name_of(file) == name), None)
        if found is not None:
            return found
    return next((file for file in inside if file.filename == path), None)


def local_names(files: Sequence[_File], folder: str = "") -> list[str]:
    """Where files go that are put into one folder: side by side; those that share a name go in their own folders."""
    times = Counter(file.filename for file in files)
    if len(times) == len(files):
        return [file.filename for file in files]
    # A file that is called as a folder is must not stand in its way.
    folders = {part for file in files for part in _inside(file, folder).split("/")[:-1]}
    return [
        _inside(file, folder) if times[file.filename] > 1 or file.filename in folders else file.filename
        for file in files
    ]


def _inside(file: Named, folder: str) -> str:
    """The name of a file, as it is below a folder."""
    return name_of(file).removeprefix(f"{folder}/") if folder else name_of(file)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    # What `translate` gives is a group and an anchor, `(?s:…)\Z`.
    pieces = [translate(piece)[len("(?s:") : -len(r")\Z")] for piece in pattern.split("**/")]
    return re.compile(rf"(?s:{'(?:.*/)?'.join(pieces)})\Z")


def _parts(text: str, what: str) -> list[str]:
    """Rule 1."""
    if not isinstance(text, str):
        raise ConfigurationError(f"the {what} {text!r} is of type {type(text).__name__}. Expected a string")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    for character, name in (("\0", "NUL"), ("\\", "a backslash")):
        if character in text:
            raise ConfigurationError(f"the {what} {text!r} contains {name}. Expected parts separated by '/'")
    if ".." in parts:
        raise ConfigurationError(f"the {what} {text!r} contains '..', which would leave its folder. Leave that out")
    return parts
