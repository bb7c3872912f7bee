"""What a request is answered when something is wrong: problem details by RFC 9457.

No problem repeats a token, a password or a body.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..remote.protocol import PROBLEM, PROBLEM_TYPE, PROBLEMS

_LOG = logging.getLogger("ml_dash.server")
_BY_STATUS = {400: "invalid-request", 404: "not-found", 405: "method-not-allowed"}


class Problem(Exception):
    """Ends a request with this status.  `name` is one of `protocol.PROBLEMS`; `members` say more to a program."""

    def __init__(
        self, status: int, name: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        assert name in PROBLEMS, name
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def response(self) -> Response:
        body = {
            "type": f"{PROBLEM_TYPE}{self.name}",
            "title": PROBLEMS[self.name],
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }
        return Response(
            orjson.dumps(body, default=str), self.status, {"Cache-Control": "no-store", **self.headers}, PROBLEM
        )


async def answer_problem(request: Request, error: Exception) -> Response:
    """The handler of `Problem`."""
    assert isinstance(error, Problem)
    return error.response()


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """The handler of what Starlette raises by itself: no such address, or another method."""
    assert isinstance(error, HTTPException)
    name = _BY_STATUS.get(error.status_code, "invalid-request")
    detail = f"{request.method} is not taken here" if name == "method-not-allowed" else PROBLEMS[name]
    return Problem(error.status_code, name, detail, error.headers).response()


async def answer_failure(request: Request, error: Exception) -> Response:
    """The handler of everything else, which is a defect of the server: it is logged, and nobody is told its text."""
    # Quoted: a path may have a line feed in it, and the line behind it would look like the server's own.
    _LOG.error("%s %r failed", request.method, request.url.path, exc_info=error)
    return Problem(500, "internal", "The server failed; its log says why").response()
