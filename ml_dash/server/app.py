"""The server as an ASGI application: `create_app(store)`.

It keeps nothing: all is in the store, so any number of processes may stand in front of one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..clock import monotonic_s
from ..recording.extras import optional
from . import account_routes, blob_routes, journal_routes, reading_routes
from .authentication import Access
from .blobs import Blobs
from .bodies import Bodies
from .copies import DamagedCopy
from .dash_root import DashRoot
from .figures import Figures
from .guarding import Guard
from .journals import Journals
from .problems import Problem, answer_failure, answer_http_exception, answer_problem
from .reading import Reading
from .service import Service
from .settings import Settings
from .store import Missing, Store, StoreError

_LOG = logging.getLogger("ml_dash.server")
ROUTES = [*journal_routes.ROUTES, *reading_routes.ROUTES, *blob_routes.ROUTES, *account_routes.ROUTES]
RETRY_AFTER_S = 5


def create_app(store: Store | DashRoot, settings: Settings | None = None) -> Starlette:
    """The application in front of a store, or of a folder of local journals, which it only reads."""
    settings = settings or Settings()
    kept = store if isinstance(store, Store) else None
    access = Access(kept, settings)
    figures = Figures()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Locks and semaphores belong to the loop that runs now.
        journals = Journals(store) if isinstance(store, Store) else None
        library = store if isinstance(store, DashRoot) else journals
        assert library is not None
        reading = Reading(library, settings.cache or _cache_of(store), settings.readers)
        app.state.service = Service(
            settings,
            library,
            kept,
            journals,
            Blobs(kept) if kept is not None else None,
            Bodies(settings),
            figures,
            reading,
            asyncio.Event(),
        )
        try:
            yield
        finally:
            app.state.service.stopping.set()
            reading.close()
            if journals is not None:
                journals.compaction.close()

    app = Starlette(
        routes=ROUTES,
        lifespan=lifespan,
        middleware=[Middleware(Guard, access=access), Middleware(Counted, figures=figures)],
        exception_handlers={
            Problem: answer_problem,
            HTTPException: answer_http_exception,
            StoreError: _answer_store_error,
            Missing: _answer_missing,
            DamagedCopy: _answer_damaged,
            Exception: answer_failure,
        },
    )
    # An address with a slash too many is none; a redirect would repeat whatever the request calls this server.
    app.router.redirect_slashes = False
    app.state.access = access
    return app


class Counted:
    """Counts every answer by its route, never by its address: addresses have no bound."""

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self._app = app
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = monotonic_s()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._figures.seconds.observe(monotonic_s() - began_s)
                route = getattr(scope.get("route"), "path", "none")
                self._figures.requests.labels(route, _method(scope["method"]), str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counting)


def _method(name: str) -> str:
    return name if name in ("GET", "HEAD", "POST", "PUT") else "other"


def _cache_of(store: Store | DashRoot) -> Path:
    """Where journals of a store are brought to be read: the same folder whenever it is served on this machine."""
    if isinstance(store, DashRoot):
        return store.root
    folders = optional("platformdirs", "ml_dash", "The server's cache")
    cache = Path(folders.user_cache_dir("ml_dash", appauthor=False)) / "servers" / store.id
    # Private, as the store is.
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    return cache


Handler = Callable[[Request, Exception], Awaitable[Response]]


async def _answer_store_error(request: Request, error: Exception) -> Response:
    _LOG.warning("the store refuses %r: %s", request.url.path, error)
    detail = "The store behind the server does not do as it is told; the server's log says why"
    return Problem(503, "unavailable", detail, {"Retry-After": str(RETRY_AFTER_S)}).response()


async def _answer_missing(request: Request, error: Exception) -> Response:
    return Problem(503, "unavailable", "What was looked for is being moved", {"Retry-After": "1"}).response()


async def _answer_damaged(request: Request, error: Exception) -> Response:
    return Problem(500, "damaged", str(error)).response()
