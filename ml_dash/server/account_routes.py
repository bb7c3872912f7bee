"""Addresses of the server that are about who somebody is: logging in and out, and who am I.

    GET  /v1/user             whose token this is
    POST /v1/device/code      RFC 8628, 3.1: a device asks to be let in
    POST /v1/device/token     RFC 8628, 3.4: it asks whether it was
    POST /v1/token/revoke     RFC 7009: logging out
    GET  POST /device         RFC 8628, 3.3: the page on which a person lets it in (`pages.py`)

What these RFCs call an error is answered as they say: `{"error", "error_description"}` with status 400.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..clock import now_us, to_datetime
from ..remote.protocol import DEVICE_CODE, DEVICE_PAGE, DEVICE_TOKEN, FORM, TOKEN_REVOKE, USER
from . import pages
from .authentication import Access, access_of, client_of, identify
from .device import INTERVAL_S, LIFE_S, DeviceRequest, Refused, shown_code
from .problems import Problem
from .tokens import NAME_CHARACTERS_MAX

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
LOGIN_LIFE = timedelta(days=365)
"""How long a token that was got by logging in is good for."""
FORM_BYTES_MAX = 16_384
FORM_S_MAX = 10.0
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


async def user(request: Request) -> Response:
    identity = await identify(request)
    token = identity.token
    expires = None if token is None or token.expires_us is None else to_datetime(token.expires_us).isoformat()
    return JSONResponse(
        {
            "owner": identity.owner,
            "read_only": not identity.can_write or not access_of(request).has_logins,
            "open": identity.is_open,
            "token": None if token is None else {"id": token.id, "name": token.name, "expires": expires},
        },
        headers=_NO_STORE,
    )


# --- the device ---------------------------------------------------------------------------------------------


async def device_code(request: Request) -> Response:
    access = access_of(request)
    await _check_logins(access)
    access.take_request(client_of(request))
    form = await _form(request)
    client = form.get("client_id", "")
    if not client:
        return _oauth_error("invalid_request", "client_id is missing")
    address = request.client.host if request.client is not None else ""
    code, made = await access.devices.request(client, form.get("device_name", ""), address)
    page = f"{access.public_url or str(request.base_url)}".rstrip("/") + DEVICE_PAGE
    shown = shown_code(made.user_code)
    answer = {
        "device_code": code,
        "user_code": shown,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?{urlencode({'user_code': shown})}",
        "expires_in": LIFE_S,
        "interval": INTERVAL_S,
    }
    return JSONResponse(answer, headers=_NO_STORE, background=BackgroundTask(access.devices.remove_old))


async def device_token(request: Request) -> Response:
    access = access_of(request)
    await _check_logins(access)
    form = await _form(request)
    if not form.get("client_id") or not form.get("device_code"):
        return _oauth_error("invalid_request", "client_id or device_code is missing")
    if form.get("grant_type") != GRANT_TYPE:
        return _oauth_error("unsupported_grant_type", f"expected the grant type {GRANT_TYPE}")
    client = client_of(request)
    access.take_device_code(client)
    try:
        owner, made = await access.devices.redeem(form["device_code"], form["client_id"])
    except Refused as refused:
        # Who knows a device code is not guessing: polling has its own pace.
        if refused.error != "invalid_grant":
            access.give_device_code_back(client)
        return _oauth_error(refused.error, refused.description)
    access.give_device_code_back(client)
    return await _new_token(access, owner, made)


async def _new_token(access: Access, owner: str, made: DeviceRequest) -> Response:
    name = f"login on {made.device or 'a device'}"[:NAME_CHARACTERS_MAX]
    expires_us = now_us() + LOGIN_LIFE // timedelta(microseconds=1)
    text, token = await access.tokens.create(owner, name, expires_us=expires_us)
    account = await access.accounts.find(owner)
    if account is None or account.password is None:
        # Whoever ends an account revokes the tokens that are there, and may have looked just before this one was.
        await access.tokens.revoke(token)
        return _oauth_error("access_denied", "The account has ended")
    answer = {
        "access_token": text,
        "token_type": "Bearer",
        "expires_in": LOGIN_LIFE // timedelta(seconds=1),
        "owner": owner,
    }
    return JSONResponse(answer, headers=_NO_STORE)


async def revoke(request: Request) -> Response:
    """Who has a token may end it; one that is not known is as good as ended (RFC 7009, 2.2)."""
    access = access_of(request)
    text = (await _form(request)).get("token", "")
    if not text:
        return _oauth_error("invalid_request", "token is missing")
    token = await access.tokens.find(text) if access.has_logins else None
    if token is not None:
        await access.tokens.revoke(token)
    return Response(status_code=200, headers=_NO_STORE)


async def _check_logins(access: Access) -> None:
    """Raises Problem 409 where nobody could let a device in."""
    if await access.is_open():
        raise Problem(409, "no-accounts", "This server is open: nobody needs to log in", is_open=True)
    if not await access.has_accounts():
        detail = (
            "This server has no accounts. Whoever runs it adds one with `ml-dash server user add`, or gives you a token"
        )
        raise Problem(409, "no-accounts", detail, is_open=False)


# --- the person ---------------------------------------------------------------------------------------------


async def device_page(request: Request) -> Response:
    access = access_of(request)
    try:
        await _check_logins(access)
        if request.method != "POST":
            return pages.sign_in(code=request.query_params.get("user_code", "")[:20])
        form = await _form(request)
        return await _answer(access, client_of(request), form)
    except Problem as problem:
        if problem.status == 429:
            wait_s = problem.headers["Retry-After"]
            return pages.sign_in(wrong=problem.detail + ".", status=429, wait_s=wait_s)
        return pages.message("This did not work", problem.detail + ".", problem.status)


async def _answer(access: Access, client: str, form: dict[str, str]) -> Response:
    """Raises Problem 429."""
    code, owner = form.get("user_code", ""), form.get("owner", "")
    access.take_code(client)
    waiting = await access.devices.waiting(code)
    if waiting is None:
        wrong = "No device waits with this code. It may have expired: start `ml-dash login` again."
        return pages.sign_in(owner=owner, wrong=wrong, status=400)
    access.give_code_back(client)
    if form.get("step") in ("approve", "deny"):
        return await _decide(access, waiting, form.get("nonce", ""), is_approved=form["step"] == "approve")
    access.take_password(client, owner)
    account = await access.accounts.check(owner, form.get("password", ""))
    if account is None:
        await access.devices.count_try(waiting)
        return pages.sign_in(code, owner, "Owner or password is wrong.", status=403)
    access.give_password_back(client, owner)
    nonce = await access.devices.sign_in(waiting, account.owner)
    seconds = (now_us() - waiting.created_us) // 1_000_000
    ago = "less than a minute ago" if seconds < 60 else f"{seconds // 60} min ago"
    return pages.confirm(waiting, account.owner, nonce, ago)


async def _decide(access: Access, waiting: DeviceRequest, nonce: str, is_approved: bool) -> Response:
    owner = await access.devices.signed_in(waiting, nonce)
    if owner is None:
        return pages.sign_in(shown_code(waiting.user_code), wrong="Sign in first.", status=403)
    if not await access.devices.decide(waiting, owner, is_approved):
        return pages.message("Decided already", "Somebody has answered this request before you.", 409)
    if not is_approved:
        return pages.message("Denied", "The device was not let in. You can close this page.")
    return pages.message("Approved", f"The device is logged in as {owner}. You can close this page.")


# --- forms --------------------------------------------------------------------------------------------------


async def _form(request: Request) -> dict[str, str]:
    """The body, fields with a value only.  Raises Problem 400, 408, 413, 415."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise Problem(415, "unsupported-media-type", f"Expected a body of the type {FORM}")
    try:
        body = await asyncio.wait_for(_body(request), FORM_S_MAX)
    except asyncio.TimeoutError:
        raise Problem(408, "slow-body", f"Expected the whole form within {FORM_S_MAX:g} s") from None
    try:
        fields = parse_qsl(body.decode(), max_num_fields=50)
    except ValueError as error:
        raise Problem(400, "invalid-request", "The form cannot be read") from error
    form = dict(fields)
    if len(form) != len(fields):
        raise Problem(400, "invalid-request", "A field of the form is there twice", error="invalid_request")
    return form


async def _body(request: Request) -> bytes:
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > FORM_BYTES_MAX:
                raise Problem(413, "body-too-large", f"A form has {FORM_BYTES_MAX} bytes at most")
    except ClientDisconnect:
        raise Problem(400, "invalid-request", "The connection ended amid the form") from None
    return body


def _oauth_error(error: str, description: str, **members: Any) -> Response:
    return JSONResponse({"error": error, "error_description": description, **members}, 400, headers=_NO_STORE)


ROUTES = [
    Route(USER, user, methods=["GET"]),
    Route(DEVICE_CODE, device_code, methods=["POST"]),
    Route(DEVICE_TOKEN, device_token, methods=["POST"]),
    Route(TOKEN_REVOKE, revoke, methods=["POST"]),
    Route(DEVICE_PAGE, device_page, methods=["GET", "POST"]),
]
