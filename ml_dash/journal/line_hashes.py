"""The hashes of many long lines at once, on two processors.

A line's hash goes over what the line before it states, and that stands in the bytes: so each line of a piece can be
hashed by itself, in any order, and counts only if the one before it is valid (`chain.py` looks).  Hashing holds no lock
of the interpreter, but between two lines it is needed for a moment: short lines would wait longer than they are hashed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from hashlib import sha256
from threading import Thread

from .format import HASH_TAIL_BYTES

LONG_LINE_BYTES = 32 * 1024
"""Lines of this length are worth what a second thread costs, a tenth of a millisecond for each piece."""
_HASH_DIGITS = 64
_BEHIND_HASH = len(b'"}\n')


def hashes_ahead(data: bytes, previous_hash: str, journal: str) -> Sequence[str | None]:
    """The hash that each whole line of `data` has to state, by rule 2 of `format.py`; none where lines are short.

    `previous_hash` is that of the line before the first.  Behind a line that is not valid a hash means nothing; None is
    one that is still to be computed.
    """
    middle = data.find(b"\n", len(data) // 2)
    if middle < 0 or data.find(b"\n", middle + 1) - middle <= LONG_LINE_BYTES:
        return ()
    ends, at = [], 0
    while (end := data.find(b"\n", at)) >= 0:
        ends.append(end)
        at = end + 1
    hashes: list[str | None] = [None] * len(ends)
    suffix, view = journal.encode("ascii"), memoryview(data)

    def fill(first: int, stop: int) -> None:
        start = ends[first - 1] + 1 if first else 0
        for index in range(first, stop):
            stated = data[max(0, start - _BEHIND_HASH - _HASH_DIGITS) : start - _BEHIND_HASH]
            digest = sha256((stated if index else previous_hash.encode("ascii")) + suffix)
            digest.update(view[start : max(start, ends[index] - HASH_TAIL_BYTES)])
            hashes[index] = digest.hexdigest()
            start = ends[index] + 1

    own = bisect_left(ends, ends[-1] // 2)
    other = Thread(target=fill, args=(own, len(ends)), name="ml-dash-hashing", daemon=True)
    try:
        other.start()
    except RuntimeError:
        # The system gives no thread, or the interpreter is ending: who needs one of these hashes computes it.
        return ()
    fill(0, own)
    other.join()
    return hashes
