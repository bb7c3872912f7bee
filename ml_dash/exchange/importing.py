"""`ml_dash.import_from`: experiments that other programs recorded become experiments here.

1. The source is only read.
2. Every event has the time that the source gives it, so time travel, logs and tracks tell the truth; the session's
   environment says under `imported` from where, from which version, when and by whom it was imported.
3. An experiment appears whole or not at all (`staging.py`).
4. Importing the same again does nothing.  A prefix that holds anything else is refused: `force=True` replaces what an
   import made, never what was recorded here.
5. What cannot be carried over is counted by kind in the report, and what is damaged is said.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..clock import now_us, to_datetime
from ..errors import ConfigurationError, ExperimentError, MlDashError, SourceFileError
from ..facts.events import Event
from ..history import events as events_of
from ..journal.contents import ContentStore
from ..journal.folder import JournalFolder
from ..opening.place import DEFAULT_ROOT, find_place
from ..prefix import parse_prefix
from ..reading.replay import Replay
from ..recording.remarks import who
from ..run import RUN
from .event_lines import to_line
from .reports import ImportReport, Tally
from .sources import Finder, Found, Target
from .staging import alone, publish

FORMATS = ("jsonl", "ml-dash", "wandb", "tensorboard")
"""In the order in which they are looked for."""
Progress = Callable[[str, int], None]
"""Told the prefix and how many events of it have been read."""
PROGRESS_EVERY = 2048


def import_from(
    source: str | os.PathLike[str],
    *,
    format: str | None = None,
    prefix: str | None = None,
    dash_root: str | os.PathLike[str] | None = None,
    force: bool = False,
    on_progress: Progress | None = None,
) -> list[ImportReport]:
    """Imports every experiment at `source`, a file or folder, and says what of each was carried over.

    `format` is "jsonl" (what `ml_dash.export` wrote), "ml-dash" (a folder of the package of that name), "wandb" (an
    offline run, or the folder of several) or "tensorboard" (event files); it is looked for unless given.  `prefix` is
    where a single experiment goes, or below which several do; without it each goes where its source says.  `force`
    replaces what an earlier import made there.  Of several experiments one that fails does not keep the others out: its
    report says why.

    Raises SourceFileError where `source` does not exist, ConfigurationError where it holds nothing that can be
    imported, MissingExtraError where the package that reads it is not installed, ExperimentError where the prefix holds
    another experiment, LockError or StorageError where it cannot be written to.
    """
    found = find(source, format)
    root = find_place(DEFAULT_ROOT if dash_root is None else dash_root, None).root
    assert root is not None
    aims = places(found, prefix)
    reports = []
    for each, aim in zip(found, aims, strict=True):
        try:
            reports.append(_import_one(each, aim, root, force, on_progress))
        except MlDashError as error:
            if len(found) == 1:
                raise
            # One that is broken must not keep the others out.
            reports.append(ImportReport(str(each.path), each.format, aim, "failed", notes=(str(error),)))
    return reports


def find(source: str | os.PathLike[str], format: str | None = None) -> list[Found]:
    """What there is to import at a path.  Raises SourceFileError, ConfigurationError or MissingExtraError."""
    path = Path(source)
    if not os.path.exists(path):
        raise SourceFileError(f"{str(source)!r} does not exist. Expected a file or folder to import")
    if format is not None and format not in FORMATS:
        raise ConfigurationError(f"format={format!r:.100} is not known: expected one of {', '.join(FORMATS)}")
    path = path.resolve()
    owner = RUN.user
    for name in FORMATS if format is None else (format,):
        found = list(_finder(name)(path, owner))
        if found:
            return found
    looked_for = format or "an export, an `ml-dash` folder, a wandb offline run or TensorBoard event files"
    raise ConfigurationError(f"{str(source)!r} holds nothing to import: looked for {looked_for} in it and below")


def _finder(format: str) -> Finder:
    module = {"ml-dash": "from_upstream"}.get(format, f"from_{format}")
    finder: Finder = import_module(f".{module}", __package__).find
    return finder


def places(found: list[Found], prefix: str | None) -> list[str]:
    """Where each of them goes.  Raises PrefixError, or ConfigurationError where two would go to one place."""
    if prefix is None:
        aims = [each.prefix for each in found]
    elif len(found) == 1:
        aims = [prefix]
    else:
        aims = [f"{prefix.rstrip('/')}/{each.name}" for each in found]
    for aim, count in Counter(parse_prefix(aim).text for aim in aims).items():
        if count > 1:
            raise ConfigurationError(
                f"{count} experiments of this source would become {aim!r}. Import them one by one, each with a prefix "
                "of its own"
            )
    return aims


def _import_one(found: Found, aim: str, root: Path, force: bool, on_progress: Progress | None) -> ImportReport:
    prefix = parse_prefix(aim)
    folder = JournalFolder(root.joinpath(*prefix.segments), prefix=prefix.text)
    if found.format != "jsonl" and folder.exists() and not force and _fingerprint_in(folder) == found.fingerprint:
        return ImportReport(str(found.path), found.format, prefix.text, "already imported")
    with alone(folder):
        is_there = folder.exists()
        target = Target(prefix.text, ContentStore(folder), _imported(found))
        if is_there and not force:
            if _is_same(found, folder, root, target):
                return ImportReport(str(found.path), found.format, prefix.text, "already imported")
            raise _taken(found, folder)
        if is_there and not _is_import(folder):
            raise _taken(found, folder)
        tally = Tally()
        events = _watched(found.open(target, tally), prefix.text, on_progress)
        counted = _Counted(events)
        written = publish(folder, counted, tally, replaces=is_there)
    return ImportReport(
        str(found.path),
        found.format,
        prefix.text,
        "replaced" if is_there else "imported",
        counted.count,
        dict(tally.values),
        dict(written),
        dict(tally.kept),
        dict(tally.left_out),
        tuple(tally.notes),
    )


class _Counted:
    """Events, counted as they pass."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events = events
        self.count = 0

    def __iter__(self) -> Iterator[Event]:
        for event in self._events:
            self.count += 1
            yield event


def _watched(events: Iterable[Event], prefix: str, on_progress: Progress | None) -> Iterator[Event]:
    for number, event in enumerate(events):
        if on_progress is not None and number % PROGRESS_EVERY == 0:
            on_progress(prefix, number)
        yield event


def _imported(found: Found) -> dict[str, Any]:
    """Rule 2: what a session's environment says of its import."""
    from .. import __version__

    return {
        "format": found.format,
        "source": str(found.path),
        "version": found.version,
        "fingerprint": found.fingerprint,
        "time": to_datetime(now_us()).isoformat().replace("+00:00", "Z"),
        "by": who(),
        "with": f"ml_dash {__version__}",
    }


def _imports_in(folder: JournalFolder) -> list[dict[str, Any] | None]:
    """What each session of an experiment says of its import; None for one that was recorded here."""
    sessions = Replay(folder).refresh().sessions.values()
    return [(session.environment or {}).get("imported") for session in sessions]


def _fingerprint_in(folder: JournalFolder) -> str | None:
    imports = _imports_in(folder)
    return imports[0].get("fingerprint") if imports and isinstance(imports[0], dict) else None


def _is_import(folder: JournalFolder) -> bool:
    """Whether all of it was imported."""
    return all(isinstance(each, dict) for each in _imports_in(folder))


def _is_same(found: Found, folder: JournalFolder, root: Path, target: Target) -> bool:
    """Whether the experiment is what this source says.  Journal lines carry no fingerprint: they are compared."""
    if found.format != "jsonl":
        return _fingerprint_in(folder) == found.fingerprint
    here = events_of(folder.prefix, dash_root=root)
    return all(
        ours is not None and theirs is not None and to_line(ours) == to_line(theirs)
        for ours, theirs in zip_longest(here, found.open(target, Tally()))
    )


def _taken(found: Found, folder: JournalFolder) -> ExperimentError:
    holds = _imports_in(folder)
    if not holds or not all(isinstance(each, dict) for each in holds):
        return ExperimentError(
            f"{folder.prefix!r} is an experiment already, and other than what {str(found.path)!r} holds. Nothing was "
            "imported; give another prefix"
        )
    return ExperimentError(
        f"{folder.prefix!r} was imported before, from {(holds[0] or {}).get('source')!r}, and {str(found.path)!r} "
        "holds something else or has changed since. Nothing was imported; force replaces it and keeps the journal "
        "there was, another prefix keeps both"
    )
