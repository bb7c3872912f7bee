"""State, columns and summaries, read by the same code as on the machine that recorded them.

The journals of a store are brought to a local folder first (`remote/mirror.py`); a folder of local journals is read as
it is.  All of it happens in a few threads: the event loop only waits.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from ..errors import MlDashError
from ..facts.values import to_plain
from ..journal.chain import Position
from ..journal.folder import JournalFolder
from ..reading.origins import as_one, ends_of, others
from ..reading.points import iso_time, metric_columns
from ..reading.replay import Replay
from ..remote.mirror import brought, journal_in, journals_below
from ..state import State, to_plain_state
from .cache import LOOK_INTERVAL_S, Cache, look_for_redactions
from .dash_root import DashRoot
from .library import Library
from .store import Missing

KNOWN_MAX = 512


class UnknownJournal(Exception):
    """The experiment has no such journal."""


class UnknownMetric(Exception):
    """The experiment has no such metric; `names` are those that it has."""

    def __init__(self, names: list[str]) -> None:
        super().__init__("no such metric")
        self.names = names


class OutOfRange(Exception):
    """The moment lies outside of the history; `seq` is the last event there is."""

    def __init__(self, seq: int) -> None:
        super().__init__("outside of the history")
        self.seq = seq


@dataclass(slots=True)
class Known:
    """An experiment that was read, to be read on from there; as long as no more is `redacted` in its bytes."""

    replay: Replay
    lock: Lock
    redactions: int


class Reading:
    """Of one server process."""

    def __init__(self, library: Library, cache: Path, threads: int) -> None:
        self.loop = asyncio.get_running_loop()
        self._library = library
        self._cache = None if isinstance(library, DashRoot) else Cache(library, cache, self.loop)
        self._threads = ThreadPoolExecutor(threads, "ml-dash-reading")
        self._running: set[Future[dict[str, Any]]] = set()
        self._taken_out: dict[str, int] = {}
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._knowing = Lock()
        self._looking = None if self._cache is None else asyncio.create_task(self._look_for_ever(self._cache))

    def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def state(
        self, prefix: str, journal: str | None, at: int | datetime | None, without: str | None = None
    ) -> dict[str, Any]:
        """Of one journal, or of all that the experiment has, or of all but one, as one.

        Raises UnknownJournal, OutOfRange, MlDashError.
        """
        return await self._in_thread(self._state, prefix, journal, at, without)

    async def columns(self, prefix: str, journal: str | None, metric: str | None, attempts: str) -> dict[str, Any]:
        """Raises as `state` does, and UnknownMetric."""
        return await self._in_thread(self._columns, prefix, journal, metric, attempts)

    async def summary(self, prefix: str) -> dict[str, Any]:
        """As `ml_dash.experiments` has it."""
        return await self._in_thread(self._summary, prefix)

    async def take_out(self, prefix: str) -> None:
        """Once this returns, nothing that is redacted in an experiment is in what is kept here, or answered."""
        if self._cache is None:
            return
        self._taken_out[prefix] = self._taken_out.get(prefix, 0) + 1
        await asyncio.to_thread(self._cache.take_out, prefix)
        if running := set(self._running):
            await asyncio.to_thread(wait, running)
            await asyncio.to_thread(self._cache.forget_states, prefix)

    async def _look_for_ever(self, cache: Cache) -> None:
        while True:
            await look_for_redactions(cache, self.take_out)
            await asyncio.sleep(LOOK_INTERVAL_S)

    # -- in a thread ---------------------------------------------------------------------------------------------

    async def _in_thread(self, function: Callable[..., dict[str, Any]], prefix: str, *arguments: Any) -> dict[str, Any]:
        while True:
            taken_out = self._taken_out.get(prefix, 0)
            future = self._threads.submit(function, prefix, *arguments)
            self._running.add(future)
            future.add_done_callback(self._running.discard)
            try:
                answer = await asyncio.wrap_future(future)
            except Exception:
                if taken_out == self._taken_out.get(prefix, 0):
                    raise
            else:
                if taken_out == self._taken_out.get(prefix, 0):
                    return answer

    def _folders(self, prefix: str) -> list[JournalFolder]:
        if self._cache is not None:
            return self._cache.journals(prefix)
        assert isinstance(self._library, DashRoot)
        return journals_below(self._library.folder_of(prefix))

    def _folder(self, prefix: str, journal: str | None) -> tuple[str | None, JournalFolder]:
        return self._choose(prefix, self._folders(prefix), journal)

    def _choose(
        self, prefix: str, found_there: list[JournalFolder], journal: str | None
    ) -> tuple[str | None, JournalFolder]:
        """A journal, and where it is read; None and where all of them are read as one."""
        folders = {journal_in(each): each for each in found_there}
        if journal is None and len(folders) > 1:
            return None, self._merged(prefix, list(folders.values()))
        found = next(((name, folder) for name, folder in folders.items() if journal in (None, name)), None)
        if found is None:
            raise UnknownJournal(journal or prefix)
        return found

    def _without(self, prefix: str, journal: str) -> JournalFolder:
        """All journals but one as one.  Raises UnknownJournal where there is no other."""
        folders = self._folders(prefix)
        if not folders:
            found = None
        elif self._cache is not None:
            found = self._cache.merged_without(folders, journal)
        else:
            found = others(folders[0], folders, journal, are_caches=False)
        if found is None:
            raise UnknownJournal(prefix)
        return found

    def _merged(self, prefix: str, folders: list[JournalFolder]) -> JournalFolder:
        """The journals of several machines as one, in the order of every other reader (`reading/merging.py`)."""
        if self._cache is not None:
            return self._cache.merged(prefix, folders)
        assert isinstance(self._library, DashRoot)
        return as_one(self._library.folder_of(prefix), folders, are_caches=False)

    def _known_of(self, folder: JournalFolder) -> Known:
        redactions = brought(folder).redactions
        with self._knowing:
            known = self._known.get(folder.path)
            if known is None or known.redactions != redactions:
                known = self._known[folder.path] = Known(Replay(folder), Lock(), redactions)
            self._known.move_to_end(folder.path)
            while len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
            return known

    def _state(
        self, prefix: str, journal: str | None, at: int | datetime | None, without: str | None
    ) -> dict[str, Any]:
        if without is None:
            name, folder = self._folder(prefix, journal)
        else:
            name, folder = None, self._without(prefix, without)
        ends = ends_of(folder)
        newest = self._newest(folder)
        replay = newest if at is None else Replay(folder, at)
        state = replay.refresh()
        if at is None and ends is not None and state.seq > (last_seq := sum(each.next_seq - 1 for each in ends)):
            # More has been merged meanwhile; what is said of the journals belongs to this.
            replay = Replay(folder, last_seq)
            state = replay.refresh()
        if (at is not None and not state.seq) or (isinstance(at, int) and at != state.seq):
            raise OutOfRange(newest.refresh().seq)
        return {
            "prefix": prefix,
            "journal": name,
            "journals": [_end(each) for each in ends or (newest.position,) if each is not None],
            "summary": summary_of(prefix, state, replay),
            **to_plain_state(state),
        }

    def _columns(self, prefix: str, journal: str | None, metric: str | None, attempts: str) -> dict[str, Any]:
        name, folder = self._folder(prefix, journal)
        replay = self._newest(folder)
        state = replay.state
        if metric not in state.metrics:
            raise UnknownMetric([each for each in state.metrics if each is not None])
        columns = metric_columns(replay, metric, attempts, state.seq)
        plain, tags = to_plain(columns.to_dict())
        return {
            "prefix": prefix,
            "journal": name,
            "metric": metric,
            "seq": columns.seq.to_list(),
            "columns": plain,
            "tags": tags,
        }

    def _summary(self, prefix: str) -> dict[str, Any]:
        try:
            folders = self._folders(prefix)
            _, folder = self._choose(prefix, folders, None)
            replay = self._newest(folder)
            return {**summary_of(prefix, replay.state, replay), "journals": len(folders)}
        except UnknownJournal:
            return {**_NOTHING, "prefix": prefix, "error": "nothing of its journal is stored"}
        except (MlDashError, OSError, Missing) as error:
            return {**_NOTHING, "prefix": prefix, "error": str(error)}

    def _newest(self, folder: JournalFolder) -> Replay:
        known = self._known_of(folder)
        with known.lock:
            known.replay.refresh()
        return known.replay


_NOTHING: dict[str, Any] = {
    "status": None,
    "description": None,
    "tags": [],
    "bindrs": [],
    "seq": 0,
    "sessions": 0,
    "created": None,
    "started": None,
    "updated": None,
    "damage": [],
    "error": None,
    "journals": 0,
}


def _end(end: Position) -> dict[str, Any]:
    return {name: getattr(end, name) for name in ("journal", "segment", "offset", "next_seq", "hash")}


def summary_of(prefix: str, state: State, replay: Replay) -> dict[str, Any]:
    """As `reading/listing.py` has it; times as ISO 8601 in UTC."""
    return {
        **_NOTHING,
        "prefix": prefix,
        "status": str(state.status.value),
        "description": state.description,
        "tags": list(state.tags),
        "bindrs": list(state.bindrs),
        "seq": state.seq,
        "sessions": len(state.sessions),
        "created": _moment(state.created_us),
        "started": _moment(max((each.started_us for each in state.sessions.values()), default=None)),
        "updated": _moment(state.time_us),
        "damage": [{**asdict(each), "kind": each.kind.value} for each in replay.damage],
        "journals": 1,
    }


def _moment(time_us: int | None) -> str | None:
    return None if time_us is None else iso_time(time_us)
