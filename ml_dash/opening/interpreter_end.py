"""What is done when the interpreter ends, in this order; none of it raises.

1. Every run that is open is ended.
2. Every writer whose end the disk refused tries once more.
3. Every one of `last_things` is called.

A forked child does this for its own sessions alone.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..alarm import warn
from ..errors import MlDashError

if TYPE_CHECKING:
    from ..journal.writer import Writer


class OpenRun(Protocol):
    """What ends with the interpreter at the latest."""

    def _end_with_interpreter(self, error: BaseException | None) -> None: ...
    def _after_fork_in_child(self) -> None: ...


open_runs: set[OpenRun] = set()
unwritten: list[Writer] = []
"""Writers whose end the disk has refused.  What waits in their memory is tried again until the process ends."""
last_things: list[Callable[[], None]] = []


def uncaught_exception() -> BaseException | None:
    """The last that Python has shown, which is what ended the interpreter; at a prompt it has ended nothing."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error if isinstance(error, BaseException) and not hasattr(sys, "ps1") else None


def _at_exit() -> None:
    error = uncaught_exception()
    for run in list(open_runs):
        run._end_with_interpreter(error)
    for writer in unwritten:
        try:
            writer.close()
        except MlDashError as problem:
            warn(f"some of what was recorded last could not be written: {problem}")
    for thing in last_things:
        thing()


def _in_forked_child() -> None:
    unwritten.clear()
    last_things.clear()
    for run in open_runs:
        run._after_fork_in_child()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
