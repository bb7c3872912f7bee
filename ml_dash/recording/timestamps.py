"""`_ts`: the time of a point or a row as the user has it, in seconds."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from ..errors import ConfigurationError
from ..facts.value_forms import describe
from ..opening.recorder import Recorder

INHERIT = -1


def timestamp_of(recorder: Recorder, given: Any, first: Callable[[], float] | None = None) -> float:
    """`given` as seconds; -1 is the last time that this thread used in any metric or track of the experiment.

    Where there is none before, -1 is what `first` gives.  Raises ConfigurationError, a ValueError, for what is no
    finite number, and for such a -1 without `first`.
    """
    try:
        value = float(given)
    except Exception:
        value = float("nan")
    if not isfinite(value):
        raise ConfigurationError(
            f"_ts={describe(given):.100} is no time: expected seconds, as time.time() gives them, or -1 for the last "
            "one used"
        )
    if value != INHERIT:
        return value
    last = recorder.last_timestamp()
    if last is None and first is not None:
        return first()
    if last is None:
        raise ConfigurationError(
            "_ts=-1 takes the last time that this thread used in a metric or track of this experiment, and there is "
            "none yet: give the first one in seconds, or leave _ts out"
        )
    return last
