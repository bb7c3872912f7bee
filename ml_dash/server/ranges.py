"""Ranges of bytes (RFC 9110, 14): one range, of what does not change under its tag."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from .problems import Problem

_RANGE = re.compile(r"bytes=([0-9]{1,15})?-([0-9]{1,15})?")


def requested_range(request: Request, size: int, tag: str) -> tuple[int, int] | None:
    """Start and end; None where all is asked for: also by a header that is to be ignored.  Raises Problem 416."""
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or match.groups() == (None, None) or request.headers.get("if-range", tag) != tag:
        return None
    first, last = match.groups()
    if first is None:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), size if last is None else min(size, int(last) + 1)
    if first is not None and last is not None and int(last) < int(first):
        return None
    if start >= end:
        detail = f"There are {size} bytes"
        raise Problem(416, "range-not-satisfiable", detail, {"Content-Range": f"bytes */{size}"}, bytes=size)
    return start, end


def answer_bytes(
    request: Request, size: int, tag: str, media_type: str, read: Callable[[int, int], AsyncIterator[bytes]]
) -> Response:
    """All of it, or the range that is asked for.  Raises Problem 416."""
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Type": media_type, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    found = requested_range(request, size, tag)
    start, end = found if found is not None else (0, size)
    headers["Content-Length"] = str(end - start)
    if found is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 200 if found is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(read(start, end), status, headers)
