"""Which experiments there are below a dash root, and what there is to know of each at a glance.

An experiment is a folder with a `_journal`; the path to it from the root is its prefix.  Experiments may stand inside
each other.  One that cannot be read is listed with the reason, and hides no other.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from ..clock import to_datetime
from ..errors import ConfigurationError, MlDashError, NotFoundError, StorageError
from ..journal.folder import FILES, JOURNAL, JournalFolder
from ..journal.writer import commit_open
from ..opening.place import DEFAULT_ROOT, find_place
from ..prefix import BYTES_MAX, Prefix, parse_prefix
from ..state import Status
from .glance import kept_at_a_glance
from .origins import journals_of, whole
from .replay import Replay
from .settled import settled
from .silence import silent_since
from .summary import Summary

if TYPE_CHECKING:
    from .sources import ServerSource

NEAREST_MAX = 3
PARTS_MIN = 2
_WILD = "*?["


def root_of(dash_root: str | os.PathLike[str] | None, dash_url: object = None) -> Path:
    """The folder to look in, absolute; of a server, the one in the cache that `sources.py` brings things into.

    Raises ConfigurationError where both are given or the url is none, NotFoundError where the folder does not exist,
    StorageError where it is none.
    """
    if dash_url is not None and dash_url is not False:
        from .sources import check_one_place, server_root

        check_one_place(dash_root, dash_url)
        return server_root(dash_url)
    root = find_place(DEFAULT_ROOT if dash_root is None else dash_root, None).root
    # Not by Path: its methods raise where the system refuses the name itself, as one that is too long.
    if os.path.isdir(root):
        return root
    if os.path.exists(root):
        raise StorageError(f"dash_root {str(root)!r} is a file: expected the folder that experiments were recorded to")
    raise NotFoundError(
        f"dash_root {str(root)!r} does not exist. Give dash_root, or the environment variable ML_DASH_ROOT, the folder "
        "that experiments were recorded to; without either it is '.dash' in the folder where Python was started"
    )


def folder_of(prefix: Prefix, root: Path) -> JournalFolder:
    """The journal of an experiment, with all that this process has recorded there so far.  Those of other machines that
    were brought from a server or pulled are in it (`origins.py`).

    Raises NotFoundError, which gives the nearest names, where there is none; of a server also NetworkError and
    AuthenticationError.
    """
    source = _server_at(root)
    if source is not None:
        return source.bring(prefix.text)
    folder = own_folder_of(prefix, root)
    try:
        return whole(folder)
    except OSError as error:
        raise StorageError(f"{folder.path} cannot be read: {error}. Nothing was changed") from error


def own_folder_of(prefix: Prefix, root: Path) -> JournalFolder:
    """The same, without those of other machines: what is written to.  Raises NotFoundError."""
    folder = JournalFolder(root.joinpath(*prefix.segments), prefix=prefix.text)
    if folder.exists():
        commit_open(folder)
        return folder
    known = sorted("/".join(parts) for parts, _ in _walk(root, ()))
    below = [each for each in known if each.startswith(f"{prefix.text}/")]
    nearest = get_close_matches(prefix.text, known, NEAREST_MAX)
    if below:
        hint = f"It is a folder that holds experiments: {', '.join(map(repr, below[:NEAREST_MAX]))}"
    elif nearest:
        hint = f"The nearest names are {', '.join(map(repr, nearest))}"
    elif known:
        hint = "None has a similar name; `ml-dash list` shows what there is"
    else:
        hint = "There is none at all; is it another dash_root?"
    raise NotFoundError(f"no experiment {prefix.text!r} below {str(root)!r}. {hint}")


def list_experiments(
    root: Path, pattern: str, status: Status | str | None, tags: Iterable[str] | str | None
) -> list[Summary]:
    """What `ml_dash.experiments` gives, of the experiments below `root`."""
    wanted = Pattern.parse(pattern)
    wanted_status = _status(status)
    wanted_tags = {tags} if isinstance(tags, str) else set(tags or ())
    source = _server_at(root)
    if source is not None:
        return source.summaries(pattern, None if wanted_status is None else str(wanted_status), sorted(wanted_tags))
    found = [_summary(parts, root, error) for parts, error in _walk(root, wanted.fixed) if wanted.matches(parts)]
    chosen = [
        summary
        for summary in found
        if (wanted_status is None or summary.status == wanted_status) and wanted_tags <= set(summary.tags)
    ]
    chosen.sort(key=lambda summary: summary.prefix)
    chosen.sort(key=lambda summary: (summary.started is not None, summary.started or summary.created), reverse=True)
    return chosen


def prefixes_below(root: Path, parts: tuple[str, ...] = ()) -> list[str]:
    """The prefix of every experiment below a folder of the root, sorted; those that cannot be looked into left out."""
    return sorted("/".join(found) for found, error in _walk(root, parts) if error is None)


def _server_at(root: Path) -> ServerSource | None:
    from .sources import source_of

    return source_of(root)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A glob over prefixes.  `*`, `?` and `[…]` stand for characters of one part, `**` for any number of parts.

    A pattern without any of them, or of one part, names a folder: it matches all that stands in it, at any depth.
    """

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: object) -> Pattern:
        """Raises ConfigurationError where it is no pattern."""
        if not isinstance(text, str):
            raise ConfigurationError(
                f"pattern {text!r:.200} is a {type(text).__name__}: expected a str, for example 'alice/**'"
            )
        if len(text) > BYTES_MAX:
            raise ConfigurationError(f"pattern {text!r:.200}… has {len(text)} characters: expected {BYTES_MAX} at most")
        parts = tuple(part for part in text.split("/") if part)
        if not parts or any(part in (".", "..") for part in parts):
            raise ConfigurationError(
                f"pattern {text!r:.200} matches nothing: expected a glob over prefixes, such as 'alice/**'"
            )
        is_folder = len(parts) == 1 or not any(wild in part for part in parts for wild in _WILD)
        return cls((*parts, "**") if is_folder else parts)

    @property
    def fixed(self) -> tuple[str, ...]:
        """The parts it begins with that match only themselves."""
        return tuple(takewhile(lambda part: not any(wild in part for wild in _WILD), self.parts))

    def matches(self, parts: tuple[str, ...]) -> bool:
        return _matches(self.parts, parts)


def _matches(pattern: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Each part of the pattern once, for all the places that the ones before it may have led to: trying these one after
    the other would take years for `**/a/**/a/…`, which anybody may ask a server for."""
    places = {0}
    for each in pattern:
        if each == "**":
            places = set(range(min(places), len(parts) + 1))
        else:
            places = {at + 1 for at in places if at < len(parts) and fnmatchcase(parts[at], each)}
        if not places:
            return False
    return len(parts) in places


def _walk(folder: Path, below: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """The parts of each prefix below a folder of the root, and why its folder cannot be looked into, if so."""
    waiting = [below]
    seen: set[tuple[int, int]] = set()
    while waiting:
        parts = waiting.pop()
        # Not by Path, which takes ten times as long.
        path = os.path.join(folder, *parts)
        try:
            found = os.stat(path)
            # A link may lead back to a folder above it.
            if (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
            with os.scandir(path) as entries:
                names = [entry.name for entry in entries if entry.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            reason = f"{path} cannot be read: {error.strerror}"
            if not parts:
                raise StorageError(f"{reason}. Expected a folder that this user may read") from error
            yield parts, reason
            continue
        if JOURNAL in names and len(parts) >= PARTS_MIN:
            yield parts, None
        waiting += [(*parts, name) for name in names if name not in (JOURNAL, FILES)]


def _summary(parts: tuple[str, ...], root: Path, unreadable: str | None) -> Summary:
    text = "/".join(parts)
    if unreadable is not None:
        return Summary(text, None, error=unreadable)
    try:
        prefix = parse_prefix(text)
        folder = JournalFolder(Path(f"{root}/{text}"))
        commit_open(folder)
        kept = kept_at_a_glance(folder)
        journal = folder if kept is not None else whole(folder)
        state, damage = (kept, []) if kept is not None else settled(Replay(journal, at_a_glance=True))
    except (MlDashError, OSError) as error:
        return Summary(text, None, error=str(error))
    if not state.seq and damage:
        worst = damage[0]
        reason = f"nothing of its journal replays: expected {worst.expected}, found {worst.found}"
        return Summary(text, None, damage=tuple(damage), error=reason)
    sessions = [session for session in state.sessions.values() if not session.is_inherited]
    return Summary(
        prefix.text,
        state.status,
        state.description,
        state.tags,
        state.bindrs,
        state.seq,
        len(sessions),
        _moment(state.created_us),
        _moment(max((session.started_us for session in sessions), default=None)),
        _moment(state.time_us),
        tuple(damage),
        forked_from=None if state.fork is None else f"{state.fork.prefix}@{state.fork.seq}",
        silent_since=silent_since(state.status, _moment(state.time_us), journals_of(journal)),
    )


def _moment(time_us: int | None) -> datetime | None:
    return None if time_us is None else to_datetime(time_us)


def _status(status: Status | str | None) -> Status | None:
    if status is None:
        return None
    name = status.upper() if isinstance(status, str) else status
    if name not in Status.__members__:
        raise ConfigurationError(f"status {status!r:.100} does not exist: expected one of {', '.join(Status)}")
    return Status(name)
