"""What `experiment.forked` says: an experiment that begins as another one was, behind one of its events.

 1. It counts as the first event of a journal, and nowhere else.
 2. Numbers go on: event n of the parent is event n − N of its fork, where N is the event that it was forked behind.  So
    the fork's own events are 1, 2, …, and what it has from its parent has numbers up to 0.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import PrefixError
from ..prefix import parse_prefix
from .draft import text
from .nouns import Fork


def fork_of(data: Mapping[str, Any]) -> Fork:
    """Raises KeyError, TypeError or ValueError where the payload is malformed."""
    seq = data["seq"]
    if type(seq) is not int or seq < 1:
        raise ValueError("an experiment is forked behind an event, which has a number")
    try:
        prefix = parse_prefix(data["prefix"]).text
    except PrefixError as error:
        # It becomes a path.
        raise ValueError(str(error)) from error
    return Fork(prefix, seq, text(data["journal"]), text(data["hash"]))
