"""Experiments on a server, read by the code that reads local ones.

What is asked for is brought into a folder of this user's cache (`remote/mirror.py`), byte for byte and only what is
new, and read there.  So every view, column, export and check is the same, and a second look costs what has come since.

1. A server has one root in the cache, which takes the place of a dash root: `root_of` gives it, `folder_of` brings the
   journals of one experiment into it, those of several machines as one (`origins.py`), and those of what it was forked
   from.  Who follows it calls `current` now and then, and goes on with the journal that it gives.
2. Lists come from the server itself: they bring no journal.
3. Nothing is written there: what a person wants to change is changed where it was recorded, and is shipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..clock import monotonic_s
from ..errors import ConfigurationError, MlDashError, NetworkError, NotFoundError, StorageError
from ..journal.copying import Content
from ..journal.folder import JournalFolder
from ..opening.interpreter_end import last_things
from ..opening.place import find_place
from .bringing import AllBut, bring_lineage
from .origins import as_one, home_of, whole
from .summary import Summary, summary_of

if TYPE_CHECKING:
    from ..state.nouns import Fork

MIRRORS = "mirrors"
PAGE_ITEMS = 500
EXPERIMENTS_MAX = 1_000_000
"""A server that lists without end would fill the memory."""
REFRESH_INTERVAL_S = 0.4
"""Who follows a journal asks the server no more often."""
NEAREST_MAX = 3
_sources: dict[Path, ServerSource] = {}
_opening = Lock()


class ServerSource:
    """The experiments of one server; `root` is where they are brought to."""

    def __init__(self, url: str, root: Path) -> None:
        from ..remote.mirror import Mirror
        from ..remote.mirror import ServerSource as Journals
        from ..remote.server import Server

        self.root = root
        self._server = Server.at(url)
        self._mirror = Mirror(root, Journals(self._server))
        self._refreshed_s: dict[str, float] = {}
        self._journals: dict[str, JournalFolder] = {}
        self._lineages: dict[str, Fork | None] = {}

    def close(self) -> None:
        """Ends the connections; whoever asks again opens new ones."""
        self._server.close()

    def bring(self, prefix: str) -> JournalFolder:
        """The journals of an experiment as the server has them now, as one, and those of its ancestors.

        Raises NotFoundError, NetworkError, AuthenticationError, StorageError where the cache cannot be written.
        """
        try:
            folders = bring_lineage(self._mirror, prefix, self._lineages)
            if not folders:
                raise NotFoundError(f"no experiment {prefix!r} on {self._server.url}. {self._hint(prefix)}")
            home = JournalFolder(self.root.joinpath(*prefix.split("/")), prefix=prefix)
            found = self._journals[prefix] = as_one(home, folders, are_caches=True)
        except OSError as error:
            raise StorageError(f"the cache {self.root} cannot be written to: {error}. Free space there") from error
        self._refreshed_s[prefix] = monotonic_s()
        return found

    def current(self, prefix: str) -> JournalFolder:
        """The same, with what is new unless that was asked for a moment ago."""
        if monotonic_s() - self._refreshed_s.get(prefix, -REFRESH_INTERVAL_S) >= REFRESH_INTERVAL_S:
            self.bring(prefix)
        return self._journals[prefix]

    def others(self, prefix: str, but: str) -> tuple[JournalFolder, list[JournalFolder]]:
        """Where an experiment has its place in the cache, and its journals there as the server has them now, all but
        one.  Raises as `bring` does; an experiment that the server does not have has none."""
        from ..remote.mirror import Mirror
        from ..remote.mirror import ServerSource as Journals

        mirror = Mirror(self.root, AllBut(Journals(self._server), but))
        try:
            folders = bring_lineage(mirror, prefix, self._lineages)
        except OSError as error:
            raise StorageError(f"the cache {self.root} cannot be written to: {error}. Free space there") from error
        return JournalFolder(self.root.joinpath(*prefix.split("/")), prefix=prefix), folders

    def summaries(self, pattern: str, status: str | None, tags: Iterable[str]) -> list[Summary]:
        """All pages of them, newest first."""
        found: list[Summary] = []
        cursor: str | None = None
        while True:
            page, cursor = self._server.experiments(pattern, status, tuple(tags), PAGE_ITEMS, cursor)
            try:
                found += [summary_of(each) for each in page]
            except (MlDashError, KeyError, TypeError, ValueError, AttributeError) as error:
                url = self._server.url
                raise NetworkError(f"{url} does not answer as agreed: expected summaries of experiments") from error
            if cursor is None:
                return found
            if len(found) > EXPERIMENTS_MAX:
                raise NetworkError(
                    f"{self._server.url} lists more than {EXPERIMENTS_MAX:,} experiments; narrow it down"
                )

    def _hint(self, prefix: str) -> str:
        from difflib import get_close_matches

        known = [each.prefix for each in self.summaries(f"{prefix.split('/', 1)[0]}/**", None, ())]
        nearest = get_close_matches(prefix, known, NEAREST_MAX)
        if nearest:
            return f"The nearest names are {', '.join(map(repr, nearest))}"
        return "None there has a similar name; `ml-dash list` with the same --dash-url shows what there is"


def server_root(dash_url: object) -> Path:
    """The root that the experiments of a server are brought into.  Raises ConfigurationError."""
    from ..run import RUN

    place = find_place(None, dash_url)
    url = place.server(RUN.api_url).rstrip("/")
    from platformdirs import user_cache_dir

    root = Path(user_cache_dir("ml_dash", appauthor=False)) / MIRRORS / quote(url, safe="")
    with _opening:
        if root not in _sources:
            _sources[root] = ServerSource(url, root)
            last_things.append(_sources[root].close)
    return root


def source_of(root: Path) -> ServerSource | None:
    """The server whose root this is; None for a folder of this machine."""
    return _sources.get(root)


def current(folder: JournalFolder) -> JournalFolder:
    """Where to read the experiment on of which `folder` was given: what is new of a server has come, and journals of
    other machines may have joined.  Raises as `bring` and `origins.as_one` do."""
    for root, source in list(_sources.items()):
        if root in folder.experiment.parents:
            return source.current(folder.prefix)
    return whole(folder)


def is_on_server(folder: JournalFolder) -> bool:
    """Whether it is a copy in the cache of what a server has."""
    return any(root in folder.experiment.parents for root in _sources)


def bring_content(folder: JournalFolder, content: Content) -> bool:
    """Whether content of a saved file that is missing here came from the server that the experiment belongs to.

    Raises NetworkError and AuthenticationError where that could not be asked, StorageError for content that is another.
    """
    from ..journal.contents import ContentStore
    from ..remote import cursor
    from ..remote.server import Server
    from .pulling import bring

    home = home_of(folder)
    servers = [source._server for root, source in _sources.items() if root in home.experiment.parents]
    servers += [Server.at(url) for url in cursor.marks(home)]
    owner = folder.prefix.split("/", 1)[0]
    return any(bring(ContentStore(home), content, owner, server) for server in servers)


def check_local(dash_url: object, what: str) -> None:
    """Rule 3.  Raises ConfigurationError where a server is given to something that writes."""
    if dash_url is not None and dash_url is not False:
        raise ConfigurationError(
            f"dash_url={dash_url!r:.200}: {what} is done where the experiment was recorded, and shipped from there. "
            "Give dash_root; `ml-dash pull` brings an experiment down, and `ml-dash ship` up again"
        )


def check_one_place(dash_root: str | os.PathLike[str] | None, dash_url: object) -> None:
    """Raises ConfigurationError where both a folder and a server are given to a reader."""
    if dash_root is not None:
        raise ConfigurationError(
            f"dash_root={str(dash_root)!r:.200} and dash_url={dash_url!r:.200}: give one of the two"
        )
