"""Who asks, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose token a request carries; `owner` is None where nobody needs one (`is_open`)."""

    owner: str | None
    can_write: bool
    is_open: bool

    def may_read(self, prefix: str) -> bool:
        return self.is_open or (self.owner is not None and prefix.split("/", 1)[0] == self.owner)

    def may_write(self, prefix: str) -> bool:
        return self.can_write and self.may_read(prefix)


async def identify(request: Request) -> Identity:
    """Raises Problem 401 or 403."""
    return Identity(owner=None, can_write=True, is_open=True)
