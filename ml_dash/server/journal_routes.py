"""Addresses of journals: where they end, adding to them, their bytes, their commits, and following them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from difflib import get_close_matches
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ..remote.protocol import (
    COMMITS,
    COMMITS_MAX,
    EVENT_STREAM,
    EVENTS,
    JOURNALS,
    JSON,
    NDJSON,
    OFFSET_MAX,
    SEGMENT_MAX,
    SEQ_MAX,
    Head,
)
from ..state.redactions import declaration
from .append import Batch, InvalidChain
from .authentication import identify
from .bodies import json_body
from .following import Follower
from .journals import Diverged, Stale
from .lines import lines_behind
from .problems import Problem
from .ranges import answer_bytes
from .redacting import InvalidRedaction
from .requests import (
    check_query,
    checked_number,
    hash_before,
    journal_in_query,
    journal_of,
    number_in_query,
    owner_of,
    readable_prefix,
    writable_prefix,
)
from .service import Service, service_of

NEAREST_MAX = 3
REDACTIONS_MAX = 10_000


async def journals(request: Request) -> Response:
    check_query(request, ["prefix"])
    prefix = await readable_prefix(request)
    service = service_of(request)
    heads = await known_heads(service, prefix)
    return answer_json({"prefix": prefix, "journals": [head.as_dict() for head in heads]})


async def head(request: Request) -> Response:
    check_query(request, ["prefix"])
    prefix = await readable_prefix(request)
    found = await known_head(service_of(request), prefix, journal_of(request))
    return answer_json(found.as_dict(), headers={"ETag": found.etag})


async def append(request: Request) -> Response:
    """The one way in for commits."""
    check_query(request, ["prefix", "segment", "offset"])
    prefix = await writable_prefix(request)
    service = service_of(request)
    stored_in, _ = service.writable()
    journal = journal_of(request)
    segment = number_in_query(request, "segment", 1, SEGMENT_MAX)
    offset = number_in_query(request, "offset", 0, OFFSET_MAX)
    before = hash_before(request)
    async with service.bodies.whole(request, owner_of(prefix), NDJSON) as data:
        try:
            stored = await stored_in.append(prefix, journal, Batch(segment, offset, data, before))
        except Stale as error:
            service.figures.batches.labels("stale").inc()
            detail = "The journal ends elsewhere: ask where, and go on from there"
            raise Problem(409, "stale", detail, head=as_member(error.head)) from None
        except Diverged as error:
            service.figures.batches.labels("diverged").inc()
            detail = "The journal goes on differently here: these are two continuations of one journal"
            raise Problem(409, "diverged", detail, head=as_member(error.head)) from None
        except InvalidChain as error:
            service.figures.batches.labels("invalid").inc()
            raise Problem(422, "invalid-chain", str(error), segment=segment, offset=error.offset) from None
        if stored.has_redacted:
            await service.reading.take_out(prefix)
        if stored.lines:
            service.figures.lines.inc(stored.lines)
            service.figures.events.inc(stored.events)
            service.figures.bytes.inc(len(data))
    service.figures.batches.labels("stored" if stored.lines else "acknowledged").inc()
    return answer_json({**stored.head.as_dict(), "stored": stored.lines}, headers={"ETag": stored.head.etag})


async def segment(request: Request) -> Response:
    check_query(request, ["prefix"])
    prefix = await readable_prefix(request)
    library = service_of(request).library
    found = await known_head(service_of(request), prefix, journal_of(request))
    number = _segment_number(str(request.path_params["segment"]))
    size = (await library.segments(prefix, found.journal)).get(number)
    if size is None:
        raise Problem(404, "unknown-segment", f"The journal has no segment {number}", head=found.as_dict())
    tag = f'"{found.journal}-{number}-{size}-{found.redactions}"'
    return answer_bytes(
        request, size, tag, NDJSON, lambda start, end: library.read(prefix, found.journal, number, start, end)
    )


async def commits(request: Request) -> Response:
    """The commits that hold events behind number `after`, one a line, as they are stored."""
    check_query(request, ["prefix", "journal", "after", "limit"])
    prefix = await readable_prefix(request)
    library = service_of(request).library
    after = number_in_query(request, "after", 0, SEQ_MAX, 0)
    limit = number_in_query(request, "limit", 1, COMMITS_MAX, COMMITS_MAX)
    found = await _the_journal(service_of(request), prefix, journal_in_query(request))
    place = await library.place_of(prefix, found.journal, after)

    async def lines() -> AsyncIterator[bytes]:
        count = 0
        async for line in lines_behind(library, prefix, found, place, after):
            yield line.data + b"\n"
            count += 1
            if count == limit:
                return

    return StreamingResponse(lines(), media_type=NDJSON, headers={"ETag": found.etag})


async def events(request: Request) -> Response:
    check_query(request, ["prefix", "journal", "after"])
    prefix = await readable_prefix(request)
    service = service_of(request)
    journal = journal_in_query(request)
    after = number_in_query(request, "after", 0, SEQ_MAX, 0)
    follower = Follower(service.library, prefix, journal, service.settings.poll_s, service.stopping)
    last_event_id = request.headers.get("last-event-id")
    heads = await known_heads(service, prefix)
    if journal is not None and all(each.journal != journal for each in heads):
        raise Problem(404, "unknown-journal", "The experiment has no such journal")
    if last_event_id and not follower.resume(last_event_id):
        raise Problem(400, "invalid-request", "Last-Event-ID is not the id of an event of this stream")
    if after and not last_event_id:
        await follower.start_after(await _the_journal(service, prefix, journal), after)
    if service.following >= service.settings.followers_max:
        raise Problem(503, "unavailable", "Too many event streams are open here", {"Retry-After": "10"})

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        # The body that it would have does not end.
        return Response(headers=headers, media_type=EVENT_STREAM)

    async def counted() -> AsyncIterator[bytes]:
        service.following += 1
        service.figures.followers.inc()
        try:
            async for event in follower.events():
                if not await _may_still_read(request, prefix):
                    return
                yield event
        finally:
            service.following -= 1
            service.figures.followers.dec()

    return StreamingResponse(counted(), media_type=EVENT_STREAM, headers=headers)


async def _may_still_read(request: Request, prefix: str) -> bool:
    """A stream outlives many requests: it ends with the token that it was opened with."""
    try:
        return (await identify(request)).may_read(prefix)
    except Problem:
        return False


async def redactions(request: Request) -> Response:
    """One route, so that a refusal names all methods."""
    return await (redact if request.method == "POST" else declared)(request)


async def declared(request: Request) -> Response:
    """Asked for after bytes of the journal, it has the declarations of all lines that were replaced in them."""
    check_query(request, ["prefix"])
    prefix = await readable_prefix(request)
    service = service_of(request)
    found = await known_head(service, prefix, journal_of(request))
    known = await service.library.redactions(prefix, found.journal)
    return answer_json({"journal": found.journal, "redactions": [declaration(each) for each in known]})


async def redact(request: Request) -> Response:
    check_query(request, ["prefix"])
    prefix = await writable_prefix(request)
    service = service_of(request)
    stored_in, _ = service.writable()
    journal = journal_of(request)
    body = await json_body(service.bodies, request, owner_of(prefix))
    given = body.get("redactions") if isinstance(body, dict) else None
    if not isinstance(given, list) or len(given) > REDACTIONS_MAX:
        detail = f'Expected {{"redactions": […]}} with at most {REDACTIONS_MAX} payloads of `event.redacted`'
        raise Problem(422, "invalid-redaction", detail)
    try:
        found = await stored_in.redact(prefix, journal, given)
    except InvalidRedaction as error:
        raise Problem(422, "invalid-redaction", str(error)) from None
    await service.reading.take_out(prefix)
    return answer_json({"journal": journal, "declared": len(given), "head": as_member(found)})


# --- what they share ----------------------------------------------------------------------------------------


def answer_json(members: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(members), status, {"Cache-Control": "no-store", **(headers or {})}, JSON)


def as_member(head: Head | None) -> dict[str, Any] | None:
    return None if head is None else head.as_dict()


async def known_heads(service: Service, prefix: str) -> list[Head]:
    """Raises Problem 404, which gives the nearest names below the same owner."""
    heads = await service.library.heads(prefix)
    if not heads:
        known = await service.library.prefixes(owner_of(prefix))
        nearest = get_close_matches(prefix, known, NEAREST_MAX)
        raise Problem(404, "unknown-experiment", f"There is no experiment {prefix!r:.400}", nearest=nearest)
    return heads


async def known_head(service: Service, prefix: str, journal: str) -> Head:
    found = await service.library.head(prefix, journal)
    if found is None:
        raise Problem(404, "unknown-journal", f"Nothing is stored of journal {journal} of {prefix!r:.400}")
    return found


async def _the_journal(service: Service, prefix: str, journal: str | None) -> Head:
    """Raises Problem 404, and 409 where there are several and none is named."""
    if journal is not None:
        return await known_head(service, prefix, journal)
    heads = await known_heads(service, prefix)
    if len(heads) > 1:
        names = [each.journal for each in heads]
        raise Problem(409, "several-journals", "Say with &journal= which one", journals=names)
    return heads[0]


def _segment_number(text: str) -> int:
    try:
        return checked_number(text, "segment", 1, SEGMENT_MAX)
    except Problem:
        raise Problem(404, "unknown-segment", f"Segments have numbers from 1 to {SEGMENT_MAX}") from None


ROUTES = [
    Route(JOURNALS, journals, methods=["GET"]),
    Route(f"{JOURNALS}/{{journal}}", head, methods=["GET"]),
    Route(f"{JOURNALS}/{{journal}}/commits", append, methods=["POST"]),
    Route(f"{JOURNALS}/{{journal}}/segments/{{segment}}", segment, methods=["GET"]),
    Route(f"{JOURNALS}/{{journal}}/redactions", redactions, methods=["GET", "POST"]),
    Route(COMMITS, commits, methods=["GET"]),
    Route(EVENTS, events, methods=["GET"]),
]
