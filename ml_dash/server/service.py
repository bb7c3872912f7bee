"""What the addresses of one application share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import Request

from .blobs import Blobs
from .bodies import Bodies
from .figures import Figures
from .journals import Journals
from .library import Library
from .problems import Problem
from .reading import Reading
from .settings import Settings
from .store import Store


@dataclass(slots=True)
class Service:
    """`store`, `journals` and `blobs` are None where a folder of local journals is served, which takes nothing."""

    settings: Settings
    library: Library
    store: Store | None
    journals: Journals | None
    blobs: Blobs | None
    bodies: Bodies
    figures: Figures
    reading: Reading
    stopping: asyncio.Event
    following: int = 0

    def writable(self) -> tuple[Journals, Blobs]:
        """Raises Problem 403 where nothing is taken."""
        if self.journals is None or self.blobs is None:
            raise Problem(403, "read-only", "This server shows a folder of local journals, and changes nothing there")
        return self.journals, self.blobs


def service_of(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service
