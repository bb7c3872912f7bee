"""A prefix names an experiment, `owner/project[/folder…]/name`, and is the path of its folder below the dash root.

A text is a prefix if and only if

 1. it is a `str` that UTF-8 can express: no lone surrogate;
 2. it has no character that no name on disk or on a terminal should have: NUL, control characters, backslash;
 3. it is relative: it does not begin with `/`;
 4. it has two or more parts, and none of them is empty, blank, `.` or `..`: it cannot leave its root;
 5. no part is `_journal` or `_files`, in any case of letters: those are the folders inside an experiment;
 6. no part is longer than 255 bytes in UTF-8, which is what file systems take, and all of it no longer than 3,000: a
    path may have 4,096, and the dash root and what is below an experiment are part of it;
 7. it has no more than 100 parts: folders are made and looked through one inside the other.

Everything else is stored verbatim.  Two parts are owner and project; the project's name is then the experiment's too.

Pure: no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import PrefixError

PART_BYTES_MAX = 255
BYTES_MAX = 3000
PARTS_MAX = 100
RESERVED = frozenset(("_journal", "_files"))
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\\\\]")
EXPECTED = "Expected owner/project[/folder…]/name, for example 'alice/mnist/baseline'"


@dataclass(frozen=True, slots=True)
class Prefix:
    """A valid prefix; `text` is what the user gave, `segments` its parts."""

    text: str
    segments: tuple[str, ...]

    @property
    def owner(self) -> str:
        return self.segments[0]

    @property
    def project(self) -> str:
        return self.segments[1]

    @property
    def name(self) -> str:
        return self.segments[-1]

    def __str__(self) -> str:
        return self.text


def parse_prefix(text: object) -> Prefix:
    """`text` as a prefix.  Raises PrefixError, which says what is wrong with it."""
    if not isinstance(text, str):
        raise PrefixError(f"prefix {text!r:.200} is a {type(text).__name__}, not a str. {EXPECTED}")
    problem = _problem_of_text(text)
    segments = tuple(text.split("/"))
    if problem is None:
        problem = next((found for part in segments if (found := _problem_of_part(part))), None)
    if problem is None and len(segments) < 2:
        problem = "it has one part only; an owner and a project are needed"
    if problem is None and len(segments) > PARTS_MAX:
        problem = f"it has {len(segments)} parts, and {PARTS_MAX} is as deep as folders go"
    if problem is not None:
        raise PrefixError(f"prefix {text!r:.400} names no experiment: {problem}. {EXPECTED}")
    return Prefix(text, segments)


def _problem_of_text(text: str) -> str | None:
    if not text:
        return "it is empty"
    if text.startswith("/"):
        return "it is an absolute path; it must stay below dash_root"
    if found := _FORBIDDEN.search(text):
        character = found[0]
        if character == "\\":
            return "it has a backslash; parts are separated by '/'"
        return f"it has the control character {character!r} at position {found.start()}"
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        return f"it has the lone surrogate {text[error.start]!r} at position {error.start}, which no file name can have"
    if size > BYTES_MAX:
        return f"it has {size} bytes, and the path of a file has room for {BYTES_MAX} of them"
    return None


def _problem_of_part(part: str) -> str | None:
    if not part:
        return "it has an empty part: two '/' in a row, or one at the end"
    if part in (".", ".."):
        return f"its part {part!r} would lead elsewhere"
    if not part.strip():
        return f"its part {part!r} is blank"
    if part.lower() in RESERVED:
        return f"its part {part!r} is the name of a folder that ml_dash keeps inside an experiment"
    if (size := len(part.encode())) > PART_BYTES_MAX:
        return f"its part {part[:20]!r}… has {size} bytes, and file systems take {PART_BYTES_MAX}"
    return None
