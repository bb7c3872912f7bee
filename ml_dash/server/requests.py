"""What requests say, checked before anything is done with it.

No text of a user reaches a path, a header or a log as it came: prefixes go by `prefix.py`, ids and hashes by regular
expressions that allow nothing else, numbers have a bounded count of digits.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.requests import Request

from ..errors import PrefixError
from ..prefix import parse_prefix
from ..remote.protocol import JOURNAL_ID, NUMBER, OWNER, SHA256
from .authentication import Identity, identify
from .problems import Problem

_QUOTED_HASH = re.compile(r'"([0-9a-f]{64})"')


def check_query(request: Request, known: Collection[str], repeated: Collection[str] = ()) -> None:
    """Raises Problem 400 for a parameter that means nothing here, or is there twice: it would be ignored in silence."""
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            raise Problem(400, "invalid-request", f"The query has an unknown parameter; known are {', '.join(known)}")
        if name in seen and name not in repeated:
            raise Problem(400, "invalid-request", f"The query has the parameter {name} twice")
        seen.add(name)


async def readable_prefix(request: Request) -> str:
    """The prefix that the query names, if the request may read it.  Raises Problem 400, 401, 403."""
    identity = await identify(request)
    prefix = prefix_of(request)
    if not identity.may_read(prefix):
        raise not_allowed("read", prefix)
    return prefix


async def writable_prefix(request: Request) -> str:
    identity = await identify(request)
    prefix = prefix_of(request)
    if not identity.may_write(prefix):
        raise not_allowed("write", prefix, identity)
    return prefix


def prefix_of(request: Request) -> str:
    text = request.query_params.get("prefix")
    if text is None:
        raise Problem(400, "invalid-request", "The query has no prefix")
    try:
        return parse_prefix(text).text
    except PrefixError as error:
        raise Problem(400, "invalid-prefix", str(error)) from None


def owner_of(prefix: str) -> str:
    return prefix.split("/", 1)[0]


def not_allowed(what: str, prefix: str, identity: Identity | None = None) -> Problem:
    owner = owner_of(prefix)
    if identity is not None and not identity.can_write and identity.may_read(prefix):
        return Problem(403, "not-allowed", "The token may read only")
    return Problem(403, "not-allowed", f"The token may not {what} below {owner!r:.100}: it belongs to another owner")


def journal_of(request: Request) -> str:
    journal = str(request.path_params["journal"])
    if JOURNAL_ID.fullmatch(journal) is None:
        raise Problem(404, "unknown-journal", "The id of a journal has 1 to 64 characters of 0-9 and a-z")
    return journal


def journal_in_query(request: Request, name: str = "journal") -> str | None:
    journal = request.query_params.get(name)
    if journal is not None and JOURNAL_ID.fullmatch(journal) is None:
        raise Problem(400, "invalid-request", "The id of a journal has 1 to 64 characters of 0-9 and a-z")
    return journal


def number_in_query(request: Request, name: str, low: int, high: int, default: int | None = None) -> int:
    """A parameter that is a whole number.  Raises Problem 400."""
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    if text is None:
        raise Problem(400, "invalid-request", f"The query has no {name}")
    return checked_number(text, name, low, high)


def checked_number(text: str, name: str, low: int, high: int) -> int:
    if NUMBER.fullmatch(text) is None or not low <= int(text) <= high:
        raise Problem(400, "invalid-request", f"{name}: expected a whole number from {low} to {high}")
    return int(text)


def hash_before(request: Request) -> str | None:
    """What the batch goes on from, by `If-Match`; None by `If-None-Match: *`.  Raises Problem 400, 428."""
    expected = request.headers.get("if-match")
    absent = request.headers.get("if-none-match")
    if expected is None and absent is None:
        detail = "Say with If-Match which hash the journal ends in, or with If-None-Match: * that nothing is stored"
        raise Problem(428, "precondition-required", detail)
    match = _QUOTED_HASH.fullmatch(expected or "")
    if (expected is not None) == (absent is not None) or (absent is not None and absent.strip() != "*"):
        raise Problem(400, "invalid-request", "Expected either If-Match or If-None-Match: *")
    if expected is not None and match is None:
        raise Problem(400, "invalid-request", 'Expected If-Match: "<64 lower-case hex digits>"')
    return match[1] if match is not None else None


def blob_of(request: Request) -> tuple[str, str]:
    """Owner and SHA-256.  Raises Problem 404."""
    owner, sha256 = str(request.path_params["owner"]), str(request.path_params["sha256"])
    if OWNER.fullmatch(owner) is None or SHA256.fullmatch(sha256) is None or not _is_owner(owner):
        raise Problem(404, "unknown-blob", "Expected an owner and a SHA-256 as 64 lower-case hex digits")
    return owner, sha256


def _is_owner(text: str) -> bool:
    try:
        parse_prefix(f"{text}/project")
    except PrefixError:
        return False
    return True
