"""What the environment variables `ML_DASH_*` say, read each time it is asked for.

    ML_DASH_ROOT              the folder that experiments are stored in, where the code gives none
    ML_DASH_PREFIX            the prefix or prefix template, where the code gives none; else DASH_PREFIX
    ML_DASH_USER              the owner in the default prefix
    ML_DASH_API_URL           the server that `dash_url=True` means
    ML_DASH_TOKEN             the token for every server, before keychain and file; else ML_DASH_API_KEY
    ML_DASH_CONFIG_DIR        the folder for what belongs to this person, such as tokens where there is no keychain
    ML_DASH_CONSOLE           on or off: whether log lines are printed too
    ML_DASH_DURABILITY        normal or strict, where the code says nothing
    ML_DASH_FLUSH_INTERVAL    seconds between commits, 0.01 to 1; more counts as 1, because promise P2 names one second
    ML_DASH_SHIP_TIMEOUT      seconds that the end of an experiment waits until all has arrived at the server; 60
    ML_DASH_MODE              disabled: record nothing, accept everything

An empty variable counts as none.  `ML_DASH_BUFFER_ENABLED` and the batch sizes of the package we replace have no
meaning here: nothing is kept back that a read or a crash could miss.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

from ..errors import ConfigurationError

_T = TypeVar("_T")
_SWITCH = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
_MODES = {"disabled": True, "enabled": False}
_DURABILITIES = {"normal": "normal", "strict": "strict"}
COMMIT_INTERVAL_S_MIN = 0.01
COMMIT_INTERVAL_S_MAX = 1.0


def text(name: str) -> str | None:
    """The variable, or None where it is unset or blank."""
    return os.environ.get(name, "").strip() or None


def console() -> bool:
    return _one_of("ML_DASH_CONSOLE", _SWITCH, default=True)


def durability() -> str:
    return _one_of("ML_DASH_DURABILITY", _DURABILITIES, default="normal")


def is_disabled() -> bool:
    return _one_of("ML_DASH_MODE", _MODES, default=False)


def commit_interval_s() -> float | None:
    """Seconds between commits; None leaves it to the committer."""
    given = text("ML_DASH_FLUSH_INTERVAL")
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    # NaN fails this comparison too.
    if not seconds >= COMMIT_INTERVAL_S_MIN:
        raise ConfigurationError(
            f"environment variable ML_DASH_FLUSH_INTERVAL={given!r} is no interval: expected seconds, "
            f"{COMMIT_INTERVAL_S_MIN} to {COMMIT_INTERVAL_S_MAX:g}. Correct it or unset it"
        )
    return min(seconds, COMMIT_INTERVAL_S_MAX)


def ship_timeout_s(default: float) -> float:
    """Seconds to wait at the end for what has not arrived at the server; 0 waits for nothing."""
    given = text("ML_DASH_SHIP_TIMEOUT")
    if given is None:
        return default
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise ConfigurationError(
            f"environment variable ML_DASH_SHIP_TIMEOUT={given!r} is no time to wait: expected seconds, 0 or more. "
            "Correct it or unset it"
        )
    return seconds


def _one_of(name: str, meanings: Mapping[str, _T], default: _T) -> _T:
    given = text(name)
    if given is None:
        return default
    try:
        return meanings[given.lower()]
    except KeyError:
        raise ConfigurationError(
            f"environment variable {name}={given!r} has no meaning: expected one of {', '.join(meanings)}. "
            "Correct it or unset it"
        ) from None
