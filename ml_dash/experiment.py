"""Experiment: what a training holds.  Arguments become events, answers come from the fold of the journal.

The journal and everything heavy is loaded at the first start, components at their first use.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from . import environment_variables
from .decorator import PARAMETERS, decorate, parameter_of
from .description import KEYS, BindrNames, checked
from .errors import ConfigurationError, LockError, StorageError
from .events import EXPERIMENT_DESCRIBED
from .lifecycle import ExperimentRun, warn
from .place import DEFAULT_ROOT, Default, OperationMode, Place, find_place
from .prefix import Prefix
from .recorder import Recorder, not_started
from .run import FIELDS, nearest

if TYPE_CHECKING:
    from .files import Files
    from .logs import Logs
    from .metrics import Metrics
    from .params import ParametersBuilder
    from .state import State
    from .status import Status
    from .tracks import Tracks

__all__ = ["Experiment", "OperationMode", "ml_dash_experiment"]

NORMAL = Default("normal")
DURABILITIES = ("normal", "strict")
_ARGUMENTS = frozenset((*KEYS, "readme", "prefix", "dash_url", "dash_root", "durability", "console"))
_warned_of: set[str] = set()


class Experiment:
    """One experiment, named by its prefix; the same prefix is the same experiment, and opening it appends.

        with Experiment("alice/mnist/baseline").run as experiment:
            experiment.metrics("train").log(step=1, loss=0.5)

    - `prefix`: `owner/project[/folder…]/name`, or a template of it (`ml_dash.run`).  Without one: `RUN.prefix`, the
      environment variable ML_DASH_PREFIX, or `{user}/scratch/{now:%Y/%m-%d}/{path_stem}/{job_name}`.
    - `description` (or `readme`), `tags`, `bindrs`, `metadata`: what is given replaces what is stored, None keeps it.
    - `dash_root`: the folder; `.dash`, or ML_DASH_ROOT, unless given.  `dash_url`: the server; True means `RUN.api_url`.
    - `durability`: "normal": a disk that refuses stops no training, one warning tells; "strict": the next recording call
      raises.  `console`: whether log lines are printed.
    - any field of RUN: `user`, `project`, `entry`, `job_name`, …

    Nothing stands on disk before the start.  Raises ConfigurationError (PrefixError for the prefix) for a value that
    cannot be used, TypeError for an unknown keyword.
    """

    run: ExperimentRun
    """Begins and ends sessions: `with experiment.run:`, `run.start()`, `run.complete()`, `run.fail()`, `run.cancel()`."""

    def __init__(
        self,
        prefix: str | None = None,
        *,
        description: str | None = None,
        readme: str | None = None,
        tags: Iterable[str] | None = None,
        bindrs: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        dash_url: str | bool | None = None,
        dash_root: str | PathLike[str] | None = DEFAULT_ROOT,
        durability: str = NORMAL,
        console: bool = True,
        **run_fields: Any,
    ) -> None:
        if "remote" in run_fields:
            dash_url = _renamed(run_fields, "remote", "dash_url", dash_url, keep=dash_url is not None)
        if "local_path" in run_fields:
            dash_root = _renamed(run_fields, "local_path", "dash_root", dash_root, keep=dash_root is not DEFAULT_ROOT)
        _check_keywords(run_fields)
        if description is not None and readme is not None and description != readme:
            raise ConfigurationError(
                f"description={description!r:.80} and readme={readme!r:.80} say different things: they are one"
            )
        self._place = find_place(dash_root, dash_url)
        self._is_strict = _durability(durability) == "strict"
        self._commit_interval_s = environment_variables.commit_interval_s()
        self._recorder = Recorder(
            console=bool(console) and environment_variables.console(), disabled=environment_variables.is_disabled()
        )
        self._given: dict[str, Any] = {}
        self._components: dict[str, Any] = {}
        self._durable_seq = 0
        self.run = ExperimentRun(self, prefix=prefix, **run_fields)
        self.description = description if description is not None else readme
        self.tags = tags  # type: ignore[assignment]
        self.bindrs = bindrs  # type: ignore[assignment]
        self.metadata = metadata  # type: ignore[assignment]
        if prefix is not None:
            self.run.parsed_prefix()

    # -- recording -----------------------------------------------------------------------------------------------

    @property
    def params(self) -> ParametersBuilder:
        """Parameters: `params.set(lr=0.001)`, `params.get()`."""
        return self._component("params")  # type: ignore[no-any-return]

    @property
    def logs(self) -> Logs:
        """Log lines: `logs.info("…")`, `logs.read()`, `logs.handler()`."""
        return self._component("logs")  # type: ignore[no-any-return]

    @property
    def metrics(self) -> Metrics:
        """Metrics: `metrics("train").log(step=1, loss=0.5)`."""
        return self._component("metrics")  # type: ignore[no-any-return]

    @property
    def tracks(self) -> Tracks:
        """Rows by time: `tracks("arm").append(q=[0.1, 0.2], _ts=1.5)`."""
        return self._component("tracks")  # type: ignore[no-any-return]

    @property
    def files(self) -> Files:
        """Files, as they are at the time of the call: `files.upload("model.pt", to="checkpoints/model.pt")`."""
        return self._component("files")  # type: ignore[no-any-return]

    def log(
        self, message: str | None = None, level: str = "info", metadata: Mapping[str, Any] | None = None, **extra: Any
    ) -> Any:
        """Records a log line and prints it; `extra` joins `metadata`.  Raises ConfigurationError for an unknown level,
        ExperimentError where the experiment is not open.  Without a message (deprecated) it gives a builder."""
        return self.logs.log(message, level, metadata, **extra)

    def flush(self) -> int:
        """Everything recorded before is on disk when this returns; the last durable sequence number.

        Raises StorageError or LockError where the disk refuses; nothing is lost then.  Does nothing where the experiment
        is not open: what was recorded then is durable already.
        """
        return self._recorder.writer().flush() if self._recorder.is_open else self._durable_seq

    @property
    def durable_seq(self) -> int:
        """Up to which event of the journal everything is known to survive power loss."""
        return self._recorder.writer().durable_seq if self._recorder.is_open else self._durable_seq

    def _component(self, name: str) -> Any:
        if not self._recorder.is_open:
            raise not_started()
        found = self._components.get(name)
        return found if found is not None else self._components.setdefault(name, _COMPONENTS[name](self._recorder))

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def prefix(self) -> str:
        """`owner/project[/folder…]/name`."""
        return self.run.prefix

    @property
    def owner(self) -> str:
        return self.run.parsed_prefix().owner

    @property
    def project(self) -> str:
        return self.run.parsed_prefix().project

    @property
    def name(self) -> str:
        return self.run.parsed_prefix().name

    @property
    def mode(self) -> OperationMode:
        """LOCAL (no url), REMOTE (url, and `dash_root=None`) or HYBRID (url and root)."""
        return self._place.mode

    @property
    def id(self) -> str | None:
        """The journal's id, made at its first start and the same ever after; None where there is no journal yet."""
        from .journal.reader import JournalReader

        writer = self._recorder.writer() if self._recorder.is_open else None
        if writer is not None:
            return writer.position.journal if writer.position is not None else None
        reader = JournalReader(self._folder())
        for number in sorted(self._folder().segment_numbers()):
            found = reader.header(number)
            if found is not None:
                return found[1].journal
        return None

    @property
    def status(self) -> Status | None:
        """RUNNING, COMPLETED, FAILED or CANCELLED, equal to these words; None where nothing has been started yet."""
        from .status import Status

        if self._recorder.is_open:
            return Status.RUNNING
        state = self._stored_state()
        return state.status if state is not None and state.sessions else None

    @property
    def description(self) -> str | None:
        return self._described("description")  # type: ignore[no-any-return]

    @description.setter
    def description(self, value: str | None) -> None:
        self._describe("description", value)

    readme = description

    @property
    def tags(self) -> list[str] | None:
        """Assign to change them: `experiment.tags = ["baseline"]`; `[]` clears, None keeps what is stored."""
        return self._described("tags")  # type: ignore[no-any-return]

    @tags.setter
    def tags(self, value: Iterable[str] | None) -> None:
        self._describe("tags", value)

    @property
    def metadata(self) -> dict[str, Any] | None:
        """Assign to change it: `experiment.metadata = {…}`."""
        return self._described("metadata")  # type: ignore[no-any-return]

    @metadata.setter
    def metadata(self, value: Mapping[str, Any] | None) -> None:
        self._describe("metadata", value)

    @property
    def bindrs(self) -> BindrNames:
        """The names that the experiment is bound to; `bindrs(name).list()` gives the files that carry one."""
        return BindrNames(self._described("bindrs") or (), self._bindr)

    @bindrs.setter
    def bindrs(self, value: Iterable[str] | None) -> None:
        self._describe("bindrs", value)

    @property
    def data(self) -> dict[str, Any] | None:
        """What is known of the experiment, as plain data; None where nothing has been started yet."""
        state = self._stored_state()
        if state is None or state.created_us is None or state.time_us is None:
            return None
        from .clock import to_datetime

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
            "metadata": dict(state.metadata) if state.metadata is not None else None,
            "createdAt": to_datetime(state.created_us).isoformat(),
            "updatedAt": to_datetime(state.time_us).isoformat(),
        }

    def _bindr(self, name: str) -> Any:
        if not self._recorder.is_open:
            raise not_started()
        from .files import Bindrs

        return Bindrs(self._recorder, name)

    def _describe(self, key: str, value: object) -> None:
        given = checked(key, value)
        if given is None:
            return
        if self._recorder.is_open:
            self._recorder.writer().record(EXPERIMENT_DESCRIBED, {key: given})
        else:
            self._given[key] = given

    def _described(self, key: str) -> Any:
        if key in self._given:
            return self._given[key]
        state = self._stored_state()
        if state is None:
            return None
        found = getattr(state, key)
        return list(found) if isinstance(found, tuple) else dict(found) if isinstance(found, Mapping) else found

    def _folder(self) -> Any:
        from .journal.folder import JournalFolder

        path = self._place.folder_of(self.run.parsed_prefix())
        if self._recorder.disabled:
            from .disabled import null_folder

            return null_folder(path)
        return JournalFolder(path)

    def _stored_state(self) -> State | None:
        """The state, with everything this process has recorded; None where there is no journal."""
        if self._recorder.was_opened:
            return self._recorder.replay().refresh()
        folder = self._folder()
        if not folder.exists():
            return None
        from .replay import Replay

        return Replay(folder).refresh()

    # -- sessions, on behalf of `run` ----------------------------------------------------------------------------

    def _open(self, prefix: Prefix) -> None:
        folder = self._folder()
        if self._recorder.disabled:
            from .disabled import NullWriter

            self._recorder.open(folder, NullWriter())
            return
        from .session import begin

        self._place.check()
        if self._place.url is not None:
            _say_that_nothing_is_shipped(self._place)
        writer = begin(
            folder,
            prefix.text,
            self._given,
            entry=self.run.entry,
            is_strict=self._is_strict,
            commit_interval_s=self._commit_interval_s,
        )
        self._given = {}
        self._recorder.open(folder, writer)

    def _close(self, event_type: str, why: dict[str, Any]) -> None:
        from .session import end

        writer = self._recorder.close()
        try:
            self._durable_seq = end(writer, event_type, why)
        except (StorageError, LockError) as error:
            if self._is_strict:
                raise
            warn(
                f"the end of {self.prefix} could not be written: {error}. It waits beside the journal, and is written when the "
                "experiment is opened next"
            )

    def __repr__(self) -> str:
        return f"<Experiment {self.run!r} in {self._place.root}>"


def ml_dash_experiment(prefix: str | None = None, **arguments: Any) -> Callable[[Any], Any]:
    """Decorator: each call of the function is a session of `Experiment(prefix, **arguments)`.

        @ml_dash_experiment(prefix="alice/mnist/baseline")
        def train(experiment, epochs): ...

    The function gets the experiment as keyword `experiment` (or `exp`) and what it returns or raises comes through.  It may
    be a method, `async def`, or a generator.  Raises TypeError where it has no such parameter.
    """
    if callable(prefix):
        return ml_dash_experiment()(prefix)

    def decorate_with_experiment(function: Callable[..., Any]) -> Any:
        if callable(function) and parameter_of(function) is None:
            raise TypeError(
                f"{getattr(function, '__name__', function)!s} has no parameter for the experiment: expected one called "
                f"{' or '.join(map(repr, PARAMETERS))}"
            )
        return decorate(function, lambda: Experiment(prefix, **arguments).run)

    return decorate_with_experiment


# --- components ---------------------------------------------------------------------------------------------


def _params(recorder: Recorder) -> Any:
    from .params import ParametersBuilder

    return ParametersBuilder(recorder)


def _logs(recorder: Recorder) -> Any:
    from .logs import Logs

    return Logs(recorder)


def _metrics(recorder: Recorder) -> Any:
    from .metrics import Metrics

    return Metrics(recorder)


def _tracks(recorder: Recorder) -> Any:
    from .tracks import Tracks

    return Tracks(recorder)


def _files(recorder: Recorder) -> Any:
    from .files import Files

    return Files(recorder)


_COMPONENTS: Mapping[str, Callable[[Recorder], Any]] = {
    "params": _params,
    "logs": _logs,
    "metrics": _metrics,
    "tracks": _tracks,
    "files": _files,
}


# --- arguments ----------------------------------------------------------------------------------------------


def _check_keywords(run_fields: dict[str, Any]) -> None:
    known = FIELDS | _ARGUMENTS
    for name in run_fields:
        if name not in FIELDS:
            raise TypeError(
                f"Experiment has no argument {name!r}.{nearest(name, known)} It has {', '.join(sorted(known))}"
            )


def _renamed(given: dict[str, Any], old: str, new: str, value: Any, *, keep: bool) -> Any:
    """The value of a deprecated argument, unless the one that replaces it is given too."""
    warnings.warn(f"Experiment({old}=…) is deprecated: write {new}=…", DeprecationWarning, stacklevel=3)
    old_value = given.pop(old)
    return value if keep or old_value is None else old_value


def _durability(durability: object) -> str:
    if durability is NORMAL:
        return environment_variables.durability()
    if durability not in DURABILITIES:
        raise ConfigurationError(f"durability={durability!r:.80} is unknown: expected 'normal' or 'strict'")
    return str(durability)


def _say_that_nothing_is_shipped(place: Place) -> None:
    if place.url is None or place.url in _warned_of:
        return
    _warned_of.add(place.url)
    warn(
        f"this release does not ship to {place.url}. Everything is recorded on this machine, in {place.root}; read it with "
        f"`ml_dash.load(prefix, dash_root={str(place.root)!r})`"
    )
