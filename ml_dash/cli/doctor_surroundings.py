"""What is around ml_dash: its version and Python's, extras, environment variables, the keychain, the server."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from importlib import metadata

from .. import __version__
from ..errors import AuthenticationError, ConfigurationError, MlDashError
from ..opening import environment_variables
from ..remote import credentials
from ..remote.server import Server
from ..run import DEFAULT_API_URL
from .finding import Finding, note, well, wrong

DISTRIBUTION = "ml_dash"
INTERNAL_EXTRAS = ("all", "dev")
VARIABLES = (
    "ML_DASH_ROOT",
    "ML_DASH_PREFIX",
    "ML_DASH_USER",
    "ML_DASH_API_URL",
    "ML_DASH_TOKEN",
    "ML_DASH_API_KEY",
    "ML_DASH_CONFIG_DIR",
    "ML_DASH_CONSOLE",
    "ML_DASH_DURABILITY",
    "ML_DASH_FLUSH_INTERVAL",
    "ML_DASH_SHIP_TIMEOUT",
    "ML_DASH_MODE",
)
SECRET = ("ML_DASH_TOKEN", "ML_DASH_API_KEY")
OF_THE_OTHER_PACKAGE = re.compile(r"ML_DASH_(BUFFER_ENABLED|\w+_BATCH_SIZE|FILE_UPLOAD_WORKERS)")
_CHECKS: tuple[Callable[[], object], ...] = (
    environment_variables.console,
    environment_variables.durability,
    environment_variables.commit_interval_s,
    credentials.configuration_folder,
)
_PASSWORD = re.compile(r"//[^/@]*@")


def versions() -> Iterator[Finding]:
    yield well("versions", "ml_dash", __version__)
    yield well(
        "versions", "Python", f"{platform.python_version()} ({platform.python_implementation()}), {platform.platform()}"
    )
    for extra, packages in _extras().items():
        missing = [package for package in packages if _version(package) is None]
        found = ", ".join(f"{package} {_version(package)}" for package in packages if package not in missing)
        if missing:
            text = f"not installed: {', '.join(missing)}" + (f"; there are {found}" if found else "")
            yield note("versions", f"extra {extra}", text, f"Where you need it: pip install '{DISTRIBUTION}[{extra}]'")
        else:
            yield well("versions", f"extra {extra}", found)


def _extras() -> dict[str, list[str]]:
    """The packages of each extra, from what the installed distribution says of itself."""
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        # Run from a copy of the source.
        return {}
    extras: dict[str, list[str]] = {}
    for line in required:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)[^;]*;.*extra == ['\"]([^'\"]+)['\"]", line)
        if match and match[2] not in INTERNAL_EXTRAS:
            extras.setdefault(match[2], []).append(match[1])
    return extras


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def variables() -> Iterator[Finding]:
    """Those that are set; never the value of a secret one."""
    section = "environment"
    given = {name: value for name, value in os.environ.items() if name.startswith("ML_DASH_")}
    for name, value in sorted(given.items()):
        if name in SECRET:
            yield well(section, name, "is set; not shown")
        elif name in VARIABLES:
            yield well(section, name, _PASSWORD.sub("//…@", value))
        elif OF_THE_OTHER_PACKAGE.fullmatch(name):
            yield note(
                section, name, "has no meaning here", "Nothing to do: what it tunes in another package is not needed"
            )
        else:
            nearest = get_close_matches(name, VARIABLES, 1)
            yield note(section, name, "is not known", f"Is {nearest[0]} meant?" if nearest else "Remove it")
    for check in _CHECKS:
        try:
            check()
        except ConfigurationError as error:
            yield wrong(section, "value", str(error), "Correct it, or remove it")
    try:
        if environment_variables.is_disabled():
            yield note(section, "recording", "is off: nothing is recorded", "Remove ML_DASH_MODE to record")
    except ConfigurationError as error:
        yield wrong(section, "value", str(error), "Correct it, or remove it")
    if not given:
        yield well(section, "variables", "no ML_DASH_… is set")


def keychain(url: str | None) -> Iterator[Finding]:
    """Whether the keychain can be used, and whether a token for the server is kept, and where."""
    section = "credentials"
    try:
        # Where no server is meant, asking for the default one's shows whether the keychain answers.
        kept = credentials.describe(url or DEFAULT_API_URL)
    except (MlDashError, OSError) as error:
        yield wrong(section, "token", str(error), "ml-dash login")
        return
    problem = credentials.keychain_problem()
    if problem is not None:
        advice = f"Tokens are kept in files of mode 0600 in {credentials.configuration_folder()}"
        yield note(section, "keychain", problem, advice)
    elif kept is None or kept.place != "environment":
        # What the environment gives is taken without asking the keychain.
        yield well(section, "keychain", "answers")
    if kept is None and url is not None:
        yield note(
            section, "token", f"none for {_shown(url)}", f"Where it needs one: ml-dash login --dash-url {_shown(url)}"
        )
    elif kept is not None:
        whose = f", of {kept.owner}" if kept.owner else ""
        yield well(section, "token", f"for {kept.server} in {kept.place} {kept.name}{whose}")


def server(url: str) -> Iterator[Finding]:
    """Whether it answers, and whom it takes us for."""
    section = "server"
    asked = None
    try:
        asked = Server.at(url)
        health = asked.health()
        yield well(section, _shown(url), f"answers: version {health.get('version')}")
        user = asked.user()
    except AuthenticationError as error:
        yield wrong(section, "login", str(error), f"ml-dash login --dash-url {_shown(url)}")
    except (MlDashError, OSError) as error:
        advice = "Events are kept here meanwhile and shipped later; nothing is lost"
        yield wrong(section, _shown(url), str(error), advice)
    else:
        who = user.owner or "anybody: it is open"
        text = f"takes you for {who}" + (", and lets nobody write" if user.is_read_only else "")
        yield well(section, "login", text)
    finally:
        if asked is not None:
            asked.close()


def _shown(url: str) -> str:
    return _PASSWORD.sub("//…@", url)
