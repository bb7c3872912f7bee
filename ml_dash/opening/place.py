"""Where an experiment is kept, from `dash_root` and `dash_url`: the folder on this machine, the server, the mode."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..errors import ConfigurationError, StorageError
from . import environment_variables

_SERVER = re.compile(r"https?://[^/\s]")


class Default(str):
    """A default that can be told from the same text given by hand, which the environment does not override."""


DEFAULT_ROOT = Default(".dash")


class OperationMode(str, Enum):
    """Where an experiment goes: to a folder, to a server, or to both."""

    LOCAL = "local"
    REMOTE = "remote"
    HYBRID = "hybrid"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Place:
    """`root` is absolute.  In REMOTE mode it is the folder where events wait, of each server in a folder of its own."""

    root: Path
    url: str | bool | None
    mode: OperationMode

    def root_for(self, api_url: str) -> Path:
        """The dash root of an experiment; `api_url` is what `dash_url=True` stands for at this moment."""
        if self.mode is not OperationMode.REMOTE:
            return self.root
        from ..remote.state_folder import folder_of_server

        return folder_of_server(self.root, self.server(api_url))

    def server(self, api_url: str) -> str:
        """The address; `api_url` is what `dash_url=True` stands for at this moment."""
        return _checked_url(api_url if self.url is True else self.url)

    def check(self) -> None:
        """Raises StorageError where the root is there and no folder; a missing one is made at the start."""
        # Not by Path: its methods raise where the system refuses the name itself, as one that is too long.
        if os.path.exists(self.root) and not os.path.isdir(self.root):
            raise StorageError(
                f"dash_root {str(self.root)!r} is a file, and experiments are stored in a folder. Give another "
                "dash_root, or move that file away"
            )


def find_place(dash_root: object, dash_url: object) -> Place:
    """Raises ConfigurationError where there is no usable root or url, or neither."""
    url = _url(dash_url)
    if dash_root is None:
        if url is None:
            raise ConfigurationError(
                "dash_root=None without dash_url leaves no place to record to. Give dash_root a folder, for example "
                "'.dash', or dash_url a server"
            )
        return Place(_state_root(), url, OperationMode.REMOTE)
    if dash_root is DEFAULT_ROOT:
        dash_root = environment_variables.text("ML_DASH_ROOT") or DEFAULT_ROOT
    root = _root(dash_root)
    return Place(root, url, OperationMode.LOCAL if url is None else OperationMode.HYBRID)


def _root(dash_root: object) -> Path:
    path = os.fspath(dash_root) if isinstance(dash_root, os.PathLike) else dash_root
    if not isinstance(path, str):
        raise ConfigurationError(
            f"dash_root={dash_root!r:.200} is a {type(dash_root).__name__}: expected a path, for example '.dash'"
        )
    if not path.strip() or "\0" in path:
        raise ConfigurationError(f"dash_root={path!r:.200} is no path: expected a folder, for example '.dash'")
    try:
        # Absolute from here on: a later chdir must not split an experiment in two.
        return Path(os.path.abspath(os.path.expanduser(path)))
    except OSError as error:
        raise ConfigurationError(
            f"dash_root={path!r:.200} is relative, and the working folder cannot be had: {error}. Give an absolute path"
        ) from error


def _state_root() -> Path:
    from platformdirs import user_state_dir

    return Path(user_state_dir("ml_dash", appauthor=False)) / "journals"


def _url(dash_url: object) -> str | bool | None:
    """`True` stays as it is: it means RUN.api_url, which may be set until the start."""
    if dash_url is None or dash_url is False:
        return None
    return True if dash_url is True else _checked_url(dash_url)


def _checked_url(url: object) -> str:
    if not isinstance(url, str) or not _SERVER.match(url):
        raise ConfigurationError(
            f"dash_url={url!r:.200} is no address of a server: expected https://… or http://…, or True for RUN.api_url"
        )
    return url
