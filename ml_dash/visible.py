"""Text that somebody else wrote, made fit to be shown: on a terminal, in a log, in an error.

A name, a log line or a server's answer may hold what a terminal takes for a command: to clear the screen, to change
what was written before, to type into the shell.  None of these is left; they stand there as `\\u001b`, which within
a text of JSON means the same.

Pure: no I/O.
"""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""C0 but for tab and line feed, DEL, C1, and what reverses the order of letters (Unicode UAX #9, 2.1 and 2.2)."""
_LINES = re.compile("[\t\n\u2028\u2029]")


def visible(text: str) -> str:
    """The text, whatever could act in it written out."""
    return _CONTROL.sub(_escaped, text)


def visible_line(text: str) -> str:
    """The same for one line, or one cell of a line: tabs and line feeds are written out as well."""
    return _LINES.sub(_escaped, visible(text))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
