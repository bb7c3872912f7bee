"""Where output passes: descriptors 1 and 2, or `sys.stdout` and `sys.stderr` where those lead elsewhere."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from .output_lines import Lines

PIPE_BYTES = 1024 * 1024
NAMES = {1: "stdout", 2: "stderr"}

Listener = Callable[[str, str], None]
"""Called with the name of the stream and a line."""


class Pipe:
    """A pipe in the place of one descriptor, once it is installed, and where that led before."""

    def __init__(self, descriptor: int) -> None:
        self.name = NAMES[descriptor]
        self.lines = Lines()
        self._descriptor = descriptor
        self._before = os.dup(descriptor)
        self.end, self._entrance = os.pipe()
        self._identity = os.fstat(self._entrance)
        self._open = [self.end, self._before, self._entrance]
        _widen(self._entrance)

    def install(self) -> None:
        os.dup2(self._entrance, self._descriptor)
        self._open.remove(self._entrance)
        os.close(self._entrance)

    def restore(self) -> None:
        """What was before is again, unless somebody has put something else in its place."""
        with suppress(OSError):
            if self._open and os.path.samestat(os.fstat(self._descriptor), self._identity):
                os.dup2(self._before, self._descriptor)

    def pass_on(self, data: bytes) -> None:
        """Writes to where the descriptor led before.  A terminal that is gone is no reason to stop recording."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._before, view) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._before, select.POLLOUT)
                poll.poll()
            except OSError:
                return

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())


class Watched:
    """Takes the place of a stream of Python's that leads to neither descriptor, as in a notebook."""

    def __init__(self, name: str, put: Listener) -> None:
        self._name = name
        self._put = put
        self._lines = Lines()
        self._splitting = threading.Lock()
        self._stream = getattr(sys, name)
        setattr(sys, name, self)

    def write(self, text: str) -> Any:
        written = self._stream.write(text)
        with self._splitting:
            lines = self._lines.feed(text.encode("utf-8", "backslashreplace"))
        self._put_all(lines)
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def restore(self) -> None:
        """What was before is again, unless somebody has put something else in its place."""
        with self._splitting:
            lines = self._lines.finish()
        self._put_all(lines)
        self.leave()

    def leave(self) -> None:
        """The same in a forked child, where a thread of the parent may have been writing."""
        if getattr(sys, self._name) is self:
            setattr(sys, self._name, self._stream)

    def _put_all(self, lines: list[str]) -> None:
        for line in lines:
            self._put(self._name, line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def open_pipes() -> list[Pipe]:
    """One for each descriptor; a process without a terminal may have closed them.  Raises OSError."""
    pipes: list[Pipe] = []
    for descriptor in NAMES:
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        pipes.append(Pipe(descriptor))
    return pipes


def watch_others(put: Listener) -> list[Watched]:
    """The streams of Python's that lead to neither descriptor."""
    return [Watched(name, put) for name in NAMES.values() if not _is_descriptor(name)]


def flush_all() -> None:
    """What waits in the buffers of Python and of C is written."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).fflush(None)


def write_every_line() -> list[Any]:
    """Makes Python write each line when it is whole, not when 8 KB have gathered; gives the streams it changed."""
    changed: list[Any] = []
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            if not stream.line_buffering:
                stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
                changed.append(stream)
    return changed


def _is_descriptor(name: str) -> bool:
    """Whether the stream leads to the descriptor of that name, or is not there."""
    stream = getattr(sys, name)
    try:
        return stream is None or NAMES.get(stream.fileno()) == name
    except (OSError, ValueError, AttributeError):
        return False


def _widen(entrance: int) -> None:
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(entrance, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
