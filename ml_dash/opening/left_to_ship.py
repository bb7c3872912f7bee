"""What is left to be shipped on this machine: what `ml-dash ship` looks for, and sends.

An experiment is waiting for a server if it was recorded with that `dash_url`, which its hint says (`remote/cursor.py`),
and something of it has not been acknowledged there.  Whoever names a server may ship any experiment to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from ..alarm import Alarm
from ..errors import ConfigurationError
from ..journal.folder import JournalFolder
from ..journal.leftovers import dead_writers, try_drain
from ..journal.writer import commit_open
from .place import find_place

if TYPE_CHECKING:
    from ..remote.cursor import Mark
    from ..remote.shipment import Step
    from ..remote.shipper import Finished

TIMEOUT_S = 30.0
"""A server that says nothing is waited for no longer, unless more or less is asked for."""
NOTICE_S = 3.0
ATTEMPTS_MAX = 4
"""Who calls a command waits for a server that does not answer no longer than this many attempts take."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An experiment below the dash root `root`, and the server that it should go to.

    `left_bytes` and `left_files` are what has not been acknowledged, as far as is known here; 0 where all has been.
    """

    folder: JournalFolder
    url: str
    root: Path
    left_bytes: int
    left_files: int
    is_complete: bool


def state_roots() -> list[Path]:
    """The dash roots of experiments without one, a server each."""
    from ..journal.disk import OPERATING_SYSTEM

    root = find_place(None, "http://localhost").root
    return [root / name for name in sorted(OPERATING_SYSTEM.list_folders(str(root)))]


def left_to_ship(
    roots: Sequence[Path], matches: Callable[[tuple[str, ...]], bool], url: str | None = None
) -> Iterator[Waiting]:
    """The experiments below these roots whose prefix matches: those that are waiting for `url`, or with None for any
    server; with a `url` also those that nobody has meant to ship.  Also those of which nothing is left.
    """
    from ..remote import cursor
    from ..remote.state_folder import waiting

    for root in roots:
        for folder in waiting(root):
            if not matches(tuple(folder.prefix.split("/"))):
                continue
            commit_open(folder)
            with suppress(OSError):
                if dead_writers(folder):
                    try_drain(folder)
            known = cursor.marks(folder)
            for each in [url] if url is not None else sorted(known):
                yield _waiting(folder, each, root, known.get(each, cursor.Mark()))


def _waiting(folder: JournalFolder, url: str, root: Path, mark: Mark) -> Waiting:
    from ..remote.arrival import is_shipped
    from ..remote.blobs import FileShipment
    from ..remote.local_bytes import LocalBytes

    local = LocalBytes(folder)
    try:
        local.look()
        left = local.bytes_behind(None if mark.head is None else local.locate(mark.head)[1])
    finally:
        local.close()
    files = FileShipment(folder, folder.prefix.split("/", 1)[0], mark.files)
    files.look()
    return Waiting(folder, url, root, left, files.waiting, is_shipped(folder, folder.prefix, mark))


def ship(
    waiting: Waiting,
    progress: Callable[[Step], None] | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
    waits: Callable[[], None] | None = None,
) -> Finished:
    """Sends what is left of one experiment, and waits for it: as long as it moves; a few attempts, and about
    `timeout_s` seconds, where the server says nothing.

    `waits` is called once where it has not answered anything within `NOTICE_S`.  What waited in the user's state folder
    is removed once all of it has arrived.  KeyboardInterrupt ends it at once.
    """
    from ..remote.server import Server
    from ..remote.shipper import Shipper
    from ..remote.state_folder import remove_if_shipped
    from ..remote.transport import TIMEOUT_S as REQUEST_TIMEOUT_S

    folder, url = waiting.folder, waiting.url
    alarm = Alarm()
    for subject in ("network", "token", "diverged"):
        # It is in the answer.
        alarm.hush(subject)
    # Two attempts of half as long: one lost answer is no mute server.
    request_s = min(REQUEST_TIMEOUT_S, timeout_s / 2)
    shipper = Shipper(folder, folder.prefix, url, lambda: Server.at(url, timeout_s=request_s), alarm)
    is_told = waits is None

    def told(step: Step) -> None:
        nonlocal is_told
        if not is_told and not shipper.was_answered and shipper.silent_s > NOTICE_S and waits is not None:
            is_told = True
            waits()
        if progress is not None:
            progress(step)

    shipper.start()
    finished = shipper.finish(inf, told, attempts_max=ATTEMPTS_MAX, silent_s_max=timeout_s)
    if finished.is_complete:
        shipper.join(5.0)
        if waiting.root.parent == find_place(None, url).root:
            remove_if_shipped(folder, url, waiting.root)
    return finished


def server_for(url: object, api_url: str) -> str:
    """The address of a server as the command line gives it.  Raises ConfigurationError."""
    from ..remote.address import checked_url

    place = find_place(None, url)
    return checked_url(place.server(api_url))


def check_found(found: Sequence[Waiting], patterns: Sequence[str], url: str | None) -> None:
    """Raises ConfigurationError where somebody asked for experiments by name, and nothing says where they should go."""
    if patterns and not found and url is None:
        raise ConfigurationError(
            f"{', '.join(patterns)}: no experiment of that name was recorded with a dash_url. Say where it should go: "
            "--dash-url URL; or is it below another --dash-root?"
        )
