"""What is known of an experiment, whether it is open, was, or never has been here: names, mode, id, status, state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .description import Described

if TYPE_CHECKING:
    from ..journal.chain import Position
    from ..journal.folder import JournalFolder
    from ..reading.replay import Replay
    from ..state import State
    from ..state.status import Status
    from .lifecycle import ExperimentRun
    from .place import OperationMode, Place


class Known(Described):
    """The part of an Experiment that can be asked at any time."""

    run: ExperimentRun
    _place: Place

    @property
    def prefix(self) -> str:
        """`owner/project[/folder…]/name`."""
        return self.run.prefix

    @property
    def owner(self) -> str:
        """The first part of the prefix."""
        return self.run.parsed_prefix().owner

    @property
    def project(self) -> str:
        """The second part of the prefix."""
        return self.run.parsed_prefix().project

    @property
    def name(self) -> str:
        """The last part of the prefix; of two parts, the project's name."""
        return self.run.parsed_prefix().name

    @property
    def mode(self) -> OperationMode:
        """LOCAL (no url), REMOTE (url, and `dash_root=None`) or HYBRID (url and root)."""
        return self._place.mode

    @property
    def id(self) -> str | None:
        """The journal's id, made at its first start and the same ever after; None where there is no journal yet."""
        position = self._recorder.writer().position if self._recorder.is_open else self._position()
        return position.journal if position is not None else None

    @property
    def seq(self) -> int:
        """The number of the journal's last event, all that this process has recorded included; 0 where nothing is
        there.  Raises StorageError or LockError."""
        # Of the journal, which the state may know more than.
        position = self._position()
        return position.next_seq - 1 if position is not None else 0

    @property
    def status(self) -> Status | None:
        """RUNNING, COMPLETED, FAILED or CANCELLED, equal to these words; None where nothing has been started yet."""
        from ..state.status import Status

        if self._recorder.is_open:
            return Status.RUNNING
        if self._recorder.disabled:
            return Status(self.run.ended) if self.run.ended is not None else None
        state = self._stored_state()
        return state.status if state is not None else None

    @property
    def data(self) -> dict[str, Any] | None:
        """What is known of the experiment, as plain data; None where nothing has been started yet."""
        state = self._stored_state()
        if state is None or state.created_us is None or state.time_us is None:
            return None
        from ..clock import to_datetime
        from ..facts.copies import own_copy

        return {
            "id": self.id,
            "name": self.name,
            "owner": self.owner,
            "project": self.project,
            "prefix": self.prefix,
            "status": str(self.status),
            "description": state.description,
            "tags": list(state.tags),
            "bindrs": list(state.bindrs),
            "metadata": own_copy(state.metadata),
            "createdAt": to_datetime(state.created_us).isoformat(),
            "updatedAt": to_datetime(state.time_us).isoformat(),
        }

    def _folder(self) -> JournalFolder:
        from ..journal.folder import JournalFolder

        prefix = self.run.parsed_prefix()
        path = self._place.root_for(self.run.api_url).joinpath(*prefix.segments)
        if self._recorder.disabled:
            from .disabled import null_folder

            return null_folder(path)
        return JournalFolder(path, prefix=prefix.text)

    def _stored_state(self) -> State | None:
        """The state, with everything this process has recorded; None where there is no journal."""
        if not self._recorder.was_opened and not self._folder().exists():
            return None
        self._recorder.look()
        return self._replay().refresh()

    def _position(self) -> Position | None:
        replay = self._replay()
        replay.refresh()
        return replay.position

    def _replay(self) -> Replay:
        """Its next `refresh()` includes everything this process has recorded."""
        if self._recorder.was_opened:
            return self._recorder.replay()
        from ..journal.writer import commit_open
        from ..reading.replay import Replay

        folder = self._folder()
        commit_open(folder)
        return Replay(folder)
