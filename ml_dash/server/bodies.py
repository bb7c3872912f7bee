"""Bodies of requests: read with bounds on size, time and memory, and expanded with the same bounds.

1. A body that says it is too large is refused before it is read, one that turns out to be is given up there.
2. Expanded, it is bounded as well: a bomb costs no more memory than an honest body.
3. Each piece has to come in time, and the whole has, by its size: a client that sends a byte a minute holds nothing.
4. So many bodies are worked on at a time, of the large ones one: memory is bounded however many clients there are.
5. Half of them may be one owner's, and one that is small holds no place before it has come whole: whoever sends many
   bodies slowly keeps others waiting no longer.
"""

from __future__ import annotations

import asyncio
import io
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

from starlette.requests import ClientDisconnect, Request

from ..clock import monotonic_s
from ..recording.extras import optional
from ..remote.protocol import CONTENT_ENCODINGS, JSON, JSON_BODY_BYTES_MAX
from .problems import Problem
from .settings import MIB, Settings

STEP_BYTES = MIB
BYTES_PER_S_MIN = 64 * 1024
PIECE_TIMEOUT_S = 20.0
"""Between two pieces of a body."""
SMALL_BYTES = 64 * 1024
"""Less than that is held for a connection anyway."""


class Bodies:
    """Of one server process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.bodies_at_once)
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._large = asyncio.Lock()

    @asynccontextmanager
    async def whole(
        self, request: Request, owner: str, media_type: str, bytes_max: int | None = None
    ) -> AsyncIterator[bytes]:
        """The body, expanded; it counts as held in memory inside the `with` block.  `owner` is who it is stored for.

        Raises Problem 400, 408, 413 or 415.
        """
        _check_type(request, media_type)
        encoding = _encoding(request)
        limit = self._settings.body_bytes_max if bytes_max is None else bytes_max
        _check_length(request, limit)
        places = (self._share(owner), self._slots)
        reading = Reading(places, self._large, min(self._settings.large_body_bytes, limit), limit)
        try:
            data = await self._read(request, reading)
            await reading.takes_place()
            if encoding != "identity":
                data = await self._expand(data, encoding, reading)
            yield data
        finally:
            reading.release()

    async def pieces(self, request: Request, bytes_max: int) -> AsyncIterator[bytes]:
        """The body as it comes.  Raises Problem 400, 408 or 413."""
        _check_length(request, bytes_max)
        # What is counted is how long the client lets us wait, not how long it has to wait for a place.
        waited_s, size = 0.0, 0
        stream = request.stream().__aiter__()
        while True:
            allowed_s = self._settings.body_timeout_s + size / BYTES_PER_S_MIN - waited_s
            since_s = monotonic_s()
            try:
                piece = await asyncio.wait_for(stream.__anext__(), max(0.0, min(allowed_s, PIECE_TIMEOUT_S)))
                waited_s += monotonic_s() - since_s
            except StopAsyncIteration:
                return
            except asyncio.TimeoutError:
                raise Problem(
                    408, "slow-body", f"After {size} bytes nothing more came in time", {"Connection": "close"}
                ) from None
            except ClientDisconnect:
                raise Problem(400, "invalid-request", "The connection ended amid the body") from None
            size += len(piece)
            if size > bytes_max:
                raise _too_large(bytes_max)
            if piece:
                yield piece

    # -- inside --------------------------------------------------------------------------------------------------

    def _share(self, owner: str) -> asyncio.Semaphore:
        """Rule 5; forgotten when nobody holds it."""
        return self._shares.setdefault(owner, asyncio.Semaphore(max(1, self._settings.bodies_at_once // 2)))

    async def _read(self, request: Request, reading: Reading) -> bytes:
        parts, size = [], 0
        async for piece in self.pieces(request, reading.limit):
            parts.append(piece)
            size += len(piece)
            await reading.grows_to(size)
        return b"".join(parts)

    async def _expand(self, data: bytes, encoding: str, reading: Reading) -> bytes:
        """Rule 2: a step at a time, each in a thread."""
        expanding = _Gzip(data) if encoding == "gzip" else _Zstd(data)
        parts: list[bytes] = []
        size = 0
        while True:
            try:
                piece = await asyncio.to_thread(expanding.next)
            except _NotEncoded as error:
                raise Problem(400, "invalid-request", f"The body is not {encoding}: {error}") from None
            if not piece:
                return b"".join(parts)
            parts.append(piece)
            size += len(piece)
            if size > reading.limit:
                raise _too_large(reading.limit)
            await reading.grows_to(size)


class Reading:
    """One body on its way into memory."""

    def __init__(
        self, places: tuple[asyncio.Semaphore, ...], large: asyncio.Lock, large_bytes: int, limit: int
    ) -> None:
        self._places = places
        self._taken: list[asyncio.Semaphore] = []
        self._large = large
        self._large_bytes = large_bytes
        self._is_holding = False
        self.limit = limit

    async def takes_place(self) -> None:
        """Rules 4 and 5.  The owner's first: who waits for that keeps no place from others."""
        for place in self._places[len(self._taken) :]:
            await place.acquire()
            self._taken.append(place)

    async def grows_to(self, size: int) -> None:
        """Rules 4 and 5."""
        if size > SMALL_BYTES:
            await self.takes_place()
        if size > self._large_bytes and not self._is_holding:
            await self._large.acquire()
            self._is_holding = True

    def release(self) -> None:
        if self._is_holding:
            self._large.release()
            self._is_holding = False
        while self._taken:
            self._taken.pop().release()


class _NotEncoded(Exception):
    """The bytes are not what `Content-Encoding` says."""


class _Gzip:
    def __init__(self, data: bytes) -> None:
        self._stream = zlib.decompressobj(31)
        self._waiting = data

    def next(self) -> bytes:
        """Up to `STEP_BYTES`; empty at the end."""
        while not self._stream.eof:
            waiting = self._waiting
            try:
                piece = self._stream.decompress(waiting, STEP_BYTES)
            except zlib.error as error:
                raise _NotEncoded(str(error)) from None
            self._waiting = self._stream.unconsumed_tail
            if piece:
                return piece
            if not waiting:
                raise _NotEncoded("it ends too early")
        if self._stream.unused_data:
            raise _NotEncoded("something follows its end")
        return b""


class _Zstd:
    def __init__(self, data: bytes) -> None:
        self._library: Any = optional("zstandard", "ml_dash[server]", "A body in Zstandard")
        # Decompressing takes as much memory as the window that the frame asks for.
        decompressor = self._library.ZstdDecompressor(max_window_size=128 * MIB)
        self._reader = decompressor.stream_reader(io.BytesIO(data), read_across_frames=True)
        self._is_empty = not data

    def next(self) -> bytes:
        """Up to `STEP_BYTES`; empty at the end."""
        if self._is_empty:
            raise _NotEncoded("it is empty")
        try:
            return bytes(self._reader.read(STEP_BYTES))
        except self._library.ZstdError as error:
            raise _NotEncoded(str(error)) from None


async def json_body(bodies: Bodies, request: Request, owner: str) -> Any:
    """Raises Problem."""
    import orjson

    async with bodies.whole(request, owner, JSON, JSON_BODY_BYTES_MAX) as data:
        try:
            return orjson.loads(data)
        except ValueError as error:
            raise Problem(400, "invalid-request", f"The body is no JSON: {error}") from None


def _check_type(request: Request, media_type: str) -> None:
    given = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if given != media_type:
        raise Problem(415, "unsupported-media-type", f"Expected a body of type {media_type}", {"Accept": media_type})


def _encoding(request: Request) -> str:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in CONTENT_ENCODINGS:
        accepted = ", ".join(CONTENT_ENCODINGS)
        detail = f"Expected a body as it is, or compressed as one of {accepted}"
        raise Problem(415, "unsupported-media-type", detail, {"Accept-Encoding": accepted})
    return encoding


def _check_length(request: Request, limit: int) -> None:
    length = request.headers.get("content-length")
    # The server below has refused what is no number.
    if length is not None and length.isdigit() and int(length) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> Problem:
    # Nothing reads the rest of it, so the connection is of no more use.
    return Problem(
        413, "body-too-large", f"A body has at most {limit} bytes here", {"Connection": "close"}, bytes_max=limit
    )
