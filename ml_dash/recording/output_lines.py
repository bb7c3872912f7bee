"""Bytes that a program writes to its terminal → lines.

Of a line that is drawn over itself with carriage returns, as progress bars are, the last state counts: what a reader of
the terminal was left with.  Bytes that are not UTF-8 stand as `\\xff`.

Pure: no I/O.
"""

from __future__ import annotations

import codecs

CHARACTERS_MAX = 64 * 1024
"""Longer lines are cut, so that output without any end of line does not wait in memory for one."""


class Lines:
    """The lines of one stream, as they become complete."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._open = ""

    def feed(self, data: bytes) -> list[str]:
        """The lines that these bytes complete, without their ends."""
        return self._split(self._decoder.decode(data))

    def finish(self) -> list[str]:
        """What is left, once nothing follows."""
        lines = self._split(self._decoder.decode(b"", final=True))
        self._decoder.reset()
        rest, self._open = _visible(self._open), ""
        return [*lines, rest] if rest else lines

    def _split(self, text: str) -> list[str]:
        *whole, rest = (self._open + text).split("\n")
        lines = [part for line in whole for part in _cut(_visible(line))]
        # The last character may be the first half of an end of line, or about to be drawn over.
        *cut, self._open = _cut(rest[rest.rfind("\r", 0, len(rest) - 1) + 1 :] if rest else "")
        return lines + cut


def _cut(line: str) -> list[str]:
    return [line[start : start + CHARACTERS_MAX] for start in range(0, len(line) or 1, CHARACTERS_MAX)]


def _visible(line: str) -> str:
    line = line.rstrip("\r")
    return line[line.rfind("\r") + 1 :]
