"""Connections whose requests begin in time: the headers of a request have to come whole within `HEADER_TIMEOUT_S`.

The library below bounds how long a connection may be idle between two requests, but neither how long the first one may
be waited for, nor how slowly headers may come: a few thousand of such connections would keep everybody else out.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from ..remote.protocol import HEADER_TIMEOUT_S


class PunctualProtocol(H11Protocol):  # type: ignore[misc, unused-ignore]
    """HTTP/1.1 that ends a connection on which the headers of a request do not come in time."""

    header_timeout_s = HEADER_TIMEOUT_S
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override, unused-ignore]
        super().connection_made(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_amid_headers():
            self._wait_for_headers()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_amid_headers(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _wait_for_headers(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.header_timeout_s, self._is_late)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _is_late(self) -> None:
        self._late = None
        if self._is_amid_headers():
            self.transport.close()
