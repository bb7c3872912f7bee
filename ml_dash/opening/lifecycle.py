"""`experiment.run`: the fields of RUN for one experiment, and its sessions' beginning and end.

1. A session begins with `start()` and ends once, with `complete()`, `fail()` or `cancel()`; then the object can be
   started again, which appends to the same journal.  Where repeating a call is harmless it does nothing: starting what
   is open, ending what is not, ending the same way again.  A different end of an ended session is an ExperimentError.
2. Beginning and end are durable when the call returns.  If the disk refuses, the end waits in the spool for whoever
   opens the experiment next, and a warning says so; with `durability="strict"` it is an error.
3. `with experiment.run:` ends COMPLETED, or FAILED with what was raised, which always propagates.  `sys.exit()` and
   `sys.exit(0)` are a normal end, any other code is a failure; a generator that is closed early ends normally.
   An end that was stated inside the block stands.  Nested blocks belong to the outermost.
4. An interpreter that ends with an open run closes it: FAILED if an uncaught exception ended it, else COMPLETED.  The
   code of a `sys.exit()` is not visible there, so it counts as COMPLETED; a `with` block sees it.
5. A forked child never ends the session of its parent: there every end only closes what the child itself recorded with.
6. A killed process ends nothing; whoever looks next finds its session lost, which is FAILED.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..alarm import warn
from ..errors import ExperimentError, MlDashError, PrefixError
from ..facts.events import RUN_CANCELLED, RUN_COMPLETED, RUN_FAILED
from ..prefix import Prefix, parse_prefix
from ..run import RUN, expand, owner_and_project
from .failure import describe_failure
from .interpreter_end import open_runs, uncaught_exception

if TYPE_CHECKING:
    from ..experiment import Experiment
    from ..state.status import Status

_F = TypeVar("_F", bound=Callable[..., Any])
_ENDS = {RUN_COMPLETED: "COMPLETED", RUN_FAILED: "FAILED", RUN_CANCELLED: "CANCELLED"}


class ExperimentRun(RUN):
    """Begins and ends the sessions of `experiment`; always the same object for one experiment.

    `prefix`, `owner`, `project` and `name` are those of the experiment, all other fields those of RUN.  They may be set
    until the start: `run.prefix = "alice/ml/{EXP.date}-{EXP.id}"`.
    """

    def __init__(self, experiment: Experiment, **fields: Any) -> None:
        super().__init__(**fields)
        self._experiment = experiment
        self._changing = threading.RLock()
        self._prefix: Prefix | None = None
        self._ended: str | None = None
        self._exception_before: BaseException | None = None
        self._blocks = 0

    # -- beginning and end ---------------------------------------------------------------------------------------

    def start(self) -> Experiment:
        """Opens the experiment and gives it; does nothing where it is open.

        Raises PrefixError where the prefix names no experiment; StorageError, LockError, JournalCorruptError or
        JournalVersionError where the journal cannot be written to.  Nothing stands on disk before.
        """
        with self._changing:
            if not self._experiment._recorder.is_open:
                self._prefix = self.parsed_prefix()
                self._exception_before = uncaught_exception()
                # Before it is open: whatever interrupts this, what is open is closed at the exit.
                open_runs.add(self)
                try:
                    self._experiment._open(self._prefix)
                finally:
                    if not self._experiment._recorder.is_open:
                        open_runs.discard(self)
                self._ended = None
        return self._experiment

    def complete(self) -> None:
        """Ends the session: COMPLETED."""
        self._end(RUN_COMPLETED)

    def fail(self, error: BaseException | str | None = None) -> None:
        """Ends the session: FAILED.  `error` says why: an exception, or words; by default the exception that is being
        handled, if there is one."""
        if error is None:
            error = sys.exc_info()[1]
        self._end(RUN_FAILED, error)

    def cancel(self) -> None:
        """Ends the session: CANCELLED."""
        self._end(RUN_CANCELLED)

    def _end(self, event_type: str, error: BaseException | str | None = None) -> None:
        status = _ENDS[event_type]
        with self._changing:
            if not self._experiment._recorder.is_open:
                if self._ended in (None, status):
                    return
                raise ExperimentError(
                    f"this session has ended as {self._ended}, so it cannot end as {status} too. A session ends once; "
                    "`experiment.run.start()` begins another one"
                )
            self._ended = status
            open_runs.discard(self)
            self._experiment._close(event_type, _reason_and_error(event_type, error))

    def _end_with_interpreter(self, error: BaseException | None) -> None:
        """Rule 4."""
        has_failed = error is not None and error is not self._exception_before
        try:
            self._end(RUN_FAILED if has_failed else RUN_COMPLETED, error)
        except MlDashError as problem:
            warn(f"the end of {self.prefix} could not be recorded: {problem}")

    def _after_fork_in_child(self) -> None:
        """Rule 5.  A lock that a thread of the parent held at the fork would never be released here."""
        self._changing = threading.RLock()

    @property
    def status(self) -> Status | None:
        """The experiment's: RUNNING, COMPLETED, FAILED or CANCELLED; None where nothing has been started yet."""
        return self._experiment.status

    @property
    def ended(self) -> str | None:
        """How the last session of this object ended; None before and while it is open."""
        return self._ended

    # -- with and decorator --------------------------------------------------------------------------------------

    def __enter__(self) -> Experiment:
        with self._changing:
            experiment = self.start()
            self._blocks += 1
        return experiment

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with self._changing:
            self._blocks -= 1
            if self._blocks or not self._experiment._recorder.is_open:
                return
            if error is None or is_normal_end(error):
                self._end(RUN_COMPLETED)
                return
            try:
                self._end(RUN_FAILED, error)
            except MlDashError as problem:
                # Raised from here it would hide what the user has to see.
                warn(f"the end of {self.prefix} could not be recorded: {problem}")

    @overload
    def __call__(self, function: _F) -> _F: ...
    @overload
    def __call__(self) -> Callable[[_F], _F]: ...
    def __call__(self, function: Any = None) -> Any:
        """`@experiment.run`: each call of the function is a session of this experiment, as in a `with` block.

        The function gets the experiment as keyword `experiment` if it has a parameter of that name (or `exp`).
        """
        from .decorator import decorate

        if function is None:
            return self
        return decorate(function, lambda: self)

    # -- prefix --------------------------------------------------------------------------------------------------

    def parsed_prefix(self) -> Prefix:
        """The prefix as it is, or would be if the run were started now.  Raises PrefixError."""
        if self._prefix is not None:
            return self._prefix
        return self._parse(self._value("prefix"))

    def _parse(self, template: Any, previous_name: str | None = None) -> Prefix:
        text = expand(template, self, previous_name)
        if text and "/" not in text and self._is_set("project"):
            # Experiment(project="ml", prefix="baseline"): the name alone is no prefix, and the project says which one.
            text = f"{expand(owner_and_project(self), self)}/{text}"
        return parse_prefix(text)

    def __getattr__(self, name: str) -> Any:
        if name in ("prefix", "owner", "project", "name"):
            prefix = self.parsed_prefix()
            return prefix.text if name == "prefix" else getattr(prefix, name)
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "prefix":
            self._move(value)
        else:
            super().__setattr__(name, value)

    def _move(self, template: Any) -> None:
        with self._changing:
            if self._experiment._recorder.is_open:
                raise ExperimentError(
                    f"Cannot change the prefix to {template!r:.200}: {self.prefix} is open. Set it before "
                    "`experiment.run.start()`, or end the session first"
                )
            moved = None
            if template is not None:
                moved = self._parse(template, previous_name=self._previous_name())
            self._fields["prefix"] = moved.text if moved is not None else None
            self._prefix = moved
            self._ended = None
            self._experiment._recorder.forget()

    def _previous_name(self) -> str | None:
        try:
            return self.parsed_prefix().name
        except PrefixError:
            return None

    def __repr__(self) -> str:
        state = "open" if self._experiment._recorder.is_open else self._ended or "not started"
        try:
            return f"<run of {self.prefix}: {state}>"
        except PrefixError as error:
            return f"<run: {state}, {error}>"


def is_normal_end(error: BaseException) -> bool:
    """Whether leaving a block this way is no failure (rule 3)."""
    if isinstance(error, SystemExit):
        return error.code is None or error.code == 0
    return isinstance(error, GeneratorExit)


def _reason_and_error(event_type: str, error: BaseException | str | None) -> dict[str, Any]:
    if event_type != RUN_FAILED:
        return {}
    reason = "exception" if isinstance(error, BaseException) else "stated"
    return {"reason": reason, "error": describe_failure(error)}
