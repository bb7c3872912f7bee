"""Addresses that answer what experiments are: summaries, state, columns; and how the server is."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import ConfigurationError, MlDashError
from ..reading.listing import Pattern
from ..remote.protocol import (
    COLUMNS,
    EXPERIMENTS,
    HEALTH,
    METRICS,
    NUMBER,
    PAGE_ITEMS,
    PAGE_ITEMS_MAX,
    PROMETHEUS,
    STATE,
    WELCOME_PAGE,
)
from ..state import Status
from . import pages
from .authentication import access_of, identify, is_loopback
from .journal_routes import answer_json, known_heads
from .problems import Problem
from .reading import OutOfRange, UnknownJournal, UnknownMetric
from .requests import check_query, journal_in_query, number_in_query, readable_prefix
from .service import service_of

SUMMARIES_AT_ONCE = 8
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


async def health(request: Request) -> Response:
    check_query(request, [])
    service = service_of(request)
    return answer_json({"status": "ok", "version": version("ml_dash"), "read_only": service.journals is None})


async def welcome(request: Request) -> Response:
    check_query(request, [])
    url = access_of(request).public_url or str(request.base_url)
    shows_only = service_of(request).journals is None
    return pages.welcome(url.rstrip("/"), version("ml_dash"), shows_only=shows_only)


async def metrics(request: Request) -> Response:
    """For whoever has a token, and for this machine itself."""
    check_query(request, [])
    host = request.client.host if request.client is not None else ""
    if not is_loopback(host) or any(name in request.headers for name in _FORWARDED):
        await identify(request)
    return Response(service_of(request).figures.text(), headers={"Content-Type": PROMETHEUS})


async def experiments(request: Request) -> Response:
    """Newest first, those that the request may read."""
    check_query(request, ["pattern", "status", "tag", "limit", "cursor"], repeated=["tag"])
    identity = await identify(request)
    query = request.query_params
    try:
        pattern = Pattern.parse(query.get("pattern", "**"))
    except ConfigurationError as error:
        raise Problem(400, "invalid-request", str(error)) from None
    status = query.get("status")
    if status is not None and status not in Status.__members__:
        raise Problem(400, "invalid-request", f"status: expected one of {', '.join(Status)}")
    limit = number_in_query(request, "limit", 1, PAGE_ITEMS_MAX, PAGE_ITEMS)
    behind = _decoded(query.get("cursor"))
    wanted_tags = set(query.getlist("tag"))
    service = service_of(request)
    owner = "" if identity.is_open else identity.owner or ""
    prefixes = [
        each
        for each in await service.library.prefixes(owner)
        if identity.may_read(each) and pattern.matches(tuple(each.split("/")))
    ]
    slots = asyncio.Semaphore(SUMMARIES_AT_ONCE)

    async def summary(prefix: str) -> dict[str, Any]:
        async with slots:
            return await service.reading.summary(prefix)

    found = await asyncio.gather(*map(summary, prefixes))
    chosen = [
        each for each in found if (status is None or each["status"] == status) and wanted_tags <= set(each["tags"])
    ]
    chosen.sort(key=_order)
    page = [each for each in chosen if behind is None or _order(each) > behind][: limit + 1]
    more = _encoded(_order(page[limit - 1])) if len(page) > limit else None
    return answer_json({"experiments": page[:limit], "next": more})


async def state(request: Request) -> Response:
    check_query(request, ["prefix", "journal", "without", "at"])
    prefix = await readable_prefix(request)
    service = service_of(request)
    at = _moment(request.query_params.get("at"))
    await known_heads(service, prefix)
    async with _reading_problems():
        journal, without = journal_in_query(request), journal_in_query(request, "without")
        if journal is not None and without is not None:
            raise Problem(400, "invalid-request", "journal and without: give one of the two")
        return answer_json(await service.reading.state(prefix, journal, at, without))


async def columns(request: Request) -> Response:
    """Without `metric`, the unnamed one."""
    check_query(request, ["prefix", "journal", "metric", "attempts"])
    prefix = await readable_prefix(request)
    service = service_of(request)
    attempts = request.query_params.get("attempts", "latest")
    if attempts not in ("latest", "all"):
        raise Problem(400, "invalid-request", "attempts: expected latest or all")
    await known_heads(service, prefix)
    metric = request.query_params.get("metric")
    async with _reading_problems():
        return answer_json(await service.reading.columns(prefix, journal_in_query(request), metric, attempts))


@asynccontextmanager
async def _reading_problems() -> AsyncIterator[None]:
    try:
        yield
    except UnknownJournal:
        raise Problem(404, "unknown-journal", "The experiment has no such journal") from None
    except UnknownMetric as error:
        raise Problem(404, "unknown-metric", "The experiment has no such metric", metrics=error.names) from None
    except OutOfRange as error:
        detail = f"The experiment has events 1 to {error.seq}"
        raise Problem(404, "out-of-range", detail, seq=error.seq) from None
    except MlDashError as error:
        raise Problem(422, "damaged", str(error)) from None


def _moment(text: str | None) -> int | datetime | None:
    """The number of an event, or a time with its zone in ISO 8601.  Raises Problem 400."""
    if text is None:
        return None
    if NUMBER.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Problem(
            400, "invalid-request", "at: expected the number of an event, or a time such as 2026-01-31T12:00Z"
        )
    return moment


# --- pages --------------------------------------------------------------------------------------------------

Order = tuple[str, str]
_LAST = "￿"


def _order(summary: dict[str, Any]) -> Order:
    """Sorts newest first, and by prefix among equals."""
    moment = summary["started"] or summary["created"] or ""
    return "".join(chr(0x7F - ord(character)) for character in moment) or _LAST, summary["prefix"]


def _encoded(order: Order) -> str:
    return urlsafe_b64encode("\n".join(order).encode()).decode("ascii").rstrip("=")


def _decoded(cursor: str | None) -> Order | None:
    """Raises Problem 400."""
    if cursor is None:
        return None
    try:
        moment, prefix = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split("\n")
    except ValueError:
        raise Problem(400, "invalid-request", "cursor: expected the `next` of an earlier answer") from None
    return moment, prefix


ROUTES = [
    Route(WELCOME_PAGE, welcome, methods=["GET"]),
    Route(HEALTH, health, methods=["GET"]),
    Route(METRICS, metrics, methods=["GET"]),
    Route(EXPERIMENTS, experiments, methods=["GET"]),
    Route(STATE, state, methods=["GET"]),
    Route(COLUMNS, columns, methods=["GET"]),
]
