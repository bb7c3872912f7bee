"""The shortcut of a recording call: fields that are known and values that are plain JSON, straight into the map.

A training that logs now and then finds its caches cold, and then each object that a call touches costs as much as the
work it does.  So all that an event needs is at hand in one function, made for one stream and one caller.

 1. It says False, and has done nothing, for whatever is not that easy: a new shape, a value that is no plain JSON, a
    file that is full, an experiment that is closed, held back, refused or forked.  The long way then decides.
 2. It adds the same row as `Spool.append_stream`, in the same single call.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident, local
from typing import Any, Protocol
from zlib import adler32

import orjson

from ..clock import now_ns
from .spool import LETTER_U, PASSTHROUGH, Spool
from .spool_shapes import Stream

Shortcut = Callable[[dict[str, Any]], bool]
"""Records an event with these fields, which nobody changes meanwhile, and says whether it has."""


class Caller(Protocol):
    """Whose recording calls these are: an experiment, while `open_writer` is the writer that the shortcut is of.

    `main_time` is the time of the last event that the thread `main_thread` recorded, in nanoseconds where it is an
    integer, else in seconds; `of_thread.timestamp` is that of any other thread.
    """

    main_thread: int
    main_time: float | None
    of_thread: local

    @property
    def open_writer(self) -> object: ...


def closed(fields: dict[str, Any]) -> bool:
    """The shortcut where there is none."""
    return False


def shortcut(spool: Spool, stream: Stream, writer: object, caller: Caller) -> Shortcut:
    """Fields `_ts` and `_flush` mean something to the caller: it leaves them to the long way."""
    numbers, main_thread = stream.numbers, caller.main_thread
    # Local, because a name of the module is found by way of three more places in memory.
    now, thread, dumps, total, join = now_ns, get_ident, orjson.dumps, adler32, b"".join
    keys, letter_u, null, passthrough = tuple, LETTER_U, b"null", PASSTHROUGH

    def record(fields: dict[str, Any]) -> bool:
        if caller.open_writer is not writer or not spool.is_direct or "_ts" in fields or "_flush" in fields:
            return False
        time_ns = now()
        try:
            body = dumps([time_ns, numbers[keys(fields)], *fields.values()], None, passthrough)
            if letter_u in body and null in body:
                return False
            spool.fast_add(join((dumps(total(body)), b",", body, b"\n")))
        except (KeyError, TypeError, ValueError, RecursionError):
            return False
        if spool.is_committer_asleep:
            spool.wake()
        if thread() == main_thread:
            caller.main_time = time_ns
        else:
            caller.of_thread.timestamp = time_ns
        return True

    return record
