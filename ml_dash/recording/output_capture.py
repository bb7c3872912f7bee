"""`Experiment(capture_output=True)`: every line that the program writes to standard output and standard error.

It is taken where the operating system has it, at file descriptors 1 and 2, so that C extensions and child processes
are caught too: each descriptor becomes a pipe, one thread passes on what comes out of it to where it went before, and
hands the lines to a second thread, which records them.

1. Nothing is changed on its way to the terminal, and it goes there first.
2. The first thread takes no lock, records nothing and prints nothing, so it always empties the pipes: neither a full
   pipe nor a warning that is printed while a line is being recorded brings the program to a standstill.
3. All experiments of a process share one capture.  When the last one ends, the descriptors are what they were before,
   unless somebody has put others in their place meanwhile; what children still write is passed on.
4. A forked child writes into its parent's pipes and leaves everything else alone.
5. Where `sys.stdout` is not descriptor 1, as in a notebook, what Python prints is taken from `sys.stdout` itself.

What the pipes hold at the moment of a `kill -9` or an abort is lost, to the terminal as well; a C extension that
writes more than PIPE_BYTES without ever letting go of the interpreter's lock waits for ever; a child that outlives
this process writes into a closed pipe.  That is why capturing is not the default.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from queue import SimpleQueue

from ..alarm import warn
from ..facts.events import OUTPUT_WRITTEN
from ..opening.recorder import Recorder
from .output_streams import PIPE_BYTES, Listener, Pipe, flush_all, open_pipes, watch_others, write_every_line

READ_BYTES = 256 * 1024
WAITING_LINES_MAX = 10_000
PATIENCE_S = 5.0


class OutputCapture:
    """The output of this process in one experiment, from `start()` to `close()`."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def start(self) -> None:
        """Everything written from now on is recorded.  Where the system refuses, one warning says so."""
        with _process.changing:
            if self._record in _process.listeners:
                return
            if _process.redirect is not None:
                _process.redirect.catch_up()
            else:
                try:
                    _process.redirect = Redirect()
                except (OSError, RuntimeError) as error:
                    warn(f"the output of this process cannot be captured: {error}")
                    return
            _process.listeners = (*_process.listeners, self._record)

    def close(self) -> None:
        """Everything written so far is recorded, unless the terminal stands still for PATIENCE_S; no more after it."""
        with _process.changing:
            redirect = _process.redirect
            if redirect is None or self._record not in _process.listeners:
                return
            if len(_process.listeners) == 1:
                _process.redirect = None
                redirect.end()
            else:
                redirect.catch_up()
            _process.listeners = tuple(each for each in _process.listeners if each != self._record)

    def _record(self, stream: str, text: str) -> None:
        writer = self._recorder.writer()
        writer.record_stream(writer.stream(OUTPUT_WRITTEN, None, named=False), {"stream": stream, "text": text})


class _Process:
    """Rule 3: what all experiments of this process share."""

    def __init__(self) -> None:
        self.changing = threading.RLock()
        self.listeners: tuple[Listener, ...] = ()
        self.redirect: Redirect | None = None


_process = _Process()


class Redirect:
    """Both descriptors of this process as pipes, and the two threads that serve them.

    Raises OSError or RuntimeError where there are no more descriptors or threads; nothing is changed then.
    """

    def __init__(self) -> None:
        self._lines: SimpleQueue[tuple[str, str] | threading.Event | None] = SimpleQueue()
        self._requests: SimpleQueue[tuple[threading.Event, bool]] = SimpleQueue()
        self._woken, self._wake = os.pipe()
        self._is_over = False
        self._pipes = open_pipes()
        try:
            threading.Thread(target=self._record_lines, name="ml-dash output recorder", daemon=True).start()
            threading.Thread(target=self._read, name="ml-dash output reader", daemon=True).start()
        except RuntimeError:
            self._lines.put(None)
            self._close_all()
            raise
        flush_all()
        self._changed = write_every_line()
        for pipe in self._pipes:
            pipe.install()
        self._watched = watch_others(self._put)

    def catch_up(self, *, is_last: bool = False) -> None:
        """What has been written so far is recorded."""
        flush_all()
        caught_up = threading.Event()
        self._requests.put((caught_up, is_last))
        with suppress(OSError):  # the thread is gone, and everything restored
            os.write(self._wake, b"\0")
        caught_up.wait(PATIENCE_S)

    def end(self) -> None:
        """Everything is as it was before; what has been written is recorded."""
        flush_all()
        for watched in self._watched:
            watched.restore()
        for pipe in self._pipes:
            pipe.restore()
        for stream in self._changed:
            with suppress(Exception):
                stream.reconfigure(line_buffering=False)
        self.catch_up(is_last=True)

    def leave(self) -> None:
        """Rule 4, in a forked child.  With a reading end open here, writers would wait for a parent that is gone."""
        for watched in self._watched:
            watched.leave()
        self._close_all()

    def _close_all(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        os.close(self._woken)
        os.close(self._wake)

    # -- the first thread ----------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            self._read_all()
        finally:
            # Were it to fail, a pipe that nobody empties would stop the program.
            for pipe in self._pipes:
                pipe.restore()
            self._close_all()
            self._lines.put(None)

    def _read_all(self) -> None:
        """Until the end has been asked for and nobody can write into the pipes any more."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        unfinished = {pipe.end: pipe for pipe in self._pipes}
        for end in unfinished:
            poll.register(end, select.POLLIN)
        is_last = False
        while unfinished or not is_last:
            ready = _ready(poll, None)
            self._read_once(poll, unfinished, ready)
            if self._woken in ready:
                os.read(self._woken, 1)
                caught_up, is_last = self._requests.get()
                # A child may write without end, but what stood in the pipes at the request fits into so many reads.
                for _ in range(PIPE_BYTES // READ_BYTES + 1):
                    self._read_once(poll, unfinished, _ready(poll, 0))
                for pipe in unfinished.values():
                    self._put_all(pipe.name, pipe.lines.finish())
                self._lines.put(caught_up)
                self._is_over = is_last

    def _read_once(self, poll: select.poll, unfinished: dict[int, Pipe], ready: Iterable[int]) -> None:
        for end in ready:
            pipe = unfinished.get(end)
            if pipe is None:
                continue
            data = os.read(end, READ_BYTES)
            pipe.pass_on(data)
            self._put_all(pipe.name, pipe.lines.feed(data) if data else pipe.lines.finish())
            if not data:
                poll.unregister(end)
                del unfinished[end]

    def _put_all(self, name: str, lines: list[str]) -> None:
        for line in lines:
            self._put(name, line)
        # Output that comes faster than it can be recorded must not fill the memory, and neither may it stand still.
        waiting, since = self._lines.qsize(), time.monotonic()
        while self._lines.qsize() > WAITING_LINES_MAX and time.monotonic() - since < PATIENCE_S:
            time.sleep(0.001)
            if self._lines.qsize() < waiting:
                waiting, since = self._lines.qsize(), time.monotonic()

    def _put(self, name: str, line: str) -> None:
        if _process.listeners and not self._is_over:
            self._lines.put((name, line))

    # -- the second thread ---------------------------------------------------------------------------------------

    def _record_lines(self) -> None:
        while (item := self._lines.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            for listener in _process.listeners:
                # An experiment that is not open any more, or a disk of which a warning has been given.
                with suppress(Exception):
                    listener(*item)


def _ready(poll: select.poll, timeout_ms: int | None) -> list[int]:
    return [descriptor for descriptor, _ in poll.poll(timeout_ms)]


def _after_fork_in_child() -> None:
    global _process
    redirect, _process = _process.redirect, _Process()
    if redirect is not None:
        redirect.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
