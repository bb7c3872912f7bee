"""What a server refuses, as errors of ours (rule 5 of `transport.py`).

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..errors import AuthenticationError, NetworkError, RefusedError
from ..visible import visible_line
from .backoff import retry_after_s

NO_SERVER_OF_OURS = ". Is that the address of an ml-dash server?"
_STATUSES_OF_OTHERS = (404, 405, 501)
"""Ours comes with the name of a problem."""
_PROBLEM_TYPES = ("application/problem+json", "application/json")
_PROBLEM_MEMBERS = ("type", "title", "status", "detail", "instance")
_TEXT_MAX = 400
_NAME_MAX = 80


def refusal(
    url: str, status: int, reason: str, headers: Mapping[str, str], body: bytes, *, has_token: bool, now_us: int
) -> NetworkError | AuthenticationError:
    """The error that stands for an answer of the server at `url`; `reason` is the phrase behind its status."""
    members = _problem_of(headers, body)
    detail = str(members.pop("detail", "") or members.pop("title", "") or reason or status)[:_TEXT_MAX]
    detail = visible_line(detail)
    name = visible_line(str(members.pop("type", "")).rsplit("/", 1)[-1][:_NAME_MAX])
    if status in (401, 403):
        return AuthenticationError(_not_accepted(url, status, detail, has_token))
    for each in _PROBLEM_MEMBERS:
        members.pop(each, None)
    if not name and status in _STATUSES_OF_OTHERS:
        detail += NO_SERVER_OF_OURS
    wait_s = retry_after_s(headers.get("retry-after"), now_us)
    return RefusedError(f"{url} answers {status}: {detail}", status, name, members, wait_s)


def _not_accepted(url: str, status: int, detail: str, has_token: bool) -> str:
    if not has_token:
        what = f"{url} needs a token, and there is none for it on this machine"
    elif status == 401:
        what = f"{url} does not accept the token: {detail}"
    else:
        return (
            f"{url} refuses this to the owner of the token: {detail}. `ml-dash whoami --dash-url {url}` "
            "says who that is; a prefix begins with the owner's name"
        )
    return f"{what}. Run `ml-dash login --dash-url {url}`, or set the environment variable ML_DASH_TOKEN"


def _problem_of(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The members of a problem; of any other answer none: a proxy's page of HTML says nothing."""
    if not headers.get("content-type", "").startswith(_PROBLEM_TYPES):
        return {}
    try:
        members = orjson.loads(body)
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}
