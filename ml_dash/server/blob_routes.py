"""Addresses of the content of saved files."""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..remote.protocol import BLOBS, BYTES, PART_BYTES
from .authentication import identify
from .blobs import Blobs, Incomplete, WrongHash
from .dash_root import DashRoot
from .journal_routes import answer_json
from .problems import Problem
from .ranges import answer_bytes
from .requests import blob_of, check_query, checked_number, not_allowed, number_in_query
from .service import service_of


async def blob(request: Request) -> Response:
    if request.method == "PUT":
        return await put_blob(request)
    check_query(request, [])
    owner, checksum = await _readable(request)
    service = service_of(request)
    blobs, library = service.blobs, service.library
    if blobs is not None:
        found = await blobs.status(owner, checksum)
        if found is not None:
            read = partial(blobs.read, owner, checksum)
            return answer_bytes(request, found.size, f'"{checksum}"', BYTES, read)
    elif isinstance(library, DashRoot):
        path = await asyncio.to_thread(library.content_path, owner, checksum)
        if path is not None:
            size = path.stat().st_size
            return answer_bytes(request, size, f'"{checksum}"', BYTES, partial(library.read_content, path))
    raise Problem(404, "unknown-blob", f"There is no content with the hash {checksum}")


async def put_blob(request: Request) -> Response:
    check_query(request, [])
    blobs, owner, checksum = await _writable(request)
    service = service_of(request)
    async with service.bodies.whole(request, owner, BYTES, PART_BYTES) as data:
        try:
            await blobs.put(owner, checksum, data)
        except WrongHash as error:
            raise _wrong_hash(error) from None
        size = len(data)
    service.figures.blob_bytes.inc(size)
    return answer_json({"sha256": checksum, "bytes": size})


async def parts(request: Request) -> Response:
    check_query(request, [])
    owner, checksum = await _readable(request)
    blobs = service_of(request).blobs
    found = await blobs.parts(owner, checksum) if blobs is not None else []
    return answer_json({"parts": found, "part_bytes": PART_BYTES})


async def put_part(request: Request) -> Response:
    check_query(request, [])
    blobs, owner, checksum = await _writable(request)
    service = service_of(request)
    offset = checked_number(str(request.path_params["offset"]), "offset", 0, service.settings.blob_bytes_max)
    if offset % PART_BYTES:
        raise Problem(400, "invalid-request", f"A part begins at a multiple of {PART_BYTES}")
    async with service.bodies.whole(request, owner, BYTES, PART_BYTES) as data:
        if not data:
            raise Problem(422, "incomplete-blob", "A part has at least one byte")
        await blobs.put_part(owner, checksum, offset, data)
        size = len(data)
    service.figures.blob_bytes.inc(size)
    return answer_json({"offset": offset, "bytes": size})


async def complete(request: Request) -> Response:
    check_query(request, ["bytes"])
    blobs, owner, checksum = await _writable(request)
    size = number_in_query(request, "bytes", 0, service_of(request).settings.blob_bytes_max)
    try:
        await blobs.complete(owner, checksum, size)
    except WrongHash as error:
        raise _wrong_hash(error) from None
    except Incomplete as error:
        detail = "Parts of the content are missing"
        raise Problem(409, "incomplete-blob", detail, parts=error.parts, part_bytes=PART_BYTES) from None
    return answer_json({"sha256": checksum, "bytes": size})


async def _readable(request: Request) -> tuple[str, str]:
    identity = await identify(request)
    owner, checksum = blob_of(request)
    if not identity.may_read(f"{owner}/files"):
        raise not_allowed("read", owner)
    return owner, checksum


async def _writable(request: Request) -> tuple[Blobs, str, str]:
    identity = await identify(request)
    owner, checksum = blob_of(request)
    if not identity.may_write(f"{owner}/files"):
        raise not_allowed("write", owner, identity)
    _, blobs = service_of(request).writable()
    return blobs, owner, checksum


def _wrong_hash(error: WrongHash) -> Problem:
    return Problem(422, "wrong-hash", f"The content has the hash {error.found}", found=error.found)


_BLOB = f"{BLOBS}/{{owner}}/{{sha256}}"
ROUTES = [
    Route(_BLOB, blob, methods=["GET", "PUT"]),
    Route(f"{_BLOB}/parts", parts, methods=["GET"]),
    Route(f"{_BLOB}/parts/{{offset}}", put_part, methods=["PUT"]),
    Route(f"{_BLOB}/complete", complete, methods=["POST"]),
]
