"""A server process: listens until it is told to stop, and then lets what it is doing come to an end."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from types import FrameType

from ..errors import ConfigurationError
from ..recording.extras import optional
from .app import create_app
from .dash_root import DashRoot
from .settings import Settings
from .store import Store, is_dash_root

GRACE_S = 10
CONNECTIONS_MAX = 4000
KEEP_ALIVE_S = 75
HEADERS_BYTES_MAX = 64 * 1024


def open_store(target: str | Path) -> Store | DashRoot:
    """A store, or a folder of local journals where `target` is one.  Raises ConfigurationError."""
    if "://" not in str(target):
        folder = Path(target).expanduser().absolute()
        if is_dash_root(folder):
            return DashRoot(folder)
    return Store.open(target)


def serve(
    store: Store | DashRoot,
    host: str = "127.0.0.1",
    port: int = 3000,
    settings: Settings | None = None,
    *,
    said: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    certificate: Path | None = None,
    key: Path | None = None,
    access_log: bool = False,
) -> None:
    """Serves until SIGINT or SIGTERM; `port` 0 takes a free one.  `said` is told once where it listens.

    Raises ConfigurationError where the address cannot be listened on, or the certificate cannot be used.
    """
    uvicorn = optional("uvicorn", "ml_dash[server]", "A server")
    from .connections import PunctualProtocol

    settings = replace(settings or Settings(), host=host)
    listening = _listen(host, port)
    app = create_app(store, settings)
    # Problems of our own go to the log; addresses of requests do not, unless asked for.
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    config = uvicorn.Config(
        app,
        http=PunctualProtocol,
        ws="none",
        log_config=None,
        access_log=access_log,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=HEADERS_BYTES_MAX,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        lifespan="on",
    )

    class Stopping(uvicorn.Server):  # type: ignore[misc, name-defined]
        """Event streams have no end of their own: they are ended first.  Being told to stop is no failure."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            signals = (SIGINT, SIGTERM)
            before = [signal(each, self.handle_exit) for each in signals]
            try:
                yield
            finally:
                for each, handler in zip(signals, before, strict=True):
                    signal(each, handler)

        def handle_exit(self, number: int, frame: FrameType | None) -> None:
            super().handle_exit(number, frame)
            service = getattr(app.state, "service", None)
            if service is not None:
                service.reading.loop.call_soon_threadsafe(service.stopping.set)

    scheme = "https" if certificate is not None else "http"
    shown = f"[{host}]" if ":" in host else host
    said(f"ml-dash serves {_name(store)} at {scheme}://{shown}:{listening.getsockname()[1]}")
    try:
        Stopping(config).run(sockets=[listening])
    finally:
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        raise ConfigurationError(
            f"{host}:{port} cannot be listened on: {error}. Choose another port, or stop who listens there"
        ) from error
    return listening


def _name(store: Store | DashRoot) -> str:
    return f"{store.root} (local journals, read-only)" if isinstance(store, DashRoot) else store.name
