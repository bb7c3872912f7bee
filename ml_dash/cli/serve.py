"""`ml-dash serve`: a server in front of a store, or of a folder of local journals."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigurationError, StorageError
from .store_options import store_option

if TYPE_CHECKING:
    from ..server.dash_root import DashRoot
    from ..server.store import Store

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("serve")
@store_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Elsewhere than on loopback it needs accounts.")
@click.option("--port", type=click.IntRange(0, 65535), default=3000, show_default=True, help="0 takes a free one.")
@click.option("--public-url", metavar="URL", help="What people call it by, where a proxy stands in front.")
@click.option("--certificate", type=FILE, metavar="FILE", help="Speak HTTPS, with this chain of certificates (PEM).")
@click.option("--key", type=FILE, metavar="FILE", help="The certificate's private key (PEM).")
@click.option("--access-log", is_flag=True, help="Log every request on stderr.")
def command(
    store: str,
    host: str,
    port: int,
    public_url: str | None,
    certificate: Path | None,
    key: Path | None,
    access_log: bool,
) -> None:
    """Serve a store: a directory, or a bucket with as many servers in front of it as you like.

    A directory of local journals, such as .dash, is served read-only as it is. On loopback a store without accounts and
    tokens is open to everybody on this machine; `ml-dash server user add` and `ml-dash server token create` close it.

    Example: ml-dash serve --store s3://team/ml-dash --host 0.0.0.0 --certificate cert.pem --key key.pem
    """
    from ..recording.extras import optional

    for library in ("starlette", "uvicorn", "obstore", "argon2"):
        optional(library, "ml_dash[server]", "A server")
    from ..remote.address import checked_url
    from ..server.running import open_store, serve
    from ..server.settings import Settings

    if (certificate is None) != (key is None):
        raise ConfigurationError("--certificate and --key belong together: give both or neither")
    public_url = checked_url(public_url) if public_url is not None else None
    opened = open_store(store)
    standing = _standing(opened, host)

    def said(line: str) -> None:
        # At once: whoever starts it in a pipe waits for the port.
        click.echo(f"{line}\n{standing}")

    for warning in _warnings(host, certificate, public_url):
        click.echo(f"ml-dash: warning: {warning}", err=True)
    settings = Settings(host=host, public_url=public_url)
    serve(opened, host, port, settings, said=said, certificate=certificate, key=key, access_log=access_log)


def _standing(store: Store | DashRoot, host: str) -> str:
    """Who may do what, in words.  Raises ConfigurationError where it would be everybody from everywhere."""
    from ..server.authentication import has_accounts, is_loopback
    from ..server.store import Store, StoreError

    is_here = is_loopback(host)
    if not isinstance(store, Store):
        if is_here:
            return "open: everybody on this machine can read"
        raise ConfigurationError(
            f"--host {host}: a folder of local journals has no accounts, so everybody who reaches this machine could "
            "read it. Serve it on 127.0.0.1, or ship the journals to a store with accounts"
        )
    try:
        is_closed = asyncio.run(has_accounts(store))
    except StoreError as error:
        raise StorageError(f"store {store.name!r:.200} does not answer: {error}") from error
    if is_closed:
        return "closed: everybody needs a token, which `ml-dash login` gets"
    if is_here:
        return "open: everybody on this machine can read and write; `ml-dash server user add` closes it"
    raise ConfigurationError(
        f"--host {host}: the store has neither accounts nor tokens, so everybody who reaches this machine could write "
        f"to it. Add one with `ml-dash server user add OWNER --store {store.name}`, or serve on 127.0.0.1"
    )


def _warnings(host: str, certificate: Path | None, public_url: str | None) -> list[str]:
    from ..server.authentication import is_loopback

    if is_loopback(host) or certificate is not None or (public_url or "").startswith("https://"):
        return []
    return [
        "clients on other machines send tokens over HTTPS only. Give --certificate and --key, or put a proxy that "
        "speaks HTTPS in front and give its address as --public-url"
    ]
