"""Types of events as an option names them: a misspelt one must not look like an experiment without such events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

from ..errors import ConfigurationError
from ..facts.events import EVENT_TYPES
from ..history import Run
from ..state import UNDECODABLE

NEAREST_MAX = 3


def check_types(types: Iterable[str], load: Callable[[], Run]) -> None:
    """Raises ConfigurationError for a type that there is not, and that nothing recorded has either.

    The run is loaded only for a type that this release does not know.
    """
    unknown = [each for each in types if each not in EVENT_TYPES and each != UNDECODABLE]
    if not unknown:
        return
    known = {*EVENT_TYPES, UNDECODABLE, *load().state.unknown}
    for each in unknown:
        if each not in known:
            nearest = get_close_matches(each, known, NEAREST_MAX)
            hint = f"Did you mean {' or '.join(nearest)}? " if nearest else ""
            raise ConfigurationError(
                f"--type {each!r:.80}: there is no such type of event. {hint}There are {', '.join(EVENT_TYPES)}"
            )
