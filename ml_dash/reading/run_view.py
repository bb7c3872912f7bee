"""What an experiment was at one moment, to look at: the answer of `ml_dash.load`.  Nothing here can change it.

State is there at once.  Points, track rows and log lines are read from the journal when they are asked for, up to the
event that the view was loaded at: what is recorded afterwards does not show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..clock import to_datetime
from ..facts.copies import own_copy
from ..journal.damage import Damage
from ..journal.folder import JournalFolder
from ..prefix import Prefix
from ..state import FrozenDict, Session, State, Status
from ..state.differences import View, view_of
from ..state.nouns import Fork
from ..state.supersessions import Attempt, Supersession, attempts_in, supersessions_in
from .file_views import FileViews
from .kept_figures import with_kept_figures
from .lineage import Lineage
from .origins import journals_of
from .params_view import ParamsView
from .silence import silent_since
from .stream_views import LogView, MetricView, TrackView

if TYPE_CHECKING:
    from .as_of import Stream, Table, Within


class Run:
    """An experiment as it was after event `seq`.

    `damage` is what of its journal does not replay, `state` all that the journal's events say, as frozen dataclasses.
    """

    __slots__ = ("_damage", "_folder", "_inherited_damage", "_is_past", "_prefix", "_state")

    def __init__(
        self, prefix: Prefix, folder: JournalFolder, state: State, damage: Sequence[Damage], *, is_past: bool = False
    ) -> None:
        self._prefix = prefix
        self._folder = folder
        self._state = state
        self._is_past = is_past
        self._damage = tuple(damage)
        self._inherited_damage: tuple[Damage, ...] | None = None

    def __repr__(self) -> str:
        return f"<Run {self.prefix!r} {self.status} at event {self.seq}>"

    @property
    def prefix(self) -> str:
        return self._prefix.text

    @property
    def owner(self) -> str:
        return self._prefix.owner

    @property
    def project(self) -> str:
        return self._prefix.project

    @property
    def name(self) -> str:
        return self._prefix.name

    @property
    def seq(self) -> int:
        """The last event that this view includes; 0 where there is none."""
        return self._state.seq

    @property
    def state(self) -> State:
        return self._state

    @property
    def kept_state(self) -> State:
        """The same, with the figures of metrics over the points that count: what `metrics[name].columns()` gives.
        Points are read where any of a metric is superseded."""
        return with_kept_figures(self._folder, self._state, self._state.seq)

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What does not replay; of a fork also what it should have from its parent, which is looked for when this is
        first asked for."""
        if self._inherited_damage is None:
            self._inherited_damage = tuple(Lineage(self._folder).damage()) if self._state.fork is not None else ()
        return self._damage + self._inherited_damage

    @property
    def fork(self) -> Fork | None:
        """Where it comes from if it is a fork: `prefix seq journal hash`."""
        return self._state.fork

    @property
    def status(self) -> Status:
        """Equal to its name as a string: "RUNNING", "COMPLETED", "FAILED" or "CANCELLED"."""
        return self._state.status

    @property
    def silent_since(self) -> datetime | None:
        """When the last event was recorded, where it is RUNNING, has recorded nothing for 10 minutes and is not known
        to live on this machine: it may have lost its machine.  None else, and of the past."""
        return None if self._is_past else silent_since(self.status, self.updated, journals_of(self._folder))

    @property
    def params(self) -> ParamsView:
        """Flat, under dotted keys; `run.params.history("lr")` has every time that one was set."""
        return ParamsView(self._folder, self._state)

    @property
    def description(self) -> str | None:
        return self._state.description

    readme = description
    """Another word for it."""

    @property
    def view(self) -> View:
        """How it stands, as `ml_dash.diff` compares it: two runs that do not differ have equal views."""
        return view_of(self._state)

    @property
    def tags(self) -> tuple[str, ...]:
        return self._state.tags

    @property
    def bindrs(self) -> tuple[str, ...]:
        return self._state.bindrs

    @property
    def metadata(self) -> dict[str, Any] | None:
        return own_copy(self._state.metadata)

    @property
    def created(self) -> datetime | None:
        """When the first event was recorded, UTC."""
        return None if self._state.created_us is None else to_datetime(self._state.created_us)

    @property
    def updated(self) -> datetime | None:
        """When the last event was recorded, UTC."""
        return None if self._state.time_us is None else to_datetime(self._state.time_us)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Each open…close of a process, oldest first."""
        return tuple(self._state.sessions.values())

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Each session, and each part of one from a rewind on, with the name that `supersessions` has for it."""
        return tuple(attempts_in(self._state))

    @property
    def supersessions(self) -> tuple[Supersession, ...]:
        """Which attempt superseded which steps of which other one, and in which metrics."""
        return tuple(supersessions_in(self._state))

    @property
    def files(self) -> FileViews:
        """The newest version of each file that is not deleted, by path: a tuple, which is also asked by name, as in
        `run.files.read_text("notes.txt")` and `run.files.download("*.pt", to="here")`."""
        return FileViews(self._folder, self._state)

    @property
    def logs(self) -> LogView:
        return LogView(self._folder, self._state)

    @property
    def metrics(self) -> Mapping[str | None, MetricView]:
        """By name; the unnamed metric stands under None."""
        return FrozenDict({name: MetricView(self._folder, self._state, name) for name in self._state.metrics})

    @property
    def tracks(self) -> Mapping[str, TrackView]:
        """By topic."""
        return FrozenDict({topic: TrackView(self._folder, self._state, topic) for topic in self._state.tracks})

    def table(
        self,
        streams: Iterable[Stream] | Stream,
        on: str = "time",
        how: str = "asof",
        *,
        within: Within = None,
        attempts: str = "latest",
    ) -> Table:
        """Metrics and tracks side by side: each row of the first with the last row of every other at or before it.

        `streams` are names of metrics and topics of tracks, `on` is "time" or a numeric field that all of them have.
        With `within` a row that is further back than that does not count: seconds (or a timedelta) on "time", else a
        number in the field's own unit.  The columns of others are called `name.field`; `reading/as_of.py` has all the
        rules.

        Raises NotFoundError with the nearest names, and ConfigurationError for what cannot be joined.
        """
        from .as_of import as_of_table

        return as_of_table(self, streams, on, how, within, attempts)
