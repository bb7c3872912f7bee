"""Logging in on a machine without a browser, from a browser anywhere: device authorization by RFC 8628.

    devices/<SHA-256 of the device code>/request.json    {"user_code", "client", "device", "address", "created", …}
                                         tries/<n>.json  a wrong password was given for it
                                         sign-ins/<SHA-256 of a nonce>.json    {"owner"}: who shows it is signed in
                                         decision.json   {"owner", "is_approved", "time"}
                                         redemption.json {"time"}: its one token was given out
    devices/codes/<user code>.json                       {"device": SHA-256 of the device code}

Rules that others rely on:

 1. Every object is put create-only.  So a request is decided once and redeemed once, however many browsers, devices and
    servers try it at the same moment.
 2. The device code has 256 random bits and is kept as its SHA-256.  The user code is short, because people type it:
    eight letters of twenty, without vowels and without what looks alike (RFC 8628, 6.1), good for `LIFE_S`.  What makes
    that enough are the limits of `authentication.py`, and `TRIES_MAX` for one request.
 3. A device that polls sooner than it was told hears `slow_down` and has to wait `SLOWER_S` more from then on (3.5).
    Each server process watches that for itself; it protects the server, nothing else.
 4. A request that has expired is gone a day later (`remove_old`).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from ..clock import monotonic_s, now_us, to_datetime
from ..errors import StorageError
from ..ids import new_secret, new_word
from .store import Missing, Store, Taken

FOLDER = "devices"
CODES_FOLDER = "devices/codes"
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
LETTER_COUNT = 8
LIFE_S = 600
INTERVAL_S = 2
SLOWER_S = 5
EARLY_S = 0.5
"""A poll may come so much too soon: networks bring one sooner than the one before."""
TRIES_MAX = 10
DRAWS_MAX = 5
POLLING_MAX = 10_000
OLD = timedelta(days=1)
REMOVING_EVERY_S = 3600.0
TEXT_CHARACTERS_MAX = 100
_DEVICE_CODE = re.compile(r"[A-Za-z0-9_-]{43}")


class Refused(Exception):
    """No token, and why: an error of RFC 8628, 3.5 or RFC 6749, 5.2."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A device that waits; `id` is the SHA-256 of its code.  `device` is what it calls itself, `address` from where."""

    id: str
    user_code: str
    client: str
    device: str
    address: str
    created_us: int
    expires_us: int

    def is_expired(self) -> bool:
        return now_us() >= self.expires_us


class Devices:
    """The requests in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # When each may poll again, and how long it has to wait between two polls.
        self._polling: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._removed_at_s: float | None = None

    async def request(self, client: str, device: str, address: str) -> tuple[str, DeviceRequest]:
        """A new device code, which is told nowhere else, and the request that it belongs to."""
        device_code = base64.urlsafe_b64encode(new_secret()).decode("ascii").rstrip("=")
        now = now_us()
        for _ in range(DRAWS_MAX):
            made = DeviceRequest(
                _hash(device_code),
                new_word(LETTERS, LETTER_COUNT),
                client[:TEXT_CHARACTERS_MAX],
                _shown(device),
                address,
                now,
                now + LIFE_S * 1_000_000,
            )
            if await self._create(f"{CODES_FOLDER}/{made.user_code}.json", {"device": made.id}):
                members = {
                    "user_code": made.user_code,
                    "client": made.client,
                    "device": made.device,
                    "address": made.address,
                    "created": made.created_us,
                    "expires": made.expires_us,
                }
                await self._create(f"{FOLDER}/{made.id}/request.json", members)
                return device_code, made
        raise StorageError(f"{DRAWS_MAX} user codes in a row are taken; too many logins wait")

    # -- the person ----------------------------------------------------------------------------------------------

    async def waiting(self, user_code: str) -> DeviceRequest | None:
        """The request with this code, where it can still be decided."""
        code = normal_code(user_code)
        found = await self._get(f"{CODES_FOLDER}/{code}.json") if code else None
        request = await self._find(found["device"]) if found is not None else None
        if request is None or request.is_expired():
            return None
        if await self._get(f"{FOLDER}/{request.id}/decision.json") is not None:
            return None
        return request if len(await self._tries(request)) < TRIES_MAX else None

    async def count_try(self, request: DeviceRequest) -> None:
        """A password was wrong; after `TRIES_MAX` of them nobody can decide this request any more."""
        for number in range(len(await self._tries(request)), TRIES_MAX):
            if await self._create(f"{FOLDER}/{request.id}/tries/{number}.json", {"time": now_us()}):
                return

    async def sign_in(self, request: DeviceRequest, owner: str) -> str:
        """A nonce that stands for the password from here on: for this request and this owner, and nothing else."""
        nonce = base64.urlsafe_b64encode(new_secret()).decode("ascii").rstrip("=")
        await self._create(f"{FOLDER}/{request.id}/sign-ins/{_hash(nonce)}.json", {"owner": owner})
        return nonce

    async def signed_in(self, request: DeviceRequest, nonce: str) -> str | None:
        """Whose nonce it is."""
        if _DEVICE_CODE.fullmatch(nonce) is None:
            return None
        found = await self._get(f"{FOLDER}/{request.id}/sign-ins/{_hash(nonce)}.json")
        return found["owner"] if found is not None else None

    async def decide(self, request: DeviceRequest, owner: str, is_approved: bool) -> bool:
        """Whether this decision is the one that counts: the first one is."""
        decision = {"owner": owner, "is_approved": is_approved, "time": now_us()}
        return await self._create(f"{FOLDER}/{request.id}/decision.json", decision)

    # -- the device ----------------------------------------------------------------------------------------------

    async def redeem(self, device_code: str, client: str) -> tuple[str, DeviceRequest]:
        """The owner who has approved this device, and its request; the one time that it is asked.  Raises Refused."""
        request = await self._find(_hash(device_code)) if _DEVICE_CODE.fullmatch(device_code) else None
        if request is None:
            raise Refused("invalid_grant", "There is no such device code")
        if request.client != client:
            raise Refused("invalid_grant", "The device code was given to another client")
        if request.is_expired():
            raise Refused("expired_token", "The device code has expired; ask for another one")
        decision = await self._get(f"{FOLDER}/{request.id}/decision.json")
        if decision is None:
            self._check_pace(request)
            raise Refused("authorization_pending", "Nobody has decided yet")
        if not decision["is_approved"]:
            raise Refused("access_denied", f"{decision['owner']} has denied it")
        if not await self._create(f"{FOLDER}/{request.id}/redemption.json", {"time": now_us()}):
            raise Refused("invalid_grant", "The device code was used already")
        return decision["owner"], request

    def _check_pace(self, request: DeviceRequest) -> None:
        """Rule 3."""
        now_s = monotonic_s()
        next_s, interval_s = self._polling.get(request.id, (0.0, float(INTERVAL_S)))
        is_early = now_s < next_s - EARLY_S
        interval_s += SLOWER_S if is_early else 0
        self._polling[request.id] = (now_s + interval_s, interval_s)
        self._polling.move_to_end(request.id)
        if len(self._polling) > POLLING_MAX:
            self._polling.popitem(last=False)
        if is_early:
            raise Refused("slow_down", f"Wait {interval_s:g} s between two polls from now on")

    # -- the store -----------------------------------------------------------------------------------------------

    async def remove_old(self) -> None:
        """Rule 4; every now and then, for whoever asks."""
        if self._removed_at_s is not None and monotonic_s() < self._removed_at_s + REMOVING_EVERY_S:
            return
        self._removed_at_s = monotonic_s()
        oldest = to_datetime(now_us()) - OLD
        old = [each.path for each in await self._store.list(FOLDER) if each.modified < oldest]
        # The request goes first: without it nothing of the rest means anything.
        await self._store.delete(sorted(old, key=lambda path: not path.endswith("/request.json")))

    async def _find(self, found: str) -> DeviceRequest | None:
        known = await self._get(f"{FOLDER}/{found}/request.json")
        if known is None:
            return None
        return DeviceRequest(
            found,
            known["user_code"],
            known["client"],
            known["device"],
            known["address"],
            known["created"],
            known["expires"],
        )

    async def _tries(self, request: DeviceRequest) -> list[Any]:
        return await self._store.list(f"{FOLDER}/{request.id}/tries")

    async def _create(self, path: str, members: dict[str, Any]) -> bool:
        try:
            await self._store.create(path, orjson.dumps(members))
        except Taken:
            return False
        return True

    async def _get(self, path: str) -> Any:
        try:
            return orjson.loads(await self._store.read(path))
        except Missing:
            return None


def normal_code(text: str) -> str | None:
    """What a person typed as a user code: any case, any dashes and spaces; None where it can be none."""
    letters = re.sub(r"[\s.–—-]", "", text[:TEXT_CHARACTERS_MAX]).upper()
    is_code = len(letters) == LETTER_COUNT and set(letters) <= set(LETTERS)
    return letters if is_code else None


def shown_code(user_code: str) -> str:
    """`WDJBMJHT` as people read it: `WDJB-MJHT`."""
    return f"{user_code[: LETTER_COUNT // 2]}-{user_code[LETTER_COUNT // 2 :]}"


def _shown(text: str) -> str:
    """What a device says of itself, as it may be shown to somebody."""
    return "".join(letter for letter in text[:TEXT_CHARACTERS_MAX] if letter.isprintable())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
