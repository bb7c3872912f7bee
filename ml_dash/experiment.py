"""Experiment: what a training holds.  Arguments become events, answers come from the fold of the journal.

The journal and everything heavy is loaded at the first start, components at their first use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from .alarm import warn
from .errors import ConfigurationError, ConflictError, LockError, StorageError
from .opening import environment_variables
from .opening.arguments import NORMAL, check_keywords, durability_of, take_deprecated, whole_number
from .opening.companions import Companions
from .opening.components import COMPONENTS
from .opening.decorator import PARAMETERS, decorate, parameter_of
from .opening.interpreter_end import unwritten
from .opening.known import Known
from .opening.lifecycle import ExperimentRun
from .opening.place import DEFAULT_ROOT, OperationMode, find_place
from .opening.recorder import Recorder, not_started
from .prefix import Prefix

if TYPE_CHECKING:
    from pathlib import Path

    from .files import Files
    from .journal.folder import JournalFolder
    from .logs import LogBuilder, Logs
    from .metrics import Metrics
    from .opening.forking import ForkPoint
    from .opening.shipping import Shipping
    from .params import ParametersBuilder
    from .tracks import Tracks

__all__ = ["Experiment", "OperationMode", "ml_dash_experiment"]

_Returned = TypeVar("_Returned")


class Experiment(Known):
    """One experiment, named by its prefix; the same prefix is the same experiment, and opening it appends.

        with Experiment("alice/mnist/baseline").run as experiment:
            experiment.metrics("train").log(step=1, loss=0.5)

    - `prefix`: `owner/project[/folder…]/name`, or a template of it (`ml_dash.run`); with `project` given, a name alone
      will do.  Without one: `RUN.prefix`, the environment variable ML_DASH_PREFIX, or
      `{user}/scratch/{now:%Y/%m-%d}/{path_stem}/{job_name}`.
    - `description` (or `readme`), `tags`, `bindrs`, `metadata`: what is given replaces what is stored, None keeps it.
    - `dash_root`: the folder; `.dash`, or ML_DASH_ROOT, unless given.
    - `dash_url`: the server that the journal is shipped to as well; True means `RUN.api_url`.  `dash_root=None` keeps
      it on this machine only until the server has it.
    - `ship_timeout_s`: how long the end of a session waits for what has not arrived at the server; 60 seconds, or
      ML_DASH_SHIP_TIMEOUT, unless given.
    - `durability`: "normal": a disk that refuses stops no training, one warning tells; "strict": the next recording
      call raises.  `console`: whether log lines are printed.
    - `capture_output`: whether every line written to standard output and standard error is recorded too, also by C
      extensions and child processes (`ml_dash/recording/output_capture.py` says what that cannot do).
    - `system_metrics`: True or the seconds between two samples: records how busy processor, memory, disk, network and
      NVIDIA GPUs are, as metrics `system/…` (`ml_dash/recording/system_metrics.py` has the table).
    - `fork`: `"alice/mnist/a@1500"`: begins as that experiment was behind its event 1500, or as it is without `@…`, in
      the same `dash_root`.  Neither touches what becomes of the other.  Where this one exists as that fork it is opened
      again; ExperimentError at the start where it is something else.
    - any field of RUN: `user`, `project`, `entry`, `job_name`, …

    Nothing stands on disk before the start.  Raises ConfigurationError (PrefixError for the prefix) for a value that
    cannot be used, MissingExtraError for `system_metrics` without psutil, TypeError for an unknown keyword.
    """

    run: ExperimentRun
    """Begins and ends sessions: `with experiment.run:`, or `start()`, then `complete()`, `fail()` or `cancel()`."""

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
        capture_output: bool = False,
        system_metrics: bool | float = False,
        ship_timeout_s: float | None = None,
        fork: str | None = None,
        **run_fields: Any,
    ) -> None:
        super().__init__()
        dash_root, dash_url = take_deprecated(run_fields, dash_root, dash_url)
        check_keywords(run_fields)
        if description is not None and readme is not None and description != readme:
            raise ConfigurationError(
                f"description={description!r:.80} and readme={readme!r:.80} are two words for one thing: give one"
            )
        self._place = find_place(dash_root, dash_url)
        self._shipping: Shipping | None = None
        self._ship_timeout_s: float | None = None
        if self._place.url is not None:
            from .opening.shipping import ship_timeout_s as checked_timeout_s

            self._ship_timeout_s = checked_timeout_s(ship_timeout_s)
        self._is_strict = durability_of(durability) == "strict"
        self._commit_interval_s = environment_variables.commit_interval_s()
        self._recorder = Recorder(
            console=bool(console) and environment_variables.console(), disabled=environment_variables.is_disabled()
        )
        self._components: dict[str, Any] = {}
        self._companions = Companions(self._recorder, bool(capture_output), system_metrics)
        self._durable_seq = 0
        self._fork: ForkPoint | None = None
        if fork is not None:
            from .opening.forking import ForkPoint

            self._fork = ForkPoint.parse(fork)
        self.run = ExperimentRun(self, prefix=prefix, **run_fields)
        words = (description, readme, self.run.readme)
        self.description = next((each for each in words if each is not None), None)
        self.tags = tags
        self.bindrs = bindrs
        self.metadata = metadata
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
        self, message: Any = None, level: str | None = "info", metadata: Mapping[str, Any] | None = None, **extra: Any
    ) -> LogBuilder | None:
        """Records a log line and prints it; `extra` joins `metadata`.  Raises ConfigurationError for an unknown level,
        ExperimentError where the experiment is not open.  Without a message (deprecated) it gives a builder."""
        return self.logs.log(message, level, metadata, **extra)

    def rewind(self, *numbers: float, **steps: float) -> None:
        """Says that the training goes on from an earlier checkpoint: `rewind(step=10)`, `rewind(epoch=2, step=500)`.

        What led to the checkpoint stays; the points that this session, and those that had ended before it began, have
        logged above these steps do not count any more, in every metric.  What is logged from here on at the same or an
        earlier step replaces what was logged there before.  Nothing is deleted: `attempts="all"` has everything.

        The fields are `step`, `global_step`, `_step`, `iteration` and `epoch`.  Raises ConfigurationError for others
        and for what is no number, ExperimentError where the experiment is not open.
        """
        from .opening.rewinding import record_rewind

        record_rewind(self._recorder.writer(), numbers, steps)

    def flush(self) -> int:
        """Everything recorded before is on disk when this returns; the last durable sequence number.

        It does not wait for a server: nothing that is on disk is lost on the way there.
        Raises StorageError or LockError where the disk refuses; nothing is lost then.  Does nothing where the
        experiment is not open: what was recorded then is durable already.
        """
        return self._recorder.writer().flush() if self._recorder.is_open else self._durable_seq

    @property
    def durable_seq(self) -> int:
        """Up to which event of the journal everything is known to survive power loss."""
        return self._recorder.writer().durable_seq if self._recorder.is_open else self._durable_seq

    def expect(self, seq: int) -> AbstractContextManager[None]:
        """Records only if nobody has recorded anything behind event `seq`:

            while True:
                try:
                    with experiment.expect(experiment.seq):
                        experiment.params.set(count=experiment.params.get("count", 0) + 1)
                    break
                except ConflictError:
                    continue

        What this thread records inside is held back until the block ends: then it is one commit, durable, if the
        journal's last event is still `seq`; else ConflictError, and nothing of it is recorded, as where the block ends
        with an exception.  Where that is not so at the call, it is a ConflictError at once: without `with` it does no
        more than look.  Reading inside shows what stands in the journal.  Take `seq` first and read then.

        Inside, flushing and ending the session are refused, and so is another `expect` (ExperimentError).  Raises
        ConfigurationError for a `seq` that is no number of an event, ExperimentError where the experiment is not open,
        StorageError or LockError where the disk refuses.
        """
        writer = self._recorder.writer()
        expected = whole_number(seq)
        if expected is None or expected < 0:
            raise ConfigurationError(f"seq={seq!r:.100}: expected the number of an event, such as `experiment.seq`")
        writer.refuse_if_held("`experiment.expect`")
        if not self._recorder.disabled and (found := self.seq) != expected:
            raise ConflictError(expected, found)
        return writer.expect(expected)

    def _component(self, name: str) -> Any:
        if self._recorder.open_writer is None:
            raise not_started()
        found = self._components.get(name)
        return found if found is not None else self._components.setdefault(name, COMPONENTS[name](self._recorder))

    # -- sessions, on behalf of `run` ----------------------------------------------------------------------------

    def _open(self, prefix: Prefix) -> None:
        folder = self._folder()
        if self._recorder.disabled:
            from .opening.disabled import NullWriter

            self._recorder.open(folder, NullWriter())
            return
        from .opening.session import begin

        self._place.check()
        root = self._place.root_for(self.run.api_url)
        shipping = self._ship_to(prefix, folder, root)
        base = shipping.greet() if shipping is not None else None
        with shipping.opening() if shipping is not None else nullcontext():
            if self._fork is not None:
                from .opening.forking import begin_as_fork

                begin_as_fork(folder, prefix, root, self._fork)
            writer = begin(
                folder,
                prefix.text,
                self._given,
                entry=str(self.run.entry),
                is_strict=self._is_strict,
                commit_interval_s=self._commit_interval_s,
            )
        self._given = {}
        self._recorder.open(folder, writer, base, shipping.url if shipping is not None else None)
        if shipping is not None:
            shipping.begin()
            self._shipping = shipping
        # Imported now: a child that is forked amid an import waits for its lock for ever, and a signal handler that
        # records amid one finds half a module.
        for name in COMPONENTS:
            self._component(name)
        self._companions.start()

    def _ship_to(self, prefix: Prefix, folder: JournalFolder, root: Path) -> Shipping | None:
        if self._ship_timeout_s is None:
            return None
        from .opening.shipping import Shipping

        url = self._place.server(self.run.api_url)
        removes = self._place.mode is OperationMode.REMOTE
        return Shipping(url, prefix, folder, root, timeout_s=self._ship_timeout_s, removes=removes)

    def _close(self, event_type: str, why: dict[str, Any]) -> None:
        from .opening.session import end

        self._recorder.writer().refuse_if_held("Ending the session")
        self._companions.close()
        writer = self._recorder.close()
        try:
            self._durable_seq = end(writer, event_type, why)
        except (StorageError, LockError) as error:
            unwritten.append(writer)
            if self._is_strict:
                raise
            warn(
                f"the end of {self.prefix} could not be written: {error}. It waits beside the journal, and is written "
                "when the experiment is opened next"
            )
        finally:
            if self._shipping is not None:
                self._shipping.end()

    # -- as an object --------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<Experiment {self.run!r} in {self._place.root}>"

    def __copy__(self) -> Experiment:
        return self

    def __deepcopy__(self, _: object) -> Experiment:
        """Itself: a copied configuration still means this experiment."""
        return self

    def __reduce__(self) -> tuple[Callable[..., Experiment], tuple[str, dict[str, Any]]]:
        """In another process, such as a spawned worker, it is the same experiment, not started there."""
        arguments = {
            "dash_root": None if self.mode is OperationMode.REMOTE else str(self._place.root),
            "dash_url": self._place.url,
            "ship_timeout_s": self._ship_timeout_s,
            "durability": "strict" if self._is_strict else "normal",
            "console": self._recorder.console,
            "fork": str(self._fork) if self._fork is not None else None,
        }
        return _unpickled, (self.prefix, arguments)


def ml_dash_experiment(
    prefix: str | None = None, **arguments: Any
) -> Callable[[Callable[..., _Returned]], Callable[..., _Returned]]:
    """Decorator: each call of the function is a session of `Experiment(prefix, **arguments)`.

        @ml_dash_experiment(prefix="alice/mnist/baseline")
        def train(experiment, epochs): ...

    The function gets the experiment as keyword `experiment` (or `exp`); what it returns or raises comes through.  It
    may be a method, `async def`, or a generator.  Raises TypeError where it has no such parameter.
    """
    if prefix is not None and not isinstance(prefix, str):
        raise ConfigurationError(
            f"ml_dash_experiment got {prefix!r:.200} as its prefix: expected a str. Write `@ml_dash_experiment()` or "
            "`@ml_dash_experiment(prefix=…)` above the function"
        )

    def decorate_with_experiment(function: Callable[..., _Returned]) -> Callable[..., _Returned]:
        if callable(function) and parameter_of(function) is None:
            raise TypeError(
                f"{getattr(function, '__name__', function)!s} has no parameter for the experiment: expected one called "
                f"{' or '.join(map(repr, PARAMETERS))}"
            )
        return decorate(function, lambda: Experiment(prefix, **arguments).run)

    return decorate_with_experiment


def _unpickled(prefix: str, arguments: dict[str, Any]) -> Experiment:
    return Experiment(prefix, **arguments)
