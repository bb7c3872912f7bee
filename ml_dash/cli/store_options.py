"""`--store`: where a server keeps everything."""

from __future__ import annotations

from typing import Any

import click


def default_store() -> str:
    """The directory that is served where none is given."""
    from platformdirs import user_data_dir

    return f"{user_data_dir('ml_dash', appauthor=False)}/server"


def store_option(command: Any) -> Any:
    """Adds `--store`; the command gets `store`."""
    return click.option(
        "--store",
        metavar="STORE",
        default=default_store,
        help="A directory, s3://…, gs://… or az://…  [a directory of yours]",
    )(command)
