"""`--store`: where a server keeps everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import ConfigurationError


def default_store() -> str:
    """The directory that is served where none is given."""
    from platformdirs import user_data_dir

    return f"{user_data_dir('ml_dash', appauthor=False)}/server"


def checked_store(context: click.Context, parameter: click.Parameter, store: str) -> str:
    """Raises ConfigurationError for a folder of local journals that is not there: it would become a store, in which no
    experiment can be recorded."""
    path = Path(store)
    if "://" not in store and path.name == ".dash" and not path.exists():
        raise ConfigurationError(
            f"store {store!r:.200}: there is no such folder, and .dash is where experiments are recorded. "
            "Give the folder that they are in, or another name for a new store"
        )
    return store


def store_option(command: Any) -> Any:
    """Adds `--store`; the command gets `store`."""
    return click.option(
        "--store",
        metavar="STORE",
        default=default_store,
        callback=checked_store,
        help="A directory, s3://…, gs://… or az://…  [a directory of yours]",
    )(command)
